# SPDX-License-Identifier: GPL-3.0-or-later
"""What happened to each job, one JSON line an event, readable by all and kept for good: LSF's lsb.events.

bhist reads the file itself, as LSF's does, so it answers while the master is away and after a job is forgotten.
"""

import json
import os
import time

FILE = "events"


class History:
    def __init__(self, work: str):
        self.path = f"{work}/{FILE}"

    def add(self, job, event: str, /, **more) -> None:
        """`stat` is the job's state after the event; UNKWN where `more` says so."""
        record = {"time": time.time(), "id": job.id, "event": event, "stat": job.stat} | more
        handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(handle, json.dumps(record).encode() + b"\n")
        finally:
            os.close(handle)


def read(work: str) -> dict:
    """{job id: its events}. A number that came round again begins anew."""
    events = {}
    try:
        with open(f"{work}/{FILE}") as file:
            for line in file:
                record = json.loads(line)
                if record["event"] == "new":
                    events[record["id"]] = []
                events.setdefault(record["id"], []).append(record)
    except FileNotFoundError:
        pass
    return events


def summary(events: list, now: float) -> dict:
    """Seconds in PEND, PSUSP, RUN, USUSP, SSUSP and UNKWN until the job's end, or until `now`."""
    spent = dict.fromkeys(("PEND", "PSUSP", "RUN", "USUSP", "SSUSP", "UNKWN"), 0.0)
    for record, following in zip(events, [*events[1:], None], strict=True):
        if record["stat"] in spent:
            spent[record["stat"]] += (following["time"] if following else now) - record["time"]
    return {state: int(seconds + 0.5) for state, seconds in spent.items()}
