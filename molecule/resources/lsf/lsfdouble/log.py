# SPDX-License-Identifier: GPL-3.0-or-later
"""The daemons' log, on stderr."""

import sys
import time


def log(text: str, who: str = "mbatchd") -> None:
    print(time.strftime("%b %d %H:%M:%S"), f"{who}:", text, file=sys.stderr, flush=True)
