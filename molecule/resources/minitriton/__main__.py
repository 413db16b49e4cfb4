# SPDX-License-Identifier: GPL-3.0-or-later
"""Mini-Triton: a small POWER cluster in containers, with two networks, shared homes and an LSF double.

MINITRITON_NAME (default demo) keeps clusters apart, MINITRITON_ARCH is ppc64le (default) or amd64, MINITRITON_SPEC a file that describes
another cluster than cluster.yml.
"""

import argparse
import os
import subprocess
import sys

from . import faults
from .cluster import Cluster
from .ui import Refusal


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="minitriton", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = top.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="make, start or heal the cluster; changes nothing when it is as it should be")
    commands.add_parser("down", help="remove its containers, networks and state, and nothing else's")
    commands.add_parser("status", help="a line a node; rc 1 when not all run")
    user = commands.add_parser("user", help="make an account on all nodes")
    user.add_argument("name")
    user.add_argument("--project", default="demo", help="its folder is /scratch/PROJECT/NAME (default: %(default)s)")
    user.add_argument("--fresh", action="store_true", help="end all that the user runs and empty its home first")
    user.add_argument(
        "--home-size", metavar="SIZE", help="its home holds no more than this, such as 900M; changes at any time"
    )
    user.add_argument("--read-only", action="store_true", help="with --home-size: nothing can be written to its home")
    mirror = commands.add_parser("mirror", help="break the mirror, or mend it with `up`")
    mirror.add_argument(
        "fault",
        choices=faults.AMOUNTS,
        help="slow: bytes a second; cut: answers end after so many bytes; "
        "garble: files are damaged; down: nothing listens",
    )
    mirror.add_argument("amount", nargs="?", help="of bytes, as 500k or 20M, for slow and cut")
    node = commands.add_parser("node", help="take a node away, or bring it back with `up`")
    node.add_argument("node")
    node.add_argument(
        "fault",
        choices=faults.NODES,
        help="pause: all that runs there stands still; cut: every packet is dropped; down: its power is gone; "
        "up: well again, and its services answer",
    )
    execute = commands.add_parser("exec", help="run a command as root on a node")
    execute.add_argument("node")
    execute.add_argument("argv", nargs=argparse.REMAINDER, metavar="command")
    return top


def main() -> int:
    options = parser().parse_args()
    try:
        cluster = Cluster()
        match options.command:
            case "up":
                cluster.up()
            case "down":
                cluster.down()
            case "status":
                return 0 if cluster.status() else 1
            case "user":
                cluster.user(options.name, options.project, options.fresh, options.home_size, options.read_only)
            case "mirror":
                cluster.mirror(options.fault, options.amount)
            case "node":
                cluster.node(options.node, options.fault)
            case "exec":
                argv = cluster.exec_argv(options.node, options.argv or ["bash", "-l"])
                os.execvp(argv[0], argv)
    except Refusal as refusal:
        print(f"minitriton: {refusal}", file=sys.stderr)
        return 2
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        print(f"minitriton: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("minitriton: interrupted; run it again, it goes on from here", file=sys.stderr)
        return 130
    return 0


sys.exit(main())
