"""A cohort with users who are broken in five ways, from a dry run to their leave."""

import os
import re
import signal
import time

import pytest
import yaml
from conftest import PROJECT, SOURCE

ENTRIES = [
    {"name": "t-onboard-ada", "project": "demo", "overrides": {"dask_walltime": "12:00"}},
    {"name": "t-onboard-bashrc", "project": "demo"},
    {"name": "t-onboard-condarc", "project": "demo"},
    {"name": "t-onboard-full", "project": "demo"},
    {"name": "t-onboard-nohome", "project": "demo"},
    {"name": "t-onboard-project", "project": "nosuch"},
]
NAMES = [entry["name"] for entry in ENTRIES]
WELL, BROKEN = NAMES[:3], NAMES[3:]
# Of all files in the homes, whose they are and when they were written. Ansible has a folder of its own there for each module's time.
STATE = "for u in %s; do [ ! -d /home/$u ] || find /home/$u -name .ansible -prune -o ! -type d -printf '%%p %%u %%m %%T@\\n'; done | sort"


@pytest.fixture(scope="module")
def cohort(users_file):
    return users_file(ENTRIES)


@pytest.fixture(scope="module")
def homes(minitriton):
    return lambda names=NAMES: minitriton("exec", "login", "sh", "-c", STATE % " ".join(names))


@pytest.fixture(scope="module")
def before(jobs):
    return jobs()


@pytest.fixture(scope="module")
def dry(onboard, cohort, homes, before):
    """A dry run, with what it found in the homes."""
    found = homes()
    done = onboard(cohort, "--check")
    done.untouched = homes() == found
    return done


@pytest.fixture(scope="module")
def first(onboard, cohort, dry):
    return onboard(cohort)


@pytest.fixture(scope="module")
def mended(first, minitriton, users_file):
    """Whoever makes accounts has mended them; the team has corrected the project."""
    minitriton("user", "t-onboard-full", "--home-size=100M")
    minitriton("user", "t-onboard-nohome", "--project=demo")
    return users_file([{**entry, "project": "demo"} for entry in ENTRIES])


@pytest.fixture(scope="module")
def second(onboard, mended):
    return onboard(mended)


def test_a_dry_run_asks_everybody_and_touches_nothing(dry):
    assert dry.code == 1, dry.said
    assert dry.untouched
    assert {name for name, outcome in dry.outcomes.items() if outcome == "failed"} == set(BROKEN) - {"t-onboard-full"}


def test_those_who_can_be_prepared_are_and_the_others_are_told(first):
    assert first.code == 1, first.said
    assert first.outcomes == {**dict.fromkeys(WELL, "done"), **dict.fromkeys(BROKEN, "failed")}
    words = {name: first.users[name]["words"] for name in BROKEN}
    assert "takes less than 20 MB, so the quota of t-onboard-full is used up" in words["t-onboard-full"]
    assert "t-onboard-nohome has no home: /home/t-onboard-nohome is not there" in words["t-onboard-nohome"]
    assert "Is the project right, and is t-onboard-project a member of it?" in words["t-onboard-project"]


def test_a_line_for_each_user_where_there_is_no_terminal(first):
    for name, outcome in first.outcomes.items():
        assert re.search(rf"(?m)^{name}: {outcome}\b", first.said)
    assert "not all done: 3 done, 3 failed, 0 stopped" in first.said


@pytest.mark.parametrize("name", BROKEN)
def test_of_those_who_cannot_nothing_was_changed(first, minitriton, name):
    left = minitriton("exec", "login", "sh", "-c", f"ls -A /home/{name} 2>/dev/null || true").split()
    assert set(left) <= {".ansible", ".bash_logout", ".bashrc", ".profile", ".ssh"}


@pytest.mark.parametrize("name", WELL)
def test_a_user_can_import_what_is_shared(first, minitriton, name):
    python = "/home/builder/local/miniconda3/envs/myenv/bin/python"
    minitriton("exec", "login", "su", name, "-s", "/bin/sh", "-c", f"{python} -I -c 'import jupyterlab, dask_jobqueue'")


def test_overrides_are_that_users_alone(first, minitriton):
    said = minitriton(
        "exec",
        "login",
        "grep",
        "-r",
        "walltime",
        "/home/t-onboard-ada/.config/dask",
        "/home/t-onboard-condarc/.config/dask",
    )
    walltimes = dict(
        re.findall(r"(?m)^/home/(t-onboard-\w+)/\S*jobqueue\.yaml: *walltime: [\"']?([\d:]+)[\"']?$", said)
    )
    assert walltimes == {"t-onboard-ada": "12:00", "t-onboard-condarc": "00:10"}


def test_a_condarc_that_is_read_only_keeps_what_is_in_it(first, minitriton):
    said = minitriton(
        "exec", "login", "sh", "-c", "cat /home/t-onboard-condarc/.condarc; stat -c %a /home/t-onboard-condarc/.condarc"
    )
    assert said.startswith("ssl_verify: true\n")
    assert "http://mirror/conda-forge" in said
    assert said.endswith("\n400\n")


def test_no_user_can_read_what_is_anothers(first, minitriton):
    readable = "find /home/t-onboard-ada -mindepth 1 -type f -readable -path '*/.*' ! -name '.bash*' ! -name .profile"
    assert minitriton("exec", "login", "su", "t-onboard-condarc", "-c", f"{readable} 2>/dev/null || true") == ""
    assert (
        minitriton(
            "exec",
            "login",
            "sh",
            "-c",
            "find /home/t-onboard-* ! -user root -printf '%h/%f %u\\n' | grep -v 'home/\\(t-onboard-[a-z]*\\).* \\1$' || true",
        )
        == ""
    )


