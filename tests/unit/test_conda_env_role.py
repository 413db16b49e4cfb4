# SPDX-License-Identifier: GPL-3.0-or-later
"""Role conda_env on an account that shares an environment: what its owner has found in this run is not looked for again."""

import hashlib
import json

import pytest
from role_play import Home

ASKED = {
    "conda_env_state": "present",
    "conda_env_packages": ["python=3.11"],
    "conda_env_extra_packages": [],
    "conda_env_channels": [],
    "conda_env_pip": [],
    "conda_env_imports": ["os"],
}


@pytest.fixture
def home(tmp_path):
    """There is no conda, so that whoever looks fails."""
    return Home(
        tmp_path, "conda_env", target_env="/shared/env", target_conda="/nowhere", shared_builder="home", **ASKED
    )


def digest(*packages):
    asked = ["present", [*ASKED["conda_env_packages"], *packages], [], "", "", [], ["os"]]
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()


def test_what_the_owner_has_found_is_not_looked_for_again(home):
    assert home.play(__conda_env_proven={"prefix": "/shared/env", "asked": digest()}) == 0


@pytest.mark.parametrize(
    ("prefix", "asked", "extra"),
    [
        ("/elsewhere", digest(), []),
        ("/shared/env", digest("six"), []),
        ("/shared/env", digest(), ["six"]),
    ],
)
def test_another_environment_or_other_packages_are_looked_for(home, prefix, asked, extra):
    done = home.ansible(__conda_env_proven={"prefix": prefix, "asked": asked}, conda_env_extra_packages=extra)
    assert done.returncode == 2
    assert "/nowhere/bin/conda is not there" in done.stdout
