"""The server's configuration: closed to others, and the password really opens it."""

import json

import pytest

ENV = "/home/builder/local/miniconda3/envs/myenv"


@pytest.fixture
def config(host, home):
    return json.loads(host.file(f"{home}/.jupyter/jupyter_server_config.json").content_string)


def test_the_configuration_is_readable_by_its_owner_alone(host, home):
    assert host.file(f"{home}/.jupyter/jupyter_server_config.json").mode == 0o400


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
    assert "*" not in json.dumps(config["ServerApp"].get("allow_origin", ""))


def test_the_proxy_extension_is_enabled(host):
    assert "jupyter_server_proxy" in host.run(f"{ENV}/bin/jupyter server extension list 2>&1").stdout
