# SPDX-License-Identifier: GPL-3.0-or-later
"""bkill: by number only. What goes by name, queue or host ends jobs that nobody meant; nothing of ours asks for it."""

import sys

from . import words
from .cli import FAILED, Usage, job_ids, options
from .protocol import LsfError, ask

USAGE = "Usage: bkill [-h] [-V] [-s signal_value | signal_name] job_ID ... | 0"


def main(argv: list, conf: dict) -> int:
    found, rest = options(argv, "", "s")
    if not rest:
        raise Usage("Job ID must be specified.")
    results = ask(conf, op="kill", ids=job_ids(rest), signal=_signal(found["s"]) if "s" in found else 0)["results"]
    if not results:
        raise LsfError(words.NONE_FOUND["unfinished"])
    code = 0
    for id, key in results:
        text, reached = words.KILLED[key]
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
