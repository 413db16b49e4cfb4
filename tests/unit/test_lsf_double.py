# SPDX-License-Identifier: GPL-3.0-or-later
"""The LSF double, natively: real daemons, real clients, real processes; the hosts are server processes on this machine."""

import contextlib
import json
import os
import pty
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from lsf_cluster import DEADLINE, SOURCE, running, until


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    with running(tmp_path_factory.mktemp("lsf")) as cluster:
        yield cluster


@pytest.fixture
def lsf(shared):
    yield shared
    shared.clear()


@pytest.fixture
def own(tmp_path):
    """A cluster whose daemons the test may stop."""
    with running(tmp_path) as cluster:
        yield cluster


def test_the_first_job_is_the_tutorials(own):
    done = own("bsub", "-J", "jupyter", "-q", "interactive", "sleep", "30")
    assert (done.stdout, done.stderr, done.returncode) == ("Job <33565> is submitted to queue <interactive>.\n", "", 0)
    own.reaches("33565", "RUN")
    done = own("bsub", "sleep", "30")
    assert done.stdout == "Job <33566> is submitted to default queue <normal>.\n"
    done = own("bsub", "true", BSUB_STDERR="y")
    assert (done.stdout, done.stderr) == ("", "Job <33567> is submitted to default queue <normal>.\n")


def test_cluster_commands(shared):
    assert shared("lsid").stdout.endswith("My cluster name is triton\nMy master name is mgmt\n")
    queues = shared("bqueues").stdout.splitlines()
    assert queues[0] == "QUEUE_NAME      PRIO STATUS          MAX JL/U JL/P JL/H NJOBS  PEND   RUN  SUSP "
    assert queues[2] == "interactive      40   Open:Active      -    1    -    -     0     0     0     0"
    long = shared("bqueues", "-l", "interactive").stdout
    assert "DEFAULT LIMITS:\n RUNLIMIT                \n 360.0 min" in long
    assert "MAXIMUM LIMITS:\n RUNLIMIT                \n 1440.0 min" in long
    assert "SCHEDULING POLICIES:  ONLY_INTERACTIVE" in shared("bqueues", "-l", "typed").stdout
    assert "SCHEDULING POLICIES:  NO_INTERACTIVE" in shared("bqueues", "-l", "batchonly").stdout
    done = shared("bqueues", "nosuch")
    assert (done.stdout, done.stderr, done.returncode) == ("", "nosuch: No such queue\n", 255)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-q", "nosuch"], "nosuch: No such queue"),
        (["-q", "staff"], "staff: User cannot use the queue"),
        (["-q", "batchonly", "-I"], "Queue does not accept interactive jobs"),
        (["-q", "typed"], "Queue only accepts interactive jobs"),
        (["-n", "1000"], "Too many processors requested"),
        (["-n", "0"], "The number of processors must be a positive integer"),
        (["-n", "x"], "Bad argument for option -n"),
        (["-W", "1:2:3"], "1:2:3: Bad RUNLIMIT specification"),
        (["-W", "24:01", "-q", "interactive"], "RUNLIMIT: Cannot exceed queue's hard limit(s)"),
        (["-M", "abc"], "abc: MEMLIMT value should be a positive integer"),
        (["-m", "n999"], "n999: Bad host name, host group name or cluster name"),
        (["-R", "span[hosts=1"], "Bad resource requirement syntax"),
        (["-R", "select[nosuch>1]"], "Bad resource requirement syntax"),
        (["-R", "select[mem>1] select[mem>2]"], 'Error near "select" : duplicate section'),
        (["-R", "rusage[mem=lots]"], "Error in rusage section"),
    ],
)
def test_refusals(shared, arguments, words):
    done = shared("bsub", *arguments, "sleep", "1")
    assert (done.stdout, done.stderr, done.returncode) == ("", f"{words}. Job not submitted.\n", 255)


