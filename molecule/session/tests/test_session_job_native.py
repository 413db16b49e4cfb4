"""The session's job through LSF's and the controller's faults, each for real: what a user is told, and that one job is left."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from test_session import CONDA, SHARED, TUNNEL, URL, api
from test_session_native import eventually


@pytest.fixture
def given():
    return SHARED


@pytest.fixture(scope="module", autouse=True)
def ended(playbook):
    """Nothing of these tests outlives them."""
    yield
    playbook("playbooks/stop.yml", *CONDA, "-e", "session_stop_all=true")


@pytest.fixture(autouse=True)
def nothing(fault, login, folder):
    """Each test begins without a job and a record. The account is the scenario's own."""
    login(f"bkill 0 > /dev/null 2>&1; rm -f {folder}/session-*")
    eventually(lambda: "No unfinished job found" in login("bjobs 2>&1 || true"))


@pytest.fixture
def own_job(login):
    """Submits a job of the user's own that is called as ours are; returns its id."""

    def submit(queue="interactive"):
        job = re.search(r"Job <(\d+)>", login(f"bsub -J jupyter -q {queue} sleep 3000"))[1]
        eventually(lambda: login(f"bjobs -noheader -o stat {job}").strip() == "RUN")
        return job

    return submit


def works(run, jobs, recorded):
    code, words = run
    assert code == 0, words
    assert jobs() == [recorded()["job_id"]], words
    assert "version" in api().json()


# --- the queue


@pytest.mark.fault(18)
def test_a_second_session_of_ours_waits_for_the_first_and_says_so(session, jobs, recorded):
    works(session(), jobs, recorded)
    first = jobs()
    code, words = session("-e", "session_name=second", "-e", "session_wait=30")
    assert code != 0
    assert "per-user job slot limit" in words, words
    assert f"You have job {first[0]} (jupyter, RUN) in that queue, which is not this session's" in words
    assert set(first) < set(jobs())
    works((0, ""), lambda: first, recorded)


@pytest.mark.fault(38)
def test_a_users_own_job_of_that_name_is_named_as_the_reason_and_left_alone(session, jobs, recorded, own_job, login):
    theirs = own_job()
    code, words = session("-e", "session_wait=30")
    assert code != 0
    assert (
        f"You have job {theirs} (jupyter, RUN) in that queue, which is not this session's and stays as it is" in words
    )
    assert login(f"bjobs -noheader -o stat {theirs}").strip() == "RUN"
    ours = recorded()["job_id"]
    login(f"bkill {theirs}")
    works(session(), jobs, recorded)
    assert jobs() == [ours]


def test_a_queue_for_interactive_jobs_only_gets_one_that_outlives_the_run(
    session, playbook, jobs, recorded, minitriton
):
    terminal = ("-e", "session_queue=terminal")
    code, words = session(*terminal, "--check", "--diff")
    assert code == 0, words
    assert "the job that is submitted by bsub -Is" in words
    assert "+bsub -Is -Jd 'slipway jupyter NONCE' -J jupyter -q terminal" in words
    assert jobs() == []
    works(session(*terminal), jobs, recorded)
    status = " ".join(playbook("playbooks/status.yml", *CONDA).stdout.split())
    assert "queue terminal" in status
    assert "held by bsub -Is on login" in status
    done = playbook("playbooks/stop.yml", *CONDA)
    assert done.returncode == 0, done.stdout
    eventually(lambda: "bsub" not in minitriton("exec", "login", "ps", "-eo", "args"))


# --- LSF


@pytest.mark.fault(19)
def test_a_batch_daemon_that_is_away_while_the_job_is_submitted_is_waited_for(background, fault, jobs, recorded):
    fault("mbatchd", "on")
    run = background()
    run.reaches("job ")
    time.sleep(8)
    assert run.process.poll() is None
    fault("mbatchd", "off")
    works(run.ends(), jobs, recorded)


@pytest.mark.fault(19)
def test_a_batch_daemon_that_is_away_while_the_job_waits_is_waited_for(
    background, fault, jobs, recorded, own_job, login
):
    theirs = own_job()
    run = background()
    eventually(lambda: recorded().get("job_id"))
    fault("mbatchd", "on")
    time.sleep(8)
    assert run.process.poll() is None
    fault("mbatchd", "off")
    # Until the node has reported, LSF takes a job there for a zombie.
    eventually(lambda: "ok" in login("bhosts t037").split())
    login(f"bkill {theirs}")
    works(run.ends(), jobs, recorded)


