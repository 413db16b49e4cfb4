"""The faults of docs/faults.md that need many runs of a playbook, each for real: what its user is told, and the way back.

Later tests go on from where earlier ones ended. What took how long to be well again is printed.
"""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests
from test_session import CONDA, seconds_until_healthy
from test_session_native import eventually, supervisor, tunnel

#: Seconds within which a session is well again once its cause is gone; this machine may be busy.
SOON = 120
#: Several nodes may have the job there.
NORMAL = ("-e", "session_queue=normal")


@pytest.fixture(scope="module", autouse=True)
def site(minitriton, playbook, state):
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


@pytest.fixture
def fault(minitriton):
    """Turns a switch of LSF's on; all are off after the test."""

    def turn(*argv):
        minitriton("exec", "mgmt", "/opt/lsf/etc/lsfd", "fault", *argv)

    yield turn
    turn("off")


@pytest.fixture
def node(minitriton):
    """Does something to a node; all are well after the test."""
    harmed = []

    def do(name, what):
        harmed.append(name)
        minitriton("node", name, what)

    yield do
    for name in set(harmed):
        minitriton("node", name, "up")


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


def url():
    return f"http://localhost:{tunnel()['local_port']}"


def timed(call, *arguments):
    started = time.monotonic()
    result = call(*arguments)
    return result, time.monotonic() - started


# --- the way to the server


def test_a_session_is_there(session, well):
    code, words = session()
    assert code == 0, words
    assert well()["node"] == "t037"


@pytest.mark.fault(2)
@pytest.mark.parametrize("what", ["cut", "pause"])
def test_a_login_node_that_swallows_every_packet(first, node, well, back, what):
    """Nothing is refused or closed: only a question with a deadline tells."""
    began = time.monotonic()
    node("login", what)
    eventually(lambda: supervisor()["verdict"] == "login-away")
    back("told", time.monotonic() - began)
    node("login", "up")
    back("well again, the line being back,", seconds_until_healthy(url(), SOON))
    assert well() == first


@pytest.mark.fault(4)
def test_a_login_node_that_is_started_anew(first, node, session, well, back):
    node("login", "down")
    eventually(lambda: supervisor()["verdict"] == "login-away")
    code, words = session()
    assert code != 0
    assert "No ssh connection to" in words and "whether its login node is up" in words, words
    node("login", "up")
    back("well again, the node being back,", seconds_until_healthy(url(), SOON))
    code, words = session()
    assert code == 0, words
    assert well() == first


@pytest.mark.fault(13)
def test_a_neighbour_on_the_local_port_is_left_alone(session, well, playbook):
    """Also where the tunnel had that port before."""
    port = tunnel()["local_port"]
    playbook("playbooks/stop.yml", *CONDA)
    with ThreadingHTTPServer(("127.0.0.1", port), BaseHTTPRequestHandler) as neighbour:
        threading.Thread(target=neighbour.serve_forever, daemon=True).start()
        code, words = session()
        assert code == 0, words
        assert f"localhost:{port} was taken by another program" in words
        well()
        assert "BaseHTTP" in requests.get(f"http://127.0.0.1:{port}/", timeout=5).headers["Server"]
        neighbour.shutdown()


# --- the server and its port


@pytest.mark.fault(12)
@pytest.mark.fault(36)
def test_a_neighbours_server_on_the_port_of_the_node_is_not_taken_for_ours(session, well, neighbour, playbook):
    playbook("playbooks/stop.yml", *CONDA)
    neighbour(8888)
    code, words = session()
    assert code == 0, words
    assert well()["port"] != 8888


@pytest.fixture
def neighbour(minitriton):
    """Somebody else's server on the session's node, that says yes to everything. It is ended after the test."""
    started = []

    def listen(port):
        minitriton(
            "exec", "t037", "runuser", "-u", "support", "--", "sh", "-c",
            f"cd /tmp; mkdir -p neighbour; cd neighbour; echo '{{\"version\": \"2.0\"}}' > api; mkdir -p lab login;"
            f" setsid /opt/minitriton/python3 -m http.server {port} > /dev/null 2>&1 & echo $! > /tmp/neighbour.{port}.pid",
        )  # fmt: skip
        started.append(port)
        minitriton("exec", "t037", "sh", "-c", f"until ss -Hltn | grep -q :{port}; do sleep 0.1; done")

    yield listen
    for port in started:
        minitriton("exec", "t037", "sh", "-c", f"kill $(cat /tmp/neighbour.{port}.pid)")


