# SPDX-License-Identifier: GPL-3.0-or-later
"""The module conda_env with a conda that really solves and links: the stand-in and its channel, in this machine's architecture."""

import base64
import contextlib
import hashlib
import json
import os
import platform
import re
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from conda_base import PROJECT, build_channel, served
from lsf_cluster import running

# A process of its own, so that it can be killed.
RUNNER = """
import json, os, sys
import conftest, module_runner
arguments = json.loads(sys.argv[1])
check = arguments.pop("check", False)
os.umask(arguments.pop("umask", 0o022))
print(json.dumps(module_runner.run(module_runner.load("roles/conda_env/library/conda_env.py"), arguments, check=check)))
"""

pytestmark = pytest.mark.skipif(
    platform.machine() != "x86_64", reason="the stand-in conda runs natively on x86_64 alone"
)
mounting = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system takes root")


@pytest.fixture(scope="session")
def channel():
    return build_channel()


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def conda(channel, home):
    """A conda base, fresh from the installer."""
    base = home / "miniconda3"
    installer = next((channel / "miniconda").glob("Miniconda3-*.sh"))
    subprocess.run(
        ["sh", installer, "-b", "-p", base],
        env={**os.environ, "HOME": str(home)},
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=120,
    )
    (home / ".condarc").write_text(f"channels: [{(channel / 'conda-forge').as_uri()}]\n")
    return base / "bin/conda"


@pytest.fixture(scope="session")
def mirror(channel):
    """The channel by http, since conda compares the hashes of downloads alone."""
    with served(channel / "conda-forge") as url:
        yield url


@pytest.fixture(scope="session")
def wheels(tmp_path_factory):
    """Wheels for pip: tidy 1.0 and 2.0, broom, which needs tidy, and jolly."""
    folder = tmp_path_factory.mktemp("wheels")
    for name, version, needs in [
        ("tidy", "1.0", ""),
        ("tidy", "2.0", ""),
        ("broom", "3.1", "tidy"),
        ("jolly", "1.0", ""),
    ]:
        info = f"{name}-{version}.dist-info"
        requires = f"Requires-Dist: {needs}\n" if needs else ""
        files = {
            f"{name}.py": f"VERSION = {version!r}\n",
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}",
            f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        hashes = {
            path: base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()) for path, text in files.items()
        }
        lines = [f"{path},sha256={hashes[path].decode().rstrip('=')},{len(files[path])}" for path in files]
        files[f"{info}/RECORD"] = "\n".join([*lines, f"{info}/RECORD,,", ""])
        with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
            for path, text in files.items():
                wheel.writestr(path, text)
    return folder


@pytest.fixture
def prefix(tmp_path):
    return tmp_path / "envs/myenv"


@pytest.fixture
def variables(home, wheels):
    """An account's environment; its pip takes packages from the wheels alone."""
    pip = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels), "PIP_ROOT_USER_ACTION": "ignore"}
    return {**os.environ, "HOME": str(home), "PYTHONPATH": str(PROJECT / "tests/unit"), **pip}


@pytest.fixture
def start(conda, prefix, variables):
    """Starts the module on the prefix, as a process."""

    def start(*packages, **params):
        where = {} if "name" in params else {"prefix": str(prefix)}
        arguments = {"conda": str(conda), "packages": packages, **where, **params}
        argv = [sys.executable, "-c", RUNNER, json.dumps(arguments)]
        return subprocess.Popen(argv, env=variables, stdout=subprocess.PIPE, text=True)

    return start


@pytest.fixture
def call(start):
    """Runs the module on the prefix; returns its result."""

    def call(*packages, **params):
        out, _ = start(*packages, **params).communicate(timeout=180)
        return json.loads(out)

    return call


