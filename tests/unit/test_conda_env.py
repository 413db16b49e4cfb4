# SPDX-License-Identifier: GPL-3.0-or-later
"""The module conda_env against recorded answers of conda 23.10.0 and 26.7.1: the cases are in test_conda_env.yaml.

A case has the state it is given, the module's parameters, the commands that must run, in that order and with exactly these
arguments, each with its answer, and the result. Words in capitals stand for paths.
"""

import hashlib
import json
import os
import sys
import time
from pathlib import Path

import module_runner
import pytest
import yaml
from ansible.module_utils.conda_env import CondaEnvError, records
from ansible.module_utils.conda_env import conda as conda_command
from ansible.module_utils.conda_env import pip as pip_command
from ansible.module_utils.conda_env.request import Request
from ansible.module_utils.conda_env.revisions import Revisions, carry, stranded
from ansible.module_utils.conda_env.specs import compare

HERE = Path(__file__).parent
DATA = yaml.safe_load((HERE / "test_conda_env.yaml").read_text())

conda_env = module_runner.load("roles/conda_env/library/conda_env.py")


def call(params, check=False, diff=False):
    return module_runner.run(conda_env, {**params, "_ansible_diff": diff}, check=check)


def dist(line):
    """The file of a package, from its line."""
    return "-".join(line.split())


def locked(line):
    """A package's line of an explicit list."""
    return f"http://mirror/noarch/{dist(line)}.conda#{hashlib.md5(line.encode()).hexdigest()}"


def install(prefix, lines, md5=None, history=""):
    """Writes records, as a transaction does."""
    meta = prefix / "conda-meta"
    meta.mkdir(parents=True, exist_ok=True)
    (meta / "history").write_text(history)
    for line in lines:
        name, version, build = line.split()
        url, _, hashed = locked(line).partition("#")
        record = {"name": name, "version": version, "build": build, "depends": [], "url": url, "md5": md5 or hashed}
        (meta / f"{dist(line)}.json").write_text(json.dumps(record))


@pytest.fixture
def base(tmp_path):
    """A conda base of which only the paths matter."""
    for name in ("conda", "python"):
        file = tmp_path / "base/bin" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o755)
    return tmp_path / "base"


@pytest.fixture
def prefix(tmp_path):
    return tmp_path / "envs/myenv"


@pytest.fixture
def paths(base, prefix):
    """What the words in capitals stand for; the longest first."""
    notes = prefix.parent / ".myenv.slipway"
    beside = prefix.parent / ".myenv-slipway.slipway/1"
    return {
        "BASE": base,
        "CONDA": base / "bin/conda",
        "PREFIX": prefix,
        "NOTES": notes,
        "NOW": notes / "1",
        "BESIDE": beside,
    }


def given(prefix, state):
    """Makes what a case is given: in revision 1, or where somebody else put it."""
    place = Revisions(str(prefix))
    folder = prefix if state.get("theirs") else Path(place.path(1))
    if "installed" in state:
        install(folder, state["installed"], state.get("hash"), state.get("history", ""))
        for line in state.get("corrupted", []):
            (folder / f"conda-meta/{dist(line)}.json").write_text('{"name": "half a rec')
        if not state.get("theirs"):
            place.switch(str(folder), state="complete", asked=state.get("asked", []))
    for name in state.get("files", []):
        (prefix / name).parent.mkdir(parents=True, exist_ok=True)
        (prefix / name).touch()