@pytest.mark.fault(10)
def test_a_server_that_is_killed_ends_its_job_and_another_run_starts_anew(first, session, said, well, minitriton, back):
    minitriton("exec", "t037", "kill", "-KILL", str(first["pid"]))
    eventually(lambda: supervisor()["verdict"] == "server-away")
    (code, words), seconds = timed(session)
    assert code == 0, words
    back("well again, by a new job,", seconds)
    assert well()["job_id"] != first["job_id"]


@pytest.mark.fault(10)
@pytest.mark.fault(36)
def test_a_dead_server_in_a_live_job_is_told_and_a_neighbour_on_its_port_is_not_adopted(
    first, playbook, session, well, minitriton, neighbour, back
):
    # Whatever would end the job with its server stands still.
    launcher = minitriton("exec", "t037", "ps", "-o", "ppid=", str(first["pid"])).strip()
    minitriton("exec", "t037", "kill", "-STOP", launcher)
    minitriton("exec", "t037", "kill", "-KILL", str(first["pid"]))
    code, words = session()
    assert code != 0
    assert "the job runs, but its server is dead" in words
    assert "session_resubmit=true" in words
    neighbour(first["port"])
    code, words = session()
    assert code != 0
    assert "it is not this session's" in words and "run playbooks/stop.yml, then playbooks/session.yml" in words, words
    began = time.monotonic()
    playbook("playbooks/stop.yml", *CONDA)
    code, words = session()
    assert code == 0, words
    back("well again, by a new job,", time.monotonic() - began)
    assert well()["job_id"] != first["job_id"]


@pytest.mark.fault(11)
def test_a_hung_server_that_goes_on_is_well_again(first, well, minitriton, back):
    minitriton("exec", "t037", "kill", "-STOP", str(first["pid"]))
    began = time.monotonic()
    eventually(lambda: supervisor()["verdict"] == "server-away")
    back("told", time.monotonic() - began)
    minitriton("exec", "t037", "kill", "-CONT", str(first["pid"]))
    back("well again, once it goes on,", seconds_until_healthy(url(), SOON))
    assert well() == first


# --- the job and its node


@pytest.mark.fault(6)
@pytest.mark.parametrize("who", ["USUSP", "SSUSP"])
def test_a_suspended_job_is_told_and_goes_on(first, session, status, well, login, fault, back, who):
    if who == "USUSP":
        login(f"bstop {first['job_id']}")
    else:
        fault("suspended", "on", f"job={first['job_id']}")
    eventually(lambda: login("bjobs -noheader -o stat").strip() == who)
    told, words = status()
    assert (told["verdict"]["name"], told["job"]["stat"]) == ("suspended", who)
    code, words = session()
    assert code != 0
    assert "the job is suspended" in words and "`bresume` it if you suspended it" in words, words
    login(f"bresume {first['job_id']}") if who == "USUSP" else fault("off")
    back("well again, once it is resumed,", seconds_until_healthy(url(), SOON))
    code, words = session()
    assert code == 0, words
    assert well() == first


@pytest.mark.fault(9)
def test_a_job_that_somebody_killed(first, session, status, well, minitriton, login, back):
    minitriton("exec", "mgmt", "bash", "-lc", f"bkill {first['job_id']}")
    eventually(lambda: "No unfinished job" in login("bjobs 2>&1"))
    told, _ = status()
    assert told["verdict"]["name"] == "over"
    (code, words), seconds = timed(session)
    assert code == 0, words
    back("well again, by a new job,", seconds)
    assert well()["job_id"] != first["job_id"]