def test_usage(shared):
    assert shared("bsub").stderr == "No command is specified. Job not submitted.\n"
    done = shared("bsub", "-Z", "true")
    assert done.stderr.startswith("bsub: illegal option -- Z\nUsage: bsub") and done.returncode == 255
    assert shared("bsub", "-K", "-I", "true").stderr.startswith("Usage: bsub")
    assert shared("bjobs", "-X").stderr.startswith("invalid option -- 'X'\nUsage: bjobs")
    assert shared("bjobs", LSF_ENVDIR="/nonexistent").stderr == (
        "lsb_init: Failed in an LSF library call: Unable to open file lsf.conf\n"
    )


def test_script_on_stdin_as_dask_jobqueue_writes_it(lsf):
    script = """#!/usr/bin/env bash

#BSUB -J dask-worker
#BSUB -q normal
#BSUB -P "proj 1"
#BSUB -n 4
#BSUB -R "span[hosts=1]"
#BSUB -M 2000
#BSUB -W 00:10
#BSUB -e logs/dask-worker-%J.err
#BSUB -o logs/dask-worker-%J.out
  #BSUB -J indented
#BSUB-J nospace
echo "$BASH_VERSION $LSB_JOBID $LSB_JOBNAME $LSB_DJOB_NUMPROC $LSB_MCPU_HOSTS"; umask
echo oops >&2
"""
    id = lsf.submit(stdin=script)
    lsf.reaches(id, "DONE")
    output = (lsf.home / f"logs/dask-worker-{id}.out").read_text()
    assert f"Subject: Job {id}: <dask-worker> Done" in output
    assert re.search(rf"\n5\.\S+ {id} dask-worker 4 t00[12] 4 \n0022\n", output), output
    assert (lsf.home / f"logs/dask-worker-{id}.err").read_text() == "oops\n"
    assert not list((lsf.home / ".lsbatch").glob(f"*.{id}*"))
    assert lsf.field(id, "proj_name memlimit runtimelimit") == "proj 1^1.953 Gbytes^10.0"
    by_line = lsf.submit("-J", "onthecommandline", stdin=script)
    assert lsf.field(by_line, "job_name") == "onthecommandline"


def test_a_jobs_life_in_all_views(lsf):
    id = lsf.submit("-J", "averylongjobname", "-n", "3", "-R", "span[hosts=1]", "-W", "1:30", "sleep 60")
    assert lsf.field(id, "stat exec_host pend_reason") in ("PEND^-^New job is waiting for scheduling;", "RUN^3*t001^-")
    lsf.reaches(id, "RUN")
    header, row = lsf("bjobs").stdout.splitlines()
    assert header == "JOBID   USER    STAT  QUEUE      FROM_HOST   EXEC_HOST   JOB_NAME   SUBMIT_TIME"
    assert re.fullmatch(
        rf"{id}   \S+ +RUN   normal     .{{11}} 3\*t00[12]      \*ngjobname \w{{3}} \d\d \d\d:\d\d", row
    ), row
    assert " averylongjobname " in lsf("bjobs", "-w").stdout
    assert lsf("bjobs", "-W").stdout.splitlines()[0].endswith("PROJ_NAME CPU_USED MEM SWAP PIDS START_TIME FINISH_TIME")
    done = lsf("bjobs", "-o", "jobid:-8 stat:6 job_name:8 time_left")
    assert done.stdout.splitlines()[0] == "   JOBID STAT   JOB_NAME TIME_LEFT  "
    assert done.stdout.splitlines()[1] == f"   {id} RUN    *jobname 1:29 L     "
    answer = json.loads(lsf("bjobs", "-json", "-o", "jobid stat exec_host exit_code", id, "99").stdout)
    assert answer == {
        "COMMAND": "bjobs",
        "JOBS": 2,
        "RECORDS": [
            {"JOBID": id, "STAT": "RUN", "EXEC_HOST": answer["RECORDS"][0]["EXEC_HOST"], "EXIT_CODE": ""},
            {"JOBID": "99", "ERROR": "Job <99> is not found"},
        ],
    }
    assert lsf("bkill", id).stdout == f"Job <{id}> is being terminated\n"
    lsf.reaches(id, "EXIT")
    assert lsf.field(id, "exit_code exit_reason") == "130^TERM_OWNER: job killed by owner"
    done = lsf("bkill", id, "99")
    assert done.stdout == "" and done.returncode == 255
    assert done.stderr == f"Job <{id}>: Job has already finished\nJob <99>: No matching job found\n"