@pytest.mark.fault(19)
def test_a_session_whose_job_cannot_be_ended_now_is_not_forgotten(session, fault, jobs, recorded, playbook):
    works(session(), jobs, recorded)
    record = recorded()
    fault("mbatchd", "on")
    done = playbook("playbooks/stop.yml", *CONDA)
    words = " ".join(done.stdout.split())
    assert done.returncode != 0, words
    assert "batch system daemon not responding" in words
    assert "run the same command again later" in words
    assert recorded() == record
    fault("mbatchd", "off")
    assert playbook("playbooks/stop.yml", *CONDA).returncode == 0
    assert jobs() == []


@pytest.mark.fault(20)
def test_a_lim_that_is_away_is_told_in_lsfs_words_and_nothing_is_left(session, fault, jobs, recorded):
    fault("lim", "on")
    code, words = session()
    assert code != 0
    assert "LSF daemon (LIM) not responding" in words, words
    assert "LSF's daemons seem to be away or busy" in words
    fault("lim", "off")
    assert jobs() == []
    works(session(), jobs, recorded)


@pytest.mark.fault(21)
@pytest.mark.parametrize("queue", ["interactive", "terminal"])
def test_a_refusal_of_bsub_with_exit_code_0_is_a_refusal(session, fault, jobs, recorded, queue):
    fault("esub", "on", "text=Request aborted by esub: project demo has no hours left. Job not submitted.")
    code, words = session("-e", f"session_queue={queue}")
    assert code != 0
    assert "project demo has no hours left" in words, words
    assert jobs() == []
    fault("esub", "off")
    works(session("-e", f"session_queue={queue}"), jobs, recorded)


# --- the record


@pytest.mark.fault(26)
def test_a_lost_record_is_made_anew_and_its_job_kept(session, jobs, recorded, host, folder):
    works(session(), jobs, recorded)
    record = recorded()
    host.check_output(f"rm {folder}/session-jupyter.json")
    works(session(), jobs, recorded)
    assert (recorded()["job_id"], recorded()["nonce"]) == (record["job_id"], record["nonce"])


@pytest.mark.fault(27)
def test_a_job_that_has_the_id_of_ours_by_now_is_neither_adopted_nor_ended(
    session, jobs, recorded, host, folder, own_job, login, playbook
):
    works(session(), jobs, recorded)
    ours = recorded()["job_id"]
    login(f"bkill {ours}")
    eventually(lambda: jobs() == [])
    theirs = own_job("normal")
    host.check_output(f"sed -i 's/{ours}/{theirs}/' {folder}/session-jupyter.json")
    code, words = session()
    assert code == 0, words
    assert sorted(jobs()) == sorted([theirs, recorded()["job_id"]])
    assert recorded()["job_id"] != theirs
    assert playbook("playbooks/stop.yml", *CONDA).returncode == 0
    assert jobs() == [theirs]


# --- the controller


def finally_works(session, jobs, recorded):
    """What a killed run has started on the login node may still be busy for a while."""
    ends = [(1, "")]

    def runs():
        ends[0] = session()
        return ends[0][0] == 0 or "is busy with the session" not in ends[0][1]

    eventually(runs)
    works(ends[0], jobs, recorded)


@pytest.mark.fault(28)
@pytest.mark.parametrize("step", ["job ", "(tunnel|open) ", "check "])
def test_a_controller_that_was_killed_at_a_step_leaves_what_the_next_run_goes_on_with(
    background, session, jobs, recorded, step
):
    run = background()
    run.reaches(step)
    time.sleep(0.5)
    run.kill()
    finally_works(session, jobs, recorded)


@pytest.mark.fault(28)
@pytest.mark.fault(29)
def test_a_run_that_was_killed_in_bsub_keeps_another_login_host_away_and_its_late_job_is_adopted(
    background, elsewhere, session, fault, jobs, recorded, minitriton, user, host, folder
):
    """The lease is by host: only the host itself sees that its holder is dead. And a bsub that lived on has made our job."""
    fault("hang", "on", "command=bsub", f"user={user}")
    run = background()
    eventually(lambda: "bin/bsub -Jd" in minitriton("exec", "login", "ps", "-eo", "args"))
    holder = recorded("lease")
    # Its own deadline would end that bsub.
    minitriton("exec", holder["host"], "kill", "-STOP", str(holder["pid"]))
    code, words = session(*elsewhere)
    assert code != 0
    assert "is busy with the session" in words
    minitriton("exec", holder["host"], "kill", "-KILL", str(holder["pid"]))
    assert run.ends()[0] != 0
    # As right after its last renewal, however busy this machine is; and then as long after it.
    lease = f"{folder}/session-jupyter.lease"
    host.check_output(f"touch -d '+10 minutes' {lease}")
    code, words = session(*elsewhere)
    assert code != 0
    assert "another run, on login, is busy with the session" in words, words
    host.check_output(f"touch -d '-91 seconds' {lease}")
    fault("hang", "off")
    eventually(lambda: len(jobs()) == 1)
    late = jobs()
    finally_works(lambda: session(*elsewhere), jobs, recorded)
    assert jobs() == late


