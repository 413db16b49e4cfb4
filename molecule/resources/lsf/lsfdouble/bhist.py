# SPDX-License-Identifier: GPL-3.0-or-later
"""bhist: what became of jobs, out of the master's events; it needs no master, and knows forgotten jobs, too."""

import os
import pwd
import sys
import time

from . import history
from .cli import FAILED, job_ids, options
from .details import each_host, ending, fold, head, limits, moment, submission
from .matching import matches
from .protocol import LsfError

UNFINISHED = {"PEND", "PSUSP", "RUN", "USUSP", "SSUSP", "UNKWN", "ZOMBI"}
TITLE = "Summary of time in seconds spent in various states"


def main(argv: list, context) -> int:
    found, rest = options(argv, context)
    ids = [id for id in job_ids(rest) if id]
    events = history.read(context.conf["LSB_SHAREDIR"])
    chosen = [id for id in ids or events if id in events and (ids or _chosen(events[id], found))]
    for id in ids:
        if id not in events:
            print(f"Job <{id}>: {context.words.NO_HISTORY}", file=sys.stderr)
    if not chosen and not ids:
        raise LsfError(context.words.NO_HISTORY)
    if "l" in found or "UF" in found:
        folded = "UF" not in found
        print(f"\n{'-' * 78}\n".join(_long(events[id], context, folded) for id in chosen))
    elif chosen:
        print(f"{TITLE}:\nJOBID   USER    JOB_NAME  PEND    PSUSP   RUN     USUSP   SSUSP   UNKWN   TOTAL")
        for id in chosen:
            print(_row(events[id], "w" in found))
        print()
    return 0 if len(chosen) == len(ids) or not ids else FAILED


def _chosen(events: list, found: dict) -> bool:
    """Without -a the unfinished ones, one's own unless -u says otherwise."""
    job = events[0].get("job")
    user = found.get("u") or pwd.getpwuid(os.getuid()).pw_name
    return bool(
        job
        and user in ("all", job["user"])
        and found.get("q") in (None, job["queue"])
        and ("J" not in found or matches(job["name"], found["J"]))
        and ("a" in found or "J" in found or events[-1]["stat"] in UNFINISHED)
    )


def _until(events: list) -> float:
    return time.time() if events[-1]["stat"] in UNFINISHED else events[-1]["time"]


def _row(events: list, wide: bool) -> str:
    job, spent = events[0]["job"], history.summary(events, _until(events))
    name = job["name"] if wide or len(job["name"]) <= 9 else "*" + job["name"][-8:]
    numbers = "".join(f"{seconds:<8d}" for seconds in spent.values())
    return f"{job['id']:<7d} {job['user']:7.7s} {name:9s} {numbers}{sum(spent.values()):<10d}"


def _long(events: list, context, folded: bool) -> str:
    words, job = context.words, events[0]["job"]
    text = head(job, words, "")
    to_queue = words.TO_QUEUE.format(job["queue"])
    lines = ["", fold(text, folded and words.FOLDED)]
    lines.append(fold(f"{moment(events[0]['time'])}: {submission(job, words, to_queue)}", folded and words.FOLDED))
    lines += limits(job, words, words.QUEUE_RUNLIMIT_IN_LONG)
    for event in events[1:]:
        lines += [fold(f"{moment(event['time'])}: {text}", folded) for text in _said(event, job, context)]
    until = _until(events)
    spent = history.summary(events, until)
    lines += ["", f"{TITLE} by  {moment(until)}", "  PEND     PSUSP    RUN      USUSP    SSUSP    UNKWN    TOTAL"]
    lines.append("  " + "".join(f"{seconds:<9d}" for seconds in spent.values()) + f"{sum(spent.values()):<12d}")
    return "\n".join(lines) + "\n"


def _said(event: dict, job: dict, context) -> list:
    """The sentences of one event."""
    words = context.words
    match event["event"]:
        case "dispatch":
            slots = sum(count for _, count in event["hosts"])
            form = words.DISPATCHED[slots > 1] if isinstance(words.DISPATCHED, tuple) else words.DISPATCHED
            return [form.format(slots=slots, each=each_host(event["hosts"], context.conf)) + ";"]
        case "start":
            running = f"Running with execution home <{event['home']}>, Execution CWD <{event['cwd']}>, Execution Pid <{event['pid']}>;"
            return [f"Starting (Pid {event['pid']});", running]
        case "signal":
            return [f"Signal <{event['signal']}> requested by user or administrator <{_name(event['uid'])}>;"]
        case "stop":
            return ["Suspended by the user or administrator;"]
        case "suspend":
            return [f"Suspended: {words.SUSPENDED['load']}"]
        case "resume":
            return [f"Signal <CONT> requested by user or administrator <{_name(event['uid'])}>;"]
        case "proceed":
            return ["Running;"]
        case "unknown":
            return ["Unknown; unable to reach the execution host;"]
        case "known":
            return ["Running;"]
        case "requeue":
            return ["Pending: " + words.PENDING["requeued"]]
        case "zombie":
            return ["Termination request issued; the job will be killed once the host is ok;"]
        case "end":
            return _ended(event, words)
    return []


def _ended(event: dict, words) -> list:
    if not event["started"]:
        return ["Exited;"]
    said = [ending(event["code"], event["cpu"], words, ";")]
    reason = words.TERMINATED.get(event["reason"])
    if event["code"] and reason and words.TERMINATIONS_IN_LONG:
        said.append(f"Completed <exit>; {reason};")
    if not event["code"]:
        said.append("Post job process done successfully;")
    return said


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
