# SPDX-License-Identifier: GPL-3.0-or-later
"""user_files on real files: what is asked arrives, what is the user's stays, and nothing is half done."""

import json
import os
import stat
import sys
from pathlib import Path

import module_runner
import pytest
import yaml
from ansible.module_utils import atomic_files, user_text
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

user_files = module_runner.load("plugins/modules/user_files.py")


def run(*files, check=False, **options):
    return module_runner.run(user_files, {"files": list(files), **options}, check=check)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def listing(folder):
    return {path: path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def entry(tmp_path):
    def make(name, kind, content, **options):
        return {"path": str(tmp_path / name), "format": kind, "content": content, **options}

    return make


# ---- one file --------------------------------------------------------------------------------------------------


def test_new_files_and_their_folders_are_private(tmp_path, entry):
    result = run(entry(".config/dask/distributed.yaml", "yaml", {"distributed": {"version": 2}}))
    path = tmp_path / ".config/dask/distributed.yaml"
    assert path.read_text() == "distributed:\n  version: 2\n"
    assert [mode(path), mode(path.parent), mode(path.parent.parent)] == [0o600, 0o700, 0o700]
    assert result["directories"] == [str(path.parent.parent), str(path.parent)]
    assert result["files"] == [{"path": str(path), "changed": True, "backup": ""}]


KINDS = [
    ("yaml", "a: 1\n", {"b": 2}),
    ("json", '{"a": 1}', {"b": 2}),
    ("block", "a\n", "b"),
    ("text", "a\n", "b\n"),
]


@pytest.mark.parametrize(("kind", "before", "content"), KINDS)
def test_a_change_is_backed_up_and_a_second_run_changes_nothing(tmp_path, entry, kind, before, content):
    path = tmp_path / "file"
    path.write_text(before)
    path.chmod(0o400)
    asked = entry("file", kind, content, mode="0400")
    first, second = run(asked), run(asked)
    (copy,) = (file for file in tmp_path.iterdir() if file != path)
    assert (first["changed"], second["changed"]) == (True, False)
    assert (first["files"][0]["backup"], second["files"][0]["backup"]) == (str(copy), "")
    assert (copy.read_text(), mode(copy), mode(path)) == (before, 0o400, 0o400)
    # Dask reads every *.yaml of its folder.
    assert copy.name.endswith("~")


@pytest.mark.parametrize(("kind", "before", "content"), KINDS)
def test_check_mode_tells_the_same_and_writes_nothing(tmp_path, entry, kind, before, content):
    (tmp_path / "file").write_text(before)
    asked = [entry("file", kind, content), entry("new/file", kind, content)]
    expected = listing(tmp_path)
    checked = run(*asked, check=True, directories=[str(tmp_path / "scratch")])
    assert listing(tmp_path) == expected
    assert not (tmp_path / "new").exists()
    assert not (tmp_path / "scratch").exists()
    done = run(*asked, directories=[str(tmp_path / "scratch")])
    assert checked["diff"] == done["diff"]
    assert [file["changed"] for file in checked["files"]] == [file["changed"] for file in done["files"]]


def test_an_unsuitable_mode_alone_is_a_change(tmp_path, entry):
    path = tmp_path / "file"
    path.write_text("a: 1\n")
    path.chmod(0o644)
    result = run(entry("file", "yaml", {"a": 1}, mode="0600"))
    assert (result["changed"], mode(path), path.read_text()) == (True, 0o600, "a: 1\n")
    assert (result["diff"][0]["before"], result["diff"][0]["after"]) == ("mode 0644\n", "mode 0600\n")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("old", "asked", "file", "copy"),
    [(0o644, None, 0o644, 0o644), (0o644, "0600", 0o600, 0o600), (0o600, "0644", 0o644, 0o600)],
)
def test_modes_of_a_changed_file_and_its_backup(tmp_path, entry, old, asked, file, copy):
    (tmp_path / "file").write_text("a: 1\n")
    (tmp_path / "file").chmod(old)
    result = run(entry("file", "yaml", {"a": 2}, **({"mode": asked} if asked else {})))
    assert (mode(tmp_path / "file"), mode(Path(result["files"][0]["backup"]))) == (file, copy)


