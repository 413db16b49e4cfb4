# SPDX-License-Identifier: GPL-3.0-or-later
"""The LSF double after the submission: suspended, requeued, killed by name or by force, told of at length, and remembered."""

import re
import time

import pytest
from lsf_cluster import running, until


@pytest.fixture(autouse=True)
def cleared(lsf):
    yield
    lsf.clear()


def ticks(file) -> int:
    return file.read_text().count("\n") if file.exists() else 0


def test_a_stopped_job_stands_still_until_it_is_resumed(lsf):
    file = lsf.home / "ticks"
    id = lsf.submit("while :; do echo >> ticks; sleep 0.05; done")
    lsf.reaches(id, "RUN")  # the host tells the master a moment after the job has begun
    until(lambda: ticks(file) > 2)
    assert lsf("bstop", id).stdout == f"Job <{id}> is being stopped\n"
    assert lsf.field(id, "stat") == "USUSP"
    assert lsf("bjobs", "-s").stdout.endswith("\n The job was suspended by user;\n")
    time.sleep(0.2)
    before = ticks(file)
    time.sleep(0.3)
    assert ticks(file) == before
    assert re.search(r"1 +0 +0 +1 +0\n", lsf("bhosts").stdout), "a suspended job keeps its slot"
    assert lsf("bresume", id).stdout == f"Job <{id}> is being resumed\n"
    lsf.reaches(id, "RUN")
    until(lambda: ticks(file) > before)


def test_a_stopped_job_can_be_killed(lsf):
    id = lsf.submit("sleep 60")
    lsf.reaches(id, "RUN")
    lsf("bstop", id)
    assert lsf("bkill", id).returncode == 0
    lsf.reaches(id, "EXIT")
    assert lsf.field(id, "exit_code") == "143", "the second rung lets it run to its end"
    id = lsf.submit("sleep 60")
    lsf.reaches(id, "RUN")
    lsf("bstop", id)
    assert lsf("bkill", "-s", "KILL", id).stdout == f"Job <{id}> is being terminated\n"
    lsf.reaches(id, "EXIT")


def test_a_held_job_waits_for_bresume(lsf):
    id = lsf.submit("-H", "sleep", "60")
    time.sleep(0.4)
    assert lsf.field(id, "stat exec_host") == "PSUSP^-"
    assert " The job was suspended by the user while pending;\n" in lsf("bjobs", "-p").stdout
    lsf("bresume", id)
    lsf.reaches(id, "RUN")
    pending = [lsf.submit("-q", "interactive", "sleep", "60") for _ in range(2)][1]
    lsf("bstop", pending)
    assert lsf.field(pending, "stat") == "PSUSP"


def test_what_is_over_or_unknown_can_not_be_stopped(lsf):
    id = lsf.submit("true")
    lsf.reaches(id, "DONE")
    for command in ("bstop", "bresume", "brequeue"):
        done = lsf(command, id, "99")
        assert (done.stdout, done.returncode) == ("", 255)
        assert done.stderr == f"Job <{id}>: Job has already finished\nJob <99>: No matching job found\n"
        assert lsf(command).stderr.startswith(f"Job ID must be specified.\nUsage: {command}")


def test_a_requeued_job_keeps_its_number(lsf):
    id = lsf.submit("echo $LSB_JOBID >> runs; sleep 60")
    lsf.reaches(id, "RUN")
    until(lambda: ticks(lsf.home / "runs") == 1)
    assert lsf("brequeue", id).stdout == f"Job <{id}> is being requeued\n"
    until(lambda: ticks(lsf.home / "runs") == 2)
    lsf.reaches(id, "RUN")
    assert set((lsf.home / "runs").read_text().split()) == {id}
    told = lsf("bhist", "-l", "-UF", id).stdout
    assert "TERM_REQUEUE_OWNER: job killed and requeued by owner;" in told and told.count("Starting (Pid ") == 2


def test_killing_by_name_speaks_of_finished_jobs_too(lsf):
    over = lsf.submit("-J", "twin", "true")
    lsf.reaches(over, "DONE")
    first, second = lsf.submit("-J", "twin", "sleep 60"), lsf.submit("-J", "twin", "-q", "batchonly", "sleep 60")
    done = lsf("bkill", "-J", "twin")
    assert done.stdout == f"Job <{second}> is being terminated\nJob <{first}> is being terminated\n"
    assert (done.stderr, done.returncode) == (f"Job <{over}>: Job has already finished\n", 255)
    for killed in (first, second):
        lsf.reaches(killed, "EXIT")  # the next names would find them, too
    assert lsf("bkill", "-J", "tw").stderr == "Job <tw> is not found\n"
    other, here = lsf.submit("-J", "twins", "sleep 60"), lsf.submit("-q", "batchonly", "-J", "twins", "sleep 60")
    assert lsf("bkill", "-J", "twin*", "-q", "batchonly", "0").stdout == f"Job <{here}> is being terminated\n"
    assert lsf.field(other, "stat") in ("PEND", "RUN")


