# SPDX-License-Identifier: GPL-3.0-or-later
"""lsid: LIM's names. LIM is another daemon than mbatchd, so this answers while the batch system is away."""

from . import words
from .cli import options
from .protocol import read_cluster

USAGE = "Usage: lsid [-h] [-V]"


def main(argv: list, conf: dict) -> int:
    options(argv, "", "")
    cluster = read_cluster(conf)
    print(f"{words.VERSION}\n\nMy cluster name is {cluster['cluster']}\nMy master name is {cluster['master']}")
    return 0