def test_a_link_stays_a_link(tmp_path, entry):
    (tmp_path / "dotfiles").mkdir()
    (tmp_path / "dotfiles/condarc").write_text("# mine\nchannels: [defaults]\n")
    (tmp_path / ".condarc").symlink_to("dotfiles/condarc")
    run(entry(".condarc", "yaml", {"auto_activate_base": False}))
    assert (tmp_path / ".condarc").is_symlink()
    assert (tmp_path / "dotfiles/condarc").read_text() == "# mine\nchannels: [defaults]\nauto_activate_base: false\n"


def test_a_secret_is_in_no_diff(entry):
    asked = entry("file", "text", "hunter2", secret=True)
    assert "hunter2" not in json.dumps(run(asked)["diff"])
    assert "hunter2" not in json.dumps(run({**asked, "content": "new"})["diff"])


@pytest.mark.parametrize(("before", "stays"), [(None, False), ("# ours\n", False), ("# mine\n", True), ("", True)])
def test_what_is_not_ours_stays_and_nothing_else_is_written(tmp_path, entry, before, stays):
    path = tmp_path / "slipway"
    if before is not None:
        path.write_text(before)
    asked = [entry("slipway", "text", "# ours, new\n", ours="# ours"), entry("more", "text", "more\n")]
    result = run(*asked, directories=[str(tmp_path / "folder")])
    assert result["theirs"] == ([str(path)] if stays else [])
    assert result["changed"] is not stays
    assert (tmp_path / "more").exists() is (tmp_path / "folder").exists() is not stays
    assert path.read_text() == (before if stays else "# ours, new\n")


def test_a_link_to_another_accounts_file_stays_as_well(tmp_path, entry, monkeypatch):
    """To /usr/local/bin/slipway, say."""
    (tmp_path / "shared").write_text("# ours\n")
    (tmp_path / "slipway").symlink_to(tmp_path / "shared")
    monkeypatch.setattr(user_files.os, "geteuid", lambda: os.getuid() + 1)
    result = run(entry("slipway", "text", "# ours, new\n", ours="# ours"))
    assert result["theirs"] == [str(tmp_path / "slipway")]
    assert not result["changed"]
    assert (tmp_path / "shared").read_text() == "# ours\n"


def test_directories_are_made_private_and_left_alone(tmp_path):
    (tmp_path / "old").mkdir(mode=0o755)
    result = run(directories=[str(tmp_path / "old"), str(tmp_path / "scratch/ada/tmp")])
    assert result["directories"] == [str(tmp_path / "scratch" / rest) for rest in ("", "ada", "ada/tmp")]
    assert [mode(tmp_path / name) for name in ("old", "scratch", "scratch/ada/tmp")] == [0o755, 0o700, 0o700]
    assert run(directories=[str(tmp_path / "scratch/ada/tmp")])["changed"] is False


# ---- what a user's file holds ----------------------------------------------------------------------------------

THEIRS = """\
# my Dask
---
distributed:
   version: 2   # do not touch
   comm: {retry: {count: 3}}
# the cluster
jobqueue:
   lsf:
      # small jobs start sooner
      walltime: '00:20'
      job-extra-directives:
        - -R "select[type==any]"

      # that was all
   pbs:
      queue: workq
# end
"""
OURS = {
    "distributed": {"dashboard": {"link": "/proxy/{port}/status"}},
    "jobqueue": {"lsf": {"walltime": "00:10", "cores": 40, "project": None}},
}


MERGED = """\
# my Dask
---
distributed:
   version: 2   # do not touch
   comm: {retry: {count: 3}}
   dashboard:
      link: "/proxy/{port}/status"
# the cluster
jobqueue:
   lsf:
      # small jobs start sooner
      walltime: "00:10"
      job-extra-directives:
        - -R "select[type==any]"
      cores: 40
      project: null

      # that was all
   pbs:
      queue: workq
# end
"""


def test_yaml_changes_only_what_was_asked(tmp_path, entry):
    path = tmp_path / "dask.yaml"
    path.write_text(THEIRS)
    run(entry("dask.yaml", "yaml", OURS))
    assert path.read_text() == MERGED


