# SPDX-License-Identifier: GPL-3.0-or-later
"""The example notebooks as the role has placed them, run by nbclient on the session's node, with all the workers they ask for."""

import json
import re
from pathlib import Path

import pytest

pytest_plugins = ["native_site"]

# By shape: the workers to begin with, and the jobs that they come in.
SHAPES = {"one-worker": (1, 1), "ten-jobs": (10, 10), "one-node": (10, 1), "five-nodes": (8, 1)}
SLOTS = {"one-worker": 40, "ten-jobs": 4, "one-node": 40, "five-nodes": 40}
PROGRAM = (Path(__file__).parents[2] / "molecule/resources/testing/run_notebook.py").read_text()
# As in a terminal of the lab's.
RUN = """
import os, subprocess, sys
path = os.path.expanduser({path!r})
done = subprocess.run([sys.executable, "-c", {program!r}, path, {parameters!r}], capture_output=True, text=True)
print(done.stdout.strip() if done.returncode == 0 else done.stdout + done.stderr[-3000:])
"""


@pytest.fixture
def executed(lab):
    """Runs an example; returns what it printed and the list of (kind, data) that it showed."""

    def execute(name, parameters):
        code = RUN.format(path=f"~/dask-examples/{name}.ipynb", program=PROGRAM, parameters=parameters)
        with lab.kernel() as run:
            said = run(code)
        try:
            result = json.loads(said.splitlines()[-1])
        except ValueError:
            pytest.fail(said)
        return result["said"], result["shown"]

    return execute


def test_the_svd_takes_the_sessions_slots(executed):
    said, _ = executed("local-cluster", "size_in_bytes = min(size_in_bytes, 1e8)")
    assert said.startswith("4 slots, ")
    assert ", and half the size is 1767.5" in said  # of 3535 rows


@pytest.mark.parametrize("shape", SHAPES)
def test_lsf_cluster_goes_from_its_workers_to_twice_as_many(executed, no_jobs, shape):
    workers, jobs = SHAPES[shape]
    said, _ = executed("lsf-cluster", f"shape, workers = {shape!r}, {workers}")
    assert f"#BSUB -n {SLOTS[shape]}\n" in said
    nodes = re.search(rf"^{workers} workers on (.*), {jobs * SLOTS[shape]} threads$", said, re.M)
    assert nodes, said
    assert len(re.findall(r"'t00[1-5]': ", nodes[1])) == min(jobs, 5)
    assert f"from {workers} to {2 * workers} workers" in said
    no_jobs()


def test_pi_is_plotted_by_the_number_of_workers(executed, no_jobs):
    said, shown = executed("monte-carlo-pi", "steps = [1, 2, 4]; points = 8_000_000")
    assert [int(workers) for workers in re.findall(r"^ +(\d+) workers: +[\d.]+ s, π ≈ 3\.1", said, re.M)] == [1, 2, 4]
    (plot,) = [data for kind, data in shown if kind == "application/javascript" and "render_items" in data]
    measured = [json.loads(seconds) for seconds in re.findall(r'\["x",\[1,2,4\]\],\["y",(\[.*?\])\]', plot)]
    assert len(measured) == 2  # the line of the ideal, and the points
    assert measured[0][0] == measured[1][0]
    assert min(measured[1]) > 0
    no_jobs()
