# SPDX-License-Identifier: GPL-3.0-or-later
"""meta/rules.yml of the roles jupyter and dask: a proxy that is open to strangers, a profile whose jobs can't work."""

import json
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
PLAY = """
- hosts: localhost
  gather_facts: false
  vars: {target_home: /home/account, target_user: account}
  tasks: [{validate_roles: {roles: [target, jupyter, dask]}}]
"""


@pytest.fixture
def validate(tmp_path):
    """Says what is wrong with the roles' variables; '' when nothing is."""
    (tmp_path / "play.yml").write_text(PLAY)
    (tmp_path / "hosts.yml").write_text("all: {hosts: {localhost: {ansible_connection: local}}}\n")

    def run(**variables):
        argv = ["ansible-playbook", "-i", tmp_path / "hosts.yml", tmp_path / "play.yml", "-e", json.dumps(variables)]
        done = subprocess.run(argv, cwd=PROJECT, capture_output=True, text=True, timeout=60, check=False)
        said = " ".join((done.stdout + done.stderr).split())
        assert (done.returncode == 0) == ("with the variables of" not in said), said
        return said if done.returncode else ""

    return run


@pytest.mark.parametrize(
    ("pattern", "preset", "rule"),
    [
        (".*[.]edu", {"memory": "2 gigabytes"}, "a number with its unit"),
        ("t.*", {"walltime": 600}, "hours and minutes in quotes"),
        (r"10\.11\..*", {"cores": 0}, "at least one core"),
        ("[a-z.]+", {"processes": 3}, "(mine); 0 for Dask's own choice"),
        (r"[0-9]+\.[0-9.]+", {"walltime": "00:04"}, "more than twice dask_lifetime_margin (120 s; not so: mine)"),
    ],
    ids=str,
)
def test_a_pattern_that_fits_strangers_and_a_preset_that_does_not_fit_are_refused(validate, pattern, preset, rule):
    good = {"cores": 2, "processes": 2}
    said = validate(jupyter_proxy_hosts=["localhost", pattern], dask_presets={"good": good, "mine": preset})
    assert "jupyter_proxy_hosts: " in said
    assert "expressions of the cluster's own nodes" in said
    assert "dask_presets: " in said
    assert rule in said


def test_what_fits_passes(validate):
    assert not validate(
        jupyter_proxy_hosts=["localhost", r"127\.0\.0\.1", "t[0-9]+", r"10\.11\.[0-9.]+", r"t[0-9]+\.+example"],
        dask_presets={"other": {"cores": 40, "processes": 0, "walltime": "100:00"}, "same": {}},
    )