@pytest.mark.fault(8)
def test_a_job_at_its_run_limit_ends_and_the_tunnel_with_it(playbook, session, status, well, login, back):
    playbook("playbooks/stop.yml", *CONDA)
    code, words = session(*NORMAL, "-e", "session_walltime=0:01")
    assert code == 0, words
    first = well()["job_id"]
    eventually(lambda: "No unfinished job" in login("bjobs 2>&1"), 300)
    assert "TERM_RUNLIMIT" in login(f"bhist -l {first}")
    eventually(lambda: supervisor()["verdict"] == "over")
    told, words = status()
    assert told["verdict"]["name"] == "over"
    assert "playbooks/session.yml: it submits one" in words
    (code, words), seconds = timed(session, *NORMAL)
    assert code == 0, words
    back("well again, by a new job,", seconds)
    assert well()["job_id"] != first


@pytest.mark.fault(7)
def test_a_job_that_is_requeued_is_found_on_its_new_node(session, well, fault, login, back):
    code, words = session(*NORMAL)
    assert code == 0, words
    first = well()
    fault("requeue", "on", f"job={first['job_id']}")
    eventually(lambda: login("bjobs -noheader -o 'stat exec_host'").split() not in ([], ["RUN", first["host"]]))
    (code, words), seconds = timed(session, *NORMAL)
    assert code == 0, words
    back("well again, on another node,", seconds)
    now = well()
    assert now["job_id"] == first["job_id"]
    assert now["node"] != first["node"]
    assert tunnel()["node"] == now["node"]


@pytest.mark.fault(5)
def test_a_node_that_is_cut_off_is_told_and_its_job_kept(session, status, well, node, back):
    session(*NORMAL)
    first = well()
    node(first["node"], "cut")
    told, words = status(*NORMAL)
    assert told["verdict"]["name"] == "host-lost"
    code, words = session(*NORMAL)
    assert code != 0
    assert "the job's host is lost" in words and "wait, the host may come back" in words, words
    node(first["node"], "up")
    back("well again, the node being back,", seconds_until_healthy(url(), SOON))
    code, words = session(*NORMAL)
    assert code == 0, words
    assert well() == first


@pytest.mark.fault(5)
def test_a_node_that_lsf_lost_is_told_and_another_job_takes_its_place(session, status, well, node, login, back):
    session(*NORMAL)
    first, began = well(), time.monotonic()
    node(first["node"], "pause")
    eventually(lambda: login("bjobs -noheader -o stat").strip() == "UNKWN", 120)
    told, words = status(*NORMAL)
    assert told["verdict"]["name"] == "host-lost"
    assert "-e session_resubmit=true" in words
    back("told", time.monotonic() - began)
    (code, words), seconds = timed(session, *NORMAL, "-e", "session_resubmit=true")
    assert code == 0, words
    back("well again, by a new job,", seconds)
    node(first["node"], "up")
    # What was asked of the lost one comes true.
    eventually(
        lambda: (
            login("bjobs -noheader -o jobid").split() != [] and first["job_id"] not in login("bjobs -noheader -o jobid")
        ),
        90,
    )
    assert well()["job_id"] != first["job_id"]


# --- the submission


@pytest.fixture
def badmin(minitriton):
    """Closes and opens as the administrator does."""
    return lambda *argv: minitriton("exec", "mgmt", "bash", "-lc", f"badmin {' '.join(argv)}")


@pytest.mark.fault(14)
@pytest.mark.fault(22)
def test_a_job_that_pends_past_the_deadline_stays_and_is_adopted(playbook, session, well, badmin, fault, login):
    """Its number is read among lines that have others."""
    playbook("playbooks/stop.yml", *CONDA)
    fault("banner", "on")
    badmin("hclose", "t037")
    try:
        code, words = session("-e", "session_wait=30")
        assert code != 0
        waiting, *stat = login("bjobs -noheader -o 'jobid stat'").split()
        assert stat == ["PEND"]
        assert f"Job {waiting} in queue interactive is PEND; its server does not listen yet. LSF's reason:" in words, (
            words
        )
        assert "The job was left as it is" in words and "session_wait is 30 s" in words
    finally:
        badmin("hopen", "t037")
    code, words = session()
    assert code == 0, words
    assert well()["job_id"] == waiting


