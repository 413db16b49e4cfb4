"""The server's configuration: closed to others, and the password really opens it."""

import json
import os
import re

import pytest

ENV = "/home/builder/local/miniconda3/envs/myenv"


@pytest.fixture
def config(host, home):
    return json.loads(host.file(f"{home}/.jupyter/jupyter_server_config.json").content_string)


@pytest.mark.parametrize("suffix", ["json", "py"])
def test_the_configuration_is_readable_by_its_owner_alone(host, home, suffix):
    assert host.file(f"{home}/.jupyter/jupyter_server_config.{suffix}").mode == 0o400


def test_the_generated_password_is_for_its_owner_alone(host, home):
    password = host.file(f"{home}/.config/slipway/jupyter-password")
    assert password.mode == 0o600
    assert len(password.content_string.strip()) >= 16


def test_the_hash_is_the_passwords(host, home, config):
    hashed = config["IdentityProvider"]["hashed_password"]
    check = "import sys; from jupyter_server.auth.security import passwd_check as c; print(c(sys.argv[1], sys.stdin.read().strip()))"
    said = host.check_output(f"{ENV}/bin/python -c '{check}' '{hashed}' < {home}/.config/slipway/jupyter-password")
    assert said == "True"


def test_only_the_tunnels_address_may_be_an_origin(config):
    assert config["ServerApp"]["allow_origin"] == f"http://localhost:{os.environ['MINITRITON_LOCAL_PORT']}"


@pytest.mark.parametrize("extension", ["jupyter_server_proxy", "dask_labextension"])
def test_an_extension_is_enabled_by_the_users_configuration_and_loads(host, home, extension):
    said = host.check_output(f"{ENV}/bin/jupyter server extension list 2>&1")
    plain = re.sub(r"\x1b\[[0-9;]*m", "", said)
    # One section for each folder of configuration; the environment's own follow the user's.
    (section,) = re.findall(rf"(?ms)^Config dir: {home}/\.jupyter\n(.*?)(?=^Config dir:|\Z)", plain)
    assert re.search(rf"(?m)^ *{extension} enabled$", section)
    assert re.search(rf"(?m)^ *{extension} .*OK$", section)
