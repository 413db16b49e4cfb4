# SPDX-License-Identifier: GPL-3.0-or-later
"""How scripts/minitriton speaks: errors that help, and progress with times."""

import sys
import time
from contextlib import contextmanager


class Refusal(Exception):
    """What can't be done: the value, the rule it breaks, and the remedy."""

    def __init__(self, value: str, rule: str, remedy: str):
        super().__init__(f"{value}\n  rule:   {rule}\n  remedy: {remedy}")


@contextmanager
def stage(name: str):
    """Time one stage. Its line is printed when it ended, since builders print their own progress meanwhile."""
    start = time.monotonic()
    verdict = "failed"
    try:
        yield
        verdict = "ok"
    finally:
        print(f"minitriton: {name:<12} {verdict:<6} {time.monotonic() - start:6.1f} s", file=sys.stderr, flush=True)