def test_long_host_lists(own):
    conf = own.dest / "conf/lsf.conf"
    conf.write_text(conf.read_text().replace("SHORT_HOSTLIST=1", "SHORT_HOSTLIST=0"))
    id = own.submit("-n", "2", "-R", "span[ptile=1]", "sleep", "30")
    own.reaches(id, "RUN")
    assert own.field(id, "exec_host") in ("t001:t002", "t002:t001")
    rows = own("bjobs").stdout.splitlines()
    assert len(rows) == 3 and rows[2].startswith(" " * 45 + "t00")


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        ([], "No unfinished job found", 0),
        (["-p"], "No pending job found", 0),
        (["-r"], "No running job found", 0),
        (["-q", "brief"], "No unfinished job found in queue <brief>", 0),
        (["-q", "nosuch"], "nosuch: No such queue", 255),
        (["-u", "nosuchuser"], "No unfinished job found", 0),
        (["-J", "nosuch"], "Job <nosuch> is not found", 0),
        (["99"], "Job <99> is not found", 0),
        (["abc"], "abc: Illegal job ID.", 255),
        (["-o", "nosuch"], "<NOSUCH> in the format string is not a valid field name.", 99),
    ],
)
def test_nothing_to_show(shared, arguments, words, code):
    done = shared("bjobs", *arguments)
    assert (done.stdout, done.stderr, done.returncode) == ("", words + "\n", code)


def test_exit_codes_that_lie(lsf):
    id = lsf.submit("sleep", "30")
    done = lsf("bjobs", id, "99")
    assert done.returncode == 255 and id in done.stdout and done.stderr == "Job <99> is not found\n"
    assert lsf("bjobs", "99", LSB_BJOBS_CONSISTENT_EXIT_CODE="Y").returncode == 255


def test_slots_are_counted(lsf):
    blocker = lsf.submit("-n", "3", "-m", "t001", "sleep", "60")
    lsf.reaches(blocker, "RUN")
    wide = lsf.submit("-n", "6", "sleep", "60")
    together = lsf.submit("-n", "4", "-R", "span[hosts=1]", "-m", "t001", "sleep", "60")
    until(lambda: lsf.field(wide, "pend_reason") == "Not enough job slot(s): 2 hosts;")
    until(lambda: "spanning requirement: 1 host;" in lsf.field(together, "pend_reason"))
    assert "\n Not enough job slot(s): 2 hosts;\n" in lsf("bjobs", "-p", wide).stdout
    assert re.search(r"t001 +ok +- +4 +3 +3 ", lsf("bhosts").stdout)
    assert re.search(r"normal .* 13    10     3     0\n", lsf("bqueues").stdout)
    lsf("bkill", blocker)
    lsf.reaches(wide, "RUN")
    assert sorted(lsf.field(wide, "exec_host").split(":")) in (["2*t001", "4*t002"], ["2*t002", "4*t001"])


def test_one_job_a_user(lsf):
    first, second = (lsf.submit("-q", "interactive", "-n", "2", "sleep", "60") for _ in range(2))
    lsf.reaches(first, "RUN")
    until(lambda: "per-user job slot limit" in lsf.field(second, "pend_reason"))
    lsf("bkill", first)
    lsf.reaches(second, "RUN")


def test_bkill_climbs_the_ladder(lsf):
    log = lsf.home / "signals"
    traps = f"trap 'echo INT >> {log}' INT; trap 'echo TERM >> {log}' TERM"
    id = lsf.submit(f"{traps}; touch {log}; while :; do sleep 0.1; done")
    until(log.exists)
    lsf.reaches(id, "RUN")
    begun = time.monotonic()
    lsf("bkill", id)
    lsf.reaches(id, "EXIT")
    assert time.monotonic() - begun > 1.1
    assert log.read_text().split() == ["INT", "TERM"]
    assert lsf.field(id, "exit_code") == "137"


