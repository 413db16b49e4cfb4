# SPDX-License-Identifier: GPL-3.0-or-later
"""The role dask by ansible-playbook, on a folder that stands for a home: what Dask would read, and how often it's written."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

PROJECT = Path(__file__).parents[2]
PLAY = """
- hosts: home
  gather_facts: false
  roles: [dask]
"""
# The tutorial's first LSFCluster.
TUTORIAL = {
    "dask_queue": "normal",
    "dask_cores": 40,
    "dask_memory": "20GB",
    "dask_walltime": "00:10",
    "dask_interface": "ib0",
}


@pytest.fixture
def home(tmp_path):
    """A home on this machine, reached without ssh; the role target would look at the tester's own."""
    (tmp_path / "roles/target/tasks").mkdir(parents=True)
    (tmp_path / "roles/target/tasks/main.yml").write_text("[]")
    (tmp_path / "play.yml").write_text(PLAY)
    host = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "target_home": str(tmp_path / "home"),
    }
    (tmp_path / "hosts.yml").write_text(json.dumps({"all": {"hosts": {"home": host}}}))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def play(home, *arguments, **variables):
    command = [
        Path(sys.executable).with_name("ansible-playbook"),
        "-i",
        home.parent / "hosts.yml",
        home.parent / "play.yml",
    ]
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"),
        "ANSIBLE_ROLES_PATH": f"{home.parent}/roles:{PROJECT}/roles",
    }
    result = subprocess.run(
        [*command, *arguments, "-e", json.dumps(variables)],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    (recap,) = (line for line in result.stdout.splitlines() if line.startswith("home ") and "ok=" in line)
    return int(recap.split("changed=")[1].split()[0])


def test_the_tutorials_profile_is_written_once(home):
    scratch = home / "scratch/ada/tmp"
    variables = {**TUTORIAL, "dask_local_directory": str(scratch)}
    assert play(home, "--check", **variables) == 1
    assert list(home.iterdir()) == []
    assert play(home, **variables) == 1
    assert play(home, **variables) == 0

    read = {path.stem: yaml.safe_load(path.read_text()) for path in (home / ".config/dask").iterdir()}
    logs = home / ".local/state/slipway/dask-logs"
    assert read == {
        "distributed": {"distributed": {"dashboard": {"link": "/proxy/{port}/status"}}},
        "labextension": {"labextension": {"factory": {"module": "dask_jobqueue", "class": "LSFCluster"}}},
        "jobqueue": {
            "jobqueue": {
                "lsf": {
                    "name": "dask-worker",
                    "queue": "normal",
                    "cores": 40,
                    "processes": 1,
                    "memory": "20GB",
                    "walltime": "00:10",
                    "lsf-units": "mb",
                    "use-stdin": True,
                    "interface": "ib0",
                    "death-timeout": 60,
                    "local-directory": str(scratch),
                    "log-directory": str(logs),
                }
            }
        },
    }
    assert [oct(path.stat().st_mode & 0o777) for path in (scratch, logs)] == ["0o700", "0o700"]


def test_a_site_without_ib0_scratch_and_projects(home):
    play(home, dask_log_directory="")
    lsf = yaml.safe_load((home / ".config/dask/jobqueue.yaml").read_text())["jobqueue"]["lsf"]
    assert not lsf.keys() & {"queue", "project", "interface", "local-directory", "log-directory"}
    assert not (home / ".local").exists()


def test_what_the_user_keeps(home):
    mine = home / ".config/dask/jobqueue.yaml"
    mine.parent.mkdir(parents=True)
    mine.write_text("jobqueue:\n  lsf:\n    walltime: 02:00  # long jobs\n    project: thesis\n")
    play(home, **TUTORIAL, dask_keep=["jobqueue.lsf.walltime"])
    lsf = yaml.safe_load(mine.read_text())["jobqueue"]["lsf"]
    # Kept by its name, kept since the site says nothing, replaced.
    assert (lsf["walltime"], lsf["project"], lsf["cores"]) == ("02:00", "thesis", 40)
    assert "# long jobs" in mine.read_text()


def test_values_of_the_command_line_keep_their_types(home):
    play(home, "-e", "dask_cores=40 dask_use_stdin=false")
    lsf = yaml.safe_load((home / ".config/dask/jobqueue.yaml").read_text())["jobqueue"]["lsf"]
    assert (lsf["cores"], lsf["use-stdin"]) == (40, False)
