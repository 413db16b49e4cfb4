"""Faults, each for real, with the verdict and the way back; and what a second account can't do. Needs many runs of the playbook.

Later tests go on from where earlier ones ended.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import time

import pytest
import requests
from minitriton_fixtures import PROJECT
from test_session import CONDA, TUNNEL, URL, api, seconds_until_healthy

NAME = TUNNEL.name


@pytest.fixture(scope="module", autouse=True)
def ended(playbook):
    """Nothing of these tests outlives them."""
    yield
    playbook("playbooks/stop.yml", *CONDA)


def tunnel():
    return json.loads((TUNNEL / "tunnel.json").read_text())


def supervisor():
    state = TUNNEL / "supervisor.json"
    return json.loads(state.read_text()) if state.exists() else {}


def eventually(condition, patience=300):
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain: {supervisor()}"
        time.sleep(0.2)


# --- the tunnel, by its supervisor


def test_from_nothing_to_a_checked_address_and_a_supervisor(session):
    code, words = session()
    assert code == 0, words
    eventually(lambda: supervisor()["verdict"] == "healthy")


@pytest.mark.fault(1)
@pytest.mark.fault(2)
@pytest.mark.parametrize(("fault", "limit"), [(signal.SIGKILL, 10), (signal.SIGSTOP, 20)])
def test_a_killed_or_frozen_ssh_is_replaced_without_anybody(fault, limit, back):
    before = tunnel()
    os.kill(before["pid"], fault)
    seconds = seconds_until_healthy(URL)
    back(f"well again, from {fault.name} on,", seconds)
    assert seconds <= limit
    assert tunnel()["local_port"] == before["local_port"]
    # It is known a moment after the tunnel carries.
    eventually(lambda: tunnel().get("pid", before["pid"]) != before["pid"])


@pytest.mark.fault(2)
def test_a_supervisor_that_slept_with_its_machine_goes_on():
    """Both stand still, as after a lid is closed; the tunnel is dead when they wake."""
    pid = supervisor()["pid"]
    os.kill(pid, signal.SIGSTOP)
    os.kill(tunnel()["pid"], signal.SIGSTOP)
    time.sleep(8)
    os.kill(pid, signal.SIGCONT)
    assert seconds_until_healthy(URL) <= 20
    assert supervisor()["pid"] == pid


@pytest.mark.fault(3)
def test_a_login_node_that_is_away_is_waited_for_and_the_tunnel_comes_back(minitriton, back):
    """Its sshd refuses, its sessions are gone: no try helps until it is back."""
    minitriton("exec", "login", "sh", "-c", "mv /usr/sbin/sshd /usr/sbin/sshd.away; kill $(ps -o pid= -C sshd)")
    try:
        eventually(lambda: supervisor()["verdict"] == "login-away")
    finally:
        minitriton("exec", "login", "mv", "/usr/sbin/sshd.away", "/usr/sbin/sshd")
    seconds = seconds_until_healthy(URL, 90)
    back("well again, sshd being back,", seconds)
    assert seconds <= 60


def test_a_login_node_that_asks_for_more_ends_the_supervisor_with_the_verdict(minitriton, home, session):
    """As where the second factor's connection is gone: no storm of tries, and after a log-in all is well again."""
    # Ansible's own connection would carry the tunnel.
    subprocess.run([str(PROJECT / "scripts/login"), "minitriton", "--end"], timeout=60, check=True)
    pid = supervisor()["pid"]
    keys = f"{home}/.ssh/authorized_keys"
    minitriton("exec", "login", "mv", keys, f"{keys}.kept")
    try:
        os.kill(tunnel()["pid"], signal.SIGKILL)
        eventually(lambda: supervisor()["verdict"] == "log-in-again")
        eventually(lambda: not os.path.exists(f"/proc/{pid}"))
        assert "Permission denied" in supervisor()["words"]
    finally:
        minitriton("exec", "login", "mv", f"{keys}.kept", keys)
    code, words = session()
    assert code == 0, words
    assert seconds_until_healthy(URL) <= 10


@pytest.mark.fault(37)
def test_a_connection_opened_by_hand_carries_all_where_a_key_alone_is_refused(minitriton, home, session):
    """scripts/login, as where a second factor is asked: Ansible, the tunnel and its supervisor ride on it, and end with it."""
    login = [str(PROJECT / "scripts/login"), "minitriton"]
    subprocess.run([*login, "--end"], timeout=60, check=True)
    opened = subprocess.run(login, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=60, check=True)
    assert "is open" in opened.stdout
    keys = f"{home}/.ssh/authorized_keys"
    minitriton("exec", "login", "mv", keys, f"{keys}.kept")
    try:
        os.kill(tunnel()["pid"], signal.SIGKILL)
        assert seconds_until_healthy(URL) <= 20
        assert tunnel()["shared"]
        code, words = session()
        assert code == 0, words
        assert "changed=0" in words
        subprocess.run([*login, "--end"], timeout=60, check=True)
        eventually(lambda: supervisor()["verdict"] == "log-in-again")
        assert "scripts/login" in supervisor()["remedy"]
    finally:
        minitriton("exec", "login", "mv", f"{keys}.kept", keys)
    code, words = session()
    assert code == 0, words
    assert seconds_until_healthy(URL) <= 10