class Script:
    """Takes the place of `execute`: expects the commands of a case and gives their answers."""

    def __init__(self, calls, paths):
        self.calls = list(calls)
        self.paths = paths

    def expand(self, value):
        for word, path in self.paths.items():
            value = value.replace(word, str(path))
        return value

    def __call__(self, argv, deadline, stdin="", keep=(), settings=None, job=None):
        assert self.calls, f"one command more than expected: {argv}"
        assert time.monotonic() < deadline
        expected = self.calls.pop(0)
        if "asks" in expected or "asks_pip" in expected:
            assert argv[1:3] == ["-I", "-c"]
            asked = json.loads(stdin)
            assert asked["wanted"] == expected.get("asks", expected.get("asks_pip"))
            assert ("records" in asked) == ("asks" in expected)
            said = {"invalid": {}, "missing": [], "needed": [], "surplus": [], "pins": []}
            return 0, json.dumps({name: expected.get(name, value) for name, value in said.items()}), ""
        if "imports" in expected:
            assert argv[1:3] == ["-IB", "-c"]
            assert argv[4:] == expected["imports"]
            if expected.get("unused"):
                assert not self.paths["PREFIX"].is_symlink()
            return expected.get("rc", 0), expected.get("out", ""), expected.get("err", "")
        assert argv == [self.expand(word) for word in expected["argv"]]
        assert bool(keep) != ("--dry-run" in argv), "a command that changes something holds the lock"
        if argv[1] in ("create", "install") and "--dry-run" not in argv:
            self.carry_out(expected, argv)
        if "timeout" in expected:
            raise CondaEnvError(
                "conda create did not end in time; it was ended after 5 s.", "raise the timeout", command=argv, rc=-15
            )
        recorded = DATA["recorded"].get(expected.get("answers"), expected)
        return recorded.get("rc", 0), self.expand(recorded.get("out", "")), recorded.get("err", "")

    @staticmethod
    def carry_out(expected, argv):
        """Does to the records what conda would do."""
        folder = Path(argv[argv.index("-p") + 1])
        for line in expected.get("unlinks", []):
            (folder / f"conda-meta/{dist(line)}.json").unlink()
        if "reads" in expected:
            text = Path(argv[-1]).read_text().splitlines()
            assert text[1:] == ["@EXPLICIT", *map(locked, expected["reads"])]
        lines = [*expected.get("reads", []), *expected.get("links", [])]
        if lines:
            install(folder, lines)


@pytest.fixture
def script(monkeypatch, paths):
    """Puts a script in the place of `execute`."""

    def script(calls):
        made = Script(calls, paths)
        monkeypatch.setattr(conda_command, "execute", made)
        monkeypatch.setattr(pip_command, "execute", made)
        return made

    monkeypatch.setattr(conda_command.platform, "machine", lambda: "ppc64le")
    return script


def paths_below(folder):
    return sorted(str(path) for path in folder.rglob("*"))


@pytest.mark.parametrize("case", DATA["cases"], ids=lambda case: case["name"])
def test_case(case, base, prefix, paths, script):
    given(prefix, case.get("given", {}))
    if case.get("given", {}).get("no_conda"):
        (base / "bin/conda").unlink()
    paths["NEXT"] = paths["NOTES"] / ("2" if prefix.is_symlink() else "1")
    if "conda_version" in case.get("given", {}):
        (base / "conda-meta").mkdir()
        (base / f"conda-meta/conda-{case['given']['conda_version']}-py311_0.json").touch()
    run = script(case.get("calls", []))
    before, above = paths_below(prefix), paths_below(prefix.parent)

    params = {"prefix": "PREFIX", "conda": "CONDA", **case["params"]}
    if "lock" in params:
        params["lock"] = "\n".join(["@EXPLICIT", *map(locked, params["lock"])])
    elif "lock_text" in params:
        params["lock"] = params.pop("lock_text")
    params = {name: run.expand(value) if isinstance(value, str) else value for name, value in params.items()}
    result = call(params, **case.get("mode", {}))

    assert run.calls == [], "commands that were expected and not run"
    expected = json.loads(run.expand(json.dumps(case["result"])))
    for words in expected.pop("says", []):
        assert words in result["msg"]
    assert {name: result.get(name) for name in expected} == expected, result
    assert result.get("failed", False) == ("says" in case["result"])
    said = "".join(warning["event"]["msg"] for warning in result.get("warnings", []))
    for words in case.get("warns", []):
        assert run.expand(words) in said
    if case.get("mode", {}).get("check"):
        assert paths_below(prefix.parent) == above
    elif case.get("leaves") == "all":
        assert paths_below(prefix) == before
    else:
        place = Revisions(str(prefix))
        assert place.current == case["leads_to"]
        assert set(place.numbers) <= {1, 2} - ({2} if case["leads_to"] == 1 else set())
        assert case["leads_to"] or not paths_below(prefix.parent)


def test_what_was_verified_is_not_asked_again_until_a_record_changes(base, prefix, script):
    given(prefix, {"installed": ["six 1.17.0 0"]})
    params = {"prefix": str(prefix), "conda": str(base / "bin/conda"), "packages": ["six"]}
    asked = [{"asks": ["six"]}]

    script(asked)
    assert not call(params)["changed"]
    assert not (prefix.parent / ".myenv.slipway/lock").exists(), "no lock where nothing is to change"
    script([])
    assert not call(params)["changed"]
    # Of the same size, with the same name: only the content tells.
    record = prefix / "conda-meta/six-1.17.0-0.json"
    record.write_text(record.read_text().replace('"0"', '"1"'))
    script(asked)
    assert not call(params)["changed"]
    script([{"asks": ["six", "numpy"]}])
    assert not call({**params, "packages": ["six", "numpy"]})["changed"]


