# SPDX-License-Identifier: GPL-3.0-or-later
"""bstop: suspends jobs: running ones become USUSP, pending ones PSUSP."""

from .bkill import act
from .cli import options


def main(argv: list, context) -> int:
    found, rest = options(argv, context)
    return act(context, "stop", found, rest)
