"""What a queue allows, read as LSF 10 and its relatives write it, and whether a header keeps to it."""

import lsf_recorded
import pytest
from ansible.module_utils.lsf import LsfError, queues

TEN = """
QUEUE: normal
  -- For normal low priority jobs, running only if hosts are lightly loaded.  This is the default queue.

PARAMETERS/STATISTICS
PRIO NICE STATUS          MAX JL/U JL/P JL/H NJOBS  PEND   RUN SSUSP USUSP  RSV PJOBS
 30   20  Open:Active      512   64    -    -     0     0     0     0     0    0     0
Interval for a host to accept two jobs is 0 seconds

DEFAULT LIMITS:
 RUNLIMIT
 1440.0 min

MAXIMUM LIMITS:
 CPULIMIT              RUNLIMIT
 20.0 min of hostA     10080.0 min of hostA

 TASKLIMIT
 2 4 40
 FILELIMIT DATALIMIT STACKLIMIT CORELIMIT MEMLIMIT SWAPLIMIT
  20000 K   20000 K   2048 K     20000 K   250 G    -

SCHEDULING PARAMETERS
           r15s   r1m  r15m   ut      pg    io   ls    it    tmp    swp    mem
 loadSched   -     -     -     -       -     -    -     -     -      -      -
 loadStop    -     -     -     -       -     -    -     -     -      -      -

SCHEDULING POLICIES:  FAIRSHARE  EXCLUSIVE NO_INTERACTIVE
USERS: all
HOSTS:  all
"""


def test_a_queue_of_lsf_10_with_all_its_limits():
    assert queues.queue(TEN.replace("\n", "\r\n")) == queues.Queue(
        name="normal",
        status="Open:Active",
        policies=("FAIRSHARE", "EXCLUSIVE", "NO_INTERACTIVE"),
        run_minutes=10080.0,
        default_run_minutes=1440.0,
        memory=250 * 1024**2,
        slots=(2, 40),
        all_slots=512,
        user_slots=64,
        users="all",
    )


@pytest.mark.parametrize("system", lsf_recorded.SYSTEMS)
def test_a_queue_as_recorded(system):
    queue = queues.queue(lsf_recorded.said(system, "bqueues -l interactive").stdout)
    assert (queue.name, queue.run_minutes, queue.user_slots) == ("interactive", 480.0, 4)
    assert (queue.takes, queue.is_open, queue.memory, queue.slots) == ("any", True, 0, (0, 0))


@pytest.mark.parametrize("system", lsf_recorded.SYSTEMS)
def test_the_table_of_queues_as_recorded(system):
    table = queues.statuses(lsf_recorded.said(system, "bqueues -w").stdout)
    assert table == dict.fromkeys(("staff", "interactive", "normal", "batchonly"), "Open:Active")


@pytest.mark.parametrize("text", ["", "nosuch: No such queue", "QUEUE:", "PRIO NICE\n 30 20"])
def test_no_queue_is_read_out_of_anything_else(text):
    assert queues.queue(text) is None


def test_a_limit_that_can_not_be_read_does_not_count():
    odd = TEN.replace("10080.0 min of hostA", "unlimited").replace("250 G", "lots").replace(" 2 4 40", " ?")
    queue = queues.queue(odd)
    assert (queue.run_minutes, queue.memory, queue.slots) == (0.0, 0, (0, 0))
    queues.check(queues.request("#BSUB -W 9999:00 -n 60\n#BSUB -M 900000000\n"), queue, "KB", True, "session_")


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("#BSUB -W 168:01", "session_walltime is '168:01': queue normal allows at most 168:00"),
        ("#BSUB -W 10081/hostA", "session_walltime is '10081/hostA': queue normal allows at most 168:00"),
        ("#BSUB -W 6h", "session_walltime is '6h': LSF's -W is [hours:]minutes, as 6:00 or 360"),
        ("#BSUB -n 41", "session_slots is '41': queue normal allows at most 40 slots a job"),
        ("#BSUB -n 1", "session_slots is '1': queue normal asks for at least 2 slots a job"),
        ("#BSUB -n 2,x", "session_slots is '2,x': a number of slots is a whole number from 1 on"),
        (
            "#BSUB -M 20000",
            "-M in session_bsub_options is '20000': that is 19.53 MB here, where a bare number counts KB",
        ),
        ("#BSUB -M 300GB", "-M in session_bsub_options is '300GB (307200 MB)': queue normal allows at most 256000 MB"),
        ("#BSUB -M 4X", "-M in session_bsub_options is '4X': a memory limit is a number, with a unit, as 20GB"),
    ],
)
def test_a_header_that_asks_for_too_much_is_told_value_rule_and_variable(header, words):
    with pytest.raises(LsfError) as told:
        queues.check(queues.request(f"#!/bin/sh\n{header}\nexec x -n 1\n"), queues.queue(TEN), "KB", True, "session_")
    assert words in str(told.value)


@pytest.mark.parametrize(
    "header", ["", "#BSUB -W 168:00", "#BSUB -n 1,2", "#BSUB -n 2,400", "#BSUB -M 250GB", "#BSUB -M 100000"]
)
def test_a_header_within_the_limits_is_none_of_our_business(header):
    queues.check(queues.request(header), queues.queue(TEN), "KB", True, "session_")


def test_slots_that_the_queue_never_has_are_told_and_one_job_a_user_is_no_limit_of_slots():
    queue = queues.queue(TEN.replace(" 2 4 40", " -"))
    for slots, words in (("65", "gives a user 64 slots"), ("513", "has 512 slots in all")):
        with pytest.raises(LsfError, match=words):
            queues.check(queues.Request(slots=slots), queue, "KB", True, "session_")
    queues.check(queues.Request(slots="40"), queues.queue(TEN.replace("   64 ", "    1 ")), "KB", True, "session_")


def test_the_header_is_read_as_bsub_reads_it():
    asked = queues.request(
        '#!/bin/sh\n#BSUB -q normal -n 4 # four\n#BSUB -R "span[hosts=1]"\n#BSUB -W 6:00\n#BSUB -R rusage[mem=9]\n#BSUB -W 7:00\n-n 8\n'
    )
    assert asked == queues.Request("normal", "4", "7:00", "")