def test_a_package_of_pips_changes_what_was_verified(base, prefix, script):
    given(prefix, {"installed": ["six 1.17.0 0"]})
    params = {"prefix": str(prefix), "conda": str(base / "bin/conda"), "packages": ["six"]}
    script([{"asks": ["six"]}])
    call(params)
    (prefix / "lib/python3.11/site-packages/tidy-1.0.dist-info").mkdir(parents=True)
    script([{"asks": ["six"]}])
    assert call(params)["after"] == ["six 1.17.0 0", "tidy 1.0 pypi_0"]


def test_a_name_is_one_of_the_base(base, script):
    argv = ["CONDA", "create", "-p", "BASE/envs/.n.slipway/1", "--yes", "--json", "--quiet", "six"]
    script([{"argv": argv, "links": ["six 1.17.0 0"]}, {"asks": ["six"]}])
    params = {"conda": str(base / "bin/conda"), "packages": ["six"]}
    assert call({"name": "n", **params})["prefix"] == str(base / "envs/n")
    for name in ("base", "a/b", "-n", ".hidden", ""):
        assert (
            f"name is {name!r}: it must be letters, digits and ._+- and not base."
            in call({"name": name, **params})["msg"]
        )


def test_two_runs_at_once_wait_and_say_for_whom(base, prefix):
    other = Revisions(str(prefix))
    with other.locked(time.monotonic() + 1, print):
        result = call({"prefix": str(prefix), "conda": str(base / "bin/conda"), "packages": ["six"], "timeout": 1})
    assert f"process {os.getpid()} on " in result["msg"]
    assert not list(prefix.parent.iterdir())


def test_a_prefix_that_is_not_ours_to_write(base, tmp_path):
    blocked = tmp_path / "file"
    blocked.touch()
    result = call({"prefix": str(blocked / "myenv"), "conda": str(base / "bin/conda"), "packages": ["six"]})
    assert "can't be changed" in result["msg"]
    assert "Remedy" in result["msg"]


@pytest.mark.parametrize(
    ("make", "environment", "obstructed"),
    [
        (lambda path: None, False, False),
        (lambda path: path.mkdir(), False, False),
        (lambda path: path.write_text("x"), False, True),
        (lambda path: (path / "thesis").mkdir(parents=True), False, True),
        (lambda path: (path / "conda-meta").mkdir(parents=True), False, True),
        (lambda path: install(path, []), True, False),
        (lambda path: path.symlink_to(".myenv.slipway/1"), False, False),
        (lambda path: given(path, {"installed": []}), True, False),
    ],
)
def test_what_may_be_at_a_prefix(make, environment, obstructed, tmp_path):
    path = tmp_path / "myenv"
    make(path)
    place = Revisions(str(path))
    assert (bool(place.environment), place.obstructed) == (environment, obstructed)


def test_revisions_that_were_replaced_stay_for_what_runs_on_them(prefix):
    place = Revisions(str(prefix))
    for number in (1, 2, 3, 4):
        new = place.begin()
        assert new == place.path(number)
        install(Path(new), [])
        place.switch(new, keep=number == 2, state="verified")  # what is in the first one alone
        place.sweep()
    (prefix.parent / ".myenv.slipway/5").mkdir()  # what a killed run leaves
    place.sweep()
    assert (place.current, place.numbers) == (4, [1, 2, 3, 4])
    for number in (1, 2, 3):
        os.utime(Path(place.path(number), ".slipway.json"), (0, time.time() - 8 * 86400))
    place.sweep()
    assert place.numbers == [1, 3, 4], "the one that has to be kept, the one before, and the one in use"
    prefix.unlink()
    prefix.symlink_to(".myenv.slipway/3")  # back
    assert place.begin() == place.path(5)


def test_what_belongs_to_no_package_and_does_not_go_along(tmp_path):
    old, new = tmp_path / "1", tmp_path / "2"
    for name in ("bin/mine", "lib/R/library/a/b", "lib/R/library/a/c", "lib/owned", "lib/both", "lib/__pycache__/x"):
        (old / name).parent.mkdir(parents=True, exist_ok=True)
        (old / name).touch()
    (old / "bin/link").symlink_to("/usr")
    (new / "bin").mkdir(parents=True)
    (new / "lib").mkdir()
    (new / "lib/both").touch()
    assert stranded(str(old), str(new), {"lib/owned"}) == ["bin/link", "bin/mine", "lib/R"]


