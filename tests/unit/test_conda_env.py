# SPDX-License-Identifier: GPL-3.0-or-later
"""The module conda_env against recorded answers of conda 23.10.0 and 26.7.1: the cases are in test_conda_env.yaml.

A case has the state it is given, the module's parameters, the commands that must run, in that order and with exactly these
arguments, each with its answer, and the result. CONDA, PYTHON and PREFIX stand for paths.
"""

import json
import os
import sys
import time
from pathlib import Path

import module_runner
import pytest
import yaml
from ansible.module_utils.conda_env import CondaEnvError
from ansible.module_utils.conda_env import conda as conda_command
from ansible.module_utils.conda_env.prefix import ABSENT, ENVIRONMENT, FOREIGN, HALF_MADE, Prefix

HERE = Path(__file__).parent
DATA = yaml.safe_load((HERE / "test_conda_env.yaml").read_text())

conda_env = module_runner.load("roles/conda_env/library/conda_env.py")


def call(params, check=False, diff=False):
    return module_runner.run(conda_env, {**params, "_ansible_diff": diff}, check=check)


def install(prefix, lines, depends=None, files=()):
    """Writes records, as a transaction does."""
    meta = prefix / "conda-meta"
    meta.mkdir(parents=True, exist_ok=True)
    (meta / "history").touch()
    for line in lines:
        name, version, build = line.split()
        record = {"name": name, "version": version, "build": build, "depends": depends or [], "files": list(files)}
        (meta / f"{name}-{version}-{build}.json").write_text(json.dumps(record))


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


def given(prefix, state):
    if "installed" in state:
        install(prefix, state["installed"])
    for name in state.get("files", []):
        (prefix / name).parent.mkdir(parents=True, exist_ok=True)
        (prefix / name).touch()
    if "mark" in state:
        Prefix(str(prefix)).put_mark(**state["mark"])


class Script:
    """Takes the place of `execute`: expects the commands of a case and gives their answers."""

    def __init__(self, calls, prefix, paths):
        self.calls = list(calls)
        self.prefix = prefix
        self.paths = paths

    def expand(self, value):
        for word, path in self.paths.items():
            value = value.replace(word, str(path))
        return value

    def __call__(self, argv, deadline, stdin="", keep=()):
        assert self.calls, f"one command more than expected: {argv}"
        assert time.monotonic() < deadline
        expected = self.calls.pop(0)
        if "asks" in expected:
            assert argv[:3] == [str(self.paths["PYTHON"]), "-I", "-c"]
            assert json.loads(stdin)["wanted"] == expected["asks"]
            return 0, json.dumps({"invalid": expected.get("invalid", {}), "missing": expected.get("missing", [])}), ""
        if "imports" in expected:
            assert argv[:3] == [str(self.prefix / "bin/python"), "-I", "-c"]
            assert argv[4:] == expected["imports"]
            return expected.get("rc", 0), expected.get("out", ""), expected.get("err", "")
        assert argv == [self.expand(word) for word in expected["argv"]]
        assert bool(keep) != ("--dry-run" in argv), "a command that changes something holds the lock"
        for line in expected.get("unlinks", []):
            (self.prefix / "conda-meta" / ("-".join(line.split()) + ".json")).unlink()
        if "links" in expected:
            install(self.prefix, expected["links"])
        if "timeout" in expected:
            raise CondaEnvError(
                "conda create did not end in time; it was ended after 5 s.", "raise the timeout", command=argv, rc=-15
            )
        recorded = DATA["recorded"].get(expected.get("answers"), expected)
        return recorded.get("rc", 0), self.expand(recorded.get("out", "")), recorded.get("err", "")


