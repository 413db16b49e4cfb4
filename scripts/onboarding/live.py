# SPDX-License-Identifier: GPL-3.0-or-later
"""What the team sees while it runs: on a terminal the cohort as it stands, else a line for each user."""

import time
from collections import Counter

from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table

COLOURS = {"done": "green", "failed": "red", "stopped": "yellow"}


def sentence(member):
    """An outcome on one line."""
    took = "" if member.begun is None else f" in {member.seconds:.0f} s"
    if member.outcome == "done":
        return f"done{took}, " + (f"{member.changed} changed" if member.changed else "nothing to do")
    first = " ".join(member.words.split())
    return f"{member.outcome}{took} at {member.stage}: {first[:200]}{'…' if len(first) > 200 else ''}"


def duration(seconds):
    """
    >>> duration(59), duration(3601)
    ('0:59', '60:01')
    """
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


class View:
    """A context in which a run is seen."""

    def __init__(self, console, cohort, clock=time.monotonic):
        self.console, self.cohort, self.clock = console, cohort, clock
        self.started = clock()
        self.shown = set()
        self.live = Live(console=console, get_renderable=self.picture, refresh_per_second=4)

    def __enter__(self):
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(self, *_):
        if self.console.is_terminal:
            self.live.stop()

    def rest(self):
        """Those whose outcome no event has settled, at the end."""
        for member in self.cohort.members.values():
            if member.name not in self.shown:
                self.settled(member)

    def settled(self, member):
        self.shown.add(member.name)
        colour = COLOURS[member.outcome]
        if self.console.is_terminal:
            self.console.print(f"[{colour}]{member.name:<16}[/] {escape(sentence(member))}")
        else:
            print(f"{member.name}: {sentence(member)}", flush=True)

    def picture(self):
        members = list(self.cohort.members.values())
        ended = [member for member in members if member.outcome]
        passed = self.clock() - self.started
        words = [f"[{colour}]{self.cohort.count(outcome)} {outcome}[/]" for outcome, colour in COLOURS.items()]
        rate = f"{60 * len(ended) / passed:.0f} users a minute" if ended and passed else "no rate yet"
        left = f"{duration(passed / len(ended) * (len(members) - len(ended)))} left" if ended else ""
        counts = "  ".join([f"{len(ended)} of {len(members)}", *words, duration(passed), rate, left])
        stages = Counter(member.stage for member in members if not member.outcome)
        now = "  ".join(f"{stage} {number}" for stage, number in sorted(stages.items()))
        picture = Table.grid()
        for row in (ProgressBar(len(members), len(ended), width=60), counts, escape(self.cohort.now), now):
            picture.add_row(row)
        return picture