def test_an_input_that_is_the_same_is_not_written_again(prefix):
    place = Revisions(str(prefix))
    Path(place.folder).mkdir(parents=True)
    written = Path(place.note("explicit.txt", "a"))
    before = written.stat()
    place.note("explicit.txt", "a")
    assert (written.stat().st_ino, written.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    with written.open() as reader:  # a job of a run that was killed
        place.note("explicit.txt", "b")
        assert (reader.read(), written.read_text()) == ("a", "b")
    assert written.stat().st_mode & 0o777 == 0o600


def test_another_accounts_environment_is_not_removed(base, prefix, monkeypatch):
    given(prefix, {"installed": ["six 1.17.0 0"]})
    monkeypatch.setattr(os, "geteuid", lambda: prefix.resolve().stat().st_uid + 1)
    for check in (True, False):
        result = call({"prefix": str(prefix), "conda": str(base / "bin/conda"), "state": "absent"}, check=check)
        assert (result["changed"], result["removed"]) == (False, [])
        assert any("'s, so it stays" in warning["event"]["msg"] for warning in result["warnings"])
    assert prefix.is_symlink()


def test_a_build_stays_while_its_job_may_write_there(base, prefix, monkeypatch):
    first = prefix.parent / ".myenv.slipway/1"

    def execute(argv, *_, **__):
        install(first, ["six 1.17.0 0"])
        (first.parent / "job.json").write_text("{}")
        raise CondaEnvError("LSF is away")

    monkeypatch.setattr(conda_command, "execute", execute)
    failed = call({"prefix": str(prefix), "conda": str(base / "bin/conda"), "packages": ["six"]})
    assert failed["msg"] == "LSF is away"
    assert (first / "conda-meta/history").exists()


def test_no_credentials_in_what_is_returned(base, prefix, monkeypatch):
    given(prefix, {"installed": ["six 1.17.0 0"]})
    record = prefix / "conda-meta/six-1.17.0-0.json"
    record.write_text(record.read_text().replace("http://mirror/", "http://ada:secret@mirror/t/ab-1/ch/"))
    lacking = '{"missing": ["attrs"], "invalid": {}}'
    said = "http://eve:secret@mirror/ch is not there"
    monkeypatch.setattr(
        conda_command,
        "execute",
        lambda argv, *_, **__: (1, "", said) if "create" in argv else (0, lacking, ""),
    )
    params = {"prefix": str(prefix), "conda": str(base / "bin/conda"), "packages": ["attrs"]}
    failed = call({**params, "channels": ["https://eve:secret@mirror/ch"]})
    assert failed["command"][-1].endswith("explicit.txt")
    assert "secret" not in json.dumps([failed[key] for key in ("msg", "command", "stderr")])
    assert "http://mirror/ch is not there" in failed["msg"]

    monkeypatch.setattr(conda_command, "execute", lambda *_, **__: (0, '{"missing": [], "invalid": {}}', ""))
    assert "\nhttp://mirror/ch/noarch/six-1.17.0-0.conda#" in call(params)["lock"]


def test_a_full_disk_has_a_remedy(base, prefix, monkeypatch):
    given(prefix, {"installed": ["six 1.17.0 0"]})

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Revisions, "begin", full)
    monkeypatch.setattr(conda_command, "execute", lambda *_, **__: (0, '{"missing": ["six"], "invalid": {}}', ""))
    failed = call({"prefix": str(prefix), "conda": str(base / "bin/conda"), "packages": ["six"]})
    assert "No space left on device.\nRemedy: make room" in failed["msg"]


def test_pips_question_on_python_3_7():
    """There importlib.metadata is a package of its own."""
    old = """\
import sys, types, importlib.metadata as m
def distributions():
    sys.modules["importlib.metadata"] = m
    return m.distributions()
sys.modules.update({"importlib_metadata": types.SimpleNamespace(distributions=distributions), "importlib.metadata": None})
"""
    asked = json.dumps({"wanted": ["pytest>=1", "nosuchpkg"], "own": []})
    argv = [sys.executable, "-c", old + pip_command.QUESTION]
    _, out, err = conda_command.execute(argv, time.monotonic() + 20, stdin=asked)
    assert err == ""
    assert json.loads(out)["missing"] == ["nosuchpkg"]


