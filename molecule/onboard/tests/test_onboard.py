"""A cohort with users who are broken in five ways, from a dry run to their leave."""

import re
import signal
import time

import pytest
from conftest import BROKEN, ENTRIES, NAMES, WELL


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
    # By root, as nobody else may list them; what lies in a home of mode 0711 could be read by its path all the same.
    find = "cd /home/t-onboard-ada && find $PWD/.condarc $PWD/.config $PWD/.jupyter $PWD/.local $PWD/.ssh -type f"
    files = minitriton("exec", "login", "sh", "-c", find).splitlines()
    assert "/home/t-onboard-ada/.config/slipway/jupyter-password" in files
    look = 'for file; do ! test -r "$file" || echo "$file"; done'
    look_as = ["su", "t-onboard-condarc", "-s", "/bin/sh", "-c", look, "sh"]
    assert minitriton("exec", "login", *look_as, *files) == ""
    assert (
        minitriton(
            "exec",
            "login",
            "sh",
            "-c",
            "find /home/t-onboard-* ! -user root -printf '%h/%f %u\\n' | grep -v 'home/\\(t-onboard-[a-z0-9]*\\).* \\1$' || true",
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
