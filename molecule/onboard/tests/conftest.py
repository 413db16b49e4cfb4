"""A cohort on Mini-Triton: scripts/onboard as the support team runs it, and each user's home as its owner sees it."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

PROJECT = Path(__file__).parents[3]
SOURCE = PROJECT / "inventory/minitriton/users.slipway.yml"

ENTRIES = [
    {"name": "t-onboard-ada", "project": "demo", "overrides": {"dask_walltime": "12:00"}},
    {"name": "t-onboard-bashrc", "project": "demo"},
    {"name": "t-onboard-condarc", "project": "demo"},
    {"name": "t-onboard-full", "project": "demo"},
    {"name": "t-onboard-nohome", "project": "demo"},
    {"name": "t-onboard-project", "project": "nosuch"},
]
NAMES = [entry["name"] for entry in ENTRIES]
WELL, BROKEN = NAMES[:3], NAMES[3:]
# Of all files in the homes, whose they are and when they were written. Ansible has a folder of its own there for each module's time.
STATE = "for u in %s; do [ ! -d /home/$u ] || find /home/$u -name .ansible -prune -o ! -type d -printf '%%p %%u %%m %%T@\\n'; done | sort"


@pytest.fixture(scope="session")
def team(tmp_path_factory):
    """The team's folder, environment and how it runs commands."""
    folder = tmp_path_factory.mktemp("team")
    environment = {**os.environ, "MINITRITON_USER": "support", "XDG_STATE_HOME": str(folder / "state")}
    # Where this Mini-Triton is stays as it was.
    default = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "slipway/minitriton"
    environment.setdefault("MINITRITON_STATE", str(default / os.environ["MINITRITON_NAME"]))

    def start(*arguments):
        argv = [str(word) for word in arguments]
        return subprocess.Popen(
            argv, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        )  # fmt: skip

    def run(*arguments, seconds=3600):
        process = start(*arguments)
        try:
            said, _ = process.communicate(timeout=seconds)
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
        return SimpleNamespace(code=process.returncode, said=said)

    return SimpleNamespace(folder=folder, environment=environment, start=start, run=run)


@pytest.fixture(scope="session")
def users_file(team):
    """Writes a users file; returns its path."""

    def write(entries, name="cohort.yml"):
        path = team.folder / name
        path.write_text(yaml.safe_dump(entries))
        return path

    return write


@pytest.fixture(scope="session")
def onboard(team):
    """Runs scripts/onboard to its end; what it returns has the result (by user), if there is one, and the run's folder."""

    def run(users, *arguments, source=SOURCE):
        done = team.run(PROJECT / "scripts/onboard", users, "-i", source, *arguments)
        folders = sorted((team.folder / "state/slipway/onboard").glob("*"), key=lambda path: path.stat().st_mtime)
        done.folder = folders[-1] if folders else None
        if done.folder and (done.folder / "result.json").exists():
            done.result = json.loads((done.folder / "result.json").read_text())
            done.users = {user["name"]: user for user in done.result["users"]}
            done.outcomes = {name: user["outcome"] for name, user in done.users.items()}
        return done

    return run


@pytest.fixture(scope="session")
def begun(team):
    """Starts scripts/onboard; returns its process once Ansible is at work. Seconds of waiting count from there, on slow machines too."""

    def start(users, *arguments):
        seen = set((team.folder / "state/slipway/onboard").glob("*/private/artifacts/*/stdout"))
        process = team.start(PROJECT / "scripts/onboard", users, "-i", SOURCE, *arguments)
        deadline = time.monotonic() + 120
        while not set((team.folder / "state/slipway/onboard").glob("*/private/artifacts/*/stdout")) - seen:
            assert process.poll() is None, process.stdout.read()
            assert time.monotonic() < deadline, "no run has begun in 120 s"
            time.sleep(0.2)
        return process

    return start


@pytest.fixture(scope="session")
def jobs(minitriton):
    """The ids of all jobs there are or were, by root's look at the queue."""
    return lambda: minitriton(
        "exec", "login", "bash", "-lc", "bjobs -u all -a -noheader -o jobid 2>/dev/null || true"
    ).split()


@pytest.fixture(scope="session")
def cohort(users_file):
    return users_file(ENTRIES)


@pytest.fixture(scope="session")
def homes(minitriton):
    return lambda names=NAMES: minitriton("exec", "login", "sh", "-c", STATE % " ".join(names))


@pytest.fixture(scope="session")
def before(jobs):
    return jobs()


@pytest.fixture(scope="session")
def dry(onboard, cohort, homes, before):
    """A dry run, with what it found in the homes."""
    found = homes()
    done = onboard(cohort, "--check")
    done.untouched = homes() == found
    return done


@pytest.fixture(scope="session")
def first(onboard, cohort, dry):
    return onboard(cohort)


@pytest.fixture(scope="session")
def mended(first, minitriton, users_file):
    """Whoever makes accounts has mended them; the team has corrected the project."""
    minitriton("user", "t-onboard-full", "--home-size=100M")
    minitriton("user", "t-onboard-nohome", "--project=demo")
    return users_file([{**entry, "project": "demo"} for entry in ENTRIES])


@pytest.fixture(scope="session")
def second(onboard, mended):
    return onboard(mended)
