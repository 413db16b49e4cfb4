# SPDX-License-Identifier: GPL-3.0-or-later
"""JupyterLab 4 on Mini-Triton, as a person sees it in a browser, through the tunnel that site.yml has opened.

The cluster is the tests' own and native: `browser`, or what MINITRITON_NAME says. The pictures `lab-*.png` are those of `make screenshots`.
"""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from jupyter_page import (
    clear_outputs,
    coloured,
    idle,
    log_in,
    open_notebook,
    question_of_news,
    run_all,
    run_cells,
    run_code,
    to_the_right,
)
from local_ports import free_port
from playwright.sync_api import expect
from role_play import PROJECT

USER = "ada"
PATIENCE = 600  # seconds for what computes, on a machine that does other things as well


class Site:
    """A Mini-Triton on which site.yml has been played."""

    def __init__(self):
        port = os.environ.get("MINITRITON_LOCAL_PORT") or str(free_port())
        self.url = f"http://localhost:{port}"
        self.env = {
            "MINITRITON_NAME": "browser",
            "MINITRITON_ARCH": "amd64",
            **os.environ,
            "MINITRITON_LOCAL_PORT": port,
            "MINITRITON_USER": USER,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }

    def __call__(self, *argv, timeout=900) -> str:
        done = subprocess.run(
            argv, cwd=PROJECT, env=self.env, capture_output=True, text=True, timeout=timeout, check=False
        )
        assert done.returncode == 0, f"{' '.join(argv)}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done.stdout.strip()

    def up(self):
        self("scripts/minitriton", "up")
        self("scripts/minitriton", "user", USER)
        self("ansible-playbook", "-i", "inventory/minitriton", "site.yml", "-l", "triton")

    def down(self):
        self("scripts/demo", "--down")

    def shell(self, command):
        """What a command of the user's prints on the login node."""
        return self("scripts/minitriton", "exec", "login", "su", "-", USER, "-c", command, timeout=60)

    def password(self):
        return self.shell("cat ~/.config/slipway/jupyter-password")

    def workers(self) -> list[str]:
        """The state and the node of each job of a Dask cluster; the session's own is in another queue."""
        jobs = self.shell("bjobs -q normal -noheader -o 'stat exec_host'").splitlines()
        return sorted(" ".join(job.split()) for job in jobs)


@pytest.fixture(scope="module")
def site():
    site = Site()
    site.down()  # what an interrupted run has left
    try:
        site.up()
        yield site
    finally:
        site.down()


@pytest.fixture
def page(page):
    page.set_viewport_size({"width": 1280, "height": 800})
    return page


@pytest.fixture
def lab(site, page):
    """A window that has logged in; none of its pages may ask another machine for anything, nor the user for leave to do so."""
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    log_in(page, f"{site.url}/lab?reset", site.password())
    yield page
    expect(question_of_news(page)).to_have_count(0)
    assert [url for url in asked if re.match(r"(http|ws)s?:(?!//localhost:)", url)] == []


def until(condition, what):
    """What the condition returns once it's true."""
    end = time.monotonic() + PATIENCE
    while not (seen := condition()):
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(1)
    return seen


def test_the_generated_password_opens_the_lab_and_no_other(site, page, picture):
    log_in(page, f"{site.url}/lab", "hello-world")
    expect(page.get_by_text("Invalid credentials")).to_be_visible()
    page.goto(f"{site.url}/lab")
    picture("lab-login")
    log_in(page, f"{site.url}/lab", site.password())
    expect(page.get_by_title("Name: dask-examples")).to_be_visible()
    expect(page.get_by_title("Dask", exact=True)).to_be_visible()


def test_the_dask_pane_finds_the_notebooks_cluster_and_its_task_stream_draws(site, lab, picture):
    open_notebook(lab, site.url, "dask-examples/local-cluster.ipynb")
    run_cells(lab, "A Dask cluster on this node", 4)
    expect(lab.get_by_text("Launch dashboard in JupyterLab")).to_be_visible()
    lab.click("[data-id=dask-dashboard-launcher]")
    address = lab.locator(".dask-URLInput input")
    expect(address).to_have_value("")
    lab.get_by_title("Auto-detect dashboard URL").click()
    expect(address).to_have_value(re.compile(r"/proxy/[0-9.]+:\d+/"))
    lab.get_by_role("button", name="Task Stream").click()
    to_the_right(lab, "Task Stream")
    stream = lab.frame_locator("iframe[src*=individual-task-stream]").locator("canvas")
    expect(stream.first).to_be_visible()
    assert coloured(stream) == 0, "nothing has been computed yet"
    run_cells(lab, "A large random matrix", 9)
    until(lambda: coloured(stream) > 1000, "the task stream")
    said = lab.locator(".jp-OutputArea-output", has_text=", and half the size is ")
    expect(said).to_be_visible(timeout=PATIENCE * 1000)
    picture("lab-dashboard")
    run_code(lab, "")  # the last cell, which closes the cluster


