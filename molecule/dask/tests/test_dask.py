"""What Dask reads: the tutorial's link and the tutorial's job, out of files the user may edit."""

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
    assert written["distributed"]["dashboard"]["link"] == "/proxy/{port}/status"


@pytest.mark.parametrize(
    "line",
    [
        "#BSUB -J dask-worker",
        "#BSUB -q normal",
        "#BSUB -n 40",
        '#BSUB -R "span[hosts=1]"',
        "#BSUB -M 20000",
        "#BSUB -W 00:10",
    ],
)
def test_the_jobs_header_is_the_tutorials(script, line):
    assert line in script


def test_the_worker_is_asked_for_as_in_the_tutorial(script, user):
    worker = next(line for line in script if "dask_worker" in line or "dask worker" in line)
    for option in (
        "--nthreads 40",
        "--interface ib0",
        "--death-timeout 60",
        f"--local-directory /scratch/demo/{user}/tmp",
    ):
        assert option in worker


def test_the_lab_button_starts_an_lsf_cluster(host, home):
    factory = yaml.safe_load(host.file(f"{home}/.config/dask/labextension.yaml").content_string)["labextension"][
        "factory"
    ]
    assert (factory["module"], factory["class"]) == ("dask_jobqueue", "LSFCluster")


def test_scratch_is_ready_for_workers(host, user):
    assert host.file(f"/scratch/demo/{user}/tmp").is_directory
