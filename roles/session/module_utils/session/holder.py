# SPDX-License-Identifier: GPL-3.0-or-later
"""Holds an interactive job (``bsub -Is``) on the login node: gives it the terminal that it wants, and nobody's to close.

Copied beside the session's record and called as ``python holder.py LOG bsub ...`` in a session of its own, since the caller's
terminal, or ssh, may go. It imports nothing of this package.
"""

import os
import pty
import signal
import sys
from contextlib import suppress


def main(log, argv):
    """Returns when the command has ended; what it says, LSF's words on the submission included, goes to ``log``."""
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    child, terminal = pty.fork()
    if not child:
        os.execvp(argv[0], argv)

    def end(*_):
        # A site's bsub may be a wrapper: its process group is the terminal's.
        os.killpg(child, signal.SIGKILL)
        os._exit(1)

    signal.signal(signal.SIGTERM, end)
    os.chdir("/")
    while True:
        try:
            said = os.read(terminal, 4096)
        except OSError:  # how a terminal says that its other end is gone
            said = b""
        if not said:
            break
        with suppress(OSError):  # a full home is no reason to end the job
            os.write(out, said)
    os.waitpid(child, 0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
