"""This machine logs in for the tunnel while the job starts: what becomes of that login, whatever becomes of the run."""

import contextlib
import json
from pathlib import Path

import ansible.module_utils
import pytest
from minitriton_fixtures import PROJECT
from test_session import CONDA, SHARED, TUNNEL, URL
from test_session_job_native import finally_works, works
from test_session_native import eventually, tunnel

ansible.module_utils.__path__ += [str(PROJECT / "roles/session/module_utils"), str(PROJECT / "plugins/module_utils")]

from ansible.module_utils.session.master import Destination  # noqa: E402 (found on the path above)
from ansible.module_utils.session.tunnel import Tunnel  # noqa: E402


@pytest.fixture
def given():
    return SHARED


@pytest.fixture(autouse=True)
def closed(playbook):
    """Each test begins without a session, and none outlives it."""
    playbook("playbooks/stop.yml", *CONDA)
    yield
    playbook("playbooks/stop.yml", *CONDA)


def logins(folder=TUNNEL):
    """The processes of this machine's ssh that are the tunnel with this state folder, or about to become it."""
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if f"-E\0{folder}/tunnel.log\0".encode() in process.read_bytes():
                found.append(int(process.parent.name))
    return found


@pytest.fixture
def left(background):
    """The login of a run that was killed while its job started."""
    run = background()
    run.reaches("job ")
    eventually(logins)
    found = logins()
    run.kill()
    assert logins() == found
    return found


def test_it_is_there_before_anybody_knows_where_to_forward_to(session, jobs, recorded):
    works(session(), jobs, recorded)
    assert logins() == [tunnel()["pid"]]
    words = Path(f"/proc/{tunnel()['pid']}/cmdline").read_text().split("\0")
    assert "-N" in words and "-L" not in words


@pytest.mark.fault(28)
def test_what_a_killed_run_had_logged_in_becomes_the_next_ones_tunnel(left, session, jobs, recorded):
    finally_works(session, jobs, recorded)
    assert logins() == left == [tunnel()["pid"]]


@pytest.mark.fault(28)
def test_what_a_killed_run_had_logged_in_otherwise_is_ended(left, session, jobs, recorded, state):
    otherwise = json.dumps({"ansible_ssh_common_args": f"-F {state}/ssh_config -o Compression=yes"})
    finally_works(lambda: session("-e", otherwise), jobs, recorded)
    assert logins() == [tunnel()["pid"]] != left


def test_where_no_job_serves_none_is_left(session):
    code, words = session("-e", json.dumps({"session_server_arguments": ["--no-such-option"]}))
    assert code != 0, words
    assert logins() == []


@pytest.mark.fault(29)
def test_of_two_at_once_one_becomes_the_tunnel_and_the_other_ends(user, state):
    """Neither run has a job that serves: the tunnel is a third one's, who found a login there."""
    tunnels = [
        Tunnel(f"{TUNNEL.name}-twice", Destination("login", user, arguments=f"-F {state}/ssh_config")) for _ in "ab"
    ]
    try:
        with tunnels[0].logging_in(), tunnels[1].logging_in():
            eventually(tunnels[0].socket.exists)
            both = logins(tunnels[0].folder)
            forward = tunnels[0].open(int(URL.rpartition(":")[2]) + 7, {"node": "t037", "port": 8888})
        assert len(both) == 2
        assert logins(tunnels[0].folder) == [tunnels[0].recorded()["pid"]]
        assert tunnels[0].forward() == {"scheme": "http", **forward}
    finally:
        tunnels[0].close()
