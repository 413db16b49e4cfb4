# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the long texts of ``bjobs -l``, ``bjobs -UF`` and ``bhist -l``. Pure functions, as in :mod:`parse`.

No job's state is read out of ``bjobs -l``: whatever a user called a job stands in the same line. Only what this LSF tells in no other
way is: what marks a job as ours, why it waits, how it ended.
"""

import re
from dataclasses import asdict, dataclass, replace
from urllib.parse import quote, unquote

from .parse import Job, first_host

#: How the line of a script begins that carries the job's description where bsub has no -Jd: LSF shows the first lines as the command.
MARK = "#slipway-job:"

#: The long texts are folded, inside words as well, and a line goes on below the end of the first one's date.
INDENT = " " * 21

_JOB = re.compile(r"^Job (?:Id )?<(?P<id>[0-9]+(?:\[[0-9]+\])?)>, .*$", re.MULTILINE)
_DESCRIPTION = re.compile(r", ?Job ?Description ?<(?P<text>[^>\n]*)>")
_MARKED = re.compile(rf"Command ?<(?:#![^;>\n]*; ?)?{MARK}(?P<quoted>[^;>\s]*)[;>]")
#: The reasons stand one a line, each ending in a semicolon.
_REASONS = re.compile(r"^ (?:PENDING|SUSPENDING) REASONS:\n(?P<text>(?: [^\n]*;[ ]*\n?)+)", re.MULTILINE)

#: An event of a job, as ``Mon Nov 23 01:16:59: Exited with exit code 130. The CPU time used is 0.0 seconds;``; some sites have the year.
_EVENT = re.compile(
    r"^[A-Z][a-z]{2} [A-Z][a-z]{2} +[0-9]{1,2} [0-9]{2}:[0-9]{2}:[0-9]{2}(?: [0-9]{4})?: (?:\[[0-9]+\] )?(?P<text>.*)$",
    re.MULTILINE,
)
_OVER = re.compile(
    r"(?P<done>Done successfully|Completed <done>)|(?:Exited|Completed <exit>)(?P<how>[^\n]*)", re.IGNORECASE
)
_AGAIN = re.compile(
    r"(?:Dispatched|Starting|Started|Running|Pending|Re-?queued|Requeue|Migrat|Resum|Job has been requeued)",
    re.IGNORECASE,
)
_STOPPED = re.compile(
    r"Signal <(?:KILL|INT|TERM)> requested|Termination request issued|Job has been forced to exit", re.IGNORECASE
)
#: Why a job that left LSF without another word counts as ended.
ASKED = "LSF was asked to end it"
_QUEUE = re.compile(r"^Submitted from ?host [^,]*,? ?to ?Queue ?<([^>\n]+)>")
_HOST = re.compile(r"^(?:Dispatched|Started)[^<\n]*<([^>\n]+)>")
_REASON = re.compile(r"\bTERM_[A-Z_]+(?:: [^.;\n]*)?")


@dataclass(frozen=True)
class Details:
    """What the long text tells of one job beyond its row. Each is empty where it says nothing."""

    description: str = ""
    pend_reason: str = ""
    exit_code: str = ""
    exit_reason: str = ""
    queue: str = ""
    host: str = ""


def mark(script, description):
    """The script with a description that LSF shows: below its ``#!`` line, since LSF shows the beginning only.

    It is quoted as in a URL, so that no space is in it that folding may swallow.
    """
    first, newline, rest = script.partition("\n")
    line = MARK + quote(description, safe="")
    return f"{first}\n{line}{newline}{rest}" if first.startswith("#!") else f"{line}\n{script}"


def unfold(text):
    """A long text with its folded lines whole again, less the spaces that stood at a fold: LSF drops them, and leaves no trace."""
    return text.replace("\r", "").replace("\n" + INDENT, "")


def _parts(text):
    """The text of each job, by its id."""
    text = unfold(text)
    starts = list(_JOB.finditer(text))
    ends = [found.start() for found in starts[1:]] + [len(text)]
    return {found["id"]: text[found.start() : end] for found, end in zip(starts, ends)}


def _ending(text):
    """``(stat, exit code, reason, whether LSF was asked to end it)`` by the last of a job's events that says so."""
    stat = code = reason = ""
    asked = False
    for event in _EVENT.finditer(text):
        words = event["text"]
        over = _OVER.match(words)
        if over:
            stat = "DONE" if over["done"] else "EXIT"
            how = over["how"] or ""
            number = re.match(r" with exit code ([0-9]+)", how)
            signal = re.match(r" by signal ([0-9]+)", how)
            code = number[1] if number else str(128 + int(signal[1][:4])) if signal else code
        elif _AGAIN.match(words):
            stat = code = reason = ""
            asked = False
        asked = asked or bool(_STOPPED.match(words))
        told = _REASON.search(words) if over or words.startswith("TERM_") else None
        reason = told[0] if told else reason
    return stat, code, reason, asked


def _description(text):
    head = text.split("\n", 1)[0]
    told, marked = _DESCRIPTION.search(head), _MARKED.search(head)
    return told["text"].strip() if told else unquote(marked["quoted"]) if marked else ""


def details(text):
    """The :class:`Details` of each job in ``bjobs -UF`` or ``bjobs -l``, by the job's id."""
    found = {}
    for job_id, part in _parts(text).items():
        reasons = _REASONS.search(part)
        _, code, reason, _ = _ending(part)
        lines = reasons["text"].split("\n") if reasons else []
        found[job_id] = Details(_description(part), " ".join(line.strip() for line in lines).strip(), code, reason)
    return found


def complete(job, told):
    """The :class:`parse.Job` with the :class:`Details` that ``told`` has of it."""
    new = asdict(told.get(job.id, Details()))
    return replace(job, **{name: value for name, value in new.items() if value})


def history(text, job_id):
    """The :class:`parse.Job` out of ``bhist -l``, or None where it is not in it: DONE or EXIT, or UNKWN if no such event is told.

    One that LSF was asked to end counts as ended, as bhist is asked only for what ``bjobs`` does not know any more: a job on a dead
    node has no other last event.
    """
    part = _parts(text).get(job_id)
    if part is None:
        return None
    stat, code, reason, asked = _ending(part)
    pend = ""
    if asked and not stat:
        stat, reason = "EXIT", ASKED
    elif not stat:
        stat, pend = "UNKWN", "bjobs does not find it, and bhist tells of no end"
    events = [event["text"] for event in _EVENT.finditer(part)]
    queue = [found[1] for found in map(_QUEUE.match, events) if found]
    host = [first_host(found[1]) for found in map(_HOST.match, events) if found]
    told = Details(_description(part), pend, code, reason, (queue or [""])[-1], (host or [""])[-1])
    return complete(Job(job_id, stat), {job_id: told})
