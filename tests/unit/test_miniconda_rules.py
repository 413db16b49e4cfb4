# SPDX-License-Identifier: GPL-3.0-or-later
"""roles/miniconda/meta/rules.yml: what would run unverified, show a password or break a licence stops on the controller."""

import json
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
SUM = "0" * 64


@pytest.fixture
def validate(tmp_path):
    """Says what is wrong with the role's variables; '' when nothing is."""

    def run(**variables):
        (tmp_path / "play.yml").write_text(
            json.dumps(
                [
                    {
                        "hosts": "localhost",
                        "gather_facts": False,
                        "vars": {"target_home": "/home/account", "target_user": "account"},
                        "tasks": [{"name": "Judge", "validate_roles": {"roles": ["target", "miniconda"]}}],
                    }
                ]
            )
        )
        (tmp_path / "hosts.yml").write_text("all: {hosts: {localhost: {ansible_connection: local}}}\n")
        argv = ["ansible-playbook", "-i", tmp_path / "hosts.yml", tmp_path / "play.yml", "-e", json.dumps(variables)]
        done = subprocess.run(argv, cwd=PROJECT, capture_output=True, text=True, timeout=60)
        said = " ".join((done.stdout + done.stderr).split())
        assert (done.returncode == 0) == ("1 problem with" not in said), said
        return said if done.returncode else ""

    return run


@pytest.mark.parametrize(
    ("variables", "rule"),
    [
        ({"miniconda_installer_url": "https://x.org/latest.sh"}, "needs its sha256 beside it"),
        ({"miniconda_verify": False}, "the pinned ones have their sha256"),
        ({"miniconda_base_url": "https://ada:secret@mirror.org/conda"}, "process list"),
        ({"miniconda_proxy": "http://ada:secret@proxy.org:3128"}, "process list"),
        ({"miniconda_source": "file"}, "set for miniconda_source: file"),
        ({"miniconda_installer_file": "/opt/installer.sh"}, "set for miniconda_source: file"),
        ({"miniconda_source": "controller", "ansible_become": True}, "a folder that it can write to and they can read"),
        ({"miniconda_channels": ["conda-forge", "defaults"]}, "once you have read the terms"),
        ({"miniconda_channels": ["https://repo.anaconda.com/pkgs/main"]}, "once you have read the terms"),
        ({"target_conda_prefix": "/scratch/conda/"}, "or a slash at the end"),
        ({"target_env_prefix": "/scratch/env/"}, "or a slash at the end"),
        ({"miniconda_condarc": {"channels": ["bioconda"]}}, "miniconda_channels"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_refused(validate, variables, rule):
    assert rule in validate(**variables)


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"miniconda_installer_url": "https://x.org/latest.sh", "miniconda_verify": False},
        {"miniconda_installer_url": "https://x.org/a.sh", "miniconda_installer_sha256": SUM},
        {"miniconda_source": "file", "miniconda_installer_file": "/opt/installer.sh"},
        {"miniconda_source": "controller", "ansible_become": True, "miniconda_staging": "/scratch/support"},
        {"miniconda_proxy": "http://proxy.org:3128"},
        {"miniconda_channels": ["conda-forge", "defaults"], "miniconda_accept_tos": True},
        {"miniconda_channels": ["https://mirror.org/conda-forge"]},
    ],
    ids=str,
)
def test_fine(validate, variables):
    assert validate(**variables) == ""
