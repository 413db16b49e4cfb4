# SPDX-License-Identifier: GPL-3.0-or-later
"""lsid: LIM's names. LIM is another daemon than mbatchd, so this answers while the batch system is away."""

from .cli import options
from .protocol import read_cluster


def main(argv: list, context) -> int:
    options(argv, context)
    cluster = read_cluster(context.conf)
    print(f"{context.words.VERSION}\n\nMy cluster name is {cluster['cluster']}\nMy master name is {cluster['master']}")
    return 0
