# SPDX-License-Identifier: GPL-3.0-or-later
"""What a queue allows, and whether a job's header keeps to it. Pure functions over text, as in :mod:`parse`.

A limit that cannot be read does not count: LSF itself has the last word, and says it at once.
"""

import re
import shlex
from dataclasses import dataclass

from . import LsfError

#: Kilobytes of LSF's units, which are binary.
KILOBYTES = {"K": 1, "M": 1024, "G": 1024**2, "T": 1024**3, "P": 1024**4, "E": 1024**5}
#: Kilobytes below which no Python with a notebook's or a solver's packages starts: such a limit is one in another unit.
LEAST_MEMORY = 64 * 1024

_SIZE = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]+)?)(?P<unit>[KMGTPE]?)B?", re.IGNORECASE)
_LIMIT = re.compile(
    r"[0-9.]+ min(?: of \S+)?|[0-9.]+ [KMGTPE](?:b(?:ytes)?)?(?=\s|$)|[0-9.]+|-(?=\s|$)|\S+", re.IGNORECASE
)


@dataclass(frozen=True)
class Queue:
    """One queue as ``bqueues -l`` shows it.

    Attributes:
        name: its name.
        status: ``Open:Active`` and the like.
        policies: the words after SCHEDULING POLICIES.
        run_minutes: the longest -W; 0.0 for any.
        default_run_minutes: what a job without -W gets; 0.0 for the longest.
        memory: the largest -M in kilobytes; 0 for any.
        slots: the fewest and the most slots of one job; 0 for any.
        all_slots: what the queue has for all (MAX); 0 for any.
        user_slots: what it gives to one user (JL/U); 0 for any.
        users: who may use it, as LSF writes it: ``all users``.
    """

    name: str
    status: str = ""
    policies: tuple = ()
    run_minutes: float = 0.0
    default_run_minutes: float = 0.0
    memory: int = 0
    slots: tuple = (0, 0)
    all_slots: int = 0
    user_slots: int = 0
    users: str = ""

    @property
    def is_open(self):
        return self.status.startswith("Open")

    @property
    def takes(self):
        """``any``, ``interactive`` or ``batch``: the kind of jobs that the queue takes."""
        if "ONLY_INTERACTIVE" in self.policies:
            return "interactive"
        return "batch" if "NO_INTERACTIVE" in self.policies else "any"


@dataclass(frozen=True)
class Request:
    """What a job's header asks for, by bsub's options; an empty one was not given."""

    queue: str = ""
    slots: str = ""
    walltime: str = ""
    memory: str = ""


def statuses(text):
    """The status of each queue in ``bqueues -w``."""
    lines = [line.split() for line in text.replace("\r", "").split("\n")]
    return {words[0]: words[2] for words in lines if len(words) > 2 and words[1].isdigit() and ":" in words[2]}


def queue(text):
    """The :class:`Queue` in ``bqueues -l NAME``, or None if there is none."""
    text = text.replace("\r", "")
    name = re.search(r"^QUEUE: (\S+)", text, re.MULTILINE)
    if not name:
        return None
    lines = text[name.start() :].split("\n")
    table, limits, section = {}, {"DEFAULT": {}, "MAXIMUM": {}}, "MAXIMUM"
    for line, after in zip(lines, [*lines[1:], ""]):
        heads = line.split()
        if heads[:2] == ["PRIO", "NICE"]:
            table = dict(zip(heads, after.split()))
        elif re.match(r"(DEFAULT|MAXIMUM) LIMITS:", line):
            section = heads[0]
        elif heads and all(re.fullmatch("[A-Z]+LIMIT", head) for head in heads):
            values = [found[0] for found in _LIMIT.finditer(after)]
            if len(heads) == 1 or len(heads) == len(values):
                limits[section].update(zip(heads, [values] if len(heads) == 1 else [[value] for value in values]))
    most, default = limits["MAXIMUM"], limits["DEFAULT"]
    policies = re.search(r"^SCHEDULING POLICIES:(.*)$", text, re.MULTILINE)
    users = re.search(r"^USERS:\s*(.*?)\s*$", text, re.MULTILINE)
    slots = [_whole(value) for value in most.get("TASKLIMIT") or most.get("PROCLIMIT") or [""]]
    return Queue(
        name=name[1],
        status=table.get("STATUS", ""),
        policies=tuple(policies[1].split()) if policies else (),
        run_minutes=_minutes(most.get("RUNLIMIT")),
        default_run_minutes=_minutes(default.get("RUNLIMIT")),
        memory=_kilobytes(most.get("MEMLIMIT", [""])[0].replace(" ", ""), "K"),
        slots=(slots[0] if len(slots) > 1 else 0, slots[-1]),
        all_slots=_whole(table.get("MAX", "")),
        user_slots=_whole(table.get("JL/U", "")),
        users=users[1] if users else "",
    )


