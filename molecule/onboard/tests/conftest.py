"""A cohort on Mini-Triton: scripts/onboard as the support team runs it, and each user's home as its owner sees it."""

import json
import os
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

PROJECT = Path(__file__).parents[3]
SOURCE = PROJECT / "inventory/minitriton/users.slipway.yml"

# Twenty-five users, and ten kills, are for this machine's own architecture.
collect_ignore = [] if os.environ["MINITRITON_ARCH"] == "amd64" else ["test_matrix.py"]


@pytest.fixture(scope="session")
def team(tmp_path_factory):
    """The team's folder, environment and how it runs commands."""
    folder = tmp_path_factory.mktemp("team")
    environment = {**os.environ, "MINITRITON_USER": "support", "XDG_STATE_HOME": str(folder / "state")}
    # Where this Mini-Triton is stays as it was.
    default = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "slipway/minitriton"
    environment.setdefault("MINITRITON_STATE", str(default / os.environ["MINITRITON_NAME"]))

    def start(*arguments, **options):
        argv = [str(word) for word in arguments]
        return subprocess.Popen(
            argv, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options
        )

    def run(*arguments, seconds=900):
        process = start(*arguments)
        try:
            said, _ = process.communicate(timeout=seconds)
        finally:
            process.kill()
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
def jobs(minitriton):
    """The ids of all jobs there are or were, by root's look at the queue."""
    return lambda: minitriton(
        "exec", "login", "bash", "-lc", "bjobs -u all -a -noheader -o jobid 2>/dev/null || true"
    ).split()
