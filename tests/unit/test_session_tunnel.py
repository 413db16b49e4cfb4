"""The tunnel's own decisions, with real ports and real locks; what ssh does is seen in molecule/session."""

import json
import socket
import threading

import pytest
from ansible.module_utils.session import SessionError, tunnel
from ansible.module_utils.session.supervisor import Supervisor
from ansible.module_utils.session.tunnel import Destination, Tunnel, ask_port

END = {"node": "t037", "port": 8888}


@pytest.fixture
def made(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return Tunnel("site-jupyter", Destination("login", "ada"))


@pytest.fixture
def taken():
    """A port that another program listens on; it says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
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


def test_a_port_that_nobody_reads_is_silent(taken):
    assert ask_port(taken, 0.2) == "silent"


def test_a_port_that_nobody_listens_on_refuses(taken):
    assert ask_port(taken + 1, 0.2) == "refused"


def test_a_port_that_closes_without_a_word_is_closed():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=lambda: listener.accept()[0].close(), daemon=True).start()
        assert ask_port(listener.getsockname()[1], 5) == "closed"


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
