# SPDX-License-Identifier: GPL-3.0-or-later
"""badmin, for opening and closing: queues to submissions, queues to dispatch, hosts to jobs."""

import sys

from .cli import FAILED, Usage
from .protocol import ask

# command -> (what of the master's it changes, closed, words)
COMMANDS = {
    "qclose": ("queues", True, "Queue <{0}> is closed"),
    "qopen": ("queues", False, "Queue <{0}> is opened"),
    "qinact": ("inactive", True, "Queue <{0}> is inactivated"),
    "qact": ("inactive", False, "Queue <{0}> is activated"),
    "hclose": ("hosts", True, "Close <{0}> ...... done"),
    "hopen": ("hosts", False, "Open <{0}> ...... done"),
}


def main(argv: list, context) -> int:
    if len(argv) < 2 or argv[0] not in COMMANDS:
        raise Usage("")
    kind, closed, text = COMMANDS[argv[0]]
    refusals = {
        "denied": "{0}: User permission denied",
        "unknown": context.words.REFUSED["no_host" if kind == "hosts" else "no_queue"],
    }
    code = 0
    for name, wrong in ask(context.conf, op="admin", kind=kind, names=argv[1:], closed=closed)["results"]:
        if wrong:
            print(refusals[wrong].format(name), file=sys.stderr)
            code = FAILED
        else:
            print(text.format(name), file=sys.stderr if kind == "hosts" else sys.stdout)
    return code
