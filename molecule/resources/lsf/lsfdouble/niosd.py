# SPDX-License-Identifier: GPL-3.0-or-later
"""The foreground half of bsub -I: a socket that the job's res connects to, then bytes both ways until its exit code comes."""

import contextlib
import os
import select
import signal
import sys
from _socket import AF_UNIX, SOCK_STREAM, socket

from .nios import Frames, frame
from .protocol import Conversation, LsfError, at_path


class Listener:
    def __init__(self, conf: dict):
        self.conf = conf
        self.path = f"{conf['LSB_SHAREDIR']}/nios/{os.uname().nodename}.{os.getpid()}"
        self.socket = socket(AF_UNIX, SOCK_STREAM)

    def __enter__(self):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        mask = os.umask(0o177)  # nobody else may connect
        try:
            at_path(self.socket.bind, self.path)
        finally:
            os.umask(mask)
        self.socket.listen(1)
        return self

    def __exit__(self, *_):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)

    def serve(self, id: int, terminal: bool) -> int:
        job = self._dispatched(id)
        return 126 if job is None else Foreground(job, terminal).run()

    def _dispatched(self, id: int):
        """The job's connection, or None when it ended before it began. A restarted master is asked anew."""
        master = Conversation(self.conf, {"op": "wait", "id": id})
        while True:
            ready, _, _ = select.select([self.socket, master], [], [])
            if self.socket in ready:
                handle, _ = self.socket._accept()
                return socket(fileno=handle)
            try:
                master.answer()
            except LsfError:
                master = Conversation(self.conf, {"op": "wait", "id": id})
                continue
            print("<<Terminated while pending>>", file=sys.stderr)
            return None


class Foreground:
    def __init__(self, job, terminal: bool):
        self.job, self.terminal, self.frames = job, terminal, Frames()
        self.sources = [job, 0]

    def run(self) -> int:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGTSTP):
            signal.signal(number, lambda number, _: self._send("s", str(number).encode()))
        with _raw() if self.terminal else contextlib.nullcontext():
            return self._carry()

    def _carry(self) -> int:
        while True:
            ready, _, _ = select.select(self.sources, [], [])
            if 0 in ready:
                data = os.read(0, 1 << 16)
                self._send(*(("i", data) if data else ("e", b"")))
                if not data:
                    self.sources.remove(0)
            if self.job in ready:
                try:
                    data = self.job.recv(1 << 16)
                except OSError:
                    data = b""
                for kind, body in self.frames.feed(data):
                    if kind == "h":
                        os.write(2, f"<<Starting on {body.decode()}>>\r\n".encode())
                    elif kind == "o":
                        _write(body)
                    elif kind == "x":
                        return int(body)
                if not data:
                    os.write(2, b"<<<Job gone from LSF system>>>\n")
                    return 255

    def _send(self, kind: str, data: bytes = b"") -> None:
        with contextlib.suppress(OSError):  # its end arrives as what we read
            self.job.sendall(frame(kind, data))


def _write(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]


@contextlib.contextmanager
def _raw():
    """The terminal as the job's own: what is typed, ^C too, goes there untouched."""
    import termios
    import tty

    before = termios.tcgetattr(0)
    tty.setraw(0)
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)