@pytest.mark.parametrize("case", DATA["cases"], ids=lambda case: case["name"])
def test_case(case, base, prefix, monkeypatch):
    given(prefix, case.get("given", {}))
    if case.get("given", {}).get("no_conda"):
        (base / "bin/conda").unlink()
    paths = {"CONDA": base / "bin/conda", "PYTHON": base / "bin/python", "PREFIX": prefix}
    script = Script(case.get("calls", []), prefix, paths)
    monkeypatch.setattr(conda_command, "execute", script)
    monkeypatch.setattr(conda_command.platform, "machine", lambda: "ppc64le")
    before = sorted(str(path) for path in prefix.rglob("*"))

    params = {"prefix": "PREFIX", "conda": "CONDA", **case["params"]}
    params = {name: script.expand(value) if isinstance(value, str) else value for name, value in params.items()}
    result = call(params, **case.get("mode", {}))

    assert script.calls == [], "commands that were expected and not run"
    expected = json.loads(script.expand(json.dumps(case["result"])))
    for words in expected.pop("says", []):
        assert words in result["msg"]
    assert {name: result.get(name) for name in expected} == expected, result
    assert result.get("failed", False) == ("says" in case["result"])
    if case.get("mode", {}).get("check") or case.get("leaves") == "all":
        assert sorted(str(path) for path in prefix.rglob("*")) == before
    else:
        assert Prefix(str(prefix)).mark.get("state") == case.get("leaves")
    assert not list(prefix.parent.glob(".*.slipway-aside"))


def test_what_was_verified_is_not_asked_again_until_a_record_changes(base, prefix, monkeypatch):
    install(prefix, ["six 1.17.0 0"])
    Prefix(str(prefix)).put_mark(state="complete")
    params = {"prefix": str(prefix), "conda": str(base / "bin/conda"), "packages": ["six"]}
    paths = {"PYTHON": base / "bin/python"}
    asked = [{"asks": ["six"], "missing": []}]

    monkeypatch.setattr(conda_command, "execute", Script(asked, prefix, paths))
    assert not call(params)["changed"]
    assert [path.name for path in prefix.parent.iterdir()] == ["myenv"], "no lock where nothing is to change"
    monkeypatch.setattr(conda_command, "execute", Script([], prefix, paths))
    assert not call(params)["changed"]
    # Of the same size, with the same name: only the content tells.
    record = prefix / "conda-meta/six-1.17.0-0.json"
    record.write_text(record.read_text().replace('"0"', '"1"'))
    monkeypatch.setattr(conda_command, "execute", Script(asked, prefix, paths))
    assert not call(params)["changed"]
    monkeypatch.setattr(conda_command, "execute", Script([{"asks": ["six", "numpy"]}], prefix, paths))
    assert not call({**params, "packages": ["six", "numpy"]})["changed"]


def test_a_killed_change_is_mended_packages_without_their_files_included(base, prefix, monkeypatch):
    install(prefix, ["six 1.17.0 0"])
    install(prefix, ["numpy 2.0 0"], files=["lib/numpy.py"])
    install(prefix, ["whole 1.0 0"], files=["lib/whole.py"])
    given(prefix, {"files": ["lib/whole.py"], "mark": {"state": "changing"}})
    calls = [
        {"asks": ["six"]},
        {
            "argv": ["CONDA", "install", "-p", "PREFIX", "--yes", "--json", "--quiet", "six", "numpy"],
            "links": ["numpy 2.0 0"],
            "out": "{}",
        },
        {"asks": ["six"]},
    ]
    paths = {"CONDA": base / "bin/conda", "PYTHON": base / "bin/python", "PREFIX": prefix}
    monkeypatch.setattr(conda_command, "execute", Script(calls, prefix, paths))
    assert call({"prefix": str(prefix), "conda": str(base / "bin/conda"), "packages": ["six"]})["changed"]
    assert Prefix(str(prefix)).mark["state"] == "verified"


def test_a_package_whose_mending_failed_is_not_forgotten(base, prefix, monkeypatch):
    install(prefix, ["six 1.17.0 0"])
    install(prefix, ["numpy 2.0 0"], files=["lib/numpy.py"])  # the user's own, taken by a change that was killed
    given(prefix, {"mark": {"state": "changing"}})
    mending = {"argv": ["CONDA", "install", "-p", "PREFIX", "--yes", "--json", "--quiet", "six", "numpy"]}
    paths = {"CONDA": base / "bin/conda", "PYTHON": base / "bin/python", "PREFIX": prefix}
    params = {"prefix": str(prefix), "conda": str(base / "bin/conda"), "packages": ["six"]}

    failing = [{"asks": ["six"]}, {**mending, "answers": "not found 23"}]
    monkeypatch.setattr(conda_command, "execute", Script(failing, prefix, paths))
    assert call(params)["failed"]
    assert Prefix(str(prefix)).mark == {"state": "changing", "again": ["numpy"]}

    working = [{"asks": ["six"]}, {**mending, "links": ["numpy 2.0 0"], "out": "{}"}, {"asks": ["six"]}]
    given(prefix, {"files": ["lib/numpy.py"]})
    monkeypatch.setattr(conda_command, "execute", Script(working, prefix, paths))
    assert call(params)["after"] == ["numpy 2.0 0", "six 1.17.0 0"]
    assert Prefix(str(prefix)).mark["state"] == "verified"


