# SPDX-License-Identifier: GPL-3.0-or-later
"""What the owner of a shared environment has proven, by the roles themselves: a user's run looks at none of it again."""

import json
import re

import pytest
from role_play import Home

pytest_plugins = ["native_env"]

#: A server extension that notes each process that loads it.
COUNTED = """
import os
with open({file!r}, "a") as file:
    print(os.getpid(), file=file)
def _jupyter_server_extension_points():
    return [{{"module": "counted"}}]
def _load_jupyter_server_extension(app):
    pass
"""


@pytest.fixture
def cohort(env, tmp_path):
    """A user, without a conda, so that a look of theirs fails, and the environment's owner."""
    asked = {
        "shared_builder": "builder",
        "target_env": str(env),
        "conda_env_packages": ["python=3.11", "jupyterlab"],
        "conda_env_imports": ["jupyterlab"],
        "jupyter_server_extensions": ["jupyter_server_proxy", "dask_labextension", "counted"],
    }
    home = Home(tmp_path, "shared", target_user="ada", target_conda="/nowhere", **asked)
    (tmp_path / "roles/miniconda/tasks").mkdir(parents=True)
    (tmp_path / "roles/miniconda/tasks/main.yml").write_text("[]")
    (tmp_path / "play.yml").write_text("- {hosts: all, gather_facts: false, roles: [shared, conda_env, jupyter]}")
    home.owner = tmp_path / "owner"
    home.owner.mkdir()
    listed = json.loads((tmp_path / "hosts.yml").read_text())
    hosts = listed["all"]["hosts"]
    hosts["builder"] = {
        **hosts["home"],
        "target_home": str(home.owner),
        "target_user": "builder",
        "target_conda": str(env.parent / "conda"),
    }
    (tmp_path / "hosts.yml").write_text(json.dumps(listed))
    (packages,) = env.glob("lib/python3*/site-packages")
    file, extension = tmp_path / "loaded", packages / "counted.py"
    extension.write_text(COUNTED.format(file=str(file)))
    home.trials = lambda: len(set(file.read_text().split()))
    yield home
    extension.unlink()


def test_what_its_owner_has_proven_no_user_looks_at(cohort):
    assert cohort.play() == 2  # the server's settings and the password
    assert cohort.trials() == 1
    assert "counted" in (cohort / ".jupyter/jupyter_server_config.json").read_text()


def test_each_user_tries_the_extensions_where_the_owner_has_settings_of_their_own(cohort):
    mine = cohort.owner / ".jupyter/labconfig/page_config.json"
    mine.parent.mkdir(parents=True)
    mine.write_text('{"disabledExtensions": {"dask-labextension": true}}')
    done = cohort.ansible()
    said = " ".join(done.stdout.split())
    # The owner has the pane switched off, which stops the owner's own account alone.
    assert re.search(r"fatal: \[builder\].* does not take it for enabled and OK", said)
    assert "fatal: [home" not in said
    assert (cohort / ".jupyter/jupyter_server_config.json").exists()
    assert cohort.trials() == 2


def test_one_who_asks_for_more_looks_and_is_told(cohort):
    listed = json.loads((cohort.folder / "hosts.yml").read_text())
    listed["all"]["hosts"]["home"]["conda_env_extra_packages"] = ["six"]
    (cohort.folder / "hosts.yml").write_text(json.dumps(listed))
    done = cohort.ansible()
    assert done.returncode == 2
    assert "/nowhere/bin/conda is not there" in done.stdout
