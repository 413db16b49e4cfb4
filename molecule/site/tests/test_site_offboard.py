"""Offboarding, the last thing that happens to this account: what Slipway made goes, what is the user's stays."""

import pytest


@pytest.fixture(scope="module")
def theirs(host, login):
    """What the user has of their own, among ours; returns the id of a job of theirs that has the session's name."""
    host.check_output(
        "mkdir -p ~/notebooks && echo mine > ~/notebooks/a.ipynb && echo 'alias ll=\"ls -l\"' >> ~/.bashrc"
    )
    host.check_output(r"printf '# my settings\nssl_verify: true\n' >> ~/.condarc")
    host.check_output(r"printf '# my clusters\nscheduler:\n  work-stealing: true\n' >> ~/.config/dask/distributed.yaml")
    return login("bsub -J jupyter -q normal sleep 3600").split("<")[1].split(">")[0]


@pytest.mark.parametrize("arguments", [[], ["-e", "offboard_confirm=somebody"]])
def test_it_asks_whose_home_it_is(playbook, host, home, user, arguments):
    done = playbook("playbooks/offboard.yml", *arguments)
    assert done.returncode != 0
    assert f"-e offboard_confirm={user}" in " ".join(done.stdout.split())
    assert host.file(f"{home}/local/miniconda3/bin/conda").exists


def test_a_check_run_tells_and_removes_nothing(playbook, host, home, user, theirs):
    state = "cd; find .condarc .bashrc .jupyter .config .local/state -type f -not -name '*.log' | sort | xargs md5sum"
    before = host.check_output(state)
    done = playbook("playbooks/offboard.yml", "--check", "--diff", "-e", f"offboard_confirm={user}")
    assert done.returncode == 0, done.stdout
    assert "-jupyterlab " in done.stdout
    assert host.check_output(state) == before
    assert host.file(f"{home}/local/miniconda3/envs/myenv/bin/python").exists


@pytest.fixture(scope="module")
def gone(playbook, user, theirs):
    done = playbook("playbooks/offboard.yml", "-e", f"offboard_confirm={user}")
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_what_slipway_made_is_gone(gone, host, home):
    assert not host.file(f"{home}/local/miniconda3").exists
    assert "conda initialize" not in host.check_output("cat ~/.bashrc")
    left = host.check_output("cd; grep -rl slipway .jupyter .config .local .bashrc .profile --exclude='*~' || true")
    assert left == ""
    for name in (".jupyter/jupyter_server_config.json", ".config/slipway/jupyter-password"):
        assert not host.file(f"{home}/{name}").exists


def test_the_session_is_ended_and_no_other_job(gone, login, theirs):
    assert login("bjobs -noheader -o jobid").split() == [theirs]
    login(f"bkill {theirs}")


def test_what_is_the_users_stays_to_the_byte(gone, host, home):
    assert host.file(f"{home}/notebooks/a.ipynb").content_string == "mine\n"
    assert 'alias ll="ls -l"' in host.check_output("cat ~/.bashrc")
    assert host.file(f"{home}/.condarc").content_string == "# my settings\nssl_verify: true\n"
    dask = host.file(f"{home}/.config/dask/distributed.yaml").content_string
    assert dask.endswith("# my clusters\nscheduler:\n  work-stealing: true\n")
    assert "dashboard" not in dask.replace("#   dashboard", "")


def test_a_second_run_finds_nothing_to_do(gone, playbook, user):
    done = playbook("playbooks/offboard.yml", "-e", f"offboard_confirm={user}")
    assert done.returncode == 0, done.stdout
    assert "changed=0" in done.stdout


def test_the_plan_for_the_bare_account_tells_each_step_once(gone, playbook):
    done = playbook("site.yml", "--check", "--diff")
    assert done.returncode == 0, done.stdout
    words = " ".join(done.stdout.split())
    for step in ("miniconda: install conda into", "conda_env: make the environment", "session: submit this job"):
        assert words.count(step) == 1, words
