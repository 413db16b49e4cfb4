"""What a playbook is told of a session's checks. The server and ssh are as small as they can be; molecule/session has the real ones."""

import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from module_runner import run_action

TOKEN = "a-token"


class Server(BaseHTTPRequestHandler):
    """Jupyter without its proxy: that path is an unknown page."""

    def do_GET(self):
        pages = {"/api": '{"version": "2.0.0"}', "/api/status": "{}", "/login": '<input name="password">'}
        known = self.path != "/api/status" or self.headers["Authorization"] == f"token {TOKEN}"
        body = pages.get(self.path, "") if known else ""
        self.send_response((200 if self.path in pages else 404) if known else 403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def probe(tmp_path, monkeypatch):
    """Calls the action; ssh runs its last word here."""
    ssh = tmp_path / "ssh"
    ssh.write_text('#!/bin/sh\nfor word; do :; done\nexec sh -c "$word"\n')
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    (tmp_path / "token").write_text(TOKEN)
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        arguments = {"name": "site-jupyter", "host": "login", "url": url, "token_file": str(tmp_path / "token")}
        yield lambda **changes: run_action("session_probe", {**arguments, "server_patience": 0, **changes})
        server.shutdown()


def test_each_check_that_passes_is_told_with_its_evidence(probe):
    done = probe(checks=["api", "login"])
    assert done["healthy"]
    assert [(check["check"], check["msg"]) for check in done["asked"]] == [
        ("api", "Jupyter server 2.0.0 answers"),
        ("login", "it knows this session and asks others for the password"),
    ]


def test_the_first_check_that_does_not_pass_is_the_last_and_says_what_to_do(probe):
    done = probe(checks=["api", "dashboard_route", "local_cluster"])
    assert [(check["check"], check["healthy"]) for check in done["asked"]] == [
        ("api", True),
        ("dashboard_route", False),
    ]
    assert not done["healthy"]
    assert "check dashboard_route: " in done["msg"]
    assert "jupyter-server-proxy is not at work" in done["msg"]
    assert "run playbooks/onboard.yml" in done["msg"]


def test_a_server_that_does_not_answer_fails_the_first_check(probe):
    done = probe(checks=["api", "login"], url="http://127.0.0.1:1")
    assert [(check["check"], check["healthy"]) for check in done["asked"]] == [("api", False)]
    assert "does not answer" in done["msg"]
