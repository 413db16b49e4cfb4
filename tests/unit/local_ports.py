# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports of this machine for a test's own servers."""

import contextlib
import random
import socket

#: Below what the kernel gives to connections that go out: each of those holds its port, for a minute after its end as well.
LOWEST, HIGHEST = 20000, 32000


def free_port(room=1):
    """The first of ``room`` ports in a row of 127.0.0.1 that nobody has."""
    while True:
        first = random.randrange(LOWEST, HIGHEST - room)
        with contextlib.ExitStack() as listeners, contextlib.suppress(OSError):
            for port in range(first, first + room):
                listeners.enter_context(socket.create_server(("127.0.0.1", port)))
            return first
