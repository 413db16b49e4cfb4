# SPDX-License-Identifier: GPL-3.0-or-later
"""The module conda_env with a conda that really solves and links: the stand-in and its channel, in this machine's architecture."""

import json
import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]

# A process of its own, so that it can be killed.
RUNNER = """
import json, sys
import conftest, module_runner
arguments = json.loads(sys.argv[1])
check = arguments.pop("check", False)
print(json.dumps(module_runner.run(module_runner.load("roles/conda_env/library/conda_env.py"), arguments, check=check)))
"""

pytestmark = pytest.mark.skipif(
    platform.machine() != "x86_64", reason="the stand-in conda runs natively on x86_64 alone"
)


@pytest.fixture(scope="session")
def channel():
    build = [PROJECT / "molecule/resources/channel/build", "--arch", "amd64"]
    done = subprocess.run(build, stdout=subprocess.PIPE, text=True, check=True, timeout=1200)
    return Path(done.stdout.splitlines()[-1])


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def conda(channel, home):
    """A conda base, fresh from the installer."""
    base = home / "miniconda3"
    installer = next((channel / "miniconda").glob("*.sh"))
    subprocess.run(
        ["sh", installer, "-b", "-p", base],
        env={**os.environ, "HOME": str(home)},
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=120,
    )
    (home / ".condarc").write_text(f"channels: [{(channel / 'conda-forge').as_uri()}]\n")
    return base / "bin/conda"


@pytest.fixture
def prefix(tmp_path):
    return tmp_path / "envs/myenv"


@pytest.fixture
def start(conda, home, prefix):
    """Starts the module on the prefix, as a process."""

    def start(*packages, **params):
        arguments = {"prefix": str(prefix), "conda": str(conda), "packages": packages, **params}
        environment = {**os.environ, "HOME": str(home), "PYTHONPATH": str(PROJECT / "tests/unit")}
        return subprocess.Popen(
            [sys.executable, "-c", RUNNER, json.dumps(arguments)], env=environment, stdout=subprocess.PIPE, text=True
        )

    return start


@pytest.fixture
def call(start):
    """Runs the module on the prefix; returns its result."""

    def call(*packages, **params):
        out, _ = start(*packages, **params).communicate(timeout=120)
        return json.loads(out)

    return call


def records(prefix):
    return {path.name: path.read_text() for path in prefix.glob("conda-meta/*.json")}


def everything(prefix):
    return sorted(str(path) for path in prefix.parent.rglob("*") if "__pycache__" not in path.parts)


def wait_until(condition, process):
    """Gives what the condition gives, once that is true."""
    deadline = time.monotonic() + 60
    while not (found := condition()):
        assert process.poll() is None, "it ended too early to be killed"
        assert time.monotonic() < deadline
        time.sleep(0.002)
    return found


def conda_of(process):
    """The process id of the command that the module has started."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return int(wait_until(lambda: children.read_text().split(), process)[0])


def over(pid):
    """Whether a process has ended; one whose parent is gone may stay a zombie."""
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z"


def kill(*groups, process):
    for group in groups:
        os.killpg(group, signal.SIGKILL)
    process.kill()
    process.communicate()


def test_an_environment_from_nothing_to_its_change(call, prefix):
    planned = call("python=3.11", "six=1.16", check=True)
    assert not prefix.parent.exists()

    made = call("python=3.11", "six=1.16", imports=["ssl", "six"])
    assert made["changed"]
    assert made["added"] == planned["added"] == made["after"]
    assert "six 1.16.0 pyhd8ed1ab_0" in made["after"]

    state = everything(prefix)
    again = call("python=3.11", "six=1.16", imports=["ssl", "six"])
    assert (again["changed"], again["command"], again["after"]) == (False, [], made["after"])
    assert everything(prefix) == state

    planned = call("python=3.11", "six=1.17", "attrs", check=True)
    changed = call("python=3.11", "six=1.17", "attrs")
    assert changed["added"] == planned["added"]
    assert changed["removed"] == planned["removed"] == ["six 1.16.0 pyhd8ed1ab_0"]
    assert [line.split()[0] for line in changed["added"]] == ["attrs", "six"]


def test_drift_is_repaired(call, prefix):
    call("python=3.11", "six")
    # Not asked for, but python depends on it.
    next(prefix.glob("conda-meta/libsqlite-*.json")).unlink()
    repaired = call("python=3.11", "six")
    assert [line.split()[0] for line in repaired["added"]] == ["libsqlite"]
    assert not call("python=3.11", "six")["changed"]


def test_a_failed_solve_leaves_the_environment_as_it_was(call, prefix):
    call("python=3.11", "six")
    state, before = everything(prefix), records(prefix)
    failed = call("python=3.11", "six", "nosuchpkg")
    assert failed["failed"]
    assert "nosuchpkg" in failed["msg"]
    assert "Remedy: check each name and version" in failed["msg"]
    assert failed["rc"] == 1
    assert (everything(prefix), records(prefix)) == (state, before)
    assert not call("python=3.11", "six")["changed"]


def test_a_failed_creation_leaves_nothing(call, prefix):
    assert "Remedy" in call("python=2.7")["msg"]
    assert not prefix.exists()


def test_a_creation_that_was_killed_is_made_anew(start, call, prefix):
    run = start("python=3.11", "six")
    wait_until(lambda: len(records(prefix)) > 3, run)
    kill(conda_of(run), process=run)
    (prefix / "conda-meta/history").touch()  # conda may have come as far as this
    assert call("python=3.11", "six", imports=["six"])["before"] == []


def test_a_conda_that_survives_its_run_keeps_the_prefix(start, call, prefix):
    run = start("python=3.11", "six")
    wait_until(lambda: (prefix / "conda-meta").exists(), run)
    survivor = conda_of(run)
    os.kill(survivor, signal.SIGSTOP)
    try:
        kill(process=run)
        busy = call("python=3.11", "six", timeout=1)
    finally:
        os.kill(survivor, signal.SIGCONT)
    assert f"process {run.pid} on" in busy["msg"]
    assert not call("python=3.11", "six", imports=["six"]).get("failed")
    assert over(survivor), "the next run did not wait for it"


def test_a_change_that_was_killed_is_mended(start, call, prefix):
    call("python=3.11", "six=1.16")
    wanted = ["python=3.11", "six=1.17", "distributed"]
    before = len(records(prefix))
    run = start(*wanted)
    wait_until(lambda: len(records(prefix)) > before + 3, run)
    kill(conda_of(run), process=run)
    mended = call(*wanted, imports=["six", "distributed"])
    assert mended["changed"]
    assert "six 1.17.0 pyhd8ed1ab_0" in mended["after"]
    assert not call(*wanted, imports=["six", "distributed"])["changed"]


def test_a_deadline_ends_conda_and_leaves_nothing(start, prefix):
    run = start("python=3.11", "jupyterlab", timeout=4)
    wait_until(lambda: prefix.exists(), run)
    conda = conda_of(run)
    os.kill(conda, signal.SIGSTOP)
    result = json.loads(run.communicate(timeout=60)[0])
    assert "did not end in time" in result["msg"]
    assert not prefix.exists()
    assert over(conda)
