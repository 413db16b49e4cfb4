"""Natively: twenty-five users of whom five are broken, on a stock sshd; ten kills; two operators at once."""

import os
import signal
import threading
import time
from collections import Counter

import pytest
from conftest import PROJECT, SOURCE

MANY = [f"t-onboard-m{number:02}" for number in range(25)]
FIVE = MANY[:5]
FULL, NOHOME, PROJECTLESS, CONDARC, BASHRC = MANY[5:10]


@pytest.fixture(scope="module")
def fresh(minitriton):
    def make(names):
        for name in names:
            minitriton("user", name, "--fresh", "--project=demo")

    return make


@pytest.fixture(scope="module")
def many(fresh, minitriton, users_file):
    """The users file of the twenty-five."""
    fresh(MANY)
    minitriton("user", FULL, "--home-size=12M")
    minitriton("exec", "login", "rm", "-rf", f"/home/{NOHOME}")
    spoil = "cd /home/{0} && echo '{1}' > {2} && chown {0} {2} && chmod {3} {2}"
    minitriton("exec", "login", "sh", "-c", spoil.format(CONDARC, "ssl_verify: true", ".condarc", "0400"))
    minitriton("exec", "login", "sh", "-c", spoil.format(BASHRC, "echo hello; exit 3", ".bashrc", "0644"))
    projects = {PROJECTLESS: "nosuch"}
    return users_file([{"name": name, "project": projects.get(name, "demo")} for name in MANY], "many.yml")


@pytest.fixture
def sessions(minitriton):
    """Counts the sessions that sshd has on the login node for the team's account, as long as the test runs."""
    most, done = Counter(), threading.Event()

    def watch():
        while not done.wait(1):
            rows = [
                row.split() for row in minitriton("exec", "login", "ps", "-eo", "pid=,ppid=,user=,comm=").splitlines()
            ]
            doors = {pid for pid, _, user, command in rows if (user, command) == ("support", "sshd")}
            now = Counter(parent for _, parent, _, _ in rows if parent in doors)
            most["a connection"] = max(most["a connection"], *now.values(), 0)
            most["looks"] += 1

    thread = threading.Thread(target=watch)
    thread.start()
    yield most
    done.set()
    thread.join()


def test_twenty_with_five_broken_ones_among_them_are_done(onboard, many):
    done = onboard(many, "--stop-after", "0")
    assert done.code == 1, done.said
    broken = {name for name, outcome in done.outcomes.items() if outcome != "done"}
    # A condarc that is read-only is brought up to date, and who becomes a user does not meet their .bashrc.
    assert broken == {FULL, NOHOME, PROJECTLESS}
    assert done.result["counts"] == {"done": 22, "failed": 3, "stopped": 0}


def test_a_stock_sshd_has_at_most_eight_sessions_whatever_the_forks(many, team, minitriton, sessions):
    assert "MaxSessions" not in minitriton(
        "exec", "login", "sh", "-c", "grep -rhE '^ *Max' /etc/ssh/sshd_config* || true"
    )
    team.environment["SLIPWAY_USERS"] = str(many)
    done = team.run("ansible-playbook", "-f", "25", "-i", SOURCE, PROJECT / "playbooks/onboard.yml")
    assert "failed=0" in done.said
    assert sessions["looks"] > 5
    assert 4 < sessions["a connection"] <= 8


@pytest.mark.parametrize("seconds", [1, 3, 5, 7, 9, 11, 14, 17, 20, 24])
def test_killed_at_any_point_it_goes_on(onboard, begun, fresh, users_file, seconds):
    fresh(FIVE)
    five = users_file([{"name": name, "project": "demo"} for name in FIVE], "five.yml")
    process = begun(five)
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(60)
    done = onboard(five)
    assert done.code == 0, done.said


def test_two_operators_at_once_do_not_harm_each_other(team, fresh, users_file, minitriton):
    fresh(FIVE)
    five = users_file([{"name": name, "project": "demo"} for name in FIVE], "five.yml")
    both = [team.start(PROJECT / "scripts/onboard", five, "-i", SOURCE) for _ in range(2)]
    for process in both:
        said, _ = process.communicate(timeout=600)
        assert process.returncode == 0, said
    for name in FIVE:
        config = f"/home/{name}/.jupyter/jupyter_server_config.json"
        minitriton("exec", "login", "/home/builder/local/miniconda3/bin/python", "-m", "json.tool", config)
        assert (
            minitriton("exec", "login", "grep", "-c", "^# >>> conda initialize", f"/home/{name}/.bashrc").strip() == "1"
        )
