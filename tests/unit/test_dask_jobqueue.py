# SPDX-License-Identifier: GPL-3.0-or-later
"""The written profiles, rendered by the real dask-jobqueue: the tutorial's scripts, and what is added to them on purpose."""

import argparse
import json
import os
import subprocess

import pytest
import yaml
from role_play import PROJECT, Home

pytest_plugins = ["native_env"]

SCRIPTS = """
import json, sys
from dask_jobqueue.lsf import LSFJob
profiles = json.loads(sys.argv[1])
print(json.dumps({p: LSFJob(scheduler="tcp://10.11.3.51:41481", name="name", config_name=p).job_script() for p in profiles}))
"""
RULE = """
import json
from dask.utils import parse_bytes
from dask_jobqueue.lsf import LSFJob, lsf_format_bytes_ceil
def layout(cores, processes, memory, units):
    job = LSFJob(scheduler="tcp://x:1", name="x", cores=cores, processes=processes or None, memory=memory, lsf_units=units)
    return [job.worker_processes, job.worker_process_threads, job.worker_memory // job.worker_processes,
            int(lsf_format_bytes_ceil(job.worker_memory, lsf_units=units))]
print(json.dumps([layout(*case) for case in json.loads(input())]))
"""
#: The header of each shape in the tutorial; it prints three, the one with ten processes differs from the first in the worker line alone.
HEADERS = {
    "one-worker": ["-n 40", '-R "span[hosts=1]"', "-M 20000"],
    "ten-jobs": ["-n 4", '-R "span[hosts=1]"', "-M 2000"],
    "one-node": ["-n 40", '-R "span[hosts=1]"', "-M 20000"],
    "five-nodes": ["-n 40", '-R "span[hosts=1]"', "-M 16000"],
}
WORKERS = {"one-worker": (1, 40), "ten-jobs": (1, 4), "one-node": (10, 4), "five-nodes": (8, 5)}


def run(python, code, *arguments, stdin="", home="/nonexistent"):
    done = subprocess.run(
        [python, "-c", code, *arguments],
        input=stdin,
        env={"HOME": str(home), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home configured with the tutorial's site, whose scratch is elsewhere here."""
    home = Home(tmp_path_factory.mktemp("site"), "dask")
    site = yaml.safe_load((PROJECT / "inventory/triton/group_vars/triton/dask.yml").read_text())
    scratch = str(home.path) + site["dask_local_directory"]
    home.play(**{**site, "triton_project": "ocean", "target_user": "ada", "dask_local_directory": scratch})
    return home


@pytest.fixture(scope="module")
def scripts(env, home):
    return run(env / "bin/python", SCRIPTS, json.dumps(["lsf", *HEADERS]), home=home.path)


@pytest.mark.parametrize("shape", HEADERS)
def test_the_header_is_the_tutorials_and_the_rest_is_listed(scripts, home, shape):
    memory = HEADERS[shape][2].removeprefix("-M ")
    logs = home / ".local/state/slipway/dask-logs"
    added = [
        f"-e {logs}/name-%J.err",  # or each job that ends sends a mail
        f"-o {logs}/name-%J.out",
        '-P "ocean"',  # the project that is charged
        f'-R "rusage[mem={memory}]"',  # a limit without a reservation lets LSF pack the node
    ]
    header = [line.removeprefix("#BSUB ") for line in scripts[shape].splitlines() if line.startswith("#BSUB ")]
    assert [line for line in header if line not in added] == [
        "-J dask-worker",
        "-q normal",
        *HEADERS[shape],
        "-W 00:10",
    ]
    assert [line for line in header if line in added] == added


def options(script):
    words = argparse.ArgumentParser(exit_on_error=False)
    words.add_argument("scheduler")
    words.add_argument("--nanny", action="store_true")
    for name in ("name", "interface", "local-directory", "memory-limit", "lifetime", "lifetime-stagger"):
        words.add_argument(f"--{name}")
    for name in ("nthreads", "nworkers", "death-timeout"):
        words.add_argument(f"--{name}", type=int, default=1)
    line = script.splitlines()[-1]
    return words.parse_args(line.split(" -m distributed.cli.dask_worker ")[1].split())


@pytest.mark.parametrize("shape", HEADERS)
def test_the_worker_is_the_tutorials(scripts, home, shape):
    said = options(scripts[shape])
    assert (said.nworkers, said.nthreads) == WORKERS[shape]
    assert said.memory_limit == ("18.63GiB" if shape == "one-worker" else "1.86GiB")  # 20 and 2 GB
    assert (said.interface, said.death_timeout, said.nanny) == ("ib0", 60, True)
    # The account's, whoever connects for it.
    assert said.local_directory == str(home / "scratch/ocean/ada/tmp")
    # Added: 10 minutes less the margin, and never later than half of it before the run limit.
    assert (said.lifetime, said.lifetime_stagger) == ("480s", "60s")


def test_the_profile_without_a_name_is_the_tutorials_first(scripts):
    assert scripts["lsf"] == scripts["one-worker"]


def test_the_layout_is_dasks_own(env):
    from module_runner import load

    dask_layout = load("plugins/filter/dask_layout.py").dask_layout
    cases = [
        (cores, processes, memory, units)
        for cores in range(1, 201)
        for processes, memory, units in [(0, "20GB", "mb"), (0, "1 GiB", "kb"), (3, "1.5TB", "gb"), (0, "500 MB", "tb")]
        if processes <= cores
    ]
    said = run(env / "bin/python", RULE, stdin=json.dumps(cases))
    ours = [list(dask_layout(cores, memory, processes, units).values()) for cores, processes, memory, units in cases]
    assert ours == said


@pytest.mark.parametrize(
    ("variables", "reserved"),
    [
        ({"dask_lsf_reserve": "slot"}, "500"),
        ({"dask_lsf_units": "kb", "dask_lsf_reserve_units": "mb"}, "2000"),
    ],
)
def test_the_sites_way_to_count_memory(env, tmp_path, variables, reserved):
    home = Home(tmp_path, "dask")
    home.play(**variables)
    script = run(env / "bin/python", SCRIPTS, json.dumps(["lsf"]), home=home.path)["lsf"]
    limit = "2000000" if variables.get("dask_lsf_units") == "kb" else "2000"
    assert f"#BSUB -M {limit}\n" in script
    assert f"rusage[mem={reserved}]" in script