def test_bkill_with_a_signal_and_of_a_pending_job(lsf):
    id = lsf.submit("trap 'exit 7' USR1; touch trapped; while :; do sleep 0.1; done")
    lsf.reaches(id, "RUN")
    until((lsf.home / "trapped").exists)
    assert lsf("bkill", "-s", "USR1", id).stdout == f"Job <{id}> is being signaled\n"
    lsf.reaches(id, "EXIT")
    assert lsf.field(id, "exit_code") == "7"
    for _ in range(2):
        id = lsf.submit("-q", "interactive", "sleep", "60")
    assert lsf("bkill", id).returncode == 0
    assert lsf.field(id, "stat exec_host") == "EXIT^-"


def test_run_limit(lsf):
    obeys = lsf.submit("-q", "brief", "sleep", "60")
    traps = lsf.submit("-q", "brief", "trap : USR2 INT; while :; do sleep 0.1; done")
    lsf.reaches(obeys, "EXIT")
    assert lsf.field(obeys, "exit_code exit_reason").startswith("140^TERM_RUNLIMIT")
    lsf.reaches(traps, "EXIT")  # the grace, then the ladder's second rung
    assert lsf.field(traps, "exit_code exit_reason").startswith("143^TERM_RUNLIMIT")


def test_interactive(lsf):
    done = lsf("bsub", "-I", "-q", "interactive", "cat; echo err >&2; echo $LSB_INTERACTIVE; exit 3", stdin="hello\n")
    assert re.fullmatch(r"Job <\d+> is submitted to queue <interactive>\.\nhello\nerr\nY\n", done.stdout)
    assert done.stderr == "<<Waiting for dispatch ...>>\n<<Starting on t037>>\n"  # text mode reads CR LF as LF
    assert done.returncode == 3
    assert "not a tty" in lsf("bsub", "-Is", "tty").stdout


