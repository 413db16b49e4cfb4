# SPDX-License-Identifier: GPL-3.0-or-later
"""A session in the tutorial's own environment: JupyterLab 2 on the classic notebook server, in a job of the LSF double.

The launcher starts the real server; the role has set the password. It takes a minute, beside what the environment does.
"""

import json
import os
import subprocess
import time

import ansible.module_utils
import pytest
import requests
from jupyter_browser import PASSWORD
from local_ports import free_port
from role_play import PROJECT, Home

ansible.module_utils.__path__ += [str(PROJECT / "plugins/module_utils"), str(PROJECT / "roles/session/module_utils")]

import module_runner  # noqa: E402
from ansible.module_utils.session.probe import Lab, wait_for_api  # noqa: E402
from lsf_cluster import running  # noqa: E402

PATIENCE = 180  # seconds, of which a machine with nothing else to do takes five
SCRIPT = """#!/bin/sh
#BSUB -J jupyter
#BSUB -q interactive
exec {env}/bin/python {folder}/session-{name}.launch.py {folder}/session-{name}.json
"""


@pytest.fixture(scope="module")
def cluster(env, tmp_path_factory):
    """LSF on this machine, as the owner of a home that role jupyter has set up meets it: an environment of the shell."""
    home = Home(
        tmp_path_factory.mktemp("session"), "jupyter", target_env=str(env), target_user="ada", jupyter_password=PASSWORD
    )
    home.play()
    with running(home.folder / "lsf") as lsf, pytest.MonkeyPatch.context() as shell:
        for name in [name for name in os.environ if name.startswith(("JUPYTER", "DASK"))]:
            shell.delenv(name)
        for name, value in {**lsf.env, "HOME": str(home.path)}.items():
            shell.setenv(name, value)
        lsf.folder = home / ".local/state/slipway"
        yield lsf


@pytest.fixture(scope="module")
def start(cluster, env):
    """Starts a session as the playbook does; returns what the module says."""
    module = module_runner.load("roles/session/library/session_job.py")

    def run(name, **changes):
        arguments = {
            "name": name,
            "folder": str(cluster.folder),
            "queue": "interactive",
            "env_prefix": str(env),
            "script": SCRIPT.format(env=env, folder=cluster.folder, name=name),
            "listen": "127.0.0.1",
            "server_port": free_port(),
            "server_arguments": ["--allow-root"],
            "patience": PATIENCE,
            **changes,
        }
        return module_runner.run(module, arguments)

    return run


@pytest.fixture(scope="module")
def said(start):
    """What its job says of itself."""
    done = start("jupyter")
    assert done.get("ready"), done
    return done["connection"]


@pytest.fixture(scope="module")
def url(said):
    return f"http://localhost:{said['port']}"


@pytest.fixture(scope="module")
def token(said, cluster):
    return (cluster.folder / "session-jupyter.token").read_text()


@pytest.fixture(scope="module")
def lab(url, token):
    lab = Lab(url, token)
    wait_for_api(lab, PATIENCE)
    return lab


def test_the_quick_checks_pass(lab):
    assert lab.api() == "Jupyter server 6.0.3 answers"
    assert lab.login() == "it knows this session and asks others for the password"
    assert lab.dashboard_route() == "/proxy/PORT reaches the node's ports"


def test_another_token_does_not_open_it(lab, url):
    for headers in ({"Authorization": "token wrong"}, {}):
        assert requests.get(f"{url}/api/status", headers=headers, timeout=60).status_code == 403


def test_the_password_opens_it_as_well(lab):
    assert lab.password(PASSWORD) == "the password opens JupyterLab"


def test_no_secret_is_in_what_others_may_see_and_its_file_is_the_owners_alone(lab, said, token):
    arguments = subprocess.run(["ps", "-ww", "-eo", "args"], capture_output=True, text=True, check=True, timeout=60)
    assert f"--port={said['port']}" in arguments.stdout
    assert token not in arguments.stdout
    with open(f"/proc/{said['pid']}/environ") as stream:
        environment = dict(word.split("=", 1) for word in stream.read().split("\0") if "=" in word)
    assert token not in "".join(environment.values())
    folder = environment["JUPYTER_CONFIG_PATH"]
    file = os.path.join(folder, "jupyter_notebook_config.json")
    assert [os.stat(path).st_mode & 0o777 for path in (folder, file)] == [0o700, 0o600]
    with open(file) as stream:
        assert json.load(stream) == {"NotebookApp": {"token": token}}


def test_a_socket_which_it_has_not_is_refused_with_the_way_that_it_has(start, cluster, env):
    script = SCRIPT.format(env=env, folder=cluster.folder, name="socket").replace("interactive", "normal")
    done = start("socket", mode="socket", queue="normal", script=script)
    assert done["failed"]
    assert "session_tunnel_mode is socket: the classic notebook server has none" in done["msg"]
    assert "set it to jump" in done["msg"]


def test_an_idle_session_ends_itself_and_leaves_no_token_on_its_node(start, cluster, lab, said):
    """What the role says to jupyter_server 2 is said to the classic server in its own words."""
    cluster("bkill", said["job_id"])
    done = start("idle", server_arguments=["--allow-root", "--ServerApp.shutdown_no_activity_timeout=5"])
    assert done.get("ready"), done
    with open(f"/proc/{done['connection']['pid']}/environ") as stream:
        (folder,) = (
            word.split("=", 1)[1] for word in stream.read().split("\0") if word.startswith("JUPYTER_CONFIG_PATH=")
        )
    assert os.path.exists(folder)
    deadline = time.monotonic() + 600  # Jupyter looks once a minute
    while "No unfinished job" not in cluster("bjobs").stderr:
        assert time.monotonic() < deadline, (cluster.folder / "session-idle.server.log").read_text()
        time.sleep(0.5)
    assert not os.path.exists(folder)
