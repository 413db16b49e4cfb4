# SPDX-License-Identifier: GPL-3.0-or-later
"""brequeue: ends running jobs and lets them begin anew, with the number they have."""

from .bkill import act
from .cli import options


def main(argv: list, context) -> int:
    found, rest = options(argv, context)
    return act(context, "requeue", found, rest)