def test_interactive_client_killed_ends_the_job(lsf):
    client = subprocess.Popen(
        ["bsub", "-I", "sleep 60"],
        env=lsf.env,
        cwd=lsf.home,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    id = client.stdout.readline().split()[1].strip(b"<>").decode()
    lsf.reaches(id, "RUN")
    client.kill()
    client.communicate(timeout=DEADLINE)
    lsf.reaches(id, "EXIT")


def test_interactive_on_a_terminal(lsf):
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(lsf.home)
        os.execvpe("bsub", ["bsub", "-Is", "-q", "typed", "sh -c 'tty; read line; echo got $line; exit 5'"], lsf.env)
    seen = b""
    with contextlib.suppress(OSError):  # EIO: the terminal is closed
        while b"got word" not in seen:
            data = os.read(terminal, 4096)
            if b"/dev/pts" in data:
                os.write(terminal, b"word\r")
            seen += data
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    assert b"<<Starting on t037>>\r\n" in seen and b"/dev/pts/" in seen
    assert os.waitstatus_to_exitcode(status) == 5


def test_waiting_client(lsf):
    done = lsf("bsub", "-K", "exit 4")
    assert done.stderr == "<<Waiting for dispatch ...>>\n<<Job is finished>>\n" and done.returncode == 4
    lsf.submit("-q", "interactive", "sleep", "60")
    waiting = subprocess.Popen(
        ["bsub", "-K", "-q", "interactive", "true"],
        env=lsf.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    id = waiting.stdout.readline().split()[1].strip("<>")
    time.sleep(0.3)
    lsf("bkill", id)
    assert (
        waiting.communicate(timeout=DEADLINE)[1].endswith("<<Terminated while pending>>\n")
        and waiting.returncode == 126
    )


def test_the_master_restarts(own):
    running_job = own.submit("-J", "survivor", "sleep", "60")
    short = own.submit("sleep 1; exit 6")
    own.submit("-q", "interactive", "sleep", "60")
    waiting = own.submit("-q", "interactive", "sleep", "60")
    own.reaches(running_job, "RUN")
    own.reaches(short, "RUN")
    own.stop("master")
    client = subprocess.Popen(
        ["bjobs", "-J", "survivor"], env=own.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert client.stderr.readline() == "batch system daemon not responding ... still trying\n"
    time.sleep(1)  # meanwhile the short job ends
    assert own("bjobs", LSB_NTRIES="1").stderr == "Connection refused by server\n"
    assert own("lsid").returncode == 0
    own.start("master")
    out, err = client.communicate(timeout=DEADLINE)
    assert "survivor" in out and set(err.splitlines()) <= {"batch system daemon not responding ... still trying"}
    own.reaches(short, "EXIT")
    assert own.field(short, "exit_code") == "6"
    assert own.field(running_job, "stat") == "RUN" and own.field(waiting, "stat") == "PEND"
    own.stop("master")
    own.start("master")
    assert own.submit("true") == str(int(waiting) + 1)


def test_a_server_restarts_and_a_host_is_lost(tmp_path):
    with running(tmp_path, unknown_after=1.5) as own:
        _lose_and_find(own)


def _lose_and_find(own):
    lives, ends = own.submit("-m", "t001", "sleep", "60"), own.submit("-m", "t001", "sleep 1; exit 9")
    own.reaches(lives, "RUN")
    own.reaches(ends, "RUN")
    own.stop("t001")
    own.reaches(lives, "UNKWN")
    assert re.search(r"t001 +unavail", own("bhosts").stdout)
    waiting = own.submit("-m", "t001", "sleep", "60")
    until(lambda: own.field(waiting, "pend_reason") == "Unable to reach slave batch server: 1 host;")
    own.start("t001")
    own.reaches(lives, "RUN")
    own.reaches(ends, "EXIT")
    assert own.field(ends, "exit_code") == "9"
    own.reaches(waiting, "RUN")


def test_finished_jobs_are_forgotten(tmp_path):
    with running(tmp_path, clean_period=0.5) as cluster:
        id = cluster.submit("true")
        until(lambda: cluster("bjobs", id).stderr == f"Job <{id}> is not found\n")


@pytest.mark.skipif(
    os.geteuid() != 0 or not os.path.exists("/usr/bin/python3.11"), reason="needs two users and a Python for both"
)
def test_users_are_kept_apart():
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))  # pytest's are closed to other users
        folder.chmod(0o755)
        cluster = stack.enter_context(running(folder, python="/usr/bin/python3.11", root_jobs=False))
        assert cluster("bsub", "true").stderr == "User permission denied. Job not submitted.\n"
        os.chown(cluster.home, 65534, 65534)

        def as_user(uid: int, *argv: str) -> subprocess.CompletedProcess:
            return subprocess.run(
                argv, env=cluster.env, cwd=cluster.home, capture_output=True, text=True, timeout=DEADLINE, user=uid, group=uid,
                extra_groups=[], stdin=subprocess.DEVNULL,
            )  # fmt: skip

        done = as_user(65534, "bsub", "-q", "staff", "-o", "who", "id -u; sleep 1")
        assert done.returncode == 0, done
        id = done.stdout.split()[1].strip("<>")
        assert "Faults are for root and" in as_user(1, f"{cluster.dest}/etc/lsfd", "fault", "hang", "on").stderr
        assert as_user(1, "badmin", "qclose", "normal").stderr == "normal: User permission denied\n"
        assert as_user(1, "bstop", id).stderr == f"Job <{id}>: User permission denied\n"
        assert as_user(1, "bkill", id).stderr == f"Job <{id}>: User permission denied\n"
        assert "No unfinished job found" in as_user(1, "bjobs").stderr
        assert " nobody " in as_user(1, "bjobs", id).stdout
        cluster.reaches(id, "DONE")
        assert "\n65534\n" in (cluster.home / "who").read_text() and (cluster.home / "who").stat().st_uid == 65534
        assert oct((cluster.dest / f"work/spool/{id}.json").stat().st_mode & 0o777) == "0o600"


def test_install_says_what_is_wrong(tmp_path):
    config = tmp_path / "cluster.yml"

    def refusal(text: str) -> str:
        config.write_text(text)
        command = [sys.executable, SOURCE / "install", tmp_path / "lsf", "--config", config]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 1
        return done.stderr

    assert "unknown slotz" in refusal("hosts: {t001: {slotz: 4}}")
    assert "exactly one queue" in refusal("hosts: {t001: {}}\nqueues: {normal: {}}")
    assert "must be yes, no or only" in refusal("queues: {normal: {default: true, interactive: never}}")
    assert "must be one of lsf10, openlava, volclava" in refusal("personality: lsf9")
    assert "names t9" in refusal("queues: {normal: {default: true, hosts: [t9]}}")
