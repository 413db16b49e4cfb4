# SPDX-License-Identifier: GPL-3.0-or-later
"""The example notebooks: placed once, the user's from then on, and run by nbclient with real workers in LSF jobs."""

import json
import os
import subprocess
from pathlib import Path

import lsf_cluster
import module_runner
import pytest
from role_play import PROJECT, Home

pytest_plugins = ["native_env"]

user_files = module_runner.load("plugins/modules/user_files.py")
SHIPPED = {path.name: path.read_text() for path in (PROJECT / "roles/dask/files").glob("*.ipynb")}

RUN = PROJECT / "molecule/resources/testing/run_notebook.py"


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "home/examples"


def place(folder, notebooks, check=False):
    """The names of those that were written."""
    files = [
        {"path": str(folder / name), "format": "notebook", "content": text, "backup": False}
        for name, text in notebooks.items()
    ]
    result = module_runner.run(user_files, {"files": files}, check=check)
    written = {Path(file["path"]).name for file in result["files"] if file["changed"]}
    assert result["changed"] is bool(written)
    return written


def edit(path, change):
    book = json.loads(path.read_text())
    change(book["cells"][1])
    path.write_text(json.dumps(book))


def newer(text):
    return text.replace("import dask", "import dask  # newer")


def test_they_are_placed_once(folder):
    assert place(folder, SHIPPED, check=True) == SHIPPED.keys()
    assert not folder.exists()
    assert place(folder, SHIPPED) == SHIPPED.keys()
    assert place(folder, SHIPPED) == set()
    assert all(
        json.loads(path.read_text())["cells"] == json.loads(SHIPPED[path.name])["cells"] for path in folder.iterdir()
    )


def test_an_untouched_one_becomes_newer(folder):
    place(folder, SHIPPED)
    assert place(folder, {name: newer(text) for name, text in SHIPPED.items()}) == SHIPPED.keys()
    assert "# newer" in (folder / "lsf-cluster.ipynb").read_text()


@pytest.mark.parametrize(
    "change",
    [
        lambda cell: cell["source"].append("# mine"),
        lambda cell: cell.update(outputs=[{"output_type": "stream", "name": "stdout", "text": ["40 slots"]}]),
        lambda cell: cell.update(execution_count=1),
    ],
    ids=["edited", "with results", "run"],
)
def test_one_that_was_touched_is_the_users(folder, change):
    place(folder, SHIPPED)
    mine = folder / "lsf-cluster.ipynb"
    edit(mine, change)
    mine.chmod(0o644)
    before = mine.read_bytes()
    assert place(folder, SHIPPED) == set()
    assert place(folder, {name: newer(text) for name, text in SHIPPED.items()}) == SHIPPED.keys() - {mine.name}
    assert mine.read_bytes() == before
    assert mine.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("text", ["no notebook", "[]", '{"cells": []}', ""])
def test_a_strangers_file_of_that_name_stays(folder, text):
    folder.mkdir(parents=True)
    (folder / "lsf-cluster.ipynb").write_text(text)
    assert place(folder, SHIPPED) == SHIPPED.keys() - {"lsf-cluster.ipynb"}
    assert (folder / "lsf-cluster.ipynb").read_text() == text


def test_the_role_places_them_and_may_be_told_not_to(tmp_path):
    home = Home(tmp_path, "dask")
    home.play(dask_examples_dir="")
    places = [
        home.path / "dask-examples",
        *(Path("/", name) for name in SHIPPED),
    ]  # an empty folder's name begins at the root
    assert not any(place.exists() for place in places)
    assert home.play() == 1
    assert home.play() == 0
    assert {path.name for path in (home / "dask-examples").iterdir()} == SHIPPED.keys()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """An account on a small cluster: two nodes of 40 slots, whose only network is this machine's loopback."""
    nodes = {name: {"slots": 40, "queues": ["normal"]} for name in ("t001", "t002")}
    queues = {"normal": {"default": True, "runlimit_minutes": 600}}
    folder = tmp_path_factory.mktemp("site")
    home = Home(folder, "dask")
    presets = {"ten-jobs": {"cores": 4, "processes": 1, "memory": "1GB"}}
    home.play(dask_queue="normal", dask_interface="lo", dask_local_directory=str(home / "tmp"), dask_presets=presets)
    cluster = lsf_cluster.Cluster(folder / "cluster", hosts=nodes, queues=queues)
    try:
        cluster.start("master", *nodes)
        lsf_cluster.until(lambda: cluster("bhosts").stdout.count(" ok ") == 2)
        cluster.env["HOME"] = str(home.path)
        yield cluster, home
        cluster.clear()
    finally:
        for name in list(cluster.processes):
            cluster.stop(name)


def executed(site, python, name, parameters):
    cluster, home = site
    done = subprocess.run(
        [python, RUN, home / f"dask-examples/{name}.ipynb", parameters],
        env={**cluster.env, "PATH": f"{python.parent}{os.pathsep}{cluster.env['PATH']}"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.full
def test_the_svd_fits_the_machine(site, env):
    said = executed(site, env / "bin/python", "local-cluster", "size_in_bytes = min(size_in_bytes, 5e7)")["said"]
    assert " slots, " in said
    assert ", and half the size is " in said


@pytest.mark.full
def test_the_lsf_cluster_grows_to_twice_its_workers(site, env):
    said = executed(site, env / "bin/python", "lsf-cluster", "workers = 2")["said"]
    assert "ten-jobs     a job: 4 slots, 1 x 4 threads, 1GB" in said
    assert "#BSUB -n 4\n" in said
    assert "2 workers on " in said
    assert "8 threads" in said
    assert "from 2 to 4 workers" in said
    # Closing leaves no job.
    lsf_cluster.until(lambda: "No unfinished job found" in site[0]("bjobs").stderr)


@pytest.mark.full
def test_pi_by_more_and_more_workers(site, env):
    done = executed(site, env / "bin/python", "monte-carlo-pi", "steps = [1, 2]; points = 4_000_000")
    assert "1 workers: " in done["said"]
    assert "2 workers: " in done["said"]
    assert "π ≈ 3.1" in done["said"]
    assert "application/vnd.bokehjs_exec.v0+json" in dict(done["shown"])
    lsf_cluster.until(lambda: "No unfinished job found" in site[0]("bjobs").stderr)