def test_launch_dashboard_connects_the_pane_and_then_opens_plots(site, lab):
    open_notebook(lab, site.url, "dask-examples/local-cluster.ipynb")
    clear_outputs(lab)  # a button of an earlier cluster leads nowhere
    run_cells(lab, "A Dask cluster on this node", 4)
    launch = lab.get_by_text("Launch dashboard in JupyterLab")
    launch.click()
    lab.click("[data-id=dask-dashboard-launcher]")
    expect(lab.locator(".dask-URLInput input")).to_have_value(re.compile(r"/proxy/[0-9.]+:\d+/status"))
    expect(lab.get_by_role("button", name="Task Stream")).to_be_enabled()
    launch.click()
    stream = lab.frame_locator("iframe[src*=individual-task-stream]").locator("canvas")
    expect(stream.first).to_be_visible()
    run_code(lab, "")  # the last cell, which closes the cluster


def test_new_makes_an_lsf_cluster_and_scale_brings_its_workers(site, lab, picture):
    lab.click("[data-id=dask-dashboard-launcher]")
    lab.get_by_role("button", name="NEW", exact=True).click()
    cluster = lab.locator(".dask-ClusterListingItem")
    expect(cluster).to_contain_text("LSFCluster")
    expect(cluster).to_contain_text("Number of Workers: 0")
    assert site.workers() == []
    # The pane has connected to it by itself.
    expect(lab.locator(".dask-URLInput input")).to_have_value(re.compile(r"/proxy/[0-9.]+:\d+/status"))
    expect(lab.get_by_role("button", name="Task Stream")).to_be_enabled()

    cluster.get_by_role("button", name="SCALE").click()
    dialog = lab.get_by_role("dialog")
    dialog.get_by_role("spinbutton").first.fill("2")
    dialog.get_by_role("button", name="SCALE").click()
    expect(cluster).to_contain_text("Number of Workers: 2", timeout=PATIENCE * 1000)
    expect(cluster).to_contain_text("Number of Cores: 80")
    assert site.workers() == ["RUN 40*t001", "RUN 40*t002"]

    lab.locator(".jp-LauncherCard", has_text="Python 3").first.click()
    idle(lab)
    cluster.get_by_title("Inject client code").click()
    lab.get_by_title("Run this cell and advance").click()
    expect(lab.get_by_text("Connection method: Direct")).to_be_visible()
    run_code(lab, "client.submit(sum, range(10)).result()")
    expect(lab.locator(".jp-OutputArea-executeResult").last).to_contain_text("45")
    run_code(lab, "!bjobs")
    expect(lab.locator(".jp-OutputArea-output").last).to_contain_text("40*t002")
    picture("lab-new")

    cluster.get_by_role("button", name="SHUTDOWN").click()
    expect(cluster).to_have_count(0)
    until(lambda: site.workers() == [], "the end of the workers' jobs")


def test_the_pi_notebook_runs_to_its_end_and_shows_its_plot(site, lab, picture):
    open_notebook(lab, site.url, "dask-examples/monte-carlo-pi.ipynb")
    points = lab.get_by_text("1_000_000_000", exact=True)
    points.dblclick()  # selects it
    lab.keyboard.type("50_000_000")
    run_all(lab)
    expect(lab.get_by_text(re.compile(r"  8 workers: +[0-9.]+ s, π ≈ 3\.14"))).to_be_visible(timeout=PATIENCE * 1000)
    plot = lab.locator(".jp-OutputArea-output canvas")
    until(lambda: coloured(plot) > 200, "the plot")
    idle(lab, PATIENCE)
    picture("lab-pi")
    until(lambda: site.workers() == [], "the end of the workers' jobs")
