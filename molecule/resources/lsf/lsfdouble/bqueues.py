# SPDX-License-Identifier: GPL-3.0-or-later
"""bqueues: the table, and -l with limits and policy."""

import sys

from .cli import FAILED, options
from .protocol import LsfError, ask

POLICY = {"yes": "", "no": "NO_INTERACTIVE", "only": "ONLY_INTERACTIVE"}


def main(argv: list, context) -> int:
    found, names = options(argv, context)
    answer = ask(context.conf, op="queues")
    queues, code = answer["queues"], 0
    for name in [name for name in names if name not in queues]:
        print(context.words.REFUSED["no_queue"].format(name), file=sys.stderr)
        code = FAILED
    shown = [name for name in queues if (name in names or not names) and _for(queues[name], found)]
    if not shown and not names:
        raise LsfError("No queue found")
    shown.sort(key=lambda name: -queues[name]["priority"])
    if shown and "l" not in found:
        print(context.words.QUEUE_HEAD)
    for name in shown:
        row = _row(name, queues[name], answer, context.words)
        if "l" in found:
            _long(name, queues[name], row, context)
        else:
            print(context.words.QUEUE_ROW.format(**row))
    return code


def _for(queue: dict, found: dict) -> bool:
    users = queue["users"]
    return found.get("m") in (None, *queue["hosts"]) and (users == "all" or found.get("u") in (None, "all", *users))


def _row(name: str, queue: dict, answer: dict, words) -> dict:
    count, closed = answer["counts"][name], answer["closed"]
    status = (
        f"{'Closed' if name in closed['queues'] else 'Open'}:"
        f"{words.QUEUE_INACTIVE if name in closed['inactive'] else 'Active'}"
    )
    suspended = count["SSUSP"] + count["USUSP"]
    return {
        "name": name, "priority": queue["priority"], "status": status,
        "max": "-", "jlu": str(queue["jobs_per_user"] or "-"), "jlp": "-", "jlh": "-",
        "total": count["PEND"] + count["RUN"] + suspended, "pend": count["PEND"], "run": count["RUN"],
        "susp": suspended, "ssusp": count["SSUSP"], "ususp": count["USUSP"],
    }  # fmt: skip


def _long(name: str, queue: dict, row: dict, context) -> None:
    words = context.words
    print(f"\nQUEUE: {name}")
    print(f"  -- {queue['description']}" + ("  This is the default queue." if queue["default"] else ""))
    print(f"\nPARAMETERS/STATISTICS\n{words.QUEUE_LONG_HEAD}\n{words.QUEUE_LONG_ROW.format(**row)}")
    for line in words.QUEUE_MORE:
        print(line)
    hosts = sorted(queue["hosts"])

    def minutes(limit: float) -> str:
        return words.RUNLIMIT.format(minutes=limit, host=(hosts or ["-"])[0]) if limit else ""

    hard = {"RUNLIMIT": minutes(queue["runlimit_minutes"]), "MEMLIMIT": _memory(queue["memlimit"], context.conf)}
    hard["TASKLIMIT"] = f" {queue['max_slots']}" if queue["max_slots"] else ""
    for title, limits in (
        ("DEFAULT LIMITS", {"RUNLIMIT": minutes(queue["default_runlimit"])}),
        ("MAXIMUM LIMITS", hard),
    ):
        if any(limits.values()):
            print("\n" + title + ":" if words.QUEUE_LIMIT_TITLES else "")
            for limit, text in limits.items():
                if text:
                    print(f" {limit:24s}\n{text}")
    print("\nSCHEDULING PARAMETERS")
    print("           r15s   r1m  r15m   ut      pg    io   ls    it    tmp    swp    mem")
    for line in ("loadSched", "loadStop "):
        print(f" {line}   -     -     -     -       -     -    -     -     -      -      -  ")
    if POLICY[queue["interactive"]]:
        print(f"\nSCHEDULING POLICIES:  {POLICY[queue['interactive']]}")
    users = words.ALL_USERS if queue["users"] == "all" else " ".join(queue["users"])
    print(f"\nUSERS: {users}\nHOSTS:  {' '.join(hosts)} ")


def _memory(limit, conf: dict) -> str:
    if not limit:
        return ""
    text = str(limit)
    return f"  {text} {conf['LSF_UNIT_FOR_LIMITS'][0]}" if text.isdigit() else f"  {text}"
