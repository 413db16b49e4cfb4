# SPDX-License-Identifier: GPL-3.0-or-later
"""The role jupyter for the classic notebook server: the real notebook 6, from PyPI, as the tutorial configures it."""

import subprocess
import sys
import time
import venv

import pytest
import requests
from jupyter_browser import PASSWORD, logged_in, mode, running
from local_ports import free_port
from role_play import Home

pytestmark = pytest.mark.full

# Old enough to be the classic server, new enough for this Python.
PACKAGES = ["notebook==6.5.7", "nbserverproxy==0.8.8", "setuptools<80"]


@pytest.fixture(scope="module")
def classic(tmp_path_factory):
    prefix = tmp_path_factory.mktemp("classic")
    venv.create(prefix, with_pip=True)
    subprocess.run([prefix / "bin/pip", "install", "--quiet", *PACKAGES], check=True, timeout=600)
    return prefix


@pytest.fixture(scope="module")
def home(classic, tmp_path_factory):
    """A home that the role has configured, as a run and a second one."""
    home = Home(tmp_path_factory.mktemp("account"), "jupyter", target_env=str(classic), target_user="ada")
    variables = {"jupyter_notebook_extensions": ["nbserverproxy"], "jupyter_password": PASSWORD}
    assert home.play("--check", **variables) == 3
    assert not (home / ".jupyter").exists()
    assert home.play(**variables) == 3
    assert home.play(**variables) == 0
    return home


@pytest.fixture(scope="module")
def url(classic, home):
    with running(home, [classic / "bin/jupyter-notebook"]) as address:
        yield f"http://{address}"


@pytest.fixture(scope="module")
def person(url):
    return logged_in(url)


def test_the_tutorials_keys_are_in_one_block_below_what_generate_config_wrote(home):
    text = (home / ".jupyter/jupyter_notebook_config.py").read_text()
    assert text.startswith("# Configuration file for jupyter-notebook.")
    head, block = text.split("# BEGIN slipway\n")
    assert "c.NotebookApp.allow_origin = 'http" not in head
    assert 'c.NotebookApp.allow_origin = "http://localhost:8890"\n' in block
    assert "c.NotebookApp.allow_remote_access = True\n" in block
    assert block.endswith("# END slipway\n")


def test_both_files_are_readable_by_their_owner_alone(home):
    for name in ("jupyter_notebook_config.py", "jupyter_notebook_config.json"):
        assert mode(home / ".jupyter" / name) == "0o400"


def test_the_password_opens_it_and_another_does_not(url, person):
    assert person.get(f"{url}/api/status", timeout=30).ok
    assert requests.get(f"{url}/api/status", timeout=30).status_code == 403


def test_the_dashboards_port_is_reached_through_nbserverproxy(url, person, tmp_path):
    (tmp_path / "status").write_text("bokeh")
    port = free_port()
    page = subprocess.Popen(
        [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", tmp_path],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 30
        while (answer := person.get(f"{url}/proxy/{port}/status", timeout=30)).text != "bokeh":
            assert time.monotonic() < deadline, answer.text
            time.sleep(0.2)
    finally:
        page.kill()
        page.wait()


def test_the_tutorials_looser_values_are_a_variable_away(home):
    home.play(
        jupyter_allow_origin="*",
        session_listen="0.0.0.0",
        jupyter_notebook_extensions=["nbserverproxy"],
        jupyter_password=PASSWORD,
    )
    text = (home / ".jupyter/jupyter_notebook_config.py").read_text()
    assert 'c.NotebookApp.allow_origin = "*"\n' in text
    assert 'c.NotebookApp.ip = "0.0.0.0"\n' in text
