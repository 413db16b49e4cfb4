# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the tests that Molecule doesn't run: a Mini-Triton of this machine's own architecture, and site.yml run on it.

A test's file says `pytest_plugins = ["native_site"]`; its folder's conftest.py puts this one on sys.path.
"""

import json
import os
import time
from pathlib import Path

import ansible.module_utils
import pytest

PROJECT = Path(__file__).parents[3]
os.environ.update(MINITRITON_ARCH="amd64", MINITRITON_USER="ada")
os.environ.setdefault("MINITRITON_NAME", "test")
os.environ.setdefault("MINITRITON_LOCAL_PORT", "8893")
ansible.module_utils.__path__ += [str(PROJECT / "plugins/module_utils"), str(PROJECT / "roles/session/module_utils")]

from ansible.module_utils.session.probe import Lab  # noqa: E402 (found on the path above)

pytest_plugins = ["minitriton_fixtures"]

#: For a machine that starts 45 interpreters on two cores, and runs other things beside; and slots for what runs in a notebook itself.
VARIABLES = {"dask_death_timeout": 600, "dask_walltime": "01:00", "session_slots": 4}


@pytest.fixture(scope="session")
def site(minitriton, playbook):
    """site.yml has run: the session is up, its tunnel open. What an interrupted run left goes first. Gives its variables."""
    minitriton("down")
    minitriton("up")
    try:
        done = playbook("site.yml", "-e", json.dumps(VARIABLES))
        assert done.returncode == 0, done.stdout
        yield VARIABLES
        playbook("playbooks/stop.yml")
    finally:
        minitriton("down")


@pytest.fixture(scope="session")
def lab_at():
    """Makes what asks a server: of its address and a token."""
    return lambda url, token: Lab(url, token, patience=900)


@pytest.fixture(scope="session")
def lab(site, lab_at, host, home):
    """The session at this end of its tunnel, asked by its token."""
    token = host.check_output(f"cat {home}/.local/state/slipway/session-jupyter.token").strip()
    return lab_at(f"http://localhost:{os.environ['MINITRITON_LOCAL_PORT']}", token)


@pytest.fixture
def no_jobs(login):
    """Waits until LSF has none of the user's worker jobs any more."""

    def wait():
        deadline = time.monotonic() + 120  # LSF ends a job in steps of 10 s
        while "No unfinished job found" not in (left := login("bjobs -q normal 2>&1 || true")):
            assert time.monotonic() < deadline, f"closing leaves a job:\n{left}"
            time.sleep(1)

    return wait
