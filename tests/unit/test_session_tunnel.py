"""The tunnel's own decisions, with real ports and real locks; what ssh does is seen in molecule/session."""

import json
import os
import socket
import subprocess
import sys
import threading
import time

import ansible.module_utils
import certificates
import module_runner
import pytest
from ansible.module_utils.session import SessionError, supervisor, tunnel
from ansible.module_utils.session.master import Destination
from ansible.module_utils.session.supervisor import Supervisor
from ansible.module_utils.session.tunnel import Tunnel
from local_ports import free_port
from role_play import PROJECT

END = {"node": "t037", "port": 8888}


@pytest.fixture
def made(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return Tunnel("site-jupyter", Destination("login", "ada"))


@pytest.fixture
def taken():
    """A port that another program listens on; it says nothing. Nobody listens on the next ones."""
    port = free_port(room=8)
    with socket.create_server(("127.0.0.1", port)):
        yield port


@pytest.fixture
def closing():
    """A port that closes each connection without a word, as ssh does where there is nothing at its end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            while True:
                try:
                    listener.accept()[0].close()
                except OSError:
                    return

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]


def remember(made, **changes):
    made.folder.mkdir(parents=True, exist_ok=True)
    made.record.write_text(json.dumps({"local_port": 8890, **made.leads(8890, END), **changes}))


def test_the_port_asked_for_is_taken_if_it_is_free(made, taken):
    assert made._free_port(taken + 1) == taken + 1


def test_a_taken_port_gives_way_to_the_next_one(made, taken):
    assert made._free_port(taken) > taken


def test_a_session_keeps_the_port_that_it_had(made, taken):
    remember(made, asked=taken + 1, local_port=taken + 7)
    assert made._free_port(taken + 1) == taken + 7


def test_another_wish_than_before_is_heard(made, taken):
    remember(made, asked=taken + 1, local_port=taken + 7)
    assert made._free_port(taken + 3) == taken + 3


def test_where_no_port_is_free_the_way_out_is_told(made, taken, monkeypatch):
    monkeypatch.setattr(tunnel, "NEXT_PORTS", 1)
    with pytest.raises(SessionError, match=f"session_local_port is {taken}: .*\n.*session_local_port=PORT"):
        made._free_port(taken)


def test_a_tunnel_that_somebody_else_opened_meanwhile_is_left_alone(made):
    """The supervisor looked, and a playbook was faster: the session is on another node now."""
    remember(made)
    seen = made.recorded()
    remember(made, node="t038")
    assert made.reopen(seen, frozen=True)["node"] == "t038"


def test_ssh_goes_on_to_a_node_by_the_keys_that_the_job_told_alone(made, tmp_path):
    lead = {"node": "t037", "mode": "socket", "socket": "/tmp/slipway-x/jupyter.sock", "port": 0}
    by, where = made._way(lead, ["ssh-ed25519 AAAA t037"])
    argv = by.ssh(by.host)
    assert where == "/tmp/slipway-x/jupyter.sock"
    assert "StrictHostKeyChecking=yes" in argv
    known = made.folder / "node_known_hosts"
    assert f"UserKnownHostsFile={known}" in argv
    assert known.read_text() == "slipway-node ssh-ed25519 AAAA\n"
    assert any(word.startswith("ProxyCommand=ssh ") and word.endswith("-W '[%h]:%p' login") for word in argv)


def test_one_supervisor_at_a_time_and_none_without_a_tunnel(made):
    supervisor = Supervisor(made.folder.name)
    assert supervisor.pid() == 0
    assert not supervisor.end()
    assert supervisor.look() is False


def supervised(made, port, **changes):
    remember(made, **{"local_port": port, "destination": made.destination.facts, **changes})
    return Supervisor(made.folder.name)


SCRIPT = PROJECT / "scripts/slipway-supervisor"


def programs(made):
    """The processes of the supervisor's program for this tunnel."""
    said = subprocess.run(["ps", "-ww", "-eo", "pid=,args="], capture_output=True, text=True, check=True).stdout
    return [line for line in said.splitlines() if f"{SCRIPT} {made.folder.name}" in line]


def test_a_supervisor_at_hand_begins_when_it_is_told_and_is_one(made, taken, request):
    known = supervised(made, taken)
    request.addfinalizer(known.end)
    with supervisor.at_hand(SCRIPT, made.folder.name) as tell:
        assert len(programs(made)) == 1 and not known.pid()
        assert tell()
    assert known.pid()
    there = programs(made)
    with supervisor.at_hand(SCRIPT, made.folder.name) as tell:
        assert programs(made) == there
        assert not tell()


@pytest.mark.parametrize("how", ["the tunnel fails", "its run is killed"])
def test_one_that_is_never_told_ends(made, taken, how):
    known = supervised(made, taken)
    if how == "its run is killed":
        run = f"""
import sys; sys.path[:0] = {sys.path!r}
import ansible.module_utils; ansible.module_utils.__path__[:] = {list(ansible.module_utils.__path__)!r}
from ansible.module_utils.session import supervisor
with supervisor.at_hand({str(SCRIPT)!r}, {made.folder.name!r}):
    print("at hand", flush=True)
    sys.stdin.read()
"""
        process = subprocess.Popen([sys.executable, "-c", run], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        process.stdout.readline()
        assert len(programs(made)) == 1
        process.kill()
        process.communicate()
    else:
        with pytest.raises(SessionError), supervisor.at_hand(SCRIPT, made.folder.name):
            raise SessionError("no tunnel.")
    deadline = time.monotonic() + 20
    while programs(made) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not programs(made)
    assert not known.pid()


def thought(made):
    return json.loads((made.folder / "supervisor.json").read_text())["verdict"]


def test_after_minutes_of_nothing_the_tunnel_is_closed_and_its_supervisor_ends(made, closing, monkeypatch):
    """Another user's server may listen on that node and port by tomorrow."""
    keeper = supervised(made, closing)
    assert keeper.look()
    assert keeper.look()
    monkeypatch.setattr(supervisor, "GONE", 0)
    assert not keeper.look()
    assert thought(made) == "server-away"
    assert made.recorded() == {}


def test_after_the_jobs_run_limit_a_tunnel_is_not_opened_again(made, closing):
    keeper = supervised(made, closing, until=time.time() + 60)
    assert keeper.look()
    made.lasts(-1)
    assert not keeper.look()
    assert thought(made) == "over"
    assert made.recorded() == {}


def test_a_tunnel_that_a_playbook_opened_meanwhile_is_not_closed(made):
    remember(made)
    seen = made.recorded()
    remember(made, node="t038")
    made.close(seen)
    assert made.recorded()["node"] == "t038"


def test_the_end_of_a_job_is_known_until_a_run_knows_better(made):
    remember(made)
    made.lasts(2)
    assert 100 < made.recorded()["until"] - time.time() <= 120
    made.lasts(0)
    assert made.recorded()["until"] is None


def test_the_certificate_at_its_end_is_kept_as_long_as_the_tunnel_and_an_older_one_ends_in_http(made):
    remember(made)
    assert made.certificate == ""
    made.trust("-----BEGIN CERTIFICATE-----")
    remember(made, scheme="https")
    assert made.certificate == "-----BEGIN CERTIFICATE-----"
    assert made.certificate_file.stat().st_mode & 0o777 == 0o600
    made.close()
    assert not made.certificate_file.exists()


def test_a_stranger_at_its_end_is_told_by_the_supervisor_and_the_tunnel_left_alone(made, tmp_path):
    """Its certificate may be a new one of ours; and a browser refuses a stranger's by itself."""
    certificate, key = certificates.made(tmp_path / "ours")
    with certificates.serving(*certificates.made(tmp_path / "others")) as server:
        keeper = supervised(made, server.server_port, scheme="https")
        made.trust(certificate.read_text())
        assert keeper.look()
        assert thought(made) == "stranger"
        assert made.recorded()["local_port"] == server.server_port
        assert server.heard == []
    with certificates.serving(certificate, key, server.server_port):
        assert keeper.look()
        assert thought(made) == "healthy"


def test_a_tunnel_that_freezes_again_and_again_is_opened_more_and_more_seldom(made, monkeypatch):
    keeper = supervised(made, 1)
    monkeypatch.setattr(Tunnel, "reopen", lambda self, recorded, frozen: recorded)
    pauses = []
    for _ in range(7):
        keeper.next_try = 0.0
        assert keeper.look()
        pauses.append(keeper.pause)
    assert pauses == [2, 4, 8, 16, 32, 60, 60]
    assert keeper.next_try > time.monotonic() + 50


FAILING = """
import sys, types
package = types.ModuleType("slipway")
package.__path__ = {paths!r}
sys.modules["slipway"] = package
from slipway.session import supervisor
print(supervisor.Supervisor({name!r}).start())
"""


def test_what_ends_a_supervisor_unexpectedly_is_in_its_log(made):
    supervised(made, 1, destination={"nonsense": 1})
    paths = [str(module_runner.PROJECT / place) for place in ("plugins/module_utils", "roles/session/module_utils")]
    code = FAILING.format(paths=paths, name=made.folder.name)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    deadline = time.monotonic() + 10
    while Supervisor(made.folder.name).pid() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert int(done.stdout) != os.getpid()
    log = (made.folder / "supervisor.log").read_text()
    assert "Traceback" in log
    assert "nonsense" in log


def test_a_node_that_forwards_nothing_is_told_and_leaves_no_tunnel(made, closing):
    action = module_runner.load("roles/session/action_plugins/session_tunnel.py")
    remember(made)
    made.log.write_text("channel 2: open failed: administratively prohibited: open failed")
    with pytest.raises(
        SessionError, match=r"mode jump(?s:.*)administratively prohibited(?s:.*)session_tunnel_mode to login"
    ):
        action.require_an_end(made, {"local_port": closing, "node": "t037", "mode": "jump"})
    assert made.recorded() == {}
    action.require_an_end(made, {"local_port": closing, "node": "t037", "mode": "login"})