@pytest.mark.parametrize("name", ["PIP_TARGET", "PIP_PREFIX", "PIP_ROOT"])
def test_where_pip_puts_packages_is_not_the_shells_to_say(name, monkeypatch):
    monkeypatch.setenv(name, "/elsewhere")
    monkeypatch.setenv("PIP_INDEX_URL", "http://mirror/simple")
    found = conda_command.environment(pip_command.SETTINGS)
    assert (found.get(name), found["PIP_INDEX_URL"]) == (None, "http://mirror/simple")


def test_what_a_killed_pip_leaves_is_no_package(tmp_path):
    site = tmp_path / "lib/python3.11/site-packages"
    for name in ("numpy-1.3.dist-info", "~umpy-1.2.dist-info", "-umpy-1.1.dist-info"):
        (site / name).mkdir(parents=True)
    (site / "numpy-1.3.dist-info/RECORD").write_bytes(b"caf\xe9.py,,\n")
    assert [dist.line for dist in records.Records.read(str(tmp_path)).pip] == ["numpy 1.3 pypi_0"]


def test_what_a_package_depends_on_is_before_it():
    found = [
        {"name": "attrs", "depends": ["python >=3.9", "python"]},
        {"name": "pip", "depends": ["python"]},
        {"name": "python", "depends": ["zlib", "pip"]},
        {"name": "zlib", "depends": ["__glibc"]},
    ]
    assert [record["name"] for record in records.in_order(found)] == ["zlib", "python", "attrs", "pip"]


def test_the_order_of_a_lock_is_kept_and_none_of_what_is_asked():
    lines = [locked(line) for line in ("tzdata 2026b 0", "six 1.17.0 0")]
    params = {"prefix": "/p", "name": None, "conda": "/c/bin/conda", "state": "present", "environment_yml": None}
    params.update({name: [] for name in ("packages", "channels", "pip", "imports")})
    one, other = (Request({**params, "lock": "\n".join(["@EXPLICIT", *order])}) for order in (lines, lines[::-1]))
    assert one.lock.text.splitlines()[2:] == lines
    assert one.digest == other.digest


def test_what_was_copied_is_not_asked_what_it_depends_on():
    """Its record may say other than the channel that it once was solved from; but what is gone, is gone."""
    installed = [
        {"name": "lab", "version": "4.1", "depends": ["server=3", "renamed", "zmq=26"]},
        {"name": "server", "version": "2.0", "depends": ["tornado=6"]},
        {"name": "tornado", "version": "5", "depends": ["==="]},
    ]
    strict = {"invalid": {}, "missing": ["server=3", "renamed", "zmq=26"], "needed": ["lab"]}
    assert compare(Spec, ["lab"], installed) == strict
    found = compare(Spec, ["lab"], installed, {"lab", "server", "tornado"})
    assert found == {"invalid": {}, "missing": [], "needed": ["lab", "server", "tornado"]}
    assert compare(Spec, ["lab"], installed, {"lab", "server", "tornado", "zmq"})["missing"] == ["zmq=26"]
    assert compare(Spec, ["lab", "server=3"], installed, {"lab", "server"})["missing"] == ["server=3"]
    assert compare(Spec, ["tornado"], installed)["invalid"] == {}, "nobody here has written that"


