# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user does in Jupyter's pages, the same in all its generations."""

from playwright.sync_api import Page


def log_in(page: Page, address: str, password: str):
    """Opens the address by way of the login page."""
    page.goto(address)
    page.fill("#password_input", password)
    page.click("#login_submit")
