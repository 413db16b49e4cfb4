# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong with a Dask cluster on a real one, made to happen: nothing computed is lost, or the check says what is the matter."""

import os
import subprocess
import time

import pytest

pytest_plugins = ["native_site"]

PYTHON = "/home/ada/local/miniconda3/envs/myenv/bin/python"
START = """
import os, time
from dask.distributed import Client
from dask_jobqueue import LSFCluster
cluster = LSFCluster(config_name="ten-jobs", {options})
client = Client(cluster)
cluster.scale(jobs={jobs})
client.wait_for_workers({jobs}, timeout=600)
where = client.run(lambda: (os.environ["LSB_JOBID"], os.getpid(), os.uname().nodename))
for worker in where.values():
    print(*worker)
"""
# Two minutes' work of one worker, a second each.
WORK = "futures = client.map(lambda number: time.sleep(1) or number, range(240))"
RESULT = "print(sum(client.gather(futures)))"
CLOSE = "client.close(); cluster.close()"


def workers(said):
    """(job, process, node) of each."""
    return [line.split() for line in said.splitlines()[-2:]]


def until(answers, seconds, what):
    deadline = time.monotonic() + seconds
    while not answers():
        assert time.monotonic() < deadline, what
        time.sleep(1)


@pytest.fixture
def job(login):
    """A field of a job, as bjobs has it."""
    return lambda number, field="stat": login(f"bjobs -a -noheader -o {field} {number}").strip()


def test_a_killed_worker_comes_again_and_a_killed_job_is_made_up_for(lab, minitriton, login, job, no_jobs):
    with lab.kernel() as run:
        (killed, process, node), (ended, *_) = workers(run(START.format(options="", jobs=2)))
        run(WORK)
        minitriton("exec", node, "kill", "-9", process)
        login(f"bkill {ended}")
        assert run(RESULT).strip() == str(sum(range(240)))
        assert job(killed) == "RUN"  # the nanny has put another process in its place
        assert job(ended) in ("DONE", "EXIT")  # as its worker took the interrupt
        assert process not in run("print(*client.run(os.getpid).values())").split()
        run(CLOSE)
    no_jobs()


def test_before_its_run_limit_a_worker_hands_over_what_it_has(lab, job, no_jobs):
    """By another's hands: the value is one that nobody could compute again."""
    options = "walltime='00:02', worker_extra_args=['--lifetime', '40s']"
    with lab.kernel() as run:
        run(START.format(options=options, jobs=1))
        first = run("print(next(iter(where.values()))[0])").strip()
        once = run("import uuid; once = client.submit(lambda: uuid.uuid4().hex, pure=False); print(once.result())")
        time.sleep(15)  # or both would leave at once
        run("cluster.scale(jobs=2); client.wait_for_workers(2, timeout=600)")
        until(lambda: job(first) != "RUN", 120, "the worker stays until LSF ends it")
        assert job(first) == "DONE"
        assert run("print(once.result())") == once
        run(CLOSE)
    no_jobs()


def test_at_its_run_limit_lsf_ends_a_job_and_says_so(lab, job, no_jobs):
    with lab.kernel() as run:
        run(START.format(options="walltime='00:01', worker_extra_args=[]", jobs=1))
        number = run("print(next(iter(where.values()))[0])").strip()
        until(lambda: job(number) == "EXIT", 180, "the job outlives its limit")
        run(CLOSE)
    assert "job killed after reaching LSF run time limit" in job(number, "exit_reason")
    no_jobs()


@pytest.fixture
def hurried(lab, lab_at):
    """The same session, that is not waited for so long."""
    other = lab_at(lab.url, lab.http.headers["Authorization"].removeprefix("token "))
    other.patience = 80
    return other


@pytest.fixture
def worker_on(monkeypatch):
    """Has the check ask for its worker on a node, and with further options."""
    from ansible.module_utils.session import probe

    def asked(node, options=""):
        code = probe.LSF_CLUSTER.replace("LSFCluster()", f"LSFCluster(job_extra_directives=['-m {node}'], {options})")
        monkeypatch.setattr(probe, "LSF_CLUSTER", code)

    return asked


def refused(check):
    from ansible.module_utils.session import SessionError

    with pytest.raises(SessionError) as told:
        check()
    return str(told.value)


def test_a_full_scratch_is_named(hurried, minitriton, worker_on, no_jobs):
    """The node's /dev/shm stands for it: the only file system here that can be filled without harm to others."""
    worker_on("t001", "local_directory='/dev/shm/ada'")
    minitriton("exec", "t001", "sh", "-c", "dd if=/dev/zero of=/dev/shm/full bs=1M 2> /dev/null || true")
    try:
        said = refused(hurried.lsf_cluster)
    finally:
        minitriton("exec", "t001", "rm", "/dev/shm/full")
    assert "brought no worker: OSError: [Errno 28] No space left on device" in said
    no_jobs()


def test_a_node_without_ib0_is_named(hurried, minitriton, worker_on, no_jobs):
    worker_on("t005")
    name = f"minitriton-{os.environ['MINITRITON_NAME']}"
    subprocess.run(["podman", "network", "disconnect", f"{name}-ib0", f"{name}-t005"], check=True, timeout=60)
    try:
        said = refused(hurried.lsf_cluster)
    finally:
        subprocess.run(["podman", "rm", "--force", "--time", "2", f"{name}-t005"], check=True, timeout=60)
        minitriton("up")  # makes it anew
    assert "brought no worker: ValueError: 'ib0' is not a valid network interface" in said
    no_jobs()


def test_a_strangers_dashboard_is_not_taken_for_ours(lab, minitriton, monkeypatch):
    """Another user's scheduler has port 8787 of the session's node."""
    from ansible.module_utils.session import probe

    minitriton("user", "bob")
    scheduler = f"{PYTHON} -m distributed.cli.dask_scheduler --port 0 --dashboard-address :8787"
    # The log is there before the command ends, since it's read at once.
    started = (
        f"cd; : > scheduler.log; setsid {scheduler} 2> scheduler.log > /dev/null < /dev/null & echo $! > scheduler.pid"
    )
    minitriton("exec", "t037", "su", "bob", "-c", started)
    try:
        log = ["exec", "t037", "cat", "/home/bob/scheduler.log"]
        until(lambda: "dashboard at:" in minitriton(*log), 60, "bob's scheduler does not start")
        said = lab.local_cluster()
        assert "a LocalCluster computes" in said
        assert ":8787/" not in said
        # As whoever takes the tutorial's address on trust.
        monkeypatch.setattr(
            probe, "LOCAL_CLUSTER", probe.LOCAL_CLUSTER.replace("cluster.dashboard_link", "'/proxy/8787/status'")
        )
        assert "/proxy/8787/status is another scheduler's." in refused(lab.local_cluster)
    finally:
        minitriton("exec", "t037", "sh", "-c", "kill $(cat /home/bob/scheduler.pid)")
