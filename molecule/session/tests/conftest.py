"""What the session's tests share: the session as its owner and as a second account sees it."""

import json
import os
import re
import signal
import subprocess

import pytest
from minitriton_fixtures import PROJECT
from test_session import CONDA, SHARED, seconds_until_healthy
from test_session_native import tunnel

#: Seconds within which a session is well again once its cause is gone, and those that a run may take; this machine may be busy.
SOON, PATIENCE = 120, 300


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


class Run:
    """A session.yml in the background, in a process group of its own."""

    def __init__(self, *arguments):
        argv = ["ansible-playbook", "-i", "inventory/minitriton", "playbooks/session.yml", "-l", "triton", *SHARED]
        environment = {**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0"}
        self.process = subprocess.Popen(
            [*argv, *arguments],
            cwd=PROJECT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.said = ""

    def reaches(self, step):
        """Reads on to the first task whose name matches ``step``."""
        for line in self.process.stdout:
            self.said += line
            if re.match(rf"TASK \[session : {step}", line):
                return
        raise AssertionError(f"there was no task {step}: {self.said}")

    def ends(self):
        out, _ = self.process.communicate(timeout=PATIENCE)
        self.said += out
        return self.process.returncode, " ".join(self.said.split())

    def kill(self):
        """As a controller that loses its power: nothing is tidied up."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate(timeout=PATIENCE)


@pytest.fixture
def background():
    """Starts a :class:`Run`; none outlives the test."""
    runs = []

    def start(*arguments):
        runs.append(Run(*arguments))
        return runs[-1]

    yield start
    for run in runs:
        if run.process.poll() is None:
            run.kill()


@pytest.fixture
def jobs(login):
    """The ids of the user's unfinished jobs."""
    return lambda: login("bjobs -noheader -o jobid 2>/dev/null").split()


@pytest.fixture
def recorded(host, folder):
    """What the session's record says; empty without one."""

    def read(ending="json"):
        return json.loads(host.run(f"cat {folder}/session-jupyter.{ending}").stdout or "{}")

    return read


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