@pytest.fixture
def run(conda, variables):
    """Runs conda, as a user does; or another command."""

    def run(*argv, command=None):
        done = subprocess.run(
            [command or conda, *argv],
            env={**variables, "PYTHONPATH": ""},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return done.stdout

    return run


def records(prefix):
    return {path.name: path.read_text() for path in prefix.glob("conda-meta/*.json")}


def linked(prefix):
    """How far a transaction has come; its records come and go meanwhile."""
    return len(list(prefix.glob("conda-meta/*.json")))


def everything(prefix):
    """All paths, but those of the inputs that a command was given."""
    found = (path for path in prefix.parent.rglob("*") if "__pycache__" not in path.parts and path.suffix != ".txt")
    return sorted(map(str, found))


def revisions(prefix):
    return sorted(path.name for path in prefix.parent.glob(f".{prefix.name}.slipway/[0-9]*"))


def names(lines):
    return [line.split()[0] for line in lines]


def warnings(result):
    return [warning["event"]["msg"] for warning in result.get("warnings", [])]


def works(prefix, code):
    return subprocess.run([prefix / "bin/python", "-I", "-c", code], check=False).returncode == 0


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
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
    process.kill()
    process.communicate()


# A life of an environment.


def test_an_environment_from_nothing_to_its_change(call, run, prefix):
    planned = call("python=3.11", "six=1.16", check=True)
    assert not prefix.parent.exists()

    made = call("python=3.11", "six=1.16", imports=["ssl", "six"])
    assert made["changed"]
    assert made["added"] == planned["added"] == made["after"]
    assert "six 1.16.0 pyhd8ed1ab_0" in made["after"]
    assert (made["prefix"], made["revision"]) == (str(prefix), str(prefix.resolve()))

    state = everything(prefix)
    again = call("python=3.11", "six=1.16", imports=["ssl", "six"])
    assert (again["changed"], again["command"], again["after"]) == (False, [], made["after"])
    assert everything(prefix) == state

    planned = call("python=3.11", "six=1.17", "attrs", check=True)
    assert everything(prefix) == state
    changed = call("python=3.11", "six=1.17", "attrs")
    assert changed["added"] == planned["added"]
    assert changed["removed"] == planned["removed"] == ["six 1.16.0 pyhd8ed1ab_0"]
    assert names(changed["added"]) == ["attrs", "six"]
    # The environment as it was is one link away.
    assert changed["revision"] != made["revision"]
    assert works(Path(made["revision"]), "import six; assert six.__version__ == '1.16.0'")

    call("python=3.11", "six=1.17", "attrs", "jinja2")
    assert revisions(prefix) == ["1", "2", "3"]


def test_conda_knows_the_environment_by_its_name_alone(call, run, conda, home):
    made = call("tzdata", name="named")
    assert made["prefix"] == str(home / "miniconda3/envs/named")
    assert json.loads(run("env", "list", "--json"))["envs"] == [str(home / "miniconda3"), made["prefix"]]
    # What its user asks of conda is what is asked of the environment, for the next revision as well.
    run("install", "-y", "-q", "-n", "named", "six=1.16")
    changed = call("tzdata", "attrs", name="named")
    assert names(changed["added"]) == ["attrs"]
    assert "six=1.16" in run("env", "export", "-n", "named", "--from-history")
    assert call(name="named", state="absent")["changed"]
    assert not list((home / "miniconda3/envs").iterdir())


def test_what_runs_goes_on_with_what_it_has(call, prefix):
    call("python=3.11", "six=1.16")
    script = "import sys; input(); import six; print(six.__version__, sys.prefix)"
    running = subprocess.Popen(
        [prefix.resolve() / "bin/python", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    first = prefix.resolve()
    call("python=3.11", "six=1.17")
    assert running.communicate("\n", timeout=20)[0].split() == ["1.16.0", str(first)]
    # The same of what is started by a script of the environment: its first line has the folder's own path.
    assert (prefix / "bin/pip").read_text().startswith(f"#!{prefix.resolve()}/bin/python")


def test_the_users_own_additions_stay(call, run, prefix):
    call("python=3.11", "six=1.16")
    run("install", "-y", "-q", "-p", prefix, "attrs")
    hook, pinned = prefix / "etc/conda/activate.d/mine.sh", prefix / "conda-meta/pinned"
    hook.parent.mkdir(parents=True)
    hook.write_text(f"export MINE={prefix.resolve()}/share\n")
    pinned.write_text("jinja2 ==3.1.6\n")
    changed = call("python=3.11", "six=1.17")
    assert names(changed["added"]) == names(changed["removed"]) == ["six"]
    assert "attrs" in names(changed["after"])
    assert hook.read_text() == f"export MINE={changed['revision']}/share\n"
    assert pinned.read_text() == "jinja2 ==3.1.6\n"


def test_drift_is_repaired(call, prefix):
    call("python=3.11", "six")
    # Not asked for, but python depends on it.
    next(prefix.glob("conda-meta/libsqlite-*.json")).unlink()
    repaired = call("python=3.11", "six")
    assert names(repaired["added"]) == ["libsqlite"]
    assert not call("python=3.11", "six")["changed"]


def test_corrupted_records_are_mended_the_users_too(call, run, prefix):
    call("python=3.11", "six")
    run("install", "-y", "-q", "-p", prefix, "attrs")
    for name in ("six", "attrs"):
        next(prefix.glob(f"conda-meta/{name}-*.json")).write_text('{"name": "half a rec')
    planned = call("python=3.11", "six", check=True)
    assert planned["changed"]
    mended = call("python=3.11", "six")
    assert mended["changed"]
    assert mended["after"] == mended["before"]
    assert all(json.loads(text) for text in records(prefix).values())


def test_lost_files_come_back_when_an_import_fails(call, prefix):
    call("python=3.11", "six", imports=["six"])
    next(prefix.glob("lib/python3.11/site-packages/six.py")).unlink()
    call("python=3.11", "six", imports=["six", "ssl"])
    assert works(prefix, "import six")


def test_lost_files_come_back_though_nothing_else_is_asked(call, prefix):
    call("python=3.11", "six")
    next(prefix.glob("lib/python3.11/site-packages/six.py")).unlink()
    assert call("python=3.11", "six", check=True)["changed"]
    mended = call("python=3.11", "six")
    assert "Files of six were gone" in warnings(mended)[0]
    assert works(prefix, "import six")
    assert not call("python=3.11", "six")["changed"]


def test_a_dependency_that_was_mended_is_not_the_users(call, prefix):
    call("python=3.11", "six")
    next(prefix.glob("conda-meta/libsqlite-*.json")).unlink()
    call("python=3.11", "six")
    assert "libsqlite" in json.loads((prefix / ".slipway.json").read_text())["asked"]


def test_a_lock_counts_for_more_than_what_its_packages_say_they_need(call, prefix):
    """A channel corrects what packages need; what lies in them stays."""
    lock = call("python=3.11", "six=1.16", prefix=f"{prefix}-first")["lock"]
    call("six", lock=lock)
    record = next(prefix.glob("conda-meta/six-*.json"))
    record.write_text(json.dumps({**json.loads(record.read_text()), "depends": ["python >=3.12"]}))
    again = call("six", lock=lock)
    assert (again["changed"], again["command"]) == (False, [])
    changed = call("six", "attrs")  # now without the lock, but from it
    assert "attrs" in names(changed["added"])


def test_files_of_the_users_that_stay_behind_are_told_and_kept(call, prefix):
    first = call("python=3.11", "six=1.16")["revision"]
    (prefix / "lib/R/library").mkdir(parents=True)
    (prefix / "lib/R/library/mine").touch()
    told = warnings(call("python=3.11", "six=1.17"))[0]
    assert f"Files in {first} belong to no package and did not go along: lib/R." in told
    for version in ("1.16", "1.17"):
        for mark in prefix.parent.glob(".myenv.slipway/*/.slipway.json"):
            os.utime(mark, (0, 0))
        assert "warnings" not in call("python=3.11", f"six={version}")
    assert revisions(prefix) == ["1", "3", "4"]
    assert Path(first, "lib/R/library/mine").exists()


def test_packages_of_pips_that_nobody_noted_as_asked_for_go_along(call, run, prefix):
    call("python=3.11", "six=1.16", "pip")
    run("-q", "install", "broom", command=prefix / "bin/pip")
    run("-q", "install", "jolly", command=prefix / "bin/pip")
    next(prefix.glob("lib/python3.11/site-packages/jolly-*.dist-info/REQUESTED")).unlink()
    changed = call("python=3.11", "six=1.17", "pip")
    assert {"broom 3.1 pypi_0", "tidy 2.0 pypi_0", "jolly 1.0 pypi_0"} <= set(changed["after"])


def test_an_import_that_fails_keeps_the_environment_as_it_was(call, prefix):
    call("python=3.11", "six=1.16")
    state, before = everything(prefix), records(prefix)
    failed = call("python=3.11", "six=1.17", imports=["nosuchmodule"])
    assert "`import nosuchmodule` fails" in failed["msg"]
    assert "Remedy" in failed["msg"]
    assert (everything(prefix), records(prefix)) == (state, before)


def test_exact_takes_away_what_nobody_asked_for(call, run, prefix):
    call("python=3.11", "six")
    run("install", "-y", "-q", "-p", prefix, "jinja2")
    assert not call("python=3.11", "six")["changed"]
    planned = call("python=3.11", "six", state="exact", check=True)
    exact = call("python=3.11", "six", state="exact")
    assert names(exact["removed"]) == names(planned["removed"]) == ["jinja2", "markupsafe", "python_abi"]
    assert not call("python=3.11", "six", state="exact")["changed"]
    # Conda does not bring it back for having been asked for once.
    assert names(call("python=3.11", "six", "attrs", state="exact")["added"]) == ["attrs"]


def test_an_environment_yml(call, channel, prefix):
    text = f"""
        name: thesis
        channels: ["{(channel / "conda-forge").as_uri()}", nodefaults]
        dependencies: [python=3.11, six=1.16, pip: [tidy==1.0]]
    """
    made = call(environment_yml=text)
    assert {"six 1.16.0 pyhd8ed1ab_0", "tidy 1.0 pypi_0"} <= set(made["after"])
    assert "--override-channels" not in made["command"], "the last command was pip's"
    assert not call(environment_yml=text)["changed"]


# Failures.


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
    assert not list(prefix.parent.iterdir())


@pytest.mark.parametrize("packages", [0, 3, 15])
def test_a_creation_that_was_killed_is_made_anew(start, call, prefix, packages):
    run = start("python=3.11", "six")
    first = prefix.parent / ".myenv.slipway/1"
    wait_until(lambda: linked(first) > packages if packages else first.parent.exists(), run)
    kill(conda_of(run), process=run)
    assert not prefix.is_symlink()
    assert call("python=3.11", "six", imports=["six"])["before"] == []
    assert len(revisions(prefix)) == 1


@pytest.mark.parametrize("point", ["the copy", "between", "the installation"])
def test_a_change_that_was_killed_leaves_what_was_there(start, call, prefix, point):
    call("python=3.11", "six=1.16", imports=["six"])
    before = records(prefix)
    wanted = ["python=3.11", "six=1.17", "distributed"]
    run = start(*wanted)
    second = prefix.parent / ".myenv.slipway/2"
    at = {"the copy": 3, "between": len(before), "the installation": len(before) + 3}[point]
    wait_until(lambda: linked(second) >= at, run)
    kill(conda_of(run), process=run)
    assert records(prefix) == before
    assert works(prefix, "import six; assert six.__version__ == '1.16.0'")
    done = call(*wanted, imports=["six", "distributed"])
    assert "six 1.17.0 pyhd8ed1ab_0" in done["after"]
    assert len(revisions(prefix)) == 2
    assert not call(*wanted, imports=["six", "distributed"])["changed"]


def test_a_conda_that_survives_its_run_keeps_the_prefix(start, call, prefix):
    run = start("python=3.11", "six")
    wait_until(lambda: revisions(prefix), run)
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


def test_two_runs_at_once_both_get_what_they_want(start, prefix):
    runs = [start("python=3.11", name) for name in ("six", "attrs")]
    results = [json.loads(run.communicate(timeout=180)[0]) for run in runs]
    assert [result["changed"] for result in results] == [True, True]
    assert {"six", "attrs"} <= {json.loads(text)["name"] for text in records(prefix).values()}


def test_a_deadline_ends_conda_and_leaves_nothing(start, prefix):
    run = start("python=3.11", "jupyterlab", timeout=4)
    wait_until(lambda: revisions(prefix), run)
    conda = conda_of(run)
    os.kill(conda, signal.SIGSTOP)
    result = json.loads(run.communicate(timeout=60)[0])
    assert "did not end in time" in result["msg"]
    assert not list(prefix.parent.iterdir())
    assert over(conda)


@pytest.fixture
def small(tmp_path):
    """A file system with room for one environment; the package cache is on another, so nothing can be linked."""
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=120m", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


@mounting
def test_a_full_disk_leaves_the_environment_as_it_was(call, small):
    prefix = small / "envs/myenv"
    call("python=3.11", "six", prefix=str(prefix))
    before = records(prefix)
    failed = call("python=3.11", "six", "jupyterlab", "bokeh", prefix=str(prefix))
    assert failed["failed"]
    assert "No space left" in failed["msg"]
    assert "Remedy: make room" in failed["msg"]
    assert (revisions(prefix), records(prefix)) == (["1"], before)
    assert works(prefix, "import six")
    assert not call("python=3.11", "six", prefix=str(prefix))["changed"]


@mounting
def test_a_read_only_home_is_used_but_not_changed(call, small):
    prefix = small / "envs/myenv"
    call("python=3.11", "six", prefix=str(prefix))
    subprocess.run(["mount", "-o", "remount,ro", small], check=True)
    assert not call("python=3.11", "six", prefix=str(prefix))["changed"]
    assert not call("python=3.11", prefix=str(prefix), imports=["six"])["changed"], "it has that, too"
    failed = call("python=3.11", "attrs", prefix=str(prefix))
    assert f"{prefix} can't be changed" in failed["msg"]
    assert "Read-only file system" in failed["msg"]


# Others: what is theirs, and what they may read.


def test_somebody_elses_environment(call, run, prefix):
    run("create", "-y", "-q", "-p", prefix, "python=3.11", "six=1.16")
    state = everything(prefix)
    adopted = call("python=3.11", "six", imports=["six"])
    assert (adopted["changed"], adopted["prefix"], adopted["revision"]) == (False, str(prefix), str(prefix))

    wanted = ["python=3.11", "attrs"]
    planned = call(*wanted, check=True)
    beside = call(*wanted)
    assert beside["prefix"] == planned["prefix"] == f"{prefix}-slipway"
    assert beside["after"] == planned["after"]
    assert "made by somebody else, and this is not as asked: attrs" in warnings(beside)[0]
    again = call(*wanted)
    assert (again["changed"], again["prefix"], warnings(again)) == (False, f"{prefix}-slipway", [])

    assert call(state="absent")["changed"]
    last = call(state="absent")
    assert not last["changed"]
    assert "was not made by Slipway, so it stays" in warnings(last)[0]
    assert everything(prefix) == state


def test_a_link_of_the_users_leads_to_more_room(call, prefix, tmp_path):
    room = tmp_path / "scratch/myenv"
    room.mkdir(parents=True)
    prefix.parent.mkdir()
    prefix.symlink_to(room)
    made = call("python=3.11", "six")
    assert made["prefix"] == str(prefix)
    assert prefix.readlink() == room
    assert made["revision"] == str(tmp_path / "scratch/.myenv.slipway/1")
    assert not call("python=3.11", "six")["changed"]


def test_others_can_read_it_whatever_the_owners_umask_is(call, prefix):
    call("python=3.11", "six", umask=0o077)
    folder = prefix.parent / ".myenv.slipway"
    looked_at = [folder, prefix.resolve(), prefix / ".slipway.json", *prefix.glob("conda-meta/*"), prefix / "bin/pip"]
    assert [path for path in looked_at if path.stat().st_mode & 0o044 != 0o044] == []


# pip.


def test_pip_packages_go_on_top_and_come_along(call, run, prefix):
    wanted = ["python=3.11", "six=1.16"]
    made = call(*wanted, pip=["tidy==1.0"])
    assert "tidy 1.0 pypi_0" in made["added"]
    assert not call(*wanted, pip=["tidy==1.0"])["changed"]
    run("-q", "install", "broom", command=prefix / "bin/pip")  # the user's own

    wanted = ["python=3.11", "six=1.17"]
    planned = call(*wanted, pip=["tidy==1.0"], check=True)
    changed = call(*wanted, pip=["tidy==1.0"])
    assert changed["rebuilt"]
    assert planned["rebuilt"]
    assert "installed anew on top: broom, tidy." in warnings(changed)[0]
    assert names(changed["added"]) == names(planned["added"]) == ["six"]
    assert {"tidy 1.0 pypi_0", "broom 3.1 pypi_0"} <= set(changed["after"])
    assert works(prefix, "import broom, tidy")

    planned = call(*wanted, pip=["tidy==2.0"], check=True)
    changed = call(*wanted, pip=["tidy==2.0"])
    assert (changed["added"], changed["removed"]) == (["tidy 2.0 pypi_0"], ["tidy 1.0 pypi_0"])
    assert planned["added"] == changed["added"]
    assert not changed["rebuilt"]

    exact = call(*wanted, pip=["tidy"], state="exact")
    assert exact["removed"] == ["broom 3.1 pypi_0"]


def test_pip_leaves_condas_packages_alone(call, prefix):
    call("python=3.11", "six=1.16")
    state = records(prefix)
    failed = call("python=3.11", "six=1.16", pip=["six>1.16"])
    assert "pip failed" in failed["msg"]
    assert "take those from conda" in failed["msg"]
    assert records(prefix) == state


def test_pip_that_fails_leaves_nothing(call, prefix):
    failed = call("python=3.11", pip=["nosuchpkg-x1"])
    assert "No matching distribution found for nosuchpkg-x1" in failed["msg"]
    assert not list(prefix.parent.iterdir())


# Locks.


def test_a_lock_gives_the_same_bits_without_a_solver(call, prefix, tmp_path):
    lock = call("python=3.11", "six=1.16")["lock"]
    other = tmp_path / "envs/other"
    planned = call(prefix=str(other), lock=lock, check=True)
    made = call(prefix=str(other), lock=lock, imports=["six"])
    assert made["lock"] == lock
    assert made["added"] == planned["added"]
    assert made["command"][-2] == "--file"
    assert not call(prefix=str(other), lock=lock, imports=["six"])["changed"]


def test_packages_and_the_users_own_go_on_top_of_a_lock(call, run, prefix, tmp_path):
    old = call("python=3.11", "six=1.16", prefix=str(tmp_path / "envs/a"))["lock"]
    new = call("python=3.11", "six=1.17", prefix=str(tmp_path / "envs/b"))["lock"]
    made = call("attrs", lock=old)
    assert {"attrs", "six"} <= set(names(made["after"]))
    run("install", "-y", "-q", "-p", prefix, "jinja2")
    assert not call("attrs", lock=old)["changed"]

    planned = call("attrs", lock=new, check=True)
    changed = call("attrs", lock=new)
    assert changed["removed"] == planned["removed"] == ["six 1.16.0 pyhd8ed1ab_0"]
    assert changed["added"] == planned["added"] == ["six 1.17.0 pyhd8ed1ab_0"]
    assert {"attrs", "jinja2"} <= set(names(changed["after"]))

    exact = call(lock=new, state="exact")
    assert exact["lock"] == new
    assert {"attrs", "jinja2"} <= set(names(exact["removed"]))


def test_a_lock_with_a_wrong_hash_is_refused(call, mirror, prefix):
    lock = call("tzdata", "six", channels=[mirror], prefix=f"{prefix}-first")["lock"]
    assert f"{mirror}/noarch/six-" in lock
    wrong = re.sub(r"(six.*#).*", r"\g<1>00000000000000000000000000000000", lock)
    failed = call(lock=wrong)
    assert "ChecksumMismatchError" in failed["msg"]
    assert "Remedy: run again; if it stays" in failed["msg"]
    assert not prefix.is_symlink()
    assert call(lock=lock)["changed"]


def test_a_lock_with_a_wrong_hash_of_a_local_file_is_refused(call, prefix):
    lock = call("tzdata", "six", prefix=f"{prefix}-first")["lock"]
    wrong = re.sub(r"(six.*#).*", r"\g<1>00000000000000000000000000000000", lock)
    failed = call(lock=wrong)
    assert "is not what the lock names" in failed["msg"]
    assert not prefix.is_symlink()


def test_offline(call, mirror, prefix):
    lock = call("tzdata", "six=1.16", channels=[mirror])["lock"]
    call(state="absent")
    assert call(lock=lock, offline=True)["changed"], "all of it is in the cache"
    missing = re.sub(r"six-1.16.0-pyhd8ed1ab_0.conda#.*", "bokeh-0-0.conda#" + 32 * "0", lock)
    failed = call(lock=missing, offline=True)
    assert failed["failed"]
    assert "Remedy: check the channels" in failed["msg"]


# A build as a job.


def test_the_job_of_a_run_that_was_killed_is_gone_on_with(start, call, prefix, variables, tmp_path):
    with running(tmp_path / "lsf") as lsf:
        variables.update(lsf.env, HOME=variables["HOME"])
        wanted = {"job": {"queue": "normal"}, "imports": ["six"]}
        run = start("python=3.11", "six", **wanted)
        first = prefix.parent / ".myenv.slipway/1"
        wait_until(lambda: linked(first), run)
        kill(process=run)
        done = call("python=3.11", "six", **wanted)
        assert (done["changed"], done["revision"]) == (True, str(first))
        assert done["command"][1:4] == ["create", "-p", str(first)]
        assert len(lsf("bjobs", "-a", "-noheader").stdout.splitlines()) == 1
