"""A session whose server speaks https (jupyter_tls), from site.yml to its end; and another certificate than its own, refused.

Needs many runs of the playbook. Later tests go on from where earlier ones ended.
"""

import json
import os
import signal

import pytest
import requests
from minitriton_fixtures import PROJECT
from test_session import CONDA, TUNNEL, api, seconds_until_healthy
from test_session_native import eventually, supervisor, tunnel

URL = f"https://localhost:{os.environ['MINITRITON_LOCAL_PORT']}"
TLS = (*CONDA, "-e", "jupyter_tls=true")
CERTIFICATE = TUNNEL / "certificate.pem"
TRUSTING = {"verify": str(CERTIFICATE)}
FILES = ("jupyter.crt", "jupyter.key")


@pytest.fixture(scope="module", autouse=True)
def site(playbook, host, home):
    """site.yml has run, in place of a session in http. The account is left as it was: with a server in http, and no session."""
    playbook("playbooks/stop.yml", *CONDA)
    done = playbook("site.yml", *TLS)
    assert done.returncode == 0, done.stdout
    yield " ".join(done.stdout.split())
    playbook("playbooks/stop.yml", *TLS)
    done = playbook("playbooks/onboard.yml", *CONDA)
    assert done.returncode == 0, done.stdout
    # Of the workers, in the folder where test_session.py wants files alone.
    host.check_output(f"rm -rf {home}/.local/state/slipway/dask-logs")


@pytest.fixture
def given():
    return TLS


@pytest.fixture
def shown(host, home):
    """The fingerprint of the account's certificate, as OpenSSL has it on the login node."""
    said = host.check_output(f"openssl x509 -noout -fingerprint -sha256 -in {home}/.config/slipway/jupyter.crt")
    return said.split("=")[1].strip()


@pytest.fixture
def launcher(host, home, minitriton):
    """Stops the job's launcher, or lets it go on: while it stands still it has no news of its server."""
    said = json.loads(host.check_output(f"cat {home}/.local/state/slipway/session-jupyter.connection"))
    pid = minitriton("exec", "t037", "ps", "-o", "ppid=", "-p", str(said["pid"])).strip()
    return lambda number: minitriton("exec", "t037", "kill", f"-{number}", pid)


def test_site_yml_ends_at_an_address_in_https_and_tells_the_fingerprint(site, shown):
    assert f"JupyterLab: {URL}" in site
    assert shown in site
    assert "/proxy/PORT reaches the node" in site


def test_a_browser_gets_in_by_the_certificate_on_this_machine_and_by_no_authority():
    assert "version" in api(URL, **TRUSTING).json()
    assert CERTIFICATE.stat().st_mode & 0o777 == 0o600
    with pytest.raises(requests.exceptions.SSLError):
        api(URL, verify=True)
    with pytest.raises(requests.ConnectionError):
        requests.get(URL.replace("https", "http"), timeout=10)


def test_a_second_run_changes_nothing_and_the_full_checks_pass(session):
    code, words = session("-e", "session_checks=full", "-e", "session_check_patience=900")
    assert code == 0, words
    assert "changed=0" in words
    for part in (
        "the password opens JupyterLab",
        f"a LocalCluster computes, its dashboard is {URL}/proxy/",
        "an LSFCluster computes",
    ):
        assert part in words


def test_status_and_the_login_nodes_own_command_have_the_address(playbook, login, shown, tmp_path):
    done = playbook("playbooks/status.yml", *TLS, "-e", f"session_status_file={tmp_path}/status.json")
    assert done.returncode == 0, done.stdout
    status = json.loads((tmp_path / "status.json").read_text())
    assert (status["verdict"]["name"], status["server"], status["url"]) == ("healthy", "answers", URL)
    said = login("~/.local/bin/slipway status")
    assert f"Then open {URL}\n" in said
    assert shown in said


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP])
def test_the_supervisor_replaces_a_killed_or_frozen_tunnel(fault):
    eventually(lambda: supervisor()["verdict"] == "healthy")
    before = tunnel()
    os.kill(before["pid"], fault)
    assert seconds_until_healthy(URL, 120, **TRUSTING) <= 40
    # It is known a moment after the tunnel carries.
    eventually(lambda: tunnel().get("pid", before["pid"]) != before["pid"])
    assert tunnel()["local_port"] == before["local_port"]


def test_another_certificate_at_the_address_is_refused_until_the_job_says_that_it_is_its_own(
    session, playbook, host, home, launcher, shown
):
    """As a stranger's server would: it shows a certificate with the same names, which the session's job knows nothing of."""
    folder, work = f"{home}/.config/slipway", f"{home}/.config/slipway/tests-other"
    make = (PROJECT / "roles/jupyter/files/certificate.sh").read_text()
    host.check_output("sh -c %s sh %s %s other %s", make, *(f"{work}/{name}" for name in FILES), work)
    before = tunnel()["pid"]
    launcher("STOP")
    try:
        host.check_output(" && ".join(f"mv {work}/{name} {folder}/{name}" for name in FILES))
        eventually(lambda: supervisor()["verdict"] == "stranger")
        with pytest.raises(requests.exceptions.SSLError):
            api(URL, **TRUSTING)
        code, words = session()
        assert code != 0
        assert "does not show the session's certificate: it is not its server" in words
        assert "tell nobody there your password, and run playbooks/stop.yml first" in words
        status = playbook("playbooks/status.yml", *TLS)
        assert status.returncode == 0, status.stdout
        assert "shows another certificate" in " ".join(status.stdout.split())
        assert tunnel()["pid"] == before
    finally:
        launcher("CONT")
    # It is the account's own: from now on the job says so.
    new = host.check_output(f"cat {folder}/jupyter.crt")
    said = f"{home}/.local/state/slipway/session-jupyter.connection"
    eventually(lambda: json.loads(host.check_output(f"cat {said}"))["certificate"].strip() == new.strip())
    code, words = session()
    assert code == 0, words
    assert shown not in words
    assert "version" in api(URL, **TRUSTING).json()
    eventually(lambda: supervisor()["verdict"] == "healthy")


def test_https_goes_through_a_unix_socket_as_well(playbook, session):
    playbook("playbooks/stop.yml", *TLS)
    assert not CERTIFICATE.exists()
    code, words = session("-e", "session_tunnel_mode=auto")
    assert code == 0, words
    assert tunnel()["mode"] == "socket"
    assert "version" in api(URL, **TRUSTING).json()
