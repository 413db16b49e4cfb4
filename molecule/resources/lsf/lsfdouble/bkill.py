# SPDX-License-Identifier: GPL-3.0-or-later
"""bkill, and what bstop, bresume and brequeue share with it: jobs by number, or all that have a name, queue, host or user."""

import sys

from .cli import FAILED, job_ids, options
from .protocol import LsfError, ask

WHERE = {"J": "name", "q": "queue", "m": "host", "u": "user"}


def main(argv: list, context) -> int:
    found, rest = options(argv, context)
    signal = _signal(found["s"]) if "s" in found else 0
    return act(context, "kill", found, rest, signal=signal, force="r" in found)


def act(context, action: str, found: dict, rest: list, **more) -> int:
    words = context.words
    where = {WHERE[option]: value for option, value in found.items() if option in WHERE}
    if not rest and not where:
        raise LsfError(words.NO_JOB_GIVEN + words.USAGE[context.name])
    results = ask(context.conf, op="act", action=action, ids=job_ids(rest), where=where, **more)["results"]
    if not results:
        raise LsfError(words.NOT_FOUND.format(found["J"]) if "J" in found else words.NONE_FOUND["unfinished"])
    code = 0
    for id, key in results:
        text, reached = words.ACTED[key]
        print(text.format(id), file=sys.stdout if reached else sys.stderr)
        code = code if reached else FAILED
    return code


def _signal(text: str) -> int:
    import signal

    if text.isdigit() and int(text) in signal.valid_signals():
        return int(text)
    number = getattr(signal, "SIG" + text.upper().removeprefix("SIG"), None)
    if number is None:
        raise LsfError(f"{text}: Illegal signal value")
    return int(number)