PLACES = {
    "a comment below a list that is replaced": (
        "a:\n- x\n- y  # mine\n# about b\nb: 1\n",
        {"a": ["z"]},
        "a:\n- z\n# about b\nb: 1\n",
    ),
    "a scalar becomes a mapping, its comment stays": (
        "a: x  # mine\nb: 1\n",
        {"a": {"c": 2}},
        "a:  # mine\n  c: 2\nb: 1\n",
    ),
    "a list at its key's own column becomes a scalar": ("a:\n- x\nb: 1\n", {"a": "z"}, "a:\n z\nb: 1\n"),
    "nothing becomes something": ("a:\nb: 1\n", {"a": "x", "c": 2}, "a: x\nb: 1\nc: 2\n"),
    "text without a last line end": ("a: 1", {"b": 2}, "a: 1\nb: 2"),
    "a block of text": ("a: |\n  x\n  y\n# about b\nb: 1\n", {"a": "z"}, "a: z\n# about b\nb: 1\n"),
    "spaces and quotes of theirs": ("a:   'x'   # x\nb : [1,  2]\n", {"c": 3}, "a:   'x'   # x\nb : [1,  2]\nc: 3\n"),
    "new keys of a mapping and of the one in it": (
        "a:\n  b:\n    c: 1\n\n# end\n",
        {"a": {"b": {"d": 2}, "e": 3}, "f": 4},
        "a:\n  b:\n    c: 1\n    d: 2\n  e: 3\nf: 4\n\n# end\n",
    ),
    "truth is no number": ("a: [1, {b: 1}]\n", {"a": [True, {"b": 1}]}, "a: [true, {b: 1}]\n"),
}


@pytest.mark.parametrize("case", PLACES)
def test_yaml_places(case):
    before, wanted, after = PLACES[case]
    assert user_text.merged_yaml(before, wanted) == after


@pytest.mark.parametrize("keep", ["jobqueue.lsf.walltime", "jobqueue.lsf", "jobqueue"])
def test_a_kept_key_is_the_users(tmp_path, entry, keep):
    path = tmp_path / "dask.yaml"
    path.write_text(THEIRS)
    run(entry("dask.yaml", "yaml", OURS, keep=[keep]))
    lsf = yaml.safe_load(path.read_text())["jobqueue"]["lsf"]
    assert (lsf["walltime"], lsf["cores"]) == ("00:20", 40)


@pytest.mark.parametrize("empty", ["", " ~", " null"])
def test_every_null_is_as_good_as_ours(entry, tmp_path, empty):
    (tmp_path / "dask.yaml").write_text(f"lsf:\n  queue:{empty}\n")
    assert run(entry("dask.yaml", "yaml", {"lsf": {"queue": None}}))["changed"] is False


@pytest.mark.parametrize(
    "shared", ["pbs: &mine {cores: 4}\nlsf: *mine\n", "x: {lsf: &mine {cores: 4}}\n<<: {lsf: *mine}\n"]
)
def test_a_shared_mapping_is_refused_if_it_would_change(entry, tmp_path, shared):
    (tmp_path / "dask.yaml").write_text(shared)
    assert "lsf is shared with another place" in run(entry("dask.yaml", "yaml", {"lsf": {"cores": 40}}))["msg"]
    assert run(entry("dask.yaml", "yaml", {"lsf": {"cores": 4}}))["changed"] is False
    assert (tmp_path / "dask.yaml").read_text() == shared


def test_a_file_of_comments_alone_keeps_them(tmp_path, entry):
    """Dask leaves such files behind when it's first imported."""
    path = tmp_path / "dask.yaml"
    path.write_text("# jobqueue:\n#   lsf:\n#     queue: null")
    run(entry("dask.yaml", "yaml", {"jobqueue": {"lsf": {"queue": "normal"}}}))
    assert path.read_text() == "# jobqueue:\n#   lsf:\n#     queue: null\njobqueue:\n  lsf:\n    queue: normal\n"


def test_a_block_is_put_renewed_and_taken_out(tmp_path, entry):
    path = tmp_path / "config.py"
    path.write_bytes(b"# caf\xe9\nc = get_config()")
    run(entry("config.py", "block", "c.A = 1"))
    run(entry("config.py", "block", "c.A = 2\nc.B = 3"))
    assert path.read_bytes() == b"# caf\xe9\nc = get_config()\n# BEGIN slipway\nc.A = 2\nc.B = 3\n# END slipway\n"
    run(entry("config.py", "block", ""))
    assert path.read_bytes() == b"# caf\xe9\nc = get_config()\n"
    assert run(entry("absent.py", "block", ""))["changed"] is False
    run(entry("ours.py", "block", "c.A = 1"))
    run(entry("ours.py", "block", ""))
    assert not (tmp_path / "ours.py").exists()
    (tmp_path / "empty.py").write_text("\n")
    assert run(entry("empty.py", "block", ""))["changed"] is False