def test_the_team_never_sees_a_password(first, team, minitriton):
    for name in WELL:
        password = minitriton("exec", "login", "cat", f"/home/{name}/.config/slipway/jupyter-password").strip()
        assert len(password) >= 8
        assert minitriton(
            "exec", "login", "stat", "-c", "%a %U", f"/home/{name}/.config/slipway/jupyter-password"
        ).split() == ["600", name]
        for path in (path for path in first.folder.rglob("*") if path.is_file()):
            assert password not in path.read_text()
        assert password not in first.said


def test_each_run_leaves_a_report_and_a_text_for_each_user(first):
    page = (first.folder / "report.html").read_text()
    assert all(name in page for name in NAMES)
    assert "Is the project right" in page
    assert sorted(path.stem for path in (first.folder / "welcome").iterdir()) == sorted(WELL)
    assert (
        "/home/t-onboard-ada/.config/slipway/jupyter-password"
        in (first.folder / "welcome/t-onboard-ada.txt").read_text()
    )
    assert {path.name for path in first.folder.iterdir()} == {
        "ansible.log",
        "asked.json",
        "report.html",
        "result.json",
        "welcome",
    }


def test_the_same_command_goes_on_and_finds_what_is_done(second):
    assert second.code == 0, second.said
    assert set(second.outcomes.values()) == {"done"}
    assert {name: second.users[name]["changed"] for name in WELL} == dict.fromkeys(WELL, 0)
    assert all(second.users[name]["changed"] for name in BROKEN)


def test_killed_it_goes_on(second, onboard, team, begun, mended, minitriton):
    minitriton("user", "t-onboard-ada", "--fresh", "--project=demo")
    process = begun(mended, "--only", "t-onboard-ada")
    time.sleep(8)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(60)
    done = onboard(mended)
    assert done.code == 0, done.said
    assert "broke off" in team.run(PROJECT / "scripts/onboard", "--list").said


def test_interrupted_it_says_so_and_what_came_of_whom(second, begun, mended):
    process = begun(mended)
    time.sleep(4)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "interrupted: " in said


def test_a_first_user_who_fails_ends_the_run(second, onboard, users_file):
    entries = [{"name": "t-onboard-project", "project": "nosuch"}, *ENTRIES[:3]]
    done = onboard(users_file(entries, "canary.yml"))
    assert done.code == 1, done.said
    assert done.outcomes == {"t-onboard-project": "failed", **dict.fromkeys(WELL, "stopped")}


def test_after_so_many_failures_no_further_batch_is_begun(second, onboard, users_file):
    entries = [ENTRIES[0], {"name": "t-onboard-project", "project": "nosuch"}, *ENTRIES[1:3]]
    done = onboard(users_file(entries, "stop.yml"), "--batch", "1", "--stop-after", "1")
    assert done.code == 1, done.said
    assert list(done.outcomes.values()) == ["done", "failed", "stopped", "stopped"]


def test_by_each_ones_own_key_a_profile_that_ends_the_shell_is_told(second, onboard, users_file, team, state):
    (team.folder / "own").mkdir()
    source = team.folder / "own/users.slipway.yml"
    source.write_text(yaml.safe_dump({**yaml.safe_load(SOURCE.read_text()), "access": "own"}))
    (team.folder / "own/group_vars").symlink_to(PROJECT / "inventory/minitriton/group_vars")
    done = onboard(users_file(ENTRIES[:2], "own.yml"), source=source)
    assert done.code == 1, done.said
    assert done.outcomes == {"t-onboard-ada": "done", "t-onboard-bashrc": "failed"}
    assert "look for `exit` or `exec` in the account's ~/.bashrc" in done.users["t-onboard-bashrc"]["words"]


def test_the_whole_of_site_yml_starts_nobodys_session(second, team, mended, jobs, before):
    team.environment["SLIPWAY_USERS"] = str(mended)
    done = team.run("ansible-playbook", "-i", SOURCE, PROJECT / "site.yml", "-l", "triton")
    assert done.code == 0, done.said
    assert all(re.search(rf"minitriton-{name} .*changed=0 .*failed=0", done.said) for name in NAMES)
    assert jobs() == before


def test_a_job_in_a_users_name_is_run_where_it_is_asked_for(second, onboard, mended, jobs, before):
    done = onboard(mended, "--smoke", "--only", "t-onboard-ada,t-onboard-condarc")
    assert done.code == 0, done.said
    assert done.outcomes == {"t-onboard-ada": "done", "t-onboard-condarc": "done"}
    assert len(set(jobs()) - set(before)) == 2


def test_those_who_leave_lose_what_was_made_and_nothing_else(second, onboard, users_file, minitriton, homes):
    others = homes(NAMES[2:])
    minitriton("exec", "login", "su", "t-onboard-ada", "-c", "echo mine > ~/mine.ipynb")
    leaving = users_file([{**entry, "state": "absent"} for entry in ENTRIES[:2]] + ENTRIES[2:3], "leaving.yml")
    assert onboard(leaving, "--offboard").code == 2
    done = onboard(leaving, "--offboard", "--yes", "2")
    assert done.code == 0, done.said
    assert done.outcomes == dict.fromkeys(NAMES[:2], "done")
    for name in NAMES[:2]:
        left = minitriton(
            "exec",
            "login",
            "sh",
            "-c",
            f"cd /home/{name}; ls .config/slipway .local .jupyter/*.json 2>/dev/null || true",
        )
        assert "jupyter" not in left
        assert "conda initialize" not in minitriton("exec", "login", "cat", f"/home/{name}/.bashrc")
    assert minitriton("exec", "login", "cat", "/home/t-onboard-ada/mine.ipynb") == "mine\n"
    assert homes(NAMES[2:]) == others
    minitriton("exec", "login", "test", "-x", "/home/builder/local/miniconda3/envs/myenv/bin/python")
