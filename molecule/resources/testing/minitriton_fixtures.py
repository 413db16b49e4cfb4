"""Fixtures of the scenarios' tests: Mini-Triton as its user sees it, by ssh.

Loaded into pytest by PYTEST_PLUGINS (.config/molecule/config.yml). Nothing here goes through Ansible: a test that asked
the role's own modules would only hear what they say of themselves.
"""

import os
import subprocess
from pathlib import Path

import pytest
import testinfra
import yaml

PROJECT = Path(__file__).parents[3]


def pytest_collection_modifyitems(config, items):
    """Leaves what needs many runs of a playbook, ``test_*_native.py``, to this machine's own architecture (`make test-all`).

    Molecule names each file to pytest, and a named file is collected whatever ``collect_ignore`` says. With SLIPWAY_NATIVE_TESTS they run
    in emulated nodes as well, which takes its time (docs/test-all.md).
    """
    if os.environ["MINITRITON_ARCH"] == "amd64" or os.environ.get("SLIPWAY_NATIVE_TESTS"):
        return
    native = [item for item in items if item.path.stem.endswith("_native")]
    items[:] = [item for item in items if item not in native]
    config.hook.pytest_deselected(items=native)


@pytest.fixture(scope="session")
def state():
    """The folder of this Mini-Triton's state on this machine."""
    default = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "slipway/minitriton"
    return Path(os.environ.get("MINITRITON_STATE") or default / os.environ["MINITRITON_NAME"])


@pytest.fixture(scope="session")
def cluster(state):
    """The facts of this Mini-Triton (facts.yml)."""
    return yaml.safe_load((state / "facts.yml").read_text())


@pytest.fixture(scope="session")
def user():
    """The scenario's account."""
    return os.environ["MINITRITON_USER"]


@pytest.fixture(scope="session")
def home(user):
    return f"/home/{user}"


@pytest.fixture(scope="session")
def host(state, user):
    """The login node, as the scenario's user."""
    return testinfra.get_host(f"ssh://{user}@login", ssh_config=str(state / "ssh_config"))


@pytest.fixture(scope="session")
def login(host):
    """Runs a command in a login shell on the login node, as a person would type it; returns its stdout."""

    def run(command):
        return host.check_output("bash -lc %s", command)

    return run


@pytest.fixture(scope="session")
def playbook():
    """Runs ansible-playbook against Mini-Triton; returns the finished process, all that it said in stdout."""

    def run(name, *arguments):
        argv = ["ansible-playbook", "-i", "inventory/minitriton", name, "-l", "triton", *arguments]
        return subprocess.run(
            argv,
            cwd=PROJECT,
            env={**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def minitriton():
    """Runs scripts/minitriton; returns its stdout."""

    def run(*arguments):
        argv = [str(PROJECT / "scripts/minitriton"), *arguments]
        return subprocess.run(argv, capture_output=True, text=True, timeout=300, check=True).stdout

    return run