def test_a_layout_that_no_change_is_safe_in_is_refused_without_its_content(tmp_path, entry):
    text = "? proxy\n: hunter2\n? port\n: 1\n"
    (tmp_path / ".condarc").write_text(text)
    result = run(entry(".condarc", "yaml", {"port": {"of": 1}, "new": 2}, secret=True))
    assert "without touching more than was asked" in result["msg"]
    assert "hunter2" not in result["msg"]
    assert (tmp_path / ".condarc").read_text() == text


ABSENT = {"jobqueue": {"lsf": {"walltime": "00:10", "cores": 40, "project": None}}, "gone": 1}


def test_absent_takes_out_what_is_ours_and_leaves_the_rest_to_the_byte(tmp_path, entry):
    path = tmp_path / "dask.yaml"
    path.write_text(MERGED)
    result = run({"path": str(path), "format": "yaml", "absent": ABSENT})
    ours = ('      walltime: "00:10"\n', "      cores: 40\n", "      project: null\n")
    expected = MERGED
    for line in ours:
        expected = expected.replace(line, "")
    assert path.read_text() == expected
    assert Path(result["files"][0]["backup"]).read_text() == MERGED
    assert run({"path": str(path), "format": "yaml", "absent": ABSENT})["changed"] is False


@pytest.mark.parametrize(
    ("before", "absent", "after"),
    [
        ("a: 1\nb: 2\n", {"a": 2, "b": 2}, "a: 1\n"),
        ("a: true\nb: 2\n", {"a": 1, "b": 2}, "a: true\n"),
        ("a: [x, y]\nb: [x]\n", {"a": ["x"], "b": ["x"]}, "a: [x, y]\n"),
        ("a: {b: 1}\nc: 2\n", {"a": {"b": 1}}, "c: 2\n"),
        ("a: {b: 1, d: 3}\nc: 2\n", {"a": {"b": 1}}, "a: {d: 3}\nc: 2\n"),
        ("a:\n  # mine\n  b: 1\nc: 2\n", {"a": {"b": 1}}, "  # mine\nc: 2\n"),
        ("a:\n- x\n\n# about c\nc: 2\n", {"a": ["x"]}, "\n# about c\nc: 2\n"),
        ("# only this stays\na: 1\n", {"a": 1}, "# only this stays\n"),
        ("a: {}\n", {"a": {"b": 1}}, "a: {}\n"),
        ("a:\nb: 1\n", {"a": None}, "b: 1\n"),
    ],
)
def test_absent_takes_exactly_these_values(before, absent, after):
    assert user_text.merged_yaml(before, {}, absent=absent) == after


@pytest.mark.parametrize(("kind", "text"), [("yaml", "a: {b: 1}\n"), ("json", '{"a": {"b": 1}}')])
def test_a_file_of_which_nothing_is_left_is_removed(tmp_path, kind, text):
    path = tmp_path / "file"
    path.write_text(text)
    (tmp_path / "link").symlink_to("target")
    (tmp_path / "target").write_text(text)
    asked = [{"path": str(tmp_path / name), "format": kind, "absent": {"a": {"b": 1}}} for name in ("file", "link")]
    assert run(*asked, check=True)["diff"][0]["after_header"] == f"{path} (absent)"
    assert path.read_text() == text
    copies = [file["backup"] for file in run(*asked)["files"]]
    assert [Path(copy).read_text() for copy in copies] == [text, text]
    assert not path.exists()
    assert (tmp_path / "target").read_text() == ""
    assert (tmp_path / "link").is_symlink()
    assert run(*asked)["changed"] is False


@pytest.mark.parametrize("text", [None, "", "\n"])
def test_where_there_is_nothing_to_take_out_no_ruamel_yaml_is_needed(tmp_path, monkeypatch, text):
    monkeypatch.setitem(sys.modules, "ruamel.yaml", None)
    if text is not None:
        (tmp_path / "file").write_text(text)
    result = run({"path": str(tmp_path / "file"), "format": "yaml", "absent": {"a": 1}})
    assert result["changed"] is False