# --- the server and its job


@pytest.mark.fault(11)
def test_a_hung_server_is_not_taken_for_a_frozen_tunnel(said, minitriton):
    before = tunnel()["pid"]
    minitriton("exec", "t037", "kill", "-STOP", str(said()["pid"]))
    try:
        eventually(lambda: supervisor()["verdict"] == "server-away")
        time.sleep(10)
        assert tunnel()["pid"] == before
    finally:
        minitriton("exec", "t037", "kill", "-CONT", str(said()["pid"]))
    eventually(lambda: supervisor()["verdict"] == "healthy")


@pytest.mark.fault(11)
def test_a_hung_server_is_replaced_by_a_new_job_where_somebody_asks_for_it(session, said, minitriton, login, back):
    first = said()
    minitriton("exec", "t037", "kill", "-STOP", str(first["pid"]))
    began = time.monotonic()
    code, words = session("-e", "session_resubmit=true")
    assert code == 0, words
    back("well again, by a new job,", time.monotonic() - began)
    assert said()["job_id"] != first["job_id"]
    assert login("bjobs -noheader -o jobid").split() == [said()["job_id"]]
    assert "version" in api().json()


@pytest.mark.fault(9)
def test_a_job_that_was_killed_by_someone_is_replaced(session, said, login):
    first = said()["job_id"]
    login(f"bkill {first}; sleep 3")
    code, words = session()
    assert code == 0, words
    assert said()["job_id"] != first
    assert "version" in api().json()


@pytest.mark.fault(29)
def test_two_runs_at_once_make_one_job(playbook, said, login):
    playbook("playbooks/stop.yml", *CONDA)
    argv = ["ansible-playbook", "-i", "inventory/minitriton", "playbooks/session.yml", "-l", "triton", *CONDA]
    runs = [
        subprocess.Popen(argv, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in "12"
    ]
    words = [run.communicate(timeout=300)[0] for run in runs]
    codes = [run.returncode for run in runs]
    assert 0 in codes, words
    assert all(code == 0 or "another run is busy" in text for code, text in zip(codes, words, strict=True)), words
    assert login("bjobs -noheader -o jobid").split() == [said()["job_id"]]


# --- the safer ways, and a second account


@pytest.fixture(scope="module")
def private(playbook):
    """The session anew, in the safest way that works."""
    playbook("playbooks/stop.yml", *CONDA)
    done = playbook("playbooks/session.yml", *CONDA, "-e", "session_tunnel_mode=auto")
    assert done.returncode == 0, done.stdout
    return tunnel()


def test_auto_takes_the_unix_socket_where_ssh_to_the_node_works(private, on_node, user, said):
    assert private["mode"] == "socket"
    assert "version" in api().json()
    assert seconds_until_healthy(URL) < 5
    path = private["socket"]
    modes = on_node(user, "stat", "-c", "%a %U", os.path.dirname(path), path).stdout
    assert modes == f"700 {user}\n600 {user}\n"
    ports = on_node(user, "ss", "-Hltnp").stdout
    assert f"pid={said()['pid']}," not in ports


def test_a_second_account_gets_neither_to_the_node_nor_to_anything_of_the_session(private, stranger, folder, host):
    assert "Permission denied" in stranger("true").stderr
    stranger.submit()
    assert stranger("hostname").stdout == "t037\n"
    for path in (private["socket"], os.path.dirname(private["socket"]), f"{folder}/session-jupyter.token", folder):
        denied = stranger(f"cat {path} || ls {path}")
        assert denied.returncode != 0
        assert denied.stderr.count("Permission denied") == 2, denied
    token = host.check_output(f"cat {folder}/session-jupyter.token")
    seen = stranger(
        "ps -eo args; cat /proc/[0-9]*/environ 2> /dev/null; bash -lc 'bjobs -u all -w -o \"jobid command job_description\"'"
    )
    assert "jupyter" in seen.stdout
    assert token not in seen.stdout


@pytest.mark.fault(1)
@pytest.mark.fault(2)
@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP])
def test_the_supervisor_keeps_a_tunnel_to_a_socket_too(private, fault):
    os.kill(tunnel()["pid"], fault)
    assert seconds_until_healthy(URL) <= 20
    assert tunnel()["mode"] == "socket"


