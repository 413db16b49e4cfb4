"""Natively: the same cohort, once it is prepared, on ways that take longer: a kill, their own keys, site.yml, a job."""

import os
import re
import signal
import time

import pytest
import yaml
from conftest import ENTRIES, NAMES, PROJECT, SOURCE


@pytest.fixture(scope="module")
def ready(second, onboard, mended):
    """All are prepared, those as well whom test_onboard.py has sent away."""
    done = onboard(mended)
    assert done.code == 0, done.said


def test_killed_it_goes_on(ready, onboard, team, begun, mended, minitriton):
    minitriton("user", "t-onboard-ada", "--fresh", "--project=demo")
    process = begun(mended, "--only", "t-onboard-ada")
    time.sleep(8)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(60)
    done = onboard(mended)
    assert done.code == 0, done.said
    assert "broke off" in team.run(PROJECT / "scripts/onboard", "--list").said


def test_by_each_ones_own_key_a_profile_that_ends_the_shell_is_told(ready, onboard, users_file, team, state):
    (team.folder / "own").mkdir()
    source = team.folder / "own/users.slipway.yml"
    source.write_text(yaml.safe_dump({**yaml.safe_load(SOURCE.read_text()), "access": "own"}))
    (team.folder / "own/group_vars").symlink_to(PROJECT / "inventory/minitriton/group_vars")
    done = onboard(users_file(ENTRIES[:2], "own.yml"), source=source)
    assert done.code == 1, done.said
    assert done.outcomes == {"t-onboard-ada": "done", "t-onboard-bashrc": "failed"}
    assert "look for `exit` or `exec` in the account's ~/.bashrc" in done.users["t-onboard-bashrc"]["words"]


def test_the_whole_of_site_yml_starts_nobodys_session(ready, team, mended, jobs, before):
    team.environment["SLIPWAY_USERS"] = str(mended)
    done = team.run("ansible-playbook", "-i", SOURCE, PROJECT / "site.yml", "-l", "triton")
    assert done.code == 0, done.said
    assert all(re.search(rf"minitriton-{name} .*changed=0 .*failed=0", done.said) for name in NAMES)
    # The cluster forgets jobs that ended long ago.
    assert set(jobs()) <= set(before)


def test_a_job_in_a_users_name_is_run_where_it_is_asked_for(ready, onboard, mended, jobs, before):
    done = onboard(mended, "--smoke", "--only", "t-onboard-ada,t-onboard-condarc")
    assert done.code == 0, done.said
    assert done.outcomes == {"t-onboard-ada": "done", "t-onboard-condarc": "done"}
    assert len(set(jobs()) - set(before)) == 2
