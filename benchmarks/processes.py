# SPDX-License-Identifier: GPL-3.0-or-later
"""What an account's processes did, by the kernel's own clock: seen from this machine, in whose /proc the containers' processes are.

Neither what is measured nor who measures has to be changed for it, so the tutorial's script and the roles are judged alike.
"""

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")
PERIOD = 0.02  # the precision of an end; a start is exact to a tick


@dataclass
class Process:
    phase: str
    start: float
    end: float


def phase_of(argv: list[str]) -> str | None:
    """Which of the phases that anyone must wait for this is, or None."""
    names = [word.rpartition("/")[2] for word in argv]
    if names[:1] in (["curl"], ["wget"]):
        return "download"
    if (
        names[:1] in (["bash"], ["sh"])
        and names[1:]
        and names[1].endswith(".sh")
        and names[2:]
        and names[2].startswith("-b")
    ):
        return "installer"
    # A script's process has its interpreter first: python .../bin/conda create ...
    if {"conda", "mamba"} & set(names[:3]) and {"create", "install"} & set(names[1:4]):
        return "solver and transaction"
    return None


class Watch:
    """Of all processes of `uid`, while in `with`."""

    def __init__(self, uid: int):
        self.uid = uid
        self.seen: dict[tuple[int, int], Process] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()

    def seconds(self, phase: str) -> float:
        """How long at least one process was at it: those of one phase may overlap."""
        total, until = 0.0, 0.0
        for process in sorted((p for p in self.seen.values() if p.phase == phase), key=lambda p: p.start):
            total += max(0.0, process.end - max(process.start, until))
            until = max(until, process.end)
        return total

    def _watch(self):
        while not self._over.wait(PERIOD):
            for entry in Path("/proc").iterdir():
                if entry.name.isdigit():
                    self._look(entry)

    def _look(self, entry: Path):
        try:
            if entry.stat().st_uid != self.uid:
                return
            argv = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            # The command's name, in brackets, may hold anything; 22nd in all is the start, in ticks since the machine's.
            ticks = int((entry / "stat").read_text().rpartition(")")[2].split()[19])
        except (FileNotFoundError, ProcessLookupError):
            return
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
        if phase := phase_of(argv):
            process = self.seen.setdefault((int(entry.name), ticks), Process(phase, ticks / TICK, now))
            process.end = now
