# SPDX-License-Identifier: GPL-3.0-or-later
"""`lsfd master` and `lsfd server [--host NAME]`, in the foreground, logging to stderr; `lsfd fault ...` turns fault switches."""

import os
import sys

from .protocol import LsfError, read_conf


def main(argv: list) -> None:
    try:
        conf = read_conf()
    except LsfError as error:
        sys.exit(f"lsfd: {error}")
    try:
        if argv == ["master"]:
            from . import master

            master.main(conf)
        elif argv[:1] == ["server"] and argv[1:2] in ([], ["--host"]) and len(argv) != 2:
            from . import server

            server.main(conf, argv[2] if argv[1:] else os.uname().nodename)
        elif argv[:1] == ["fault"]:
            print(_fault(conf, argv[1:]))
        else:
            sys.exit("Usage: lsfd master | lsfd server [--host NAME] | lsfd fault ...")
    except KeyboardInterrupt:
        sys.exit(130)


def _fault(conf: dict, argv: list) -> str:
    from . import faults

    try:
        return faults.main(faults.Switches(conf["LSB_SHAREDIR"]), argv)
    except LsfError as error:
        sys.exit(f"lsfd: {error}")
    except PermissionError as error:
        sys.exit(f"lsfd: {error.filename}: {error.strerror}. Faults are for root and for who installed the double.")