@pytest.fixture
def elsewhere(minitriton, state):
    """Arguments with which the login node's name leads to another host: mgmt, which has the same homes and LSF."""
    minitriton("exec", "mgmt", "/usr/sbin/sshd", "-o", "PidFile=/run/login2.pid")
    # Of its two networks the one that leads here, in whatever order they came up.
    network = re.search(r"HostName (\S+)[.]", (state / "ssh_config").read_text())[1]
    addresses = minitriton("exec", "mgmt", "hostname", "-I").split()
    address = next(each for each in addresses if each.rpartition(".")[0] == network)
    # Not tmp_path: a control socket's path has to be short.
    made = Path(tempfile.mkdtemp(prefix="slipway-"))
    key = (state / "hostkeys/mgmt/ssh_host_ed25519_key.pub").read_text()
    (made / "known_hosts").write_text(f"{(state / 'known_hosts').read_text()}login {' '.join(key.split()[:2])}\n")
    config = re.sub(r"HostName .*", f"HostName {address}", (state / "ssh_config").read_text(), count=1)
    (made / "ssh_config").write_text(config.replace(f"{state}/known_hosts", f"{made}/known_hosts"))
    ways = {"ansible_ssh_common_args": f"-F {made}/ssh_config", "ansible_control_path_dir": f"{made}/cp"}
    yield ("-e", json.dumps(ways))
    for control in (made / "cp").glob("*"):
        subprocess.run(["ssh", "-S", str(control), "-O", "exit", "login"], capture_output=True, timeout=60, check=False)
    shutil.rmtree(made)
    minitriton("exec", "mgmt", "sh", "-c", "kill $(cat /run/login2.pid)")


@pytest.mark.fault(29)
@pytest.mark.fault(31)
def test_two_controllers_by_two_login_hosts_at_once_make_one_job(background, elsewhere, playbook, jobs, recorded):
    other = ("-e", f"session_site=other-{TUNNEL.name}", "-e", f"session_local_port={int(URL.rpartition(':')[2]) + 5}")
    runs = [background(), background(*elsewhere, *other)]
    ends = [run.ends() for run in runs]
    assert any(code == 0 for code, _ in ends), ends
    assert all(code == 0 or "is busy with the session" in words for code, words in ends), ends
    assert jobs() == [recorded()["job_id"]]
    assert recorded("lease") == {}
    assert playbook("playbooks/stop.yml", *CONDA, *elsewhere, *other).returncode == 0
    assert jobs() == []


@pytest.mark.fault(31)
def test_a_login_name_that_leads_to_another_host_next_time_is_the_same_session(
    session, playbook, elsewhere, jobs, recorded, minitriton
):
    """The first one is gone for good: its sshd, and with it the tunnel."""
    # Which an earlier test may have opened by way of the other one.
    playbook("playbooks/stop.yml", *CONDA)
    works(session(), jobs, recorded)
    first, pid = recorded(), json.loads((TUNNEL / "tunnel.json").read_text())["pid"]
    minitriton("exec", "login", "sh", "-c", "mv /usr/sbin/sshd /usr/sbin/sshd.away; kill $(ps -o pid= -C sshd)")
    try:
        eventually(lambda: not os.path.exists(f"/proc/{pid}"))
        code, words = session(*elsewhere)
        assert code == 0, words
        assert "version" in api().json()
        status = " ".join(playbook("playbooks/status.yml", *CONDA, *elsewhere).stdout.split())
        assert f"Job: {first['job_id']} RUN on t037" in status
        assert URL in status
    finally:
        minitriton("exec", "login", "mv", "/usr/sbin/sshd.away", "/usr/sbin/sshd")
    eventually(lambda: _answers(jobs))
    assert recorded() == first
    done = playbook("playbooks/stop.yml", *CONDA, *elsewhere)
    assert done.returncode == 0, done.stdout
    assert jobs() == []


def _answers(jobs):
    """Whether the first login host is back, by which these tests look."""
    with contextlib.suppress(AssertionError, OSError, RuntimeError):
        return bool(jobs())
    return False
