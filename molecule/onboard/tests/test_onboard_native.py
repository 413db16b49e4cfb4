"""Natively: the same cohort, once it is prepared, on ways that take longer: kills, own keys, own environments, site.yml, a job."""

import os
import re
import signal
import threading
import time

import pexpect
import pytest
import yaml
from conftest import ENTRIES, NAMES, PROJECT, SOURCE

BUILDER = "/home/builder/local/miniconda3"
OWN = [f"t-onboard-own{number}" for number in range(4)]


def explicit(minitriton, account, env):
    """What an environment is made of, as a lock."""
    return minitriton("exec", "login", "su", account, "-c", f"{BUILDER}/bin/conda list -p {env} --explicit --md5")


@pytest.fixture
def site(team):
    """Makes a site like Mini-Triton's of its own, with other words in its source and more group variables; returns the source."""

    def make(name, variables=None, **words):
        folder = team.folder / name
        group = folder / "group_vars/triton"
        group.mkdir(parents=True)
        for file in (PROJECT / "inventory/minitriton/group_vars/triton").iterdir():
            (group / file.name).symlink_to(file)
        (group / "more.yml").write_text(yaml.safe_dump(variables or {}))
        source = folder / "users.slipway.yml"
        source.write_text(yaml.safe_dump({**yaml.safe_load(SOURCE.read_text()), **words}))
        return source

    return make


@pytest.fixture
def builds(minitriton):
    """Whose conda was seen to create an environment, each time that one looked, as long as the test runs."""
    seen, done = [], threading.Event()

    def watch():
        while not done.wait(0.3):
            rows = minitriton("exec", "login", "ps", "-eo", "user:32=,args=").splitlines()
            seen.append({row.split()[0] for row in rows if re.search(r"/conda create ", row)})

    thread = threading.Thread(target=watch)
    thread.start()
    yield seen
    done.set()
    thread.join()


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


def test_by_each_ones_own_key_a_profile_that_ends_the_shell_is_told(ready, onboard, users_file, site):
    done = onboard(users_file(ENTRIES[:2], "own.yml"), source=site("own-keys", access="own"))
    assert done.code == 1, done.said
    assert done.outcomes == {"t-onboard-ada": "done", "t-onboard-bashrc": "failed"}
    assert "look for `exit` or `exec` in the account's ~/.bashrc" in done.users["t-onboard-bashrc"]["words"]


def test_the_whole_of_site_yml_starts_nobodys_session(ready, team, mended, jobs, before):
    team.environment["SLIPWAY_USERS"] = str(mended)
    done = team.run("ansible-playbook", "-i", SOURCE, PROJECT / "site.yml", "-l", "triton")
    assert done.code == 0, done.said
    assert all(re.search(rf"minitriton-{name}\b.*changed=0 .*failed=0", done.said) for name in NAMES), done.said
    # The cluster forgets jobs that ended long ago.
    assert set(jobs()) <= set(before)


def test_a_job_in_a_users_name_is_run_where_it_is_asked_for(ready, onboard, mended, jobs, before):
    done = onboard(mended, "--smoke", "--only", "t-onboard-ada,t-onboard-condarc")
    assert done.code == 0, done.said
    assert done.outcomes == {"t-onboard-ada": "done", "t-onboard-condarc": "done"}
    assert len(set(jobs()) - set(before)) == 2


def test_own_environments_are_the_locks_and_built_two_at_a_time(onboard, users_file, team, minitriton, site, builds):
    for name in OWN:
        minitriton("user", name, "--fresh", "--project=demo")
    entries = [{"name": name, "project": "demo", "overrides": {"target_env_name": "mine"}} for name in OWN]
    lock = team.folder / "myenv.txt"
    lock.write_text(explicit(minitriton, "builder", f"{BUILDER}/envs/myenv"))
    source = site("locked", {"conda_env_lock": str(lock)})
    done = onboard(users_file(entries, "own-environments.yml"), source=source)
    assert done.code == 0, done.said
    assert 1 <= max(map(len, builds)) <= 2  # a look every 0.3 s and more may meet no two at once
    assert set().union(*builds) == set(OWN)
    wanted = {line for line in lock.read_text().splitlines() if "://" in line}
    for name in OWN:
        env = f"/home/{name}/.conda/envs/mine"
        assert wanted == {line for line in explicit(minitriton, name, env).splitlines() if "://" in line}


def test_one_user_on_a_bare_cluster_has_what_is_shared_built_first(team, minitriton, users_file, site):
    for name in ("t-onboard-bare", OWN[0]):
        minitriton("user", name, "--fresh", "--project=demo")
    prefix = "/home/t-onboard-bare/local/miniconda3"
    source = site("bare", site="bare", builder="t-onboard-bare", prefix=prefix)
    team.environment["SLIPWAY_USERS"] = str(users_file([{"name": OWN[0], "project": "demo"}], "bare.yml"))
    done = team.run("ansible-playbook", "-i", source, PROJECT / "playbooks/cohort.yml", "--limit", f"bare-{OWN[0]}")
    assert done.code == 0, done.said
    minitriton(
        "exec", "login", "su", OWN[0], "-c", f"{prefix}/envs/myenv/bin/python -I -c 'import jupyterlab, dask_jobqueue'"
    )
    minitriton("exec", "login", "test", "-s", f"/home/{OWN[0]}/.config/slipway/jupyter-password")


def test_on_a_terminal_the_cohort_is_seen_as_it_goes_on(team, minitriton, users_file):
    for name in OWN[:3]:
        minitriton("user", name, "--project=demo")
    users = users_file([{"name": name, "project": "demo"} for name in OWN[:3]], "terminal.yml")
    terminal = pexpect.spawn(
        str(PROJECT / "scripts/onboard"), [str(users), "-i", str(SOURCE)], cwd=str(PROJECT), env=team.environment,
        dimensions=(24, 120), timeout=900, encoding="utf-8",
    )  # fmt: skip
    for words in ("no rate yet", "[12] of 3 .*[0-9]+ users a minute  [0-9]+:[0-9]{2} left", "all done: 3 done"):
        terminal.expect(words)
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 0