def test_a_linked_prefix_is_that_which_it_leads_to(base, prefix, monkeypatch):
    scratch = prefix.parents[1] / "scratch"
    scratch.mkdir()
    prefix.parent.mkdir()
    prefix.symlink_to(scratch)
    calls = [
        {
            "argv": ["CONDA", "create", "-p", "PREFIX", "--yes", "--json", "--quiet", "six"],
            "links": ["six 1.17.0 0"],
            "out": "{}",
        },
        {"asks": ["six"]},
    ]
    paths = {"CONDA": base / "bin/conda", "PYTHON": base / "bin/python", "PREFIX": scratch}
    monkeypatch.setattr(conda_command, "execute", Script(calls, scratch, paths))
    assert call({"prefix": str(prefix), "conda": str(base / "bin/conda"), "packages": ["six"]})["changed"]
    assert prefix.is_symlink()


def test_a_broken_record_is_named(base, prefix):
    install(prefix, ["six 1.17.0 0"])
    record = prefix / "conda-meta/six-1.17.0-0.json"
    record.write_text("{ half a rec")
    result = call({"prefix": str(prefix), "conda": str(base / "bin/conda"), "packages": ["six"]})
    assert str(record) in result["msg"]
    assert "Remedy" in result["msg"]


def test_two_runs_at_once_wait_and_say_for_whom(base, prefix):
    other = Prefix(str(prefix))
    with other.locked(time.monotonic() + 1, print):
        result = call({"prefix": str(prefix), "conda": str(base / "bin/conda"), "packages": ["six"], "timeout": 1})
    assert f"process {os.getpid()} on " in result["msg"]
    assert not prefix.exists()


def test_a_prefix_that_is_not_ours_to_write(base, tmp_path):
    blocked = tmp_path / "file"
    blocked.touch()
    result = call({"prefix": str(blocked / "myenv"), "conda": str(base / "bin/conda"), "packages": ["six"]})
    assert "can't be changed" in result["msg"]
    assert "Remedy" in result["msg"]


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda path: None, ABSENT),
        (lambda path: path.mkdir(), ABSENT),
        (lambda path: path.write_text("x"), FOREIGN),
        (lambda path: (path / "thesis").mkdir(parents=True), FOREIGN),
        (lambda path: (path / "conda-meta").mkdir(parents=True), FOREIGN),
        (lambda path: install(path, []), ENVIRONMENT),
        (lambda path: Prefix(str(path)).begin(), HALF_MADE),
    ],
)
def test_kinds_of_prefixes(make, kind, tmp_path):
    path = tmp_path / "myenv"
    make(path)
    assert Prefix(str(path)).kind == kind


def test_a_prefix_is_begun_with_nothing_but_the_mark(prefix):
    """A folder with conda-meta in it is one that ``conda create`` refuses."""
    prefix.parent.mkdir(parents=True)
    Prefix(str(prefix)).begin()
    assert [path.name for path in prefix.iterdir()] == [".slipway.json"]


class Spec:
    """A stand-in for MatchSpec: a name, or name=version."""

    def __init__(self, text):
        if "==" in text:
            raise ValueError("not a spec")
        self.name, _, self.version = text.partition("=")

    def match(self, record):
        return self.name in ("*", record["name"]) and record["version"].startswith(self.version)


def test_unsatisfied_follows_what_is_wanted_and_nothing_else():
    records = [
        {"name": "lab", "version": "4.1", "depends": ["server", "tornado", "__glibc"]},
        {"name": "server", "version": "2.0", "depends": ["tornado=6", "zmq", "lab"]},
        {"name": "zmq", "version": "26", "depends": []},
        {"name": "stray", "version": "1", "depends": ["gone"]},
    ]
    assert conda_command.unsatisfied(Spec, ["lab=4", "dask"], records) == {
        "invalid": {},
        "missing": ["dask", "tornado", "tornado=6"],
    }
    assert conda_command.unsatisfied(Spec, ["zmq=27", "a==b"], records) == {
        "invalid": {"a==b": "not a spec"},
        "missing": ["zmq=27"],
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
    assert not [name for name in environment if name.startswith(conda_command.STRANGE)]


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
