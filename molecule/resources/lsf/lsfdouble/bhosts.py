# SPDX-License-Identifier: GPL-3.0-or-later
"""bhosts: the table of hosts with their slots."""

import sys

from .cli import FAILED, options
from .protocol import ask

USAGE = "Usage: bhosts [-h] [-V] [-w] [host_name ...]"


def main(argv: list, conf: dict) -> int:
    found, names = options(argv, "w", "")
    hosts = {host["name"]: host for host in ask(conf, op="hosts")["hosts"]}
    code = 0
    for name in [name for name in names if name not in hosts]:
        print(f"{name}: Bad host name, host group name or cluster name", file=sys.stderr)
        code = FAILED
    shown = [host for name, host in hosts.items() if name in names or not names]
    width = 14 if "w" in found else 11
    if shown:
        print(f"HOST_NAME          {'STATUS':{width}s}  JL/U    MAX  NJOBS    RUN  SSUSP  USUSP    RSV ")
    for host in shown:
        status = host["status"]
        if status == "ok" and host["used"] >= host["slots"]:
            status = "closed_Full" if "w" in found else "closed"
        print(
            f"{host['name']:18s} {status:{width}s}     - {host['slots']:6d} {host['used']:6d} {host['used']:6d} {0:6d} {0:6d} {0:6d}"
        )
    return code
