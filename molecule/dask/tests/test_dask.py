"""What Dask reads: the tutorial's link and the tutorial's job, out of files the user may edit."""

import ipaddress
import json
import time

import pytest
import yaml

PYTHON = "/home/builder/local/miniconda3/envs/myenv/bin/python"


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
