"""Accounts beside the scenario's own, for homes that are not like it."""

import functools
import os
import subprocess
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import testinfra
import yaml

PROJECT = Path(__file__).parents[3]


class Account:
    """A person on the login node, and the role run for them."""

    def __init__(self, name, state, directory):
        self.name, self.home, self.directory = name, f"/home/{name}", directory
        self.host = testinfra.get_host(f"ssh://{name}@login", ssh_config=str(state / "ssh_config"))

    def sh(self, command):
        """What they type in a login shell; it must succeed."""
        return self.host.check_output("bash -lc %s", command)

    def condarc(self):
        return yaml.safe_load(self.host.file(f"{self.home}/.condarc").content_string)

    def play(self, *arguments, playbook="molecule/miniconda/converge.yml", login=None):
        """Runs a playbook as this account, or as another that logs in; returns all it said, in one line, as Ansible wraps at will."""
        done = subprocess.run(
            ["ansible-playbook", "-i", "inventory/minitriton", playbook, "-l", "triton", *arguments],
            cwd=PROJECT,
            env=os.environ | {
                "MINITRITON_USER": login or self.name,
                "SLIPWAY_CACHE": str(self.directory),
                "ANSIBLE_NOCOLOR": "1",
                "ANSIBLE_FORCE_COLOR": "0",
            },
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=900, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        return " ".join(done.stdout.split())


@pytest.fixture(scope="package")
def new_account(state, tmp_path_factory):
    """Makes an account with an empty home."""

    def make(name):
        argv = [PROJECT / "scripts/minitriton", "user", name, "--fresh", "--project", "demo"]
        subprocess.run(argv, capture_output=True, check=True, timeout=300)
        return Account(name, state, tmp_path_factory.mktemp(name))

    return make


@pytest.fixture(scope="package")
def channel(cluster):
    """The folder on this machine that the mirror serves."""
    build = [PROJECT / "molecule/resources/channel/build", "--arch", cluster["arch"]]
    done = subprocess.run(build, stdout=subprocess.PIPE, text=True, check=True, timeout=600)
    return Path(done.stdout.splitlines()[-1])


class Log(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        self.server.asked.append(self.path)


@pytest.fixture(scope="module")
def web(channel):
    """A web server that this machine alone can reach, as the internet for the nodes of a site that has no way out."""
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Log, directory=channel)) as server:
        server.asked = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()
