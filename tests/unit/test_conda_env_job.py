# SPDX-License-Identifier: GPL-3.0-or-later
"""A command as a job on the LSF double: its result, and what becomes of it when somebody is killed or time runs out."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ansible.module_utils.conda_env import CondaEnvError
from ansible.module_utils.conda_env import job as subject
from ansible.module_utils.lsf import command_job
from lsf_cluster import until

#: A run of its own, to be killed.
RUN = """\
import json, sys, time
sys.path.insert(0, {tests!r})
import conftest
from ansible.module_utils.conda_env import job
argv, options = json.loads(sys.argv[1])
print(job.run_as_job(argv, {{"PATH": "/usr/bin:/bin"}}, time.monotonic() + 60, "", options))
"""


@pytest.fixture
def job(lsf, tmp_path, monkeypatch):
    """Calls the function as the module does; ``job.left`` and ``job.killed`` are its other ways."""
    for name, value in lsf.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(command_job, "POLL", 0.2)
    folder = tmp_path / ".myenv.slipway"
    folder.mkdir()
    plain = {
        "folder": str(folder),
        "request": "1",
        "name": "conda_env",
        "queue": "normal",
        "project": "",
        "walltime": "1:00",
        "profile": "",
    }

    def run(*argv, env=None, stdin="", within=60, **options):
        environment = {"PATH": "/usr/bin:/bin", **(env or {})}
        return subject.run_as_job(list(argv), environment, time.monotonic() + within, stdin, {**plain, **options})

    def killed(*argv, when):
        """Starts a run of the command, and kills it when the condition holds."""
        argument = json.dumps([argv, plain])
        code = RUN.format(tests=str(Path(__file__).parent))
        controller = subprocess.Popen([sys.executable, "-c", code, argument])
        try:
            until(when)
        finally:
            controller.send_signal(signal.SIGKILL)
            controller.wait()

    run.folder, run.killed = folder, killed
    run.left = lambda **options: subject.left_behind({**plain, **options})
    run.asked = lambda: json.loads((folder / "job.json").read_text())
    yield run
    lsf.clear()


def unfinished(lsf):
    return lsf("bjobs", "-noheader", "-o", "jobid").stdout.split()


def started(lsf):
    """How many jobs there have been."""
    return len(lsf("bjobs", "-a", "-noheader", "-o", "jobid").stdout.split())


def test_the_command_gets_its_input_and_gives_code_and_both_outputs(job):
    done = job("sh", "-c", "cat; echo $WORD; echo bad >&2; exit 3", stdin="in\n", env={"WORD": "ä"})
    assert done == (3, "in\nä\n", "bad\n")
    assert list(job.folder.iterdir()) == []
    assert job.left() == ""


def test_the_commands_environment_is_what_was_given_and_no_login_nodes_tmp(job, monkeypatch):
    monkeypatch.setenv("CONDA_PREFIX", "/elsewhere")
    monkeypatch.setenv("TMPDIR", "/tmp/of-the-login-node")
    _, out, _ = job("env", env={"WORD": "x", "TMPDIR": "/tmp/of-the-login-node"})
    assert sorted(out.splitlines()) == ["PATH=/usr/bin:/bin", "WORD=x"]


def test_what_the_job_makes_is_readable_by_the_group_and_its_environment_by_nobody_else(job, tmp_path):
    job("sh", "-c", f"touch {tmp_path}/made; ls -l job.json job.out > {tmp_path}/modes")
    assert (tmp_path / "made").stat().st_mode & 0o777 == 0o644
    assert [line[:10] for line in (tmp_path / "modes").read_text().splitlines()] == ["-rw-------"] * 2


def test_the_job_is_what_the_variables_say(job, lsf):
    job.killed("sleep", "300", when=lambda: unfinished(lsf))
    said = lsf("bjobs", "-noheader", "-o", "job_name queue job_description delimiter='^'").stdout.split("^")
    assert said[:2] == ["conda_env", "normal"]
    assert said[2].startswith("slipway conda_env ")


def test_the_job_of_a_killed_run_is_waited_for_and_not_doubled(job, lsf, tmp_path):
    argv = ["sh", "-c", f"echo once >> {tmp_path}/count; while [ ! -e {tmp_path}/go ]; do sleep 0.1; done; echo done"]
    before = started(lsf)
    job.killed(*argv, when=(tmp_path / "count").exists)
    (tmp_path / "go").touch()
    assert job(*argv) == (0, "done\n", "")
    assert (tmp_path / "count").read_text() == "once\n"
    assert started(lsf) == before + 1


def test_killed_before_lsfs_answer_came_the_job_is_found_by_its_nonce(job, lsf, tmp_path):
    argv = ["sh", "-c", f"echo once >> {tmp_path}/count; sleep 3; echo done"]
    job.killed(*argv, when=(tmp_path / "count").exists)
    asked = job.asked()
    del asked["id"]
    (job.folder / "job.json").write_text(json.dumps(asked))
    assert job(*argv) == (0, "done\n", "")
    assert (tmp_path / "count").read_text() == "once\n"


def test_a_result_that_nobody_has_read_is_not_made_again(job, lsf, tmp_path):
    argv = ["sh", "-c", f"echo once >> {tmp_path}/count; sleep 1; echo done; exit 4"]
    job.killed(*argv, when=(tmp_path / "count").exists)
    until((job.folder / "job.rc").exists)
    assert job(*argv) == (4, "done\n", "")
    assert (tmp_path / "count").read_text() == "once\n"


@pytest.mark.parametrize("change", ["the command", "the request"])
def test_a_killed_runs_job_that_does_something_else_is_ended_by_its_id(job, lsf, tmp_path, change):
    argv = ["sh", "-c", f"[ ! -e {tmp_path}/run ] || exec echo new; touch {tmp_path}/run; exec sleep 300"]
    job.killed(*argv, when=(tmp_path / "run").exists)
    theirs = lsf.submit("-J", "conda_env", "sleep", "300")
    old = job.asked()["id"]
    done = job("echo", "new") if change == "the command" else job(*argv, request="2")
    assert done == (0, "new\n", "")
    assert unfinished(lsf) == [theirs]
    assert lsf.field(old, "stat") == "EXIT"


# What stands for conda: `sh -c PROGRAM create -p FOLDER`.
CREATE = "mkdir $2; touch $2/run; while [ ! -e $2.go ]; do sleep 0.1; done; touch $2/done"


def test_the_folder_of_a_killed_runs_creation_is_kept_and_finished(job, lsf, tmp_path):
    argv = ["sh", "-c", CREATE, "create", "-p", str(job.folder / "2")]
    job.killed(*argv, when=(job.folder / "2/run").exists)
    assert job.left() == str(job.folder / "2")
    (job.folder / "2.go").touch()
    assert job(*argv)[0] == 0
    assert (job.folder / "2/done").exists()
    assert job.left() == ""


@pytest.mark.parametrize(("verb", "request_"), [("create", "2"), ("install", "1")])
def test_any_other_job_of_a_killed_run_no_longer_writes(job, lsf, verb, request_):
    argv = ["sh", "-c", CREATE, verb, "-p", str(job.folder / "2")]
    job.killed(*argv, when=(job.folder / "2/run").exists)
    assert job.left(request=request_) == ""
    assert unfinished(lsf) == []
    (job.folder / "2.go").touch()
    time.sleep(0.5)
    assert not (job.folder / "2/done").exists()
    assert not (job.folder / "job.json").exists()


def test_a_job_that_waits_at_the_deadline_is_ended_and_lsfs_reason_told(job, lsf):
    theirs = lsf.submit("-q", "interactive", "sleep", "300")
    lsf.reaches(theirs, "RUN")
    with pytest.raises(CondaEnvError) as error:
        job("true", within=2, queue="interactive")
    assert "was still PEND in queue interactive at the deadline, and was ended" in str(error.value)
    assert "It said: User has reached the per-user job slot limit" in str(error.value)
    assert "conda_env_build_queue" in str(error.value)
    assert unfinished(lsf) == [theirs]
    assert job.left() == ""


def test_a_command_that_takes_too_long_is_ended_with_its_job(job, lsf, tmp_path):
    with pytest.raises(CondaEnvError, match="was still RUN in queue normal at the deadline, and was ended"):
        job("sh", "-c", f"echo $$ > {tmp_path}/pid; exec sleep 300", within=3)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
    assert unfinished(lsf) == []


def test_a_job_that_can_not_be_ended_at_the_deadline_is_not_gone_on_with(job, lsf, monkeypatch):
    monkeypatch.setattr(command_job.Lsf.__init__, "__defaults__", (2,))
    argv = ["sh", "-c", CREATE, "create", "-p", str(job.folder / "2")]
    job.killed(*argv, when=(job.folder / "2/run").exists)
    watch = subject.Job({"folder": str(job.folder), "profile": ""})
    lsf.stop("master")
    try:
        with pytest.raises(subject.LsfError):
            watch.result(time.monotonic() + 1)
        assert (job.folder / "job.json").exists(), "so that its folder is left alone"
    finally:
        lsf.start("master")
        until(lambda: lsf("bhosts").stdout.count(" ok ") == 3)
    assert job.left() == ""
    assert unfinished(lsf) == []


def test_a_job_that_lsf_ends_is_told_with_lsfs_report(job, monkeypatch):
    monkeypatch.setattr(command_job, "LATE", 2)
    with pytest.raises(CondaEnvError) as error:
        job("sh", "-c", "echo solving >&2; exec sleep 300", queue="brief", walltime="")
    assert "ended before its command did (EXIT, exit code 140, TERM_RUNLIMIT: job killed" in str(error.value)
    assert "solving" in str(error.value)
    assert "Exited with exit code 140." in str(error.value)
    assert "conda_env_build_walltime" in str(error.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"queue": "nosuch"}, "conda_env_build_queue is 'nosuch': LSF has no such queue; it has batchonly, brief"),
        ({"walltime": "9000:00"}, "conda_env_build_walltime is '9000:00': queue normal allows at most 168:00"),
        ({"walltime": "9000:00", "queue": ""}, "Cannot exceed queue's hard limit"),
        ({"queue": "typed"}, "conda_env_build_"),
        ({"profile": "/nosuch/profile.lsf"}, "conda_env_build_lsf_profile"),
    ],
)
def test_a_refusal_has_lsfs_words_and_the_variables_name(job, lsf, options, words):
    with pytest.raises(CondaEnvError) as error:
        job("true", **options)
    assert words in str(error.value)
    assert error.value.details == {"command": ["true"]}
    assert unfinished(lsf) == []


def test_lsf_may_be_away_while_the_job_runs(job, lsf, tmp_path, monkeypatch):
    monkeypatch.setattr(command_job.Lsf.__init__, "__defaults__", (2,))
    argv = ["sh", "-c", f"touch {tmp_path}/run; sleep 5; echo done"]
    job.killed(*argv, when=(tmp_path / "run").exists)
    watch = subject.Job({"folder": str(job.folder), "profile": ""})
    lsf.stop("master")
    try:
        assert watch.result(time.monotonic() + 40) == (0, "done\n", "")
    finally:
        lsf.start("master")
        until(lambda: lsf("bhosts").stdout.count(" ok ") == 3)
