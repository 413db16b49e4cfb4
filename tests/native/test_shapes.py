# SPDX-License-Identifier: GPL-3.0-or-later
"""The tutorial's four shapes with all their workers, asked for in a notebook of the session: what came up, and where.

Each number is seen from two sides: the scheduler's own picture of its workers, and LSF's of the jobs.
"""

import ipaddress
import json
from collections import Counter
from contextlib import contextmanager

import pytest

pytest_plugins = ["native_site"]

# Jobs, and of each: slots, processes, their threads, and GB of memory; as the tutorial counts them.
SHAPES = {
    "one-worker": (1, 40, 1, 40, 20),
    "ten-jobs": (10, 4, 1, 4, 2),
    "one-node": (1, 40, 10, 4, 2),
    "five-nodes": (5, 40, 8, 5, 2),
}
START = """
from dask.distributed import Client
from dask_jobqueue import LSFCluster
cluster = LSFCluster(config_name={shape!r})
client = Client(cluster)
cluster.scale(jobs={jobs})
"""
# The tutorial's own words.
GROW = """
new_num_workers = 2 * len(cluster.scheduler.workers)
print(f"Scaling from {len(cluster.scheduler.workers)} to {new_num_workers} workers.")
cluster.scale(new_num_workers)
"""
LOOK = """
import json, os, socket
client.wait_for_workers({workers}, timeout={patience})
where = client.run(lambda: (socket.gethostname(), os.environ["LSB_JOBID"]))
print(json.dumps({{"scheduler": cluster.scheduler.address, "workers": [
    {{"address": worker.address, "nanny": worker.nanny, "threads": worker.nthreads, "memory": worker.memory_limit,
      "folder": worker.local_directory, "host": where[worker.address][0], "job": where[worker.address][1]}}
    for worker in cluster.scheduler.workers.values()]}}))
"""
CLOSE = "client.close(); cluster.close()"


@pytest.fixture
def jobs(login):
    """LSF's picture of the user's running worker jobs: by id, (slots, EXEC_HOST)."""

    def ask():
        said = login("bjobs -q normal -r -noheader -o \"jobid slots exec_host delimiter='^'\" 2> /dev/null || true")
        return {job: (int(slots), host) for job, slots, host in (line.split("^") for line in said.splitlines())}

    return ask


@pytest.fixture
def notebook(lab, no_jobs):
    """A kernel of the session; what it leaves in LSF is a failure."""

    @contextmanager
    def opened(shape):
        with lab.kernel() as run:
            run(START.format(shape=shape, jobs=SHAPES[shape][0]))
            yield run
            run(CLOSE)
        no_jobs()

    return opened


def look(run, jobs, cluster, shape, count):
    """Asserts that `count` jobs of the shape are there, whole and in their place; returns the nodes that they are on."""
    _, slots, processes, threads, gigabytes = SHAPES[shape]
    seen = json.loads(run(LOOK.format(workers=count * processes, patience=600)).splitlines()[-1])
    workers, there = seen["workers"], jobs()

    assert len(workers) == count * processes
    assert {worker["threads"] for worker in workers} == {threads}
    assert sum(worker["threads"] for worker in workers) == count * slots
    for worker in workers:
        assert worker["memory"] == pytest.approx(gigabytes * 1e9, rel=0.01)
        assert worker["folder"].startswith("/scratch/demo/ada/tmp/")

    # Each job holds its slots, on one node, and its processes are there: no more of them, and nobody else's.
    assert Counter(worker["job"] for worker in workers) == dict.fromkeys(there, processes)
    assert len(there) == count
    for worker in workers:
        assert there[worker["job"]] == (slots, f"{slots}*{worker['host']}")

    subnet = ipaddress.ip_network(cluster["ib0_subnet"])
    for address in [seen["scheduler"], *(worker[end] for worker in workers for end in ("address", "nanny"))]:
        assert ipaddress.ip_address(address.split("//")[1].rsplit(":", 1)[0]) in subnet
    return {worker["host"] for worker in workers}


@pytest.mark.parametrize(
    ("shape", "nodes"),
    [("one-worker", 1), ("ten-jobs", 5), ("five-nodes", 5)],
)
def test_a_shape_comes_up_as_the_tutorial_has_it(notebook, jobs, cluster, shape, nodes):
    with notebook(shape) as run:
        used = look(run, jobs, cluster, shape, SHAPES[shape][0])
    assert len(used) == nodes
    assert used <= {"t001", "t002", "t003", "t004", "t005"}  # the queue's; the session is on t037


def test_the_one_node_grows_from_10_to_20_workers(notebook, jobs, cluster):
    with notebook("one-node") as run:
        before = look(run, jobs, cluster, "one-node", 1)
        assert "Scaling from 10 to 20 workers." in run(GROW)
        after = look(run, jobs, cluster, "one-node", 2)
    assert len(before) == 1
    assert before < after