def _whole(text):
    return int(text) if re.fullmatch("[0-9]{1,9}", text) else 0


def _minutes(values):
    found = re.match(r"([0-9]{1,12}(?:\.[0-9]+)?) min", values[0]) if values else None
    return float(found[1]) if found else 0.0


def _kilobytes(text, unit):
    """A size in kilobytes, rounded up, or 0 where it is none; ``unit`` (its first letter) is that of a bare number."""
    found = _SIZE.match(text)
    if not found or len(found["number"]) > 18:
        return 0
    return -int(-float(found["number"]) * KILOBYTES[(found["unit"] or unit[:1]).upper()] // 1)


def request(script):
    """The :class:`Request` in the #BSUB lines of a script. As with bsub, the last of an option counts.

    Raises:
        LsfError: a line's quotes do not close.
    """
    words = []
    for line in script.replace("\r", "").split("\n"):
        if line.startswith("#BSUB"):
            try:
                words += shlex.split(line[len("#BSUB") :], comments=True)
            except ValueError as error:
                raise LsfError(f"the job's header has a line that LSF can't read: {line}", str(error)) from error
    last = dict(zip(words, words[1:]))
    return Request(last.get("-q", ""), last.get("-n", ""), last.get("-W", ""), last.get("-M", ""))


def minutes(walltime):
    """``[hour:]minute`` as bsub -W has it, a host's name after a slash included, in minutes; None if it is none."""
    found = re.fullmatch(r"(?:([0-9]{1,6}):)?([0-9]{1,9})(?:/\S+)?", walltime)
    return int(found[1] or 0) * 60 + int(found[2]) if found else None


def clock(count):
    """Minutes as bsub -W has them."""
    return f"{int(count) // 60}:{int(count) % 60:02d}"


def check(asked, limits, unit, suffixes, variables):
    """Checks what a header asks for against what its queue allows.

    Args:
        asked: a :class:`Request`.
        limits: a :class:`Queue`.
        unit: that of a bare -M: ``KB`` unless lsf.conf says otherwise (LSF_UNIT_FOR_LIMITS).
        suffixes: whether this LSF takes a unit with -M, as from 10.1.0.2 on.
        variables: how the names of the role's variables begin, for remedies.

    Raises:
        LsfError: with the value, the rule and the variable to change.
    """
    name = f"queue {limits.name}"
    if asked.walltime:
        wanted = minutes(asked.walltime)
        if wanted is None:
            raise _wrong(f"{variables}walltime", asked.walltime, "LSF's -W is [hours:]minutes, as 6:00 or 360")
        if limits.run_minutes and wanted > limits.run_minutes:
            raise _wrong(f"{variables}walltime", asked.walltime, f"{name} allows at most {clock(limits.run_minutes)}")
    if asked.slots:
        _check_slots(asked.slots, limits, variables)
    if asked.memory:
        size = _SIZE.fullmatch(asked.memory)
        if not size or (size["unit"] and not suffixes):
            rule = "with a unit, as 20GB" if suffixes else f"a whole number of {unit}: this LSF takes no unit with it"
            raise _wrong(f"-M in {variables}bsub_options", asked.memory, f"a memory limit is a number, {rule}")
        wanted = _kilobytes(asked.memory, unit)
        if wanted < LEAST_MEMORY:
            rule = f"that is {wanted / 1024:.4g} MB here, where a bare number counts {unit}, and no Python starts in it"
            raise _wrong(f"-M in {variables}bsub_options", asked.memory, rule)
        if limits.memory and wanted > limits.memory:
            rule = f"{name} allows at most {limits.memory / 1024:.0f} MB"
            raise _wrong(f"-M in {variables}bsub_options", f"{asked.memory} ({wanted / 1024:.0f} MB)", rule)


def _check_slots(asked, limits, variables):
    fewest, _, most = asked.partition(",")
    if not _whole(fewest) or (most and not _whole(most)):
        raise _wrong(f"{variables}slots", asked, "a number of slots is a whole number from 1 on")
    for limit, rule in (
        (limits.slots[1], "allows at most {} slots a job"),
        (limits.all_slots, "has {} slots in all, so the job would wait for ever"),
        # One slot a user is how one job a user gets written; where slots are meant, LSF itself refuses.
        (limits.user_slots if limits.user_slots > 1 else 0, "gives a user {} slots, so the job would wait for ever"),
    ):
        if limit and _whole(fewest) > limit:
            raise _wrong(f"{variables}slots", asked, f"queue {limits.name} " + rule.format(limit))
    if max(_whole(fewest), _whole(most)) < limits.slots[0]:
        raise _wrong(f"{variables}slots", asked, f"queue {limits.name} asks for at least {limits.slots[0]} slots a job")


def _wrong(variable, value, rule):
    return LsfError(
        f"{variable} is {value!r}: {rule}.", remedy=f"change it, or choose another queue, in the inventory ({variable})"
    )
