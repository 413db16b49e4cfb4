# SPDX-License-Identifier: GPL-3.0-or-later
"""Holds an interactive job (``bsub -Is``) on the login node: gives it the terminal that it wants, and nobody's to close.

Copied beside the session's record and called as ``python holder.py LOG bsub ...``. It imports nothing of this package.
"""

import os
import pty
import sys


def main(log, argv):
    """Returns once the command runs; what it says, LSF's words on the submission included, goes to ``log``."""
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    if os.fork():
        return
    # Of a session of its own: the caller's terminal, or ssh, may go.
    os.setsid()
    os.chdir("/")
    child, terminal = pty.fork()
    if not child:
        os.chdir(os.path.expanduser("~"))
        os.execvp(argv[0], argv)
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    while True:
        try:
            said = os.read(terminal, 4096)
        except OSError:  # how a terminal says that its other end is gone
            said = b""
        if not said:
            break
        os.write(out, said)
    os.waitpid(child, 0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