@pytest.mark.fault(11)
def test_a_hung_server_behind_a_socket_is_told_apart_by_the_tunnels_end(private, session, minitriton, said):
    minitriton("exec", "t037", "kill", "-STOP", str(said()["pid"]))
    try:
        code, words = session("-e", "session_tunnel_mode=auto")
        assert code != 0
        assert "its server hangs" in words
    finally:
        minitriton("exec", "t037", "kill", "-CONT", str(said()["pid"]))


def test_auto_falls_back_to_the_login_node_and_says_why(playbook, session, minitriton):
    playbook("playbooks/stop.yml", *CONDA)
    minitriton("exec", "t037", "mv", "/opt/minitriton/admit", "/opt/minitriton/admit.away")
    try:
        code, words = session("-e", "session_tunnel_mode=auto")
    finally:
        minitriton("exec", "t037", "mv", "/opt/minitriton/admit.away", "/opt/minitriton/admit")
    assert code == 0, words
    assert "session_tunnel_mode is auto, but an ssh to the node itself does not work" in words
    assert "Permission denied" in words
    assert tunnel()["mode"] == "login"
    assert "version" in api().json()


# --- looking, and ending


def test_status_tells_all_in_one_screen_and_as_json(playbook, session, said, tmp_path):
    session()
    token = {"Authorization": f"token {said.token()}"}
    assert requests.post(f"{URL}/api/kernels", headers=token, timeout=30, json={"name": "python3"}).status_code == 201
    done = playbook("playbooks/status.yml", *CONDA, "-e", f"session_status_file={tmp_path}/status.json")
    assert done.returncode == 0, done.stdout
    status = json.loads((tmp_path / "status.json").read_text())
    assert status["verdict"]["name"] == "healthy"
    assert status["job"]["id"] == said()["job_id"]
    assert 300 < status["minutes_left"] <= 360
    assert [kernel["name"] for kernel in status["kernels"]] == ["python3"]
    assert status["supervisor"] == supervisor()["pid"]
    words = " ".join(done.stdout.split())
    for part in (URL, "mode login; kept by process", "python3"):
        assert part in words
    assert re.search(r"RUN on t037, queue interactive, [56] h \d\d min left of its run limit", words), words


def test_status_tells_a_suspended_servers_silence_from_a_dead_tunnel(playbook, said, minitriton):
    minitriton("exec", "t037", "kill", "-STOP", str(said()["pid"]))
    try:
        done = playbook("playbooks/status.yml", *CONDA)
    finally:
        minitriton("exec", "t037", "kill", "-CONT", str(said()["pid"]))
    assert done.returncode == 0, done.stdout
    assert "its server hangs" in done.stdout


def test_the_doctor_names_each_trouble_with_its_remedy_also_without_a_python(playbook):
    done = playbook(
        "playbooks/doctor.yml", "-e", "target_conda_prefix=/nonexistent", "-e", "session_queue=nosuch",
        "-e", "dask_local_directory=/gone/scratch",
    )  # fmt: skip
    words = " ".join(done.stdout.split())
    assert done.returncode != 0
    for part in (
        "LSF daemons My cluster name is triton",
        "queue: nosuch: No such queue Remedy: change session_queue",
        "scratch: /gone",
        "dask_local_directory",
        "base Python: /nonexistent",
        "run playbooks/onboard.yml",
        "there is no Python that could",
    ):
        assert part in words, words


def test_an_idle_session_ends_itself_and_its_job(playbook, login):
    playbook("playbooks/stop.yml", *CONDA)
    done = playbook(
        "playbooks/session.yml", *CONDA, "-e", "session_name=idle", "-e", "session_idle=5", "-e", "session_wait=60"
    )
    assert done.returncode == 0, done.stdout
    # Jupyter looks once a minute.
    eventually(lambda: "No unfinished job found" in login("bjobs 2>&1"), 150)


def test_stop_all_ends_every_session_by_its_record_and_no_other_job(playbook, session, login):
    code, words = session()
    assert code == 0, words
    theirs = login("bsub -J jupyter -q normal sleep 600").split("<")[1].split(">")[0]
    done = playbook("playbooks/stop.yml", *CONDA, "-e", "session_stop_all=true")
    assert done.returncode == 0, done.stdout
    assert login("bjobs -noheader -o jobid").split() == [theirs]
    login(f"bkill {theirs}")
    session()


def test_stop_ends_the_supervisor_and_the_tunnel(playbook):
    pid = supervisor()["pid"]
    done = playbook("playbooks/stop.yml", *CONDA)
    assert done.returncode == 0, done.stdout
    assert not os.path.exists(f"/proc/{pid}")
    assert not (TUNNEL / "supervisor.json").exists()
    with contextlib.suppress(requests.ConnectionError):
        api()
        pytest.fail("somebody still listens")
