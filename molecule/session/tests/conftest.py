"""What the session's tests share: the session as its owner and as a second account sees it."""

import json
import subprocess

import pytest
from minitriton_fixtures import PROJECT
from test_session import CONDA


@pytest.fixture
def folder(home):
    return f"{home}/.local/state/slipway"


@pytest.fixture
def said(host, folder):
    """Reads what the job says of itself."""

    def read():
        return json.loads(host.check_output(f"cat {folder}/session-jupyter.connection"))

    read.token = lambda: host.check_output(f"cat {folder}/session-jupyter.token")
    return read


@pytest.fixture
def session(playbook):
    """Runs session.yml; returns its code and its words as one line, since Ansible wraps them."""

    def run(*arguments):
        done = playbook("playbooks/session.yml", *CONDA, *arguments)
        return done.returncode, " ".join(done.stdout.split())

    return run


@pytest.fixture
def on_node():
    """Runs a command as an account on the session's node; returns the finished process."""

    def run(account, *argv):
        command = [str(PROJECT / "scripts/minitriton"), "exec", "t037", "runuser", "-u", account, "--", *argv]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    return run


@pytest.fixture
def stranger(minitriton, state):
    """A second account with a job of its own on the session's node; runs a command there by ssh through the login node."""
    minitriton("user", "stranger", "--fresh")
    config = str(state / "ssh_config")
    known = f"-o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=no -o ProxyCommand='ssh -F {config} -W %h:%p stranger@login'"

    def run(command, node="t037"):
        argv = f"ssh -F {config} -o BatchMode=yes {known} stranger@{node} {json.dumps(command)}"
        return subprocess.run(argv, shell=True, capture_output=True, text=True, timeout=60, check=False)

    run.submit = lambda: minitriton(
        "exec", "login", "runuser", "-u", "stranger", "--", "bash", "-lc", "cd; bsub -q interactive sleep 600; sleep 3"
    )
    return run


@pytest.fixture
def back(capsys, record_property, request):
    """Tells how many seconds something took."""

    def tell(what, seconds):
        numbers = ", ".join(str(mark.args[0]) for mark in request.node.iter_markers("fault"))
        record_property(what, round(seconds, 1))
        with capsys.disabled():
            print(f"\nfault {numbers} ({request.node.name}): {what} after {seconds:.1f} s")

    return tell