@pytest.fixture
def logs(tmp_path):
    """A folder with two of ours, two of theirs and a link of ours to what is theirs."""
    for name in ("session-a.log", "session-b.log", "session-minutes/theirs", "theirs/notes", "ours/deep/file"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("words")
    (tmp_path / "session-link").symlink_to(tmp_path / "theirs")
    return tmp_path


@pytest.mark.parametrize("check", [False, True])
def test_what_is_ours_alone_goes_and_neither_a_links_target_nor_a_folder_that_fits_a_pattern(logs, check):
    before = listing(logs)
    result = run(removed=[f"{logs}/session-*", f"{logs}/ours", f"{logs}/never-there"], check=check)
    gone = [str(logs / name) for name in ("session-a.log", "session-b.log", "session-link", "ours")]
    assert (result["changed"], result["removed"]) == (True, gone)
    assert [(diff["before_header"], diff["after"]) for diff in result["diff"]] == [(path, "absent\n") for path in gone]
    if check:
        assert listing(logs) == before
        return
    assert listing(logs) == {logs / "theirs/notes": "words", logs / "session-minutes/theirs": "words"}
    assert not os.path.lexists(logs / "session-link")
    assert not run(removed=[f"{logs}/session-*", f"{logs}/ours"])["changed"]


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        ("~", "neither the home nor what it lies in is removed"),
        ("~/..", "neither the home nor what it lies in is removed"),
        ("~/../to-home*", "neither the home nor what it lies in is removed"),
        ("/", "neither the home nor what it lies in is removed"),
        ("ours", "the path must be absolute"),
    ],
)
def test_a_home_does_not_go_nor_what_it_lies_in(logs, monkeypatch, path, rule):
    home = logs / "home/ada"
    home.mkdir(parents=True)
    (home.parent / "to-home").symlink_to(home)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(logs)
    result = run(removed=[f"{logs}/ours", path])
    assert result["failed"]
    assert rule in result["msg"] and "Nothing was written" in result["msg"], result["msg"]
    assert (logs / "ours/deep/file").exists() and home.exists()


def test_absent_comes_before_content(tmp_path, entry):
    """As where a program has renamed a key."""
    (tmp_path / "file").write_text("old: 1\n")
    run(entry("file", "yaml", {"new": 1}, absent={"old": 1}))
    assert (tmp_path / "file").read_text() == "new: 1\n"


@pytest.mark.parametrize(("kind", "rule"), [("text", "absent is for yaml and json"), ("block", "absent is for")])
def test_absent_has_no_meaning_for_a_text(entry, kind, rule):
    assert rule in run(entry("file", kind, "x", absent={"a": 1}))["msg"]


BROKEN = [
    ("yaml", "a: 1\nb:\n  c: d: e\n", "line 3:"),
    ("yaml", "# comment\n---\na: 1\na: 2\n", 'line 4: found duplicate key "a"'),
    ("yaml", "- a\n", "line 1: the file holds no mapping"),
    ("json", '{\n"a": 1,\n}', "line 3:"),
    ("json", "[]", "line 1: the file holds no object"),
    ("block", "# END slipway\n# BEGIN slipway\n", "line 2: '# BEGIN slipway' has no partner"),
    ("block", "a\n# BEGIN slipway\n", "line 2: '# BEGIN slipway' has no partner"),
]


@pytest.mark.parametrize(("kind", "text", "message"), BROKEN)
def test_a_broken_file_is_named_with_its_line_and_nothing_is_written(tmp_path, entry, kind, text, message):
    (tmp_path / "broken").write_text(text)
    before = listing(tmp_path)
    result = run(entry("first", "text", "x"), entry("broken", kind, {"c": 3} if kind != "block" else "x"))
    assert result["failed"]
    assert f"{tmp_path}/broken: {message}" in result["msg"]
    assert "Nothing was written" in result["msg"]
    assert listing(tmp_path) == before


def test_all_problems_come_in_one_message(tmp_path, entry):
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    result = run(
        entry("folder", "text", "x"),
        entry("file/below", "text", "x"),
        entry("octal", "text", "x", mode=384),
        entry("mapping", "yaml", "a: 1"),
        entry("twice", "text", "x"),
        entry("twice", "text", "y"),
        {"path": "relative", "format": "text", "content": "x"},
        directories=[str(tmp_path / "file")],
    )
    expected = [
        ("file", "is in the way; it must be a folder"),
        ("folder", "something else than a file is there"),
        ("file/below", "is in the way; it must be a folder"),
        ("octal", "three octal digits in quotes"),
        ("mapping", "content for yaml must be a dict"),
        ("twice", "named twice"),
        ("relative", "must be absolute"),
    ]
    problems = result["msg"].splitlines()[:-1]
    assert len(problems) == len(expected)
    for problem, (name, rule) in zip(problems, expected, strict=True):
        assert name in problem.split(":")[0]
        assert rule in problem


