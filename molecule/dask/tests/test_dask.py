"""What Dask reads: the tutorial's link and the tutorial's job, out of files the user may edit."""

import ipaddress
import json
import re
import time

import pytest
import yaml

PYTHON = "/home/builder/local/miniconda3/envs/myenv/bin/python"
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


@pytest.fixture(scope="module")
def script(login):
    """The job script that LSFCluster makes of the written configuration, on the login node as in the tutorial."""
    code = "from dask_jobqueue import LSFCluster; print(LSFCluster().job_script())"
    return login(f"{PYTHON} -c '{code}'").splitlines()


def test_the_dashboards_link_goes_through_jupyterlab(host, home):
    written = yaml.safe_load(host.file(f"{home}/.config/dask/distributed.yaml").content_string)
    assert written["distributed"]["dashboard"]["link"] == "/proxy/{host}:{port}/status"


def header(script):
    return [line.removeprefix("#BSUB ") for line in script if line.startswith("#BSUB ")]


def test_the_jobs_header_is_the_tutorials_and_the_rest_is_listed(script, home):
    logs = f"{home}/.local/state/slipway/dask-logs"
    added = [
        f"-e {logs}/dummy-name-%J.err",
        f"-o {logs}/dummy-name-%J.out",
        '-P "demo"',
        '-R "rusage[mem=20000]"',
    ]
    assert [line for line in header(script) if line not in added] == [
        "-J dask-worker",
        "-q normal",
        "-n 40",
        '-R "span[hosts=1]"',
        "-M 20000",
        "-W 00:10",
    ]
    assert [line for line in header(script) if line in added] == added


def test_the_worker_is_asked_for_as_in_the_tutorial(script, user):
    for option in (
        "--nthreads 40",
        "--interface ib0",
        "--death-timeout 60",
        f"--local-directory /scratch/demo/{user}/tmp",
        "--lifetime 480s",
    ):
        assert option in script[-1]


def test_lsf_counts_the_slots_of_each_shape(host):
    shell = f'bash -lc \'{PYTHON} -c "$0" "$1"\' %s %s'
    seen = json.loads(host.check_output(shell, ACCOUNT, json.dumps(SHAPES)).splitlines()[-1])
    for shape, (jobs, slots) in SHAPES.items():
        lines = [re.fullmatch(rf"{slots} {slots}\*(t00[1-5])", line) for line in seen[shape]]
        assert len(lines) == jobs
        assert all(lines), seen[shape]
        # One job a node where it needs it whole; small ones go to the emptiest.
        assert len({line[1] for line in lines}) == min(jobs, 5)


def test_the_tutorials_other_shapes_are_presets(login, cluster):
    """Real workers for one of them: two jobs of four slots, all of their addresses in ib0's subnet."""
    code = (
        "from dask_jobqueue import LSFCluster; from dask.distributed import Client; "
        "cluster = LSFCluster(config_name='ten-jobs'); client = Client(cluster); "
        "cluster.scale(2); client.wait_for_workers(2, timeout=300); "
        "print(*sorted(client.nthreads().values())); print(*client.nthreads()); client.close(); cluster.close()"
    )
    threads, addresses = login(f'{PYTHON} -c "{code}"').splitlines()[-2:]
    assert threads == "4 4"
    for address in addresses.split():
        host = address.split("//")[1].rsplit(":", 1)[0]
        assert ipaddress.ip_address(host) in ipaddress.ip_network(cluster["ib0_subnet"])
    deadline = time.monotonic() + 60
    while "No unfinished job found" not in login("bjobs 2>&1"):
        assert time.monotonic() < deadline, "closing leaves a job"
        time.sleep(1)


def test_the_examples_are_there_and_the_users(host, home):
    for name in ("local-cluster", "lsf-cluster", "monte-carlo-pi"):
        notebook = host.file(f"{home}/dask-examples/{name}.ipynb")
        assert notebook.mode == 0o600
        assert "slipway" in json.loads(notebook.content_string)["metadata"]


def test_the_lab_button_starts_an_lsf_cluster(host, home):
    factory = yaml.safe_load(host.file(f"{home}/.config/dask/labextension.yaml").content_string)["labextension"][
        "factory"
    ]
    assert (factory["module"], factory["class"]) == ("dask_jobqueue", "LSFCluster")


def test_scratch_is_ready_for_workers(host, user):
    assert host.file(f"/scratch/demo/{user}/tmp").is_directory
