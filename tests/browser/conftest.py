# SPDX-License-Identifier: GPL-3.0-or-later
"""A real browser for tests: Debian's Chromium, driven by Playwright. `scripts/setup --all` installs it."""

import os
import shutil
import sys
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright
from tutorial_env import build

PROJECT = Path(__file__).parents[2]
# Where pictures of what a user sees go.
PICTURES = Path(os.environ.get("SLIPWAY_PICTURES", PROJECT / ".cache/results/pictures"))
# What Chromium would ask its maker's servers for, what a page would ask others', and what root needs.
OPTIONS = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost",
    "--no-first-run",
    "--no-sandbox",
]

expect.set_options(timeout=60_000)  # milliseconds, as for the pages below
sys.path.append(str(PROJECT / "tests/unit"))  # role_play and its like


@pytest.fixture(scope="session")
def env(tmp_path_factory):
    """The tutorial's environment."""
    prefix = tmp_path_factory.mktemp("tutorial") / "myenv"
    build(prefix)
    yield prefix
    shutil.rmtree(prefix)


@pytest.fixture(scope="session")
def chromium():
    program = shutil.which("chromium")
    assert program, "chromium: not found; the browser tests need Debian's package; run scripts/setup --all"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=OPTIONS)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium, request):
    """A window of a browser that has never been here; its picture is kept under the test's name, also when the test fails."""
    context = chromium.new_context(viewport={"width": 1400, "height": 900})
    window = context.new_page()
    window.set_default_timeout(60_000)  # milliseconds
    yield window
    take(window, request.node.name)
    context.close()


@pytest.fixture
def picture(page):
    """Keeps a picture of the window as it is, under a name."""
    return lambda name: take(page, name)


def take(window, name):
    PICTURES.mkdir(parents=True, exist_ok=True)
    window.screenshot(path=PICTURES / f"{name}.png")
