# SPDX-License-Identifier: GPL-3.0-or-later
"""The LSF double's fault switches, each turned while the cluster runs, and what a client sees of it."""

import subprocess
import time

import pytest
from lsf_cluster import DEADLINE, until

TRYING = "batch system daemon not responding ... still trying\n"


@pytest.fixture(autouse=True)
def cleared(lsf):
    yield
    lsf.clear()


def begun(lsf, *argv: str) -> subprocess.Popen:
    return subprocess.Popen(argv, env=lsf.env, cwd=lsf.home, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def still_there(process: subprocess.Popen, seconds: float = 0.7) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return True
    return False


def test_mbatchd_away_and_back(lsf):
    id = lsf.submit("sleep 60")
    lsf.reaches(id, "RUN")
    waiting = begun(lsf, "bsub", "-K", "exit 5")
    assert waiting.stdout.readline()
    lsf.fault("mbatchd", "on")
    client = begun(lsf, "bjobs", id)
    assert client.stderr.readline() == TRYING
    assert lsf("bkill", id, LSB_NTRIES="1").stderr == "Connection refused by server\n"
    assert lsf("lsid").returncode == 0, "LIM is another daemon"
    assert id in lsf("bhist").stdout, "bhist reads the events itself"
    lsf.fault("mbatchd", "off")
    assert f"{id}   " in client.communicate(timeout=DEADLINE)[0]
    waiting.communicate(timeout=DEADLINE)
    assert waiting.returncode == 5 and lsf.field(id, "stat") == "RUN"


def test_lim_away(lsf):
    lsf.fault("lim", "on")
    client = begun(lsf, "bjobs")
    assert client.stderr.readline() == "LSF daemon (LIM) not responding ... still trying\n"
    done = lsf("lsid")
    assert (done.stderr, done.returncode) == ("ls_getclustername(): LIM is down; try later\n", 255)
    lsf.fault("lim", "off")
    client.communicate(timeout=DEADLINE)
    assert client.returncode == 0


def test_a_client_that_hangs(lsf):
    lsf.fault("hang", "on", "command=bjobs")
    client = begun(lsf, "bjobs")
    assert still_there(client) and lsf("bqueues").returncode == 0
    lsf.fault("hang", "off")
    assert client.communicate(timeout=DEADLINE) == ("", "No unfinished job found\n")


def test_a_fault_of_somebody_elses(lsf):
    lsf.fault("hang", "on", "user=nobody")
    assert lsf("bjobs").returncode == 0


def test_a_command_that_refuses_in_any_words(lsf):
    text = "Pending job threshold reached. Retrying in 60 seconds..."
    lsf.fault("refuse", "on", "command=bsub", f"text={text}", "code=1")
    done = lsf("bsub", "sleep", "60")
    assert (done.stdout, done.stderr, done.returncode) == ("", text + "\n", 1)
    assert "No unfinished job" in lsf("bjobs").stderr


def test_esub_refuses_with_exit_code_0(lsf):
    lsf.fault("esub", "on")
    done = lsf("bsub", "sleep", "60")
    assert (done.returncode, done.stdout) == (0, "") and "esub: project 4711" in done.stderr
    assert "No unfinished job" in lsf("bjobs").stderr


def test_banner_with_numbers_before_the_submission_line(lsf):
    lsf.fault("banner", "on")
    *banner, line = lsf("bsub", "sleep", "60").stdout.splitlines()
    assert any("<10345>" in text for text in banner)
    assert line.endswith("> is submitted to default queue <normal>.")
    lsf.fault("banner", "on", "text=Job <1> is yours")
    assert lsf("bsub", "sleep", "60").stdout.startswith("Job <1> is yours\nJob <")


def test_submission_line_on_stderr(lsf):
    lsf.fault("stderr", "on")
    done = lsf("bsub", "sleep", "60")
    assert done.stdout == "" and done.stderr.endswith("> is submitted to default queue <normal>.\n")


def test_please_wait_then_success(lsf):
    lsf.fault("wait", "on", "seconds=0.3", "command=bsub")
    begin = time.monotonic()
    done = lsf("bsub", "sleep", "60")
    assert time.monotonic() - begin > 0.3
    assert done.stderr == "Cannot connect to LSF. Please wait ...\n" and done.stdout.startswith("Job <")


def test_an_answer_that_never_comes(lsf):
    lsf.fault("cut", "on", "times=1")
    client = begun(lsf, "bsub", "-J", "hidden", "sleep 60")
    until(lambda: " hidden " in lsf("bjobs", "-w").stdout)
    assert still_there(client)
    client.kill()
    assert client.communicate(timeout=DEADLINE) == ("", "")
    assert lsf.submit("true"), "times=1: the switch went off by itself"
    lsf.fault("cut", "on", "how=reset")
    done = lsf("bsub", "-J", "broken", "sleep", "60")
    assert done.returncode == 255 and "Connection reset by peer. Job not submitted." in done.stderr
    assert " broken " in lsf("bjobs", "-w").stdout, "and yet there it is"


def test_a_live_job_is_missing_from_one_bjobs(lsf):
    id, other = lsf.submit("sleep 60"), lsf.submit("sleep 60")
    lsf.fault("missing", "on", f"job={id}", "times=1")
    assert other in lsf("bjobs", other).stdout
    assert lsf("bjobs", id).stderr == f"Job <{id}> is not found\n"
    assert id in lsf("bjobs", id).stdout


def test_a_job_forgotten_early(lsf):
    id = lsf.submit("exit 3")
    lsf.reaches(id, "EXIT")
    lsf.fault("forgotten", "on")
    until(lambda: lsf("bjobs", "-a", id).stderr == f"Job <{id}> is not found\n")
    assert "Exited with exit code 3." in lsf("bhist", "-l", id).stdout


def test_a_host_believed_lost(lsf):
    id = lsf.submit("-m", "t002", "sleep 60")
    lsf.reaches(id, "RUN")
    lsf.fault("unknown", "on", "host=t002")
    assert lsf.field(id, "stat") == "UNKWN" and "t002               unavail" in lsf("bhosts").stdout
    until(lambda: "Unknown; unable to reach the execution host;" in lsf("bhist", "-l", "-UF", id).stdout)
    lsf.fault("unknown", "off")
    assert lsf.field(id, "stat") == "RUN"


def test_a_job_killed_on_a_host_believed_lost_ends_when_the_host_is_back(lsf):
    id = lsf.submit("-m", "t002", "echo $$ > stray; exec sleep 60")
    until((lsf.home / "stray").exists)
    lsf.reaches(id, "RUN")
    lsf.fault("unknown", "on", "host=t002")
    until(lambda: lsf.field(id, "stat") == "UNKWN")
    lsf("bkill", "-r", id)
    assert lsf.field(id, "stat") == "EXIT"
    process = f"/proc/{(lsf.home / 'stray').read_text().strip()}"
    time.sleep(0.5)
    assert lsf("test", "-e", process).returncode == 0, "nothing reaches a host that is lost"
    lsf.fault("unknown", "off")
    until(lambda: lsf("test", "-e", process).returncode)


def test_a_rerunnable_job_on_a_host_believed_lost_runs_once(lsf):
    id = lsf.submit("-r", "-m", "t001 t002", "echo $$ >> rerun; exec sleep 60")
    until(lambda: (lsf.home / "rerun").exists() and lsf.field(id, "stat") == "RUN")
    first = lsf.field(id, "exec_host")
    lsf.fault("unknown", "on", f"host={first}")
    until(lambda: lsf.field(id, "stat") == "RUN" and (lsf.home / "rerun").read_text().count("\n") == 2)
    assert lsf.field(id, "exec_host") != first
    old, new = (f"/proc/{pid}" for pid in (lsf.home / "rerun").read_text().split())
    until(lambda: lsf("test", "-e", old).returncode)
    assert lsf("test", "-e", new).returncode == 0


def test_suspended_by_lsf(lsf):
    id = lsf.submit("while :; do echo >> beats; sleep 0.05; done")
    until((lsf.home / "beats").exists)
    lsf.reaches(id, "RUN")
    lsf.fault("suspended", "on", f"job={id}")
    lsf.reaches(id, "SSUSP")
    assert lsf("bjobs", "-s", id).stdout.endswith("\n The host load exceeded the following threshold(s): r1m;\n")
    time.sleep(0.2)
    size = (lsf.home / "beats").stat().st_size
    time.sleep(0.3)
    assert (lsf.home / "beats").stat().st_size == size
    lsf.fault("suspended", "off")
    lsf.reaches(id, "RUN")
    until(lambda: (lsf.home / "beats").stat().st_size > size)


def test_a_job_moves_to_another_host(lsf):
    id = lsf.submit("-m", "t001 t002", "sleep 60")
    lsf.reaches(id, "RUN")
    first = lsf.field(id, "exec_host")
    lsf.fault("requeue", "on", f"job={id}")
    until(lambda: lsf.field(id, "stat exec_host") == f"RUN^{'t001' if first == 't002' else 't002'}")
    assert "requeue    off" in lsf.fault(), "once is the default"


def test_clock_skew(lsf):
    id = lsf.submit("sleep 60")
    lsf.reaches(id, "RUN")
    true = lsf("bjobs", "-o", "submit_time run_time", id, "-noheader").stdout
    lsf.fault("clock", "on", "seconds=3600")
    late = lsf("bjobs", "-o", "submit_time run_time", id, "-noheader").stdout
    hours = [int(text.split()[2].split(":")[0]) for text in (true, late)]
    assert hours[1] == (hours[0] + 1) % 24
    assert " second(s)" in late and int(late.split()[3]) < 60, "durations are right"


def test_what_lsfd_fault_says(lsf):
    def refusal(*argv: str) -> str:
        done = lsf(f"{lsf.dest}/etc/lsfd", "fault", *argv)
        assert done.returncode == 1
        return done.stderr

    assert "mbatchd    off " in lsf.fault()
    assert lsf.fault("missing", "on", "job=7", "times=2").startswith("missing    ON job=7 times=2 ")
    assert lsf.fault("off") == "all faults are off\n"
    assert refusal("nosuch", "on") == f"lsfd: fault 'nosuch' is unknown. Known: {', '.join(FAULTS)}.\n"
    assert "key 'hots' is unknown. Known: host." in refusal("unknown", "on", "hots=t001")
    assert refusal("unknown", "on") == "lsfd: fault unknown: needs host=...\n"
    assert refusal("missing", "on", "job=x") == "lsfd: fault missing: job must be int, not 'x'.\n"
    assert "Usage: lsfd fault" in refusal("missing")


FAULTS = (
    "mbatchd", "lim", "hang", "wait", "refuse", "esub", "banner", "stderr", "cut", "missing", "forgotten", "unknown", "suspended",
    "requeue", "clock",
)  # fmt: skip