def test_a_link_in_a_circle(base, tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    result = call({"prefix": str(tmp_path / "a"), "conda": str(base / "bin/conda"), "packages": ["six"]})
    assert "leads in a circle" in result["msg"]


def test_additions_are_carried_with_the_new_path(tmp_path):
    old, new = tmp_path / "1", tmp_path / "2"
    (old / "etc/jupyter").mkdir(parents=True)
    (old / "etc/mine.sh").write_text(f"{old}/bin {old}0/bin")
    (old / "etc/mine.sh").chmod(0o750)
    (old / "etc/jupyter/owned.json").touch()
    (old / "share").mkdir()
    (old / "share/stays").touch()
    carry(str(old), str(new), ("etc", "nothing"), {"etc/jupyter/owned.json"})
    assert [str(path.relative_to(new)) for path in new.rglob("*")] == ["etc", "etc/mine.sh"]
    assert (new / "etc/mine.sh").read_text() == f"{new}/bin {old}0/bin"
    assert (new / "etc/mine.sh").stat().st_mode & 0o777 == 0o750


@pytest.mark.parametrize(
    ("history", "names"),
    [
        ("", []),
        (
            "==> 2026 <==\n# cmd: conda create\n+ch::six-1-0\n# update specs: ['six=1', \"numpy[version='>=2']\"]\n",
            ["six", "numpy"],
        ),
        ("# update specs: ['six', 'jinja2']\n# remove specs: ['six']\n# update specs: ['cut sho]\n", ["jinja2"]),
        ("# update specs: ['http://mirror:80/noarch::six==1.17.0=py_0[md5=0a, url=http://mirror/x.conda]']\n", ["six"]),
    ],
)
def test_what_was_asked_for_by_the_history(history, names):
    assert records.requested(history) == names


@pytest.mark.parametrize(
    ("origin", "requirement"),
    [
        ({"url": "https://h/x.git", "vcs_info": {"vcs": "git", "commit_id": "1a"}}, "x @ git+https://h/x.git@1a"),
        ({"url": "https://h/x.whl", "archive_info": {}}, "x @ https://h/x.whl"),
        ({"url": "file:///home/ada/x", "dir_info": {}}, "x @ file:///home/ada/x"),
        ({"url": "file:///home/ada/x", "dir_info": {"editable": True}}, "-e file:///home/ada/x"),
    ],
)
def test_how_a_package_of_pips_can_be_had_again(origin, requirement):
    assert records.direct("x", origin) == requirement


def test_a_package_without_a_source_can_not_be_kept():
    with pytest.raises(CondaEnvError, match="does not say where the package came from"):
        records.source({"name": "six", "version": "1", "build": "0"})


class Spec:
    """A stand-in for MatchSpec: a name, or name=version."""

    def __init__(self, text):
        if "==" in text:
            raise ValueError("not a spec")
        self.name, _, self.version = text.partition("=")

    def match(self, record):
        return self.name in ("*", record["name"]) and record["version"].startswith(self.version)


def test_comparing_follows_what_is_wanted_and_nothing_else():
    installed = [
        {"name": "lab", "version": "4.1", "depends": ["server", "tornado", "__glibc"]},
        {"name": "server", "version": "2.0", "depends": ["tornado=6", "zmq", "lab"]},
        {"name": "zmq", "version": "26", "depends": ["python"]},
        {"name": "python", "version": "3.11", "depends": []},
        {"name": "pip", "version": "26", "depends": []},
        {"name": "stray", "version": "1", "depends": ["gone"]},
    ]
    assert compare(Spec, ["lab=4", "dask"], installed) == {
        "invalid": {},
        "missing": ["dask", "tornado", "tornado=6"],
        "needed": ["lab", "pip", "python", "server", "zmq"],
    }
    assert compare(Spec, ["zmq=27", "a==b"], installed) == {
        "invalid": {"a==b": "not a spec"},
        "missing": ["zmq=27"],
        "needed": [],
    }


def test_commands_get_no_terminal_and_none_of_the_shells_conda(monkeypatch):
    for name in ("CONDA_PREFIX", "CONDA_SHLVL", "_CE_CONDA", "MAMBA_ROOT_PREFIX", "PYTHONPATH"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("https_proxy", "http://proxy:8080")
    script = (
        "import os, sys, json; print(json.dumps([sys.stdin.read(), dict(os.environ), os.getsid(0) == os.getpid()]))"
    )
    rc, out, _ = conda_command.execute([sys.executable, "-c", script], time.monotonic() + 20)
    text, environment, leads = json.loads(out)
    assert (rc, text, leads) == (0, "", True)
    assert environment["LC_ALL"] == "C"
    assert environment["https_proxy"] == "http://proxy:8080"
    assert environment["CONDA_REGISTER_ENVS"] == "false"
    assert len([name for name in environment if name.startswith(conda_command.STRANGE)]) == 1


def test_a_command_is_ended_with_its_children(monkeypatch):
    monkeypatch.setattr(conda_command, "GRACE", 1)
    # The shell ignores TERM, and so does its child; only KILL to the whole group ends both.
    script = "trap '' TERM; sleep 60 & echo $!; wait; sleep 60"
    with pytest.raises(CondaEnvError) as caught:
        conda_command.execute(["/bin/sh", "-c", script], time.monotonic() + 0.1)
    assert "did not end in time" in str(caught.value)
    assert caught.value.details["rc"] == -9
    child = int(caught.value.details["stdout"])
    for _ in range(50):
        status = Path(f"/proc/{child}/stat")
        if not status.exists() or ") Z " in status.read_text():
            return
        time.sleep(0.1)
    pytest.fail("the child lives")
