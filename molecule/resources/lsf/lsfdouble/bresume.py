# SPDX-License-Identifier: GPL-3.0-or-later
"""bresume: lets suspended jobs go on."""

from .bkill import act
from .cli import options


def main(argv: list, context) -> int:
    found, rest = options(argv, context)
    return act(context, "resume", found, rest)
