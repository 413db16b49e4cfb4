"""What the session's tests share: the session as its owner and as a second account sees it."""

import json
import subprocess

import pytest
from minitriton_fixtures import PROJECT
from test_session import CONDA, seconds_until_healthy
from test_session_native import tunnel

#: Seconds within which a session is well again once its cause is gone; this machine may be busy.
SOON = 120


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
def given():
    """What all runs of a module's tests are given."""
    return CONDA


@pytest.fixture
def session(playbook, given):
    """Runs session.yml; returns its code and its words as one line, since Ansible wraps them."""

    def run(*arguments):
        done = playbook("playbooks/session.yml", *given, *arguments)
        return done.returncode, " ".join(done.stdout.split())

    return run


@pytest.fixture
def fault(minitriton):
    """Turns a switch of the LSF double's on; all are off after the test."""

    def turn(*arguments):
        minitriton("exec", "mgmt", "/opt/lsf/etc/lsfd", "fault", *arguments)

    yield turn
    turn("off")


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


@pytest.fixture(scope="module")
def staffed(minitriton, playbook, state):
    """As its administrator has it for these tests: a queue of the staff's, and hosts that count as lost sooner."""
    file = state / "lsf/conf/cluster.json"
    before = file.read_text()
    configuration = json.loads(before)
    configuration["queues"]["staff"] = configuration["queues"]["normal"] | {"default": False, "users": ["support"]}
    playbook("playbooks/stop.yml", *CONDA)
    reconfigure(minitriton, file, json.dumps(configuration | {"unknown_after": 20}))
    yield
    minitriton("exec", "mgmt", "/opt/lsf/etc/lsfd", "fault", "off")
    playbook("playbooks/stop.yml", *CONDA)
    reconfigure(minitriton, file, before)


def reconfigure(minitriton, file, text):
    file.write_text(text)
    # It is started again at once.
    minitriton("exec", "mgmt", "sh", "-c", "kill $(ps -eo pid=,args= | awk '/[l]sfd master/ { print $1 }')")
    minitriton("node", "t001", "up")  # which waits until LSF has it


def url():
    return f"http://localhost:{tunnel()['local_port']}"


@pytest.fixture
def status(playbook, tmp_path):
    """What status.yml tells, and its words as one line."""

    def ask(*arguments):
        done = playbook("playbooks/status.yml", *CONDA, "-e", f"session_status_file={tmp_path}/status.json", *arguments)
        assert done.returncode == 0, done.stdout
        return json.loads((tmp_path / "status.json").read_text()), " ".join(done.stdout.split())

    return ask


@pytest.fixture
def well(said, login):
    """Requires that the session answers, by the only job there is; returns what the job says of itself."""

    def require():
        assert seconds_until_healthy(url(), SOON) < SOON
        assert login("bjobs -noheader -o jobid").split() == [said()["job_id"]]
        return said()

    return require


@pytest.fixture
def first(well, session):
    """What the session's job says of itself; a session is started where an earlier test left none."""
    try:
        return well()
    except Exception:
        code, words = session()
        assert code == 0, words
        return well()