@pytest.mark.fault(15)
def test_a_closed_queue_is_told_before_anything_is_submitted(session, badmin, login):
    before = login("bjobs -a -noheader -o jobid")
    badmin("qclose", "interactive")
    try:
        code, words = session("-e", "session_name=other")
    finally:
        badmin("qopen", "interactive")
    assert code != 0
    assert "session_queue is 'interactive': that queue is Closed:Active and takes no jobs now" in words, words
    assert "choose another queue, or wait until it opens" in words
    assert login("bjobs -a -noheader -o jobid") == before


@pytest.mark.fault(17)
def test_no_right_to_the_queue_is_told_in_lsfs_words(session):
    code, words = session("-e", "session_name=other", "-e", "session_queue=staff")
    assert code != 0
    assert "User cannot use the queue" in words and "choose another queue (session_queue)" in words, words


@pytest.mark.fault(30)
def test_a_clock_that_is_an_hour_off(first, session, status, well, fault):
    """LSF's, for the file system's and this machine's to disagree with: nothing is reckoned from it."""
    for seconds in ("3600", "-3600"):
        fault("clock", "on", f"seconds={seconds}")
        code, words = session()
        assert code == 0, words
        told, _ = status()
        assert told["verdict"]["name"] == "healthy"
        assert 300 < told["minutes_left"] <= 360
    assert well() == first


@pytest.mark.fault(25)
def test_lsf_that_no_login_shell_brings_is_found_by_the_sites_profile(session, minitriton, host):
    """As ever on Mini-Triton, a shell that is no login shell has none; now a login shell has none either."""
    assert host.run("command -v bsub").rc != 0
    minitriton("exec", "login", "mv", "/etc/profile.d/lsf.sh", "/etc/lsf.away")
    try:
        code, words = session()
        assert code != 0
        assert "your login shell does not put LSF's bsub on PATH" in words, words
        assert "set session_lsf_profile to the site's profile.lsf" in words
        code, words = session("-e", "session_lsf_profile=/opt/lsf/conf/profile.lsf")
        assert code == 0, words
    finally:
        minitriton("exec", "login", "mv", "/etc/lsf.away", "/etc/profile.d/lsf.sh")


# --- files


@pytest.mark.fault(35)
def test_a_half_written_connection_file_is_mended_by_the_job(first, session, well, host, folder):
    host.check_output(f"truncate -s 40 {folder}/session-jupyter.connection")
    code, words = session()
    assert code == 0, words
    assert well() == first


@pytest.mark.fault(24)
def test_scratch_that_is_gone_is_told_by_the_doctor_and_the_session_goes_on(first, playbook, well, state, user):
    scratch = state / "scratch/demo"
    ask = (
        "playbooks/doctor.yml",
        *CONDA,
        "-e",
        "session_checks=quick",
        "-e",
        f"dask_local_directory=/scratch/demo/{user}",
    )
    scratch.rename(scratch.with_name("away"))
    try:
        done = playbook(*ask)
        words = " ".join(done.stdout.split())
        assert done.returncode != 0
        assert "scratch: /scratch" in words and "Remedy: dask_local_directory: ask the site" in words, words
        assert well() == first
    finally:
        scratch.with_name("away").rename(scratch)
    done = playbook(*ask)
    assert done.returncode == 0, done.stdout
    assert well() == first


@pytest.mark.fault(23)
def test_a_full_home_is_told_and_spares_a_session_that_runs(playbook, session, well, minitriton, host, user, home):
    playbook("playbooks/stop.yml", *CONDA)
    minitriton("user", user, "--home-size", "900M")
    code, words = session()
    assert code == 0, words
    first = well()
    host.run(f"head -c 2G /dev/zero > {home}/large")
    try:
        assert host.run(f"echo word > {home}/.local/state/slipway/word").rc != 0
        code, words = session()
        assert code != 0
        assert "No space left on device" in words and "session_folder" in words, words
        assert well() == first
    finally:
        host.check_output(f"rm {home}/large")
    code, words = session()
    assert code == 0, words
    assert well() == first
