# SPDX-License-Identifier: GPL-3.0-or-later
"""A run's result, and its report: one HTML file that needs no other."""

from collections import Counter
from dataclasses import asdict
from pathlib import Path

import jinja2

from .cohort import OUTCOMES


def result(cohort, verdict, seconds, **more):
    """What is kept of a run: plain values, for JSON."""
    users = [asdict(member) for member in cohort.members.values()]
    counts = {outcome: cohort.count(outcome) for outcome in OUTCOMES}
    return {**more, "verdict": verdict, "seconds": seconds, "counts": counts, "others": cohort.others, "users": users}


def html(found):
    """The report of a result; what users' names and Ansible's words have in them is text and never markup."""
    environment = jinja2.Environment(
        autoescape=True, loader=jinja2.FileSystemLoader(Path(__file__).parent), undefined=jinja2.StrictUndefined
    )
    bars = sorted((user for user in found["users"] if user["begun"] is not None), key=lambda user: user["begun"])
    span = max([user["ended"] for user in bars], default=0) or 1
    stages = Counter()
    for user in bars:
        stages.update(user["stages"])
    return environment.get_template("report.html.j2").render(
        result=found, bars=bars, span=span, ticks=ticks(span), stages=stages
    )


def ticks(span):
    """Round seconds along an axis of that length.

    >>> ticks(47), ticks(0.3)
    ([0, 10, 20, 30, 40], [0])
    """
    step = next(step for step in (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 7200, 10**9) if span / step <= 8)
    return list(range(0, int(span) + 1, step))
