# SPDX-License-Identifier: GPL-3.0-or-later
"""The dashboard behind a real JupyterHub whose single-user servers are jobs on the cluster's nodes (the tutorial's TODO)."""

import contextlib
import ipaddress
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

pytest_plugins = ["native_site"]

HUB = Path(__file__).with_name("hub")
LOCK = HUB / "requirements.txt"
PATIENCE = 300  # seconds that the hub or a server may take to answer
# In a kernel of the server's.
LOCAL = """
from dask.distributed import Client, LocalCluster
cluster = LocalCluster(n_workers=1, threads_per_worker=1, memory_limit="1GiB")
"""
LSF = """
from dask.distributed import Client
from dask_jobqueue import LSFCluster
cluster = LSFCluster(config_name="ten-jobs")
cluster.scale(jobs=1)
"""
LOOK = """
import json, socket
client = Client(cluster)
client.wait_for_workers(1, timeout=600)
print(json.dumps({"id": cluster.scheduler.id, "link": cluster.dashboard_link, "host": socket.gethostname()}))
"""


def run(*argv, timeout=600):
    done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def programs(site, state, host, home, playbook, tmp_path_factory):
    """The hub's environment on this machine; what a single-user server needs is put into the user's by the role."""
    if sys.version_info[:2] != (3, 11):
        pytest.fail(
            f"Python {sys.version.split()[0]}: the lock is made for 3.11; PYTHON=python3.11 scripts/setup --all"
        )
    prefix, wheels = tmp_path_factory.mktemp("hub") / "venv", state / "scratch/hub/wheels"
    wheels.mkdir(parents=True, exist_ok=True)
    run(sys.executable, "-m", "venv", prefix)
    run(prefix / "bin/pip", "download", "--quiet", "--require-hashes", "--only-binary=:all:", "-r", LOCK, "-d", wheels)
    offline = ["--no-index", "--find-links", wheels]
    run(prefix / "bin/pip", "install", "--quiet", "--require-hashes", *offline, "-r", LOCK)
    for file in ("package.json", "package-lock.json"):
        shutil.copy(HUB / file, prefix)
    run("npm", "ci", "--prefix", prefix, "--no-audit", "--no-fund", "--ignore-scripts")
    host.check_output(
        f"mkdir -p {home}/.config/pip && "
        f"printf '[install]\\nno-index = true\\nfind-links = /scratch/hub/wheels\\n' > {home}/.config/pip/pip.conf"
    )
    done = playbook(
        "playbooks/onboard.yml", "-e", json.dumps({**site, "conda_env_pip": ["jupyterhub", "batchspawner"]})
    )
    assert done.returncode == 0, done.stdout
    return prefix


def free_port(address="127.0.0.1"):
    with socket.socket() as probe:
        probe.bind((address, 0))
        return probe.getsockname()[1]


class Hub:
    """A running hub, and what its administrator may ask of it."""

    def __init__(self, facts):
        self.facts, self.url, self.user = facts, facts["url"], facts["user"]
        self.headers = {"Authorization": f"token {facts['token']}"}

    def ask(self, method, path):
        answer = requests.request(method, f"{self.url}/hub/api{path}", headers=self.headers, timeout=60)
        assert answer.ok, f"{path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.text else {}

    @contextlib.contextmanager
    def server(self, name):
        """A server of the user's, the default one where it has no name; yields the path of its pages."""
        self.ask("POST", f"/users/{self.user}/servers/{name}")
        try:
            deadline = time.monotonic() + PATIENCE
            while not (now := self.ask("GET", f"/users/{self.user}")["servers"].get(name, {})).get("ready"):
                assert now and time.monotonic() < deadline, f"the server does not come up: {now}"
                time.sleep(1)
            yield now["url"]
        finally:
            self.ask("DELETE", f"/users/{self.user}/servers/{name}")

    def logged_in(self):
        """The user's browser."""
        person = requests.Session()
        person.trust_env = False
        form = person.get(f"{self.url}/hub/login", timeout=60).text
        field = re.search(r'name="_xsrf" value="([^"]+)"', form)[1]
        data = {"username": self.user, "password": self.facts["password"], "_xsrf": field}
        answer = person.post(f"{self.url}/hub/login", data=data, timeout=60, allow_redirects=False)
        assert answer.status_code == 302, answer.text
        return person


@pytest.fixture(scope="module")
def hub(programs, state, cluster, user, minitriton, tmp_path_factory):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
        way.connect((cluster["login_address"], 22))
        here = way.getsockname()[0]  # this machine, as the nodes see it
    compute = [node for node in cluster["nodes"] if node.startswith("t")]
    known = minitriton("exec", "login", "getent", "hosts", *compute).splitlines()
    facts = {
        "url": f"http://127.0.0.1:{free_port()}",
        "hub_url": f"http://{here}:{free_port(here)}",
        "proxy_url": f"http://127.0.0.1:{free_port()}",
        "proxy": str(programs / "node_modules/.bin/configurable-http-proxy"),
        "ssh_config": str(state / "ssh_config"),
        "nodes": {node: line.split()[0] for node, line in zip(compute, known, strict=True)},
        "user": user,
        "password": secrets.token_hex(),
        "token": secrets.token_hex(),
    }
    folder = tmp_path_factory.mktemp("running")
    environment = {
        "PATH": f"{programs}/bin{os.pathsep}{os.environ['PATH']}",
        "HOME": str(folder),
        "HUB": json.dumps(facts),
    }
    log = folder / "hub.log"
    with log.open("w") as out:
        command = [programs / "bin/jupyterhub", "--config", HUB / "jupyterhub_config.py"]
        process = subprocess.Popen(command, env=environment, cwd=folder, stdout=out, stderr=out)
    running = Hub(facts)
    try:
        deadline = time.monotonic() + PATIENCE
        while True:
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            with contextlib.suppress(requests.ConnectionError):
                if requests.get(f"{running.url}/hub/api/", timeout=10).ok:
                    break
            time.sleep(0.5)
        yield running
    finally:
        process.terminate()
        process.wait(60)
        print(log.read_text())  # pytest shows it where a test fails


@pytest.mark.parametrize("name", ["", "named"])
def test_the_dashboard_works_under_the_hub(hub, lab_at, cluster, no_jobs, name):
    """On the server's own node and on ib0: through hub, proxy and node to this very scheduler, and for its user alone."""
    with hub.server(name) as base, lab_at(hub.url + base, hub.facts["token"]).kernel() as run:
        assert base == f"/user/{hub.user}/{name}/".replace("//", "/")
        person = hub.logged_in()
        for code in (LOCAL, LSF):
            run(code)
            seen = json.loads(run(LOOK).splitlines()[-1])
            assert seen["host"] in hub.facts["nodes"]
            link = re.fullmatch(rf"({base}proxy/([\d.]+):\d+)/status", seen["link"])
            assert link, seen
            dashboard, address = hub.url + link[1], link[2]
            on_ib0 = ipaddress.ip_address(address) in ipaddress.ip_network(cluster["ib0_subnet"])
            assert on_ib0 == (code == LSF)

            page = person.get(f"{dashboard}/status", timeout=120)
            assert page.status_code == 200
            assert "bokeh" in page.text.lower()
            identity = person.get(f"{dashboard}/json/identity.json", timeout=60).json()
            assert identity["id"] == seen["id"]
            # What the pane asks before its buttons turn orange.
            plots = person.get(f"{dashboard}/individual-plots.json", timeout=60).json()
            assert "Individual Task Stream" in plots
            assert "/hub/login" in requests.get(f"{dashboard}/status", timeout=60).url
            run("client.close(); cluster.close()")
    no_jobs()