def test_bkill_of_a_job_whose_host_is_away(tmp_path):
    with running(tmp_path, unknown_after=0.6) as own:
        asked, forced = own.submit("-m", "t001", "sleep 60"), own.submit("-m", "t001", "echo $$ > shell; exec sleep 60")
        until((own.home / "shell").exists)
        own.reaches(asked, "RUN")
        own.reaches(forced, "RUN")
        own.stop("t001")
        own.reaches(asked, "UNKWN")
        done = own("bkill", asked)
        assert (done.stderr, done.returncode) == (f"Job <{asked}>: Operation is in progress\n", 255)
        assert own.field(asked, "stat") == "ZOMBI"
        assert own("bkill", "-r", forced).stdout == f"Job <{forced}> is being terminated\n"
        assert own.field(forced, "stat exit_reason").startswith("EXIT^TERM_FORCE_OWNER")
        own.start("t001")
        own.reaches(asked, "EXIT")
        process = f"/proc/{(own.home / 'shell').read_text().strip()}"
        until(lambda: own("test", "-e", process).returncode)  # what bkill -r left there ends with the host's return


def test_a_rerunnable_job_leaves_a_dead_host(tmp_path):
    with running(tmp_path, unknown_after=0.6) as own:
        id = own.submit("-r", "-m", "t001 t002", "echo $$ >> shells; exec sleep 60")
        own.reaches(id, "RUN")
        until(lambda: ticks(own.home / "shells") == 1)
        first = own.field(id, "exec_host")
        own.stop(first)
        until(lambda: own.field(id, "exec_host") not in ("-", first))
        own.reaches(id, "RUN")
        until(lambda: ticks(own.home / "shells") == 2)
        own.start(first)
        old, new = (f"/proc/{pid}" for pid in (own.home / "shells").read_text().split())
        until(lambda: own("test", "-e", old).returncode)
        assert own("test", "-e", new).returncode == 0 and own.field(id, "stat") == "RUN"


def test_history_outlives_the_job_and_the_master(tmp_path):
    with running(tmp_path, clean_period=0.2) as own:
        killed, failed = own.submit("-J", "gone", "sleep 60"), own.submit("exit 7")
        own.reaches(killed, "RUN")
        own("bkill", killed)
        until(lambda: not own("bjobs", killed, failed).stdout)
        own.stop("master")
        told = own("bhist", "-l", "-UF", killed).stdout
        for words in (
            f"Job <{killed}>, Job Name <gone>, User ",
            "to Queue <normal>, CWD <$HOME>;",
            "Dispatched 1 Task(s) on Host(s) <t00",
            "Running with execution home <",
            ": Signal <KILL> requested by user or administrator <",
            "Exited with exit code 130. The CPU time used is 0.0 seconds;",
            "Completed <exit>; TERM_OWNER: job killed by owner;",
        ):
            assert words in told, told
        assert "Exited with exit code 7." in own("bhist", "-l", "-UF", failed).stdout
        rows = own("bhist", "-a").stdout.splitlines()
        assert rows[1].split()[3:] == ["PEND", "PSUSP", "RUN", "USUSP", "SSUSP", "UNKWN", "TOTAL"]
        assert [row.split()[0] for row in rows[2:4]] == [killed, failed]
        assert own("bhist", "99").stderr == "Job <99>: No matching job found\n"
        own.start("master")


def test_bhist_counts_the_seconds_of_each_state(lsf):
    id = lsf.submit("-J", "counted", "sleep 60")
    lsf.reaches(id, "RUN")
    lsf("bstop", id)
    time.sleep(1.2)
    row = lsf("bhist", id).stdout.splitlines()[2].split()
    assert int(row[6]) in (1, 2) and int(row[3]) == 0, row
    assert int(row[-1]) == sum(map(int, row[3:-1]))


