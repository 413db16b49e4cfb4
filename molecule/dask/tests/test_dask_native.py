"""The tutorial's shapes of a Dask cluster, all of them: what LSF gives each. Emulated, their seventeen workers would start for minutes."""

import json
import re

from test_dask import PYTHON

# Jobs and slots of each, as the tutorial counts them.
SHAPES = {"one-worker": (1, 40), "ten-jobs": (10, 4), "one-node": (1, 40), "five-nodes": (5, 40)}
# What LSF says of each shape's jobs once all run; their workers have no time to come up.
ACCOUNT = """
import json, subprocess, sys, time
from dask_jobqueue import LSFCluster

def bjobs(*options):
    argv = ["bjobs", "-q", "normal", "-noheader", "-o", "slots exec_host delimiter=' '", *options]
    return subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout.splitlines()

def until(answers):
    deadline = time.monotonic() + 120
    while not answers():
        assert time.monotonic() < deadline, bjobs()
        time.sleep(0.5)

seen = {}
for shape, (jobs, _) in json.loads(sys.argv[1]).items():
    with LSFCluster(config_name=shape) as cluster:
        cluster.scale(jobs=jobs)
        until(lambda: len(bjobs("-r")) == jobs)
        seen[shape] = bjobs()
    until(lambda: not bjobs())
print(json.dumps(seen))
"""


def test_lsf_counts_the_slots_of_each_shape(host):
    shell = f'bash -lc \'{PYTHON} -c "$0" "$1"\' %s %s'
    seen = json.loads(host.check_output(shell, ACCOUNT, json.dumps(SHAPES)).splitlines()[-1])
    for shape, (jobs, slots) in SHAPES.items():
        lines = [re.fullmatch(rf"{slots} {slots}\*(t00[1-5])", line) for line in seen[shape]]
        assert len(lines) == jobs
        assert all(lines), seen[shape]
        # One job a node where it needs it whole; small ones go to the emptiest.
        assert len({line[1] for line in lines}) == min(jobs, 5)
