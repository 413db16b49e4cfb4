# SPDX-License-Identifier: GPL-3.0-or-later
"""Job names with LSF's one wildcard, `*`."""

import re


def matches(name: str, pattern: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), name, re.DOTALL) is not None
