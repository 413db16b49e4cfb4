# SPDX-License-Identifier: GPL-3.0-or-later
"""bhosts: the table of hosts with their slots."""

import sys

from .cli import FAILED, options
from .protocol import ask


def main(argv: list, context) -> int:
    found, names = options(argv, context)
    answer = ask(context.conf, op="hosts")
    hosts = {host["name"]: host for host in answer["hosts"]}
    code = 0
    for name in [name for name in names if name not in hosts]:
        print(context.words.REFUSED["no_host"].format(name), file=sys.stderr)
        code = FAILED
    shown = [host for name, host in hosts.items() if name in names or not names]
    width = 14 if "w" in found else 11
    if shown:
        print(f"HOST_NAME          {'STATUS':{width}s}  JL/U    MAX  NJOBS    RUN  SSUSP  USUSP    RSV ")
    for host in shown:
        used = host["used"]
        status = _status(host, host["name"] in answer["closed"], context.words)
        print(
            f"{host['name']:18s} {status if 'w' in found else status.split('_')[0]:{width}s}     - {host['slots']:6d} "
            f"{sum(used.values()):6d} {used['RUN']:6d} {used['SSUSP']:6d} {used['USUSP']:6d} {0:6d}"
        )
    return code


def _status(host: dict, closed: bool, words) -> str:
    if host["away"]:
        return words.HOST_AWAY
    if closed:
        return "closed_Adm"
    return "closed_Full" if sum(host["used"].values()) >= host["slots"] else "ok"
