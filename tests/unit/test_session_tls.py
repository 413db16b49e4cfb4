"""A session whose server speaks https, on the LSF double: it is known by the certificate that its job tells, and by no other."""

import json
import os
import signal
import sys

import pytest
from ansible.module_utils.session.address import ask
from certificates import made, serving
from lsf_cluster import until
from test_session_job import SURVIVING, caller

#: What stands for jupyter-lab: in https it reads its certificate for each connection, as Jupyter's does.
SERVER = """#!{python}
import ssl, sys
sys.path.insert(0, {tests!r})
from certificates import Jupyter
from http.server import ThreadingHTTPServer
options = dict(word.lstrip("-").split("=", 1) for word in sys.argv[1:] if "=" in word)

class Server(ThreadingHTTPServer):
    heard = []
    def get_request(self):
        connection, address = super().get_request()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options["certfile"], options.get("keyfile"))
        return context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address

print("serving", sys.argv[1:], flush=True)
Server((options["ip"], int(options["port"])), Jupyter).serve_forever()
"""


@pytest.fixture
def files(tmp_path):
    return made(tmp_path / "slipway")


@pytest.fixture
def job(lsf, tmp_path, monkeypatch, files):
    """Calls the module for a session in https."""
    run = caller(lsf, tmp_path, monkeypatch)
    server = tmp_path / "env/bin/jupyter-lab"
    server.write_text(SERVER.format(python=sys.executable, tests=os.path.dirname(__file__)))

    def https(**changes):
        return run(**{"certificate": str(files[0]), "certificate_key": str(files[1]), **changes})

    https.folder, https.port = run.folder, run.port
    yield https
    lsf.clear()


def test_a_server_in_https_is_seen_by_the_certificate_that_its_job_tells(job, files):
    done = job()
    assert done["ready"], done
    assert done["verdict"]["name"] == "healthy"
    assert done["connection"]["scheme"] == "https"
    assert done["connection"]["certificate"] == files[0].read_text()


def test_a_key_in_the_certificates_file_stays_there(job, files):
    certificate, key = (path.read_text() for path in files)
    files[0].write_text(key + certificate)
    done = job(certificate_key="")
    assert done["ready"], done
    assert "PRIVATE KEY" not in json.dumps(done)
    assert "PRIVATE KEY" not in (job.folder / "session-jupyter.connection").read_text()


def test_a_certificate_that_is_renewed_counts_for_the_job_that_runs(job, files, tmp_path):
    first = job()
    for old, new in zip(files, made(tmp_path / "renewed"), strict=True):
        new.replace(old)
    said = job.folder / "session-jupyter.connection"
    until(lambda: json.loads(said.read_text())["certificate"] == files[0].read_text())
    second = job()
    assert second["verdict"]["name"] == "healthy"
    assert second["job"]["id"] == first["job"]["id"]


def test_another_certificate_at_the_servers_address_is_refused_with_the_reason(job, tmp_path):
    script = SURVIVING.format(python=sys.executable, folder=job.folder)
    first = job(script=script)
    os.kill(first["connection"]["pid"], signal.SIGKILL)
    until(lambda: ask("127.0.0.1", job.port, "", 5, 5) == "refused")
    with serving(*made(tmp_path / "others"), port=job.port):
        second = job(script=script)
    assert not second["ready"]
    assert (second["verdict"]["name"], second["verdict"]["rung"]) == ("stranger", "person")
    assert "does not show the session's certificate" in second["verdict"]["words"]
    assert "playbooks/stop.yml" in second["verdict"]["words"]


def test_without_its_certificate_the_job_says_what_makes_one(job, files):
    files[0].unlink()
    done = job()
    assert done["failed"]
    assert f"{files[0]}: no certificate (jupyter_tls); playbooks/onboard.yml makes it" in done["msg"]


def test_a_session_of_before_speaks_http(job, files):
    """Neither its record nor its job's words know of certificates."""
    job()
    said = job.folder / "session-jupyter.connection"
    words = {key: value for key, value in json.loads(said.read_text()).items() if key not in ("scheme", "certificate")}
    with serving() as server:
        said.write_text(json.dumps({**words, "port": server.server_port, "node": "127.0.0.1", "pid": 0}))
        assert job(patience=0)["evidence"]["server"] == "answers"