def test_bjobs_long_is_folded_inside_words_and_uf_is_not(lsf):
    arguments = [
        "-J",
        "jupyter",
        "-Jd",
        "slipway 0123456789abcdef",
        "-n",
        "2",
        "-R",
        "span[hosts=1]",
        "-M",
        "2000",
        "-W",
        "1:00",
    ]
    id = lsf.submit(*arguments, "-o", "x.out", "sleep 60")
    lsf.reaches(id, "RUN")
    whole, folded = lsf("bjobs", "-UF", id).stdout, lsf("bjobs", "-l", id).stdout
    head, submitted = whole.splitlines()[1:3]
    assert head.startswith(f"Job <{id}>, Job Name <jupyter>, User ") and head.endswith("<slipway 0123456789abcdef>")
    assert submitted.endswith(" CWD <$HOME>, Output File <x.out>, 2 Task(s), Requested Resources <span[hosts=1]>;")
    assert "\n RUNLIMIT                \n 60.0 min                \n\n MEMLIMIT\n 2048000 K\n" in whole
    assert re.search(
        r": Started 2 Task\(s\) on Host\(s\) <2\*t00\d>, Allocated 2 Slot\(s\) on Host\(s\) <2\*t00\d>, Execution Home <",
        whole,
    )
    assert max(map(len, folded.splitlines())) <= 80
    assert re.sub(r"\n {21}| ", "", folded).splitlines()[1] == head.replace(" ", "")
    assert lsf.field(id, "job_description") == "slipway 0123456789abcdef"
    interactive = lsf("bsub", "-Is", "bjobs -UF $LSB_JOBID").stdout
    assert ", Interactive pseudo-terminal shell mode, Command <" in interactive


def test_closed_queues_and_hosts(lsf):
    assert lsf("badmin", "qclose", "interactive").stdout == "Queue <interactive> is closed\n"
    done = lsf("bsub", "-q", "interactive", "true")
    assert (done.stderr, done.returncode) == ("interactive: Queue has been closed. Job not submitted.\n", 255)
    assert " Closed:Active " in lsf("bqueues", "interactive").stdout
    assert lsf("badmin", "qopen", "interactive").stdout == "Queue <interactive> is opened\n"
    lsf("badmin", "qinact", "interactive")
    id = lsf.submit("-q", "interactive", "sleep", "60")
    until(lambda: lsf.field(id, "pend_reason") == "The queue is inactivated by the administrator;")
    lsf("badmin", "qact", "interactive")
    lsf.reaches(id, "RUN")
    assert lsf("badmin", "hclose", "t001", "t002").stderr == "Close <t001> ...... done\nClose <t002> ...... done\n"
    assert re.search(r"t001 +closed_Adm ", lsf("bhosts", "-w").stdout) and re.search(
        r"t001 +closed ", lsf("bhosts").stdout
    )
    id = lsf.submit("-m", "t001", "sleep", "60")
    until(lambda: lsf.field(id, "pend_reason") == "Closed by LSF administrator: 1 host;")
    lsf("badmin", "hopen", "t001", "t002")
    lsf.reaches(id, "RUN")
    assert lsf("badmin", "qclose", "nosuch").stderr == "nosuch: No such queue\n"


def test_the_first_queue_that_takes_the_job(lsf):
    done = lsf("bsub", "-q", "nosuch staff batchonly normal", "sleep", "60")
    assert done.stdout.endswith("> is submitted to queue <batchonly>.\n")
    done = lsf("bsub", "-q", "nosuch staff", "sleep", "60")
    assert done.stderr == "staff: User cannot use the queue. Job not submitted.\n"


def test_a_queues_limits(tmp_path):
    queues = {"normal": {"default": True, "memlimit": 4000, "max_slots": 2, "runlimit_minutes": 60}}
    with running(
        tmp_path, hosts={"t001": {"slots": 4}, "t002": {"slots": 4}, "t037": {"slots": 4}}, queues=queues
    ) as own:
        for arguments, words in (
            (["-M", "4001"], "MEMLIMIT: Cannot exceed queue's hard limit(s)"),
            (["-M", "4GB"], "MEMLIMIT: Cannot exceed queue's hard limit(s)"),
            (["-n", "3"], "Too many processors requested"),
            (["-W", "61"], "RUNLIMIT: Cannot exceed queue's hard limit(s)"),
        ):
            assert own("bsub", *arguments, "true").stderr == f"{words}. Job not submitted.\n"
        assert own.field(own.submit("-M", "3000", "sleep 60"), "memlimit") == "2.93 Gbytes"
        assert own.field(own.submit("sleep 60"), "memlimit") == "3.906 Gbytes", "the queue's limit is the default"
        long = own("bqueues", "-l").stdout
        assert (
            "MAXIMUM LIMITS:\n RUNLIMIT                \n 60.0 min\n MEMLIMIT                \n  4000 M\n TASKLIMIT"
            in long
        )