def test_a_folder_of_others_and_a_file_of_others_are_refused(tmp_path, entry, monkeypatch):
    (tmp_path / "file").write_text("x")
    monkeypatch.setattr(user_files.os, "access", lambda path, how: False)
    assert f"the folder {tmp_path} must be writable" in run(entry("new", "text", "x"))["msg"]
    monkeypatch.undo()
    monkeypatch.setattr(user_files.os, "geteuid", lambda: os.getuid() + 1)
    assert "the file belongs to user" in run(entry("file", "text", "y"))["msg"]
    assert (tmp_path / "file").read_text() == "x"


def test_a_full_disk_leaves_the_old_file_and_no_litter(tmp_path, entry, monkeypatch):
    (tmp_path / "file").write_text("old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic_files.os, "fsync", full)
    result = run(entry("file", "text", "new", backup=False))
    assert f"{tmp_path}/file: No space left on device" in result["msg"]
    assert listing(tmp_path) == {tmp_path / "file": "old"}


# ---- for any content -------------------------------------------------------------------------------------------

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
KEY = st.from_regex(r"k[a-z0-9-]{0,3}", fullmatch=True)
SCALAR = (
    st.none()
    | st.booleans()
    | st.integers()
    | TEXT
    | st.sampled_from(["12:00", "yes", "1e3", "0o7", "null", "~", "- a"])
)
VALUE = st.recursive(
    SCALAR, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEY, inner, max_size=3), max_leaves=8
)
MAPPING = st.dictionaries(KEY, VALUE, max_size=4)


def combined(base, wanted):
    """What a merge means, in four lines."""
    if not isinstance(base, dict) or not isinstance(wanted, dict):
        return wanted
    return {**base, **{key: combined(base.get(key), value) for key, value in wanted.items()}}


@settings(deadline=None)
@given(base=MAPPING, wanted=MAPPING)
def test_json_merge(base, wanted):
    text = user_text.merged_json(json.dumps(base), wanted, [])
    assert json.loads(text) == combined(base, wanted)
    assert user_text.merged_json(text, wanted, []) == text
    assert user_text.merged_json(text, base, keep=list(wanted)) == text


@settings(deadline=None)
@given(base=MAPPING, wanted=MAPPING)
def test_yaml_merge_means_the_same_to_yaml_1_1_and_1_2(base, wanted):
    lines = yaml.safe_dump(base, allow_unicode=False, sort_keys=False).splitlines() if base else []
    commented = "".join(f"# above {number}\n{line}\n" for number, line in enumerate(lines) if line.startswith("k"))
    plain = "\n".join([*lines, ""])
    theirs = commented if yaml.safe_load(commented or "{}") == base else plain
    text = user_text.merged_yaml(theirs, wanted, [])
    assert yaml.safe_load(text or "{}") == combined(base, wanted)
    newer = YAML(typ="safe", pure=True)
    assert (newer.load(text) or {}) == combined(newer.load(theirs) or {}, wanted)
    assert user_text.merged_yaml(text, wanted, []) == text
    assert [line for line in theirs.splitlines() if line.startswith("#") and line not in text.splitlines()] == []


@settings(deadline=None)
@given(base=MAPPING, ours=st.dictionaries(KEY.map("o{}".format), VALUE, max_size=4), data=st.data())
def test_what_was_put_in_can_be_taken_out_and_nothing_else_moves(base, ours, data):
    """Comments and blank lines of theirs stand anywhere between the lines."""
    noise = st.sampled_from(["", "# a comment\n", "\n", "\n  # a comment\n"])
    lines = yaml.safe_dump(base, allow_unicode=False, sort_keys=False).splitlines() if base else []
    theirs = "".join(data.draw(noise) + line + "\n" for line in lines) + data.draw(noise)
    if yaml.safe_load(theirs or "{}") == (base or None):  # noise inside a long text is text
        put = user_text.merged_yaml(theirs, ours)
        assert user_text.merged_yaml(put, {}, absent=ours) == theirs
