"""The session as its user sees it: a job in the queue, an address that answers, and nothing for others to read."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
import requests

URL = f"http://localhost:{os.environ['MINITRITON_LOCAL_PORT']}"
CONDA = ("-e", "target_conda_prefix=/home/builder/local/miniconda3")
# Faults are for the playbook to mend here, not for the supervisor.
SHARED = (*CONDA, "-e", "session_supervised=false")
STATE_HOME = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "slipway"
TUNNEL = STATE_HOME / f"minitriton-{os.environ['MINITRITON_NAME']}-jupyter"


def api(url=URL, **options):
    return requests.get(f"{url}/api", timeout=5, **options)


def seconds_until_healthy(url, patience=60, **options):
    started = time.monotonic()
    while time.monotonic() - started < patience:
        with contextlib.suppress(
            OSError, ValueError
        ):  # requests' errors are the first, a page that is no JSON the second
            if "version" in requests.get(f"{url}/api", timeout=1, **options).json():
                break
        time.sleep(0.1)
    return time.monotonic() - started


@pytest.fixture
def record(host, folder):
    return json.loads(host.check_output(f"cat {folder}/session-jupyter.json"))


@pytest.fixture
def tunnel_pid():
    """The process of the tunnel's ssh, as its own control socket tells it."""
    control = TUNNEL / "tunnel.sock"
    said = subprocess.run(
        ["ssh", "-S", str(control), "-O", "check", "login"], capture_output=True, text=True, check=True
    )
    return int(said.stderr.split("pid=")[1].split(")")[0])


def test_the_server_answers_on_this_machine():
    assert "version" in api().json()


def test_strangers_are_asked_for_a_password():
    assert requests.get(f"{URL}/api/status", timeout=5).status_code == 403
    assert 'name="password"' in requests.get(f"{URL}/login", timeout=5).text


def test_lsf_runs_one_job_named_as_the_tutorial_has_it(login, record):
    job_id, state, queue, name = (
        login("bjobs -noheader -o \"jobid stat queue job_name delimiter='^'\"").strip().split("^")
    )
    assert (job_id, state, queue, name) == (record["job_id"], "RUN", "interactive", "jupyter")


def test_the_server_listens_on_its_nodes_own_addresses_alone(minitriton, host, folder):
    port = json.loads(host.check_output(f"cat {folder}/session-jupyter.connection"))["port"]
    listening = [line.split()[3] for line in minitriton("exec", "t037", "ss", "-Hltn").splitlines()]
    ours = [address for address in listening if address.endswith(f":{port}")]
    assert ours
    assert all(address.startswith("10.") for address in ours), ours


def test_records_and_secrets_are_for_the_owner_alone(host, folder):
    for line in host.check_output(f"stat -c '%a %n' {folder} {folder}/*").splitlines():
        mode, name = line.split()
        assert mode == ("700" if name == folder else "600"), line


def test_no_secret_is_in_the_jobs_arguments_or_its_description(host, login, folder, minitriton):
    token = host.check_output(f"cat {folder}/session-jupyter.token")
    assert token not in minitriton("exec", "t037", "ps", "-eo", "args")
    assert token not in login("bjobs -noheader -o \"command job_name job_description delimiter='^'\"")


@pytest.mark.fault(1)
def test_a_killed_tunnel_is_opened_again_and_the_job_is_kept(playbook, record, tunnel_pid, host, folder):
    os.kill(tunnel_pid, 9)
    with pytest.raises(requests.ConnectionError):
        api()
    done = playbook("playbooks/session.yml", *SHARED)
    assert done.returncode == 0, done.stdout
    assert "version" in api().json()
    assert json.loads(host.check_output(f"cat {folder}/session-jupyter.json")) == record


@pytest.mark.fault(2)
def test_a_frozen_tunnel_is_opened_again(playbook, tunnel_pid):
    os.kill(tunnel_pid, 19)
    with pytest.raises(requests.Timeout):
        api()
    done = playbook("playbooks/session.yml", *SHARED)
    assert done.returncode == 0, done.stdout
    assert "version" in api().json()


