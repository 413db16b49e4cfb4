"""The faults of the way, the server, the job and its node (docs/faults.md), each for real: what its user is told, and the way back.

Later tests go on from where earlier ones ended. What took how long to be well again is printed.
"""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests
from conftest import SOON, url
from test_session import CONDA, seconds_until_healthy
from test_session_native import eventually, supervisor, tunnel

#: Several nodes may have the job there.
NORMAL = ("-e", "session_queue=normal")

pytestmark = pytest.mark.usefixtures("staffed")


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
