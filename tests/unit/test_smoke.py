# SPDX-License-Identifier: GPL-3.0-or-later
"""playbooks/smoke.yml on the LSF double, as an account of this machine."""

from pathlib import Path

import pytest
from lsf_cluster import until
from role_play import Home

PROJECT = Path(__file__).parents[2]
#: What stands for the environment's Python, which is to import what a session needs.
PYTHON = '#!/bin/sh\necho it ran as "$@"\nsleep {seconds}\nexit {code}\n'


@pytest.fixture
def smoke(lsf, tmp_path):
    """Runs the playbook in a home where LSF is by session_lsf_profile alone; returns how it ended."""
    profile = tmp_path / "profile.lsf"
    profile.write_text("".join(f"export {key}='{lsf.env[key]}'\n" for key in ("LSF_ENVDIR", "PATH")))
    python = tmp_path / "env/bin/python"
    python.parent.mkdir(parents=True)
    home = Home(
        tmp_path, "target", target_user="ada", target_env=str(tmp_path / "env"), session_lsf_profile=str(profile)
    )

    def run(*arguments, code=0, seconds=0, **variables):
        python.write_text(PYTHON.format(code=code, seconds=seconds))
        python.chmod(0o755)
        (home.folder / "play.yml").write_text((PROJECT / "playbooks/smoke.yml").read_text())
        return home.ansible(*arguments, **variables)

    run.home = home.path
    yield run
    lsf.clear()


def test_a_job_that_ends_well_is_in_the_queue_of_notebooks(smoke, lsf):
    done = smoke()
    assert done.returncode == 0, done.stdout
    assert lsf("bjobs", "-a", "-noheader", "-o", "queue:20 stat", "-J", "slipway-smoke").stdout.split() == [
        "interactive",
        "DONE",
    ]
    assert not list(smoke.home.glob(".slipway-smoke*"))


def test_a_queue_for_interactive_jobs_only_gets_one(smoke, lsf):
    done = smoke(session_queue="typed")
    assert done.returncode == 0, done.stdout
    assert lsf("bjobs", "-a", "-noheader", "-o", "queue:20 stat", "-q", "typed").stdout.split() == ["typed", "DONE"]


@pytest.mark.parametrize("queue", ["interactive", "typed"])
def test_what_a_job_said_is_told(smoke, queue):
    done = smoke(code=3, session_queue=queue)
    assert done.returncode == 2
    assert "did not end well (exit code 3)" in done.stdout
    assert "it ran as -I -c import jupyterlab" in done.stdout


def test_a_job_that_does_not_start_in_time_is_ended(smoke, lsf):
    first = lsf.submit("-q", "interactive", "sleep", "60")  # one job a user
    lsf.reaches(first, "RUN")
    done = smoke(__smoke_wait=3)
    assert done.returncode == 2
    assert "It was not done in 3 s, and is ended." in done.stdout
    until(lambda: lsf("bjobs", "-noheader", "-o", "jobid").stdout.split() == [first])


def test_an_interactive_job_that_hangs_is_ended(smoke, lsf):
    done = smoke(session_queue="typed", seconds=300, __smoke_wait=5)
    assert done.returncode == 2
    assert "It was not done in 5 s, and is ended." in done.stdout
    until(lambda: not lsf("bjobs", "-noheader", "-o", "jobid").stdout.strip())


def test_a_dry_run_submits_nothing(smoke, lsf):
    before = lsf("bjobs", "-a", "-noheader", "-o", "jobid").stdout
    done = smoke("--check")
    assert done.returncode == 0, done.stdout
    assert lsf("bjobs", "-a", "-noheader", "-o", "jobid").stdout == before