@pytest.mark.fault(28)
def test_a_lost_record_of_the_id_does_not_cost_a_second_job(playbook, host, folder, record, login):
    """As after a kill between bsub and the record: the intent and its nonce are all there is."""
    intent = {key: value for key, value in record.items() if key != "job_id"}
    host.check_output(f"printf %s {json.dumps(json.dumps(intent))} > {folder}/session-jupyter.json")
    done = playbook("playbooks/session.yml", *SHARED)
    assert done.returncode == 0, done.stdout
    assert login("bjobs -noheader -o jobid").split() == [record["job_id"]]


@pytest.mark.fault(16)
def test_an_unknown_queue_is_refused_with_the_ones_there_are(playbook):
    done = playbook("playbooks/session.yml", *SHARED, "-e", "session_name=other", "-e", "session_queue=nosuch")
    assert done.returncode != 0
    assert "LSF has no such queue; it has interactive, normal" in done.stdout
    assert "change session_queue" in done.stdout


@pytest.mark.fault(11)
def test_a_hung_server_is_told_apart_from_a_frozen_tunnel_and_its_job_kept(playbook, minitriton, host, folder, record):
    pid = json.loads(host.check_output(f"cat {folder}/session-jupyter.connection"))["pid"]
    minitriton("exec", "t037", "kill", "-STOP", str(pid))
    try:
        done = playbook("playbooks/session.yml", *SHARED)
    finally:
        minitriton("exec", "t037", "kill", "-CONT", str(pid))
    assert done.returncode != 0
    assert "its server hangs" in done.stdout
    assert "session_resubmit=true" in " ".join(done.stdout.split())
    assert json.loads(host.check_output(f"cat {folder}/session-jupyter.json"))["job_id"] == record["job_id"]


@pytest.mark.fault(13)
def test_a_taken_local_port_gives_way_to_the_next_free_one(playbook):
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        done = playbook("playbooks/session.yml", *SHARED, "-e", f"session_local_port={port}")
    assert done.returncode == 0, done.stdout
    words = " ".join(done.stdout.split())  # Ansible wraps them
    said = re.search(f"localhost:{port} was taken by another program; the tunnel is at (localhost:\\d+)", words)
    assert "version" in api(f"http://{said[1]}").json()


@pytest.mark.fault(2)
def test_the_supervisor_opens_a_frozen_tunnel_again_within_20_seconds(playbook):
    done = playbook("playbooks/session.yml", *CONDA)
    assert done.returncode == 0, done.stdout
    os.kill(json.loads((TUNNEL / "tunnel.json").read_text())["pid"], signal.SIGSTOP)
    assert seconds_until_healthy(URL) <= 20


def test_check_mode_shows_the_header_and_submits_nothing(playbook, login):
    before = login("bjobs -a -noheader -o jobid")
    done = playbook("playbooks/session.yml", *SHARED, "-e", "session_name=other", "--check", "--diff")
    assert done.returncode == 0, done.stdout
    assert "+#BSUB -q interactive" in done.stdout
    assert login("bjobs -a -noheader -o jobid") == before


def test_without_conda_the_way_out_is_told(playbook):
    done = playbook("playbooks/session.yml", "-e", "target_conda_prefix=/nonexistent")
    assert done.returncode != 0
    assert "playbooks/onboard.yml" in done.stdout


def test_stop_ends_the_job_and_the_tunnel_and_leaves_nothing(playbook, login, host, folder):
    url = f"http://localhost:{json.loads((TUNNEL / 'tunnel.json').read_text())['local_port']}"
    assert "version" in api(url).json()
    done = playbook("playbooks/stop.yml", *SHARED)
    assert done.returncode == 0, done.stdout
    assert login("bjobs 2>&1").strip() == "No unfinished job found"
    with pytest.raises(requests.ConnectionError):
        api(url)
    assert not host.file(f"{folder}/session-jupyter.token").exists
    again = playbook("playbooks/stop.yml", *SHARED)
    assert again.returncode == 0
    assert "changed=0" in again.stdout
