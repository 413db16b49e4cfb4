# SPDX-License-Identifier: GPL-3.0-or-later
"""bqueues: the table, and -l with limits and policy."""

import sys

from .cli import FAILED, options
from .protocol import ask

USAGE = "Usage: bqueues [-h] [-V] [-w | -l] [queue_name ...]"
POLICY = {"yes": "", "no": "NO_INTERACTIVE", "only": "ONLY_INTERACTIVE"}


def main(argv: list, conf: dict) -> int:
    found, names = options(argv, "w l", "")
    answer = ask(conf, op="queues")
    queues, code = answer["queues"], 0
    for name in [name for name in names if name not in queues]:
        print(f"{name}: No such queue", file=sys.stderr)
        code = FAILED
    shown = sorted((name for name in queues if name in names or not names), key=lambda name: -queues[name]["priority"])
    if shown and "l" not in found:
        print("QUEUE_NAME      PRIO STATUS          MAX JL/U JL/P JL/H NJOBS  PEND   RUN  SUSP ")
    for name in shown:
        count = answer["counts"][name]
        suspended = count["SSUSP"] + count["USUSP"]
        total = count["PEND"] + count["RUN"] + suspended
        if "l" in found:
            _long(name, queues[name], count, total)
        else:
            print(
                f"{name:15.15s} {queues[name]['priority']:3d}  {'Open:Active':>12s}   {'-':>4s} {'-':>4s} {'-':>4s} {'-':>4s} "
                f"{total:5d} {count['PEND']:5d} {count['RUN']:5d} {suspended:5d}"
            )
    return code


def _long(name: str, queue: dict, count: dict, total: int) -> None:
    print(f"\nQUEUE: {name}")
    print(f"  -- {queue['description']}" + ("  This is the default queue." if queue["default"] else ""))
    print("\nPARAMETERS/STATISTICS")
    print("PRIO NICE STATUS          MAX JL/U JL/P JL/H NJOBS  PEND   RUN SSUSP USUSP  RSV PJOBS")
    print(
        f"{queue['priority']:3d}    0  Open:Active       -    -    -    - {total:5d} {count['PEND']:5d} {count['RUN']:5d} "
        f"{count['SSUSP']:5d} {count['USUSP']:5d}    0 {count['PEND']:5d}"
    )
    for title, minutes in (
        ("DEFAULT LIMITS", queue["default_runlimit"]),
        ("MAXIMUM LIMITS", queue["runlimit_minutes"]),
    ):
        if minutes:
            print(f"\n{title}:\n RUNLIMIT                \n {minutes:.1f} min")
    print("\nSCHEDULING PARAMETERS")
    print("           r15s   r1m  r15m   ut      pg    io   ls    it    tmp    swp    mem")
    for row in ("loadSched", "loadStop "):
        print(f" {row}   -     -     -     -       -     -    -     -     -      -      -  ")
    if POLICY[queue["interactive"]]:
        print(f"\nSCHEDULING POLICIES:  {POLICY[queue['interactive']]}")
    users = "all users" if queue["users"] == "all" else " ".join(queue["users"])
    print(f"\nUSERS: {users}\nHOSTS:  {' '.join(queue['hosts'])} ")
