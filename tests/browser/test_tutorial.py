# SPDX-License-Identifier: GPL-3.0-or-later
"""The tutorial's own environment for real: JupyterLab 2 with a built Dask pane, set up by the roles, seen in a browser.

What differs from the tutorial, and why, is said in tests/tutorial/requirements.in and docs/test-all.md. It takes minutes.
"""

import contextlib
import json
import re
import shutil
import subprocess
import time

import pytest
from jupyter_browser import PASSWORD, running
from jupyter_page import log_in
from local_ports import free_port
from playwright.sync_api import expect
from role_play import Home
from tutorial_env import LOCK, run

# Of the packages that JupyterLab 2 is made of; all others are at 2.
OLDER = {
    "@jupyterlab/coreutils": "^4.0.0",
    "@jupyterlab/services": "^5.0.0",
    "react": "~16.9.0",
    "react-dom": "~16.9.0",
}
ESBUILD = "esbuild@0.25.12"
# A dashboard with something to see.
CLUSTER = """
import sys, time
from distributed import Client, LocalCluster
client = Client(LocalCluster(n_workers=2, threads_per_worker=2, processes=False, dashboard_address=sys.argv[1]))
print("ready", flush=True)
while True:
    client.gather(client.map(lambda number: time.sleep(0.05), range(100), pure=False))
"""


@pytest.fixture(scope="module")
def dask_labextension(env, tmp_path_factory):
    """The npm package of dask-labextension for JupyterLab 2, from the sources in PyPI's file of the one for 3."""
    folder = tmp_path_factory.mktemp("labextension")
    pin = re.search(r"(?ms)^dask-labextension==.*?[^\\]$", LOCK.read_text())[0]
    (folder / "lock.txt").write_text(pin + "\n")
    download = ["download", "--quiet", "--no-deps", "--no-build-isolation", "--no-binary=:all:", "--require-hashes"]
    run(env / "bin/pip", *download, "-r", folder / "lock.txt", "-d", folder)
    (archive,) = folder.glob("*.tar.gz")
    shutil.unpack_archive(archive, folder)
    sources = folder / archive.name.removesuffix(".tar.gz")

    package = json.loads((sources / "package.json").read_text())
    del package["jupyterlab"]["outputDir"], package["devDependencies"], package["scripts"]
    for name, version in package["dependencies"].items():
        package["dependencies"][name] = OLDER.get(name, "^2.0.0" if name.startswith("@jupyterlab/") else version)
    (sources / "package.json").write_text(json.dumps(package))
    (sources / "schema").mkdir()
    shutil.copy(sources / "dask_labextension/labextension/schemas/dask-labextension/plugin.json", sources / "schema")
    scripts = [str(path.relative_to(sources)) for path in sources.glob("src/*.ts*")]
    run("npx", "--yes", ESBUILD, *scripts, "--outdir=lib", "--target=es2017", cwd=sources)
    return sources / run("npm", "pack", "--silent", cwd=sources)


@pytest.fixture(scope="module")
def account(env, dask_labextension, tmp_path_factory):
    """A home that nothing has been done to. What npm is told on this machine holds for the build too."""
    npm = {f"npm_config_{key}": run("npm", "config", "get", key) for key in ("registry", "cafile")}
    account = Home(
        tmp_path_factory.mktemp("account"),
        "jupyter, dask",
        target_env=str(env),
        target_user="ada",
        jupyter_password=PASSWORD,
        conda_env_profile="tutorial",
        dask_labextensions={
            "dask-labextension": str(dask_labextension),
            "@jupyter-widgets/jupyterlab-manager": "2",
        },
        dask_labextension_environment={key: value for key, value in npm.items() if value not in ("null", "")},
    )
    account.deadline = 1800
    return account


@pytest.fixture(scope="module")
def home(account):
    """A home that the roles have set up."""
    assert account.play() > 0
    return account


@pytest.fixture(scope="module")
def lab(env, home):
    """JupyterLab's address."""
    with running(home, [env / "bin/jupyter", "lab"]) as address:
        yield f"http://{address}"


@pytest.fixture
def dashboard(env, tmp_path):
    """The port of a busy cluster's dashboard."""
    port, log = free_port(), tmp_path / "cluster.log"
    with log.open("w") as out:
        process = subprocess.Popen([env / "bin/python", "-c", CLUSTER, f"127.0.0.1:{port}"], stdout=out, stderr=out)
    try:
        deadline = time.monotonic() + 120
        while "ready" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        yield port
    finally:
        process.terminate()
        process.wait(30)


def test_check_mode_says_what_would_be_built(env, account):
    planned = account.ansible("--check")
    assert planned.returncode == 0, planned.stdout
    assert "would run: jupyter labextension install --no-build /" in planned.stdout
    assert not (env / "share/jupyter/lab/extensions").exists()


def test_without_node_nothing_is_touched(env, account):
    refused = account.ansible(dask_labextension_environment={"PATH": str(env / "bin")})
    assert refused.returncode == 2
    assert "Add nodejs to conda_env_packages" in refused.stdout
    assert not (env / "share/jupyter/lab/extensions").exists()


def test_a_second_run_builds_nothing(home):
    assert home.play() == 0


def test_the_build_leaves_no_staging_behind(env, home):
    with contextlib.suppress(FileNotFoundError):
        assert list((env / "share/jupyter/lab/staging").iterdir()) == []


def test_the_dask_pane_shows_the_dashboard(page, lab, dashboard):
    log_in(page, f"{lab}/lab", PASSWORD)
    page.click("[data-id=dask-dashboard-launcher]")
    page.fill(".dask-URLInput input", f"{lab}/proxy/{dashboard}")
    page.press(".dask-URLInput input", "Enter")
    stream = page.locator(".dask-DashboardListing-item button", has_text="Task Stream").first
    expect(stream).to_be_enabled()
    red, green, blue = map(
        int, re.findall(r"\d+", stream.evaluate("button => getComputedStyle(button).backgroundColor"))[:3]
    )
    assert red > green > blue, "the buttons turn orange"
    stream.click()
    expect(page.frame_locator("iframe").locator("canvas").first).to_be_visible()
