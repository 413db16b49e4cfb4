# SPDX-License-Identifier: GPL-3.0-or-later
"""user_files on real files: what is asked arrives, what is the user's stays, and nothing is half done."""

import json
import os
import stat
from pathlib import Path

import module_runner
import pytest
import yaml
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


def test_yaml_keeps_comments_order_quotes_and_indentation(tmp_path, entry):
    path = tmp_path / "dask.yaml"
    path.write_text(THEIRS)
    run(entry("dask.yaml", "yaml", OURS))
    text = path.read_text()
    added = [line for line in text.splitlines() if line not in THEIRS.splitlines()]
    assert added == [
        "   dashboard:",
        '      link: "/proxy/{port}/status"',
        '      walltime: "00:10"',
        "      cores: 40",
        "      project: null",
    ]
    lost = [line for line in THEIRS.splitlines() if line not in text.splitlines()]
    assert lost == ["      walltime: '00:20'"]
    assert text.index("count: 3") < text.index("# the cluster") < text.index("jobqueue:")


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
    assert "lsf is shared by its anchor &mine" in run(entry("dask.yaml", "yaml", {"lsf": {"cores": 40}}))["msg"]
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

    monkeypatch.setattr(user_files.os, "fsync", full)
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
    text = user_files.merged_json(json.dumps(base), wanted, [])
    assert json.loads(text) == combined(base, wanted)
    assert user_files.merged_json(text, wanted, []) == text
    assert user_files.merged_json(text, base, keep=list(wanted)) == text


@settings(deadline=None)
@given(base=MAPPING, wanted=MAPPING)
def test_yaml_merge_means_the_same_to_yaml_1_1_and_1_2(base, wanted):
    lines = yaml.safe_dump(base, allow_unicode=False, sort_keys=False).splitlines() if base else []
    commented = "".join(f"# above {number}\n{line}\n" for number, line in enumerate(lines) if line.startswith("k"))
    plain = "\n".join([*lines, ""])
    theirs = commented if yaml.safe_load(commented or "{}") == base else plain
    text = user_files.merged_yaml(theirs, wanted, [])
    assert yaml.safe_load(text or "{}") == combined(base, wanted)
    newer = YAML(typ="safe", pure=True)
    assert (newer.load(text) or {}) == combined(newer.load(theirs) or {}, wanted)
    assert user_files.merged_yaml(text, wanted, []) == text
    assert [line for line in theirs.splitlines() if line.startswith("#") and line not in text.splitlines()] == []
