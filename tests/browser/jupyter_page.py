# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user does in Jupyter's pages, the same in all its generations."""

from playwright.sync_api import Locator, Page


def log_in(page: Page, address: str, password: str):
    """Opens the address by way of the login page."""
    page.goto(address)
    page.fill("#password_input", password)
    page.click("#login_submit")


def question_of_news(page: Page) -> Locator:
    """What JupyterLab 4 asks of everybody who has not answered yet; it stays until somebody does."""
    return page.get_by_text("Would you like to get notified about official Jupyter news?")


def open_notebook(page: Page, url: str, path: str):
    """Opens a notebook of the server's in JupyterLab 4, and nothing else, and waits for its kernel."""
    page.goto(f"{url}/lab/tree/{path}?reset")
    idle(page)


def idle(page: Page, seconds=60):
    """Waits until the kernel of the notebook in front has nothing to do."""
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=1000 * seconds)


def run_cells(page: Page, heading: str, count: int):
    """Runs so many cells, those of text included, from that with the heading on."""
    page.get_by_role("heading", name=heading).click()
    for _ in range(count):
        page.get_by_title("Run this cell and advance").first.click()


def run_code(page: Page, code: str):
    """Runs code in the last cell, and waits for its end."""
    page.locator(".jp-CodeCell .cm-content").last.click()
    page.keyboard.type(code)
    page.keyboard.press("Shift+Enter")
    idle(page)


def clear_outputs(page: Page):
    page.get_by_role("menuitem", name="Edit", exact=True).click()
    page.get_by_role("menuitem", name="Clear Outputs of All Cells", exact=True).click()


def run_all(page: Page):
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()


def to_the_right(page: Page, tab: str):
    """Drags a tab of the main area by its handle, so that it lies beside the others."""
    handle = page.locator(".lm-DockPanel-tabBar .lm-TabBar-tab", has_text=tab)
    area = page.locator("#jp-main-dock-panel").bounding_box()
    handle.hover()
    page.mouse.down()
    page.mouse.move(
        area["x"] + area["width"] / 2, 5, steps=10
    )  # by way of the menu: a plot below would keep what the mouse does
    page.mouse.move(area["x"] + area["width"] - 50, area["y"] + area["height"] / 2, steps=20)
    page.mouse.up()


def coloured(canvases: Locator) -> int:
    """The pixels that neither axes nor text are made of, on all these canvases: what a plot has drawn."""
    return canvases.evaluate_all(
        """all => all.flatMap(canvas => {
             const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
             return Array.from({length: data.length / 4}, (_, i) => data.subarray(4 * i, 4 * i + 4));
           }).filter(([r, g, b, a]) => a > 128 && Math.max(r, g, b) - Math.min(r, g, b) > 60).length"""
    )
