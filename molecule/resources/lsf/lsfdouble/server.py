# SPDX-License-Identifier: GPL-3.0-or-later
"""`lsfd server`: sbatchd. Starts jobs for the master, passes signals to them, tells of their ends; restarts without harming them."""

import fcntl
import json
import os
import select
import signal
import socket
import sys
import time

from . import res, words
from .log import log
from .protocol import SOCKET, Lines, at_path, encode, read_cluster


class Server:
    def __init__(self, conf: dict, host: str):
        self.host, self.work = host, conf["LSB_SHAREDIR"]
        self.cluster = read_cluster(conf)
        self.words = words.of(self.cluster["personality"])
        self.folder = f"{self.work}/hosts/{host}"  # one record a job; see res
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        self.master, self.lines = None, Lines()
        self.told = {}  # job id -> how many lines of its record the master was told
        self.woken, waker = socket.socketpair()  # a child's end interrupts the wait
        self.woken.setblocking(False)
        waker.setblocking(False)
        self.waker = waker
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)

    def run(self) -> None:
        beat = 0.0
        while True:
            if self.master is None:
                self._connect()
            sources = [self.woken] + ([self.master] if self.master else [])
            starting = any(lines == 0 for lines in self.told.values())
            ready, _, _ = select.select(sources, [], [], 0.05 if starting else min(1.0, self.cluster["heartbeat"]))
            if self.woken in ready:
                self.woken.recv(4096)
            if self.master in ready:
                self._read()
            self._reap()
            self._tell()
            if time.monotonic() >= beat:
                self._send(op="alive", holds=self._ids())
                beat = time.monotonic() + self.cluster["heartbeat"]

    # -- the master

    def _connect(self) -> None:
        connection = socket.socket(socket.AF_UNIX)
        try:
            at_path(connection.connect, f"{self.work}/{SOCKET}")
        except OSError:  # not there yet, or restarting: the next round tries again
            return connection.close()
        self.master, self.lines, self.told = connection, Lines(), {}
        self._send(op="server", host=self.host, holds=self._ids())
        self._log("connected")

    def _send(self, **message) -> None:
        if self.master:
            try:
                self.master.sendall(encode(message))
            except OSError:
                self._lose()

    def _lose(self) -> None:
        if self.master:
            self.master.close()
            self.master = None
            self._log("the master is gone")

    def _read(self) -> None:
        try:
            data = self.master.recv(1 << 18)
        except OSError:
            data = b""
        if not data:
            return self._lose()
        for message in self.lines.feed(data):
            getattr(self, "do_" + message.pop("do"))(**message)

    # -- what it asks for

    def do_start(self, job: dict, script: str, env: dict) -> None:
        id = job["id"]
        record = os.open(self._path(id), os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        fcntl.flock(record, fcntl.LOCK_EX)  # shared with the child, which keeps it as an earlier run of the job did
        os.ftruncate(record, 0)
        if os.fork() == 0:
            self.master.close()
            self.woken.close()
            self.waker.close()
            res.shepherd(job, script, env, self.host, record, self.words)
        os.close(record)
        self.told[id] = 0
        self._log(f"job {id} of uid {job['uid']} begins")

    def do_signal(self, id: int, signal: int) -> None:
        lines, alive = self._record(id)
        if alive and lines and "pid" in lines[0] and "code" not in lines[-1]:
            try:
                os.killpg(lines[0]["pid"], signal)
                self._log(f"job {id} gets signal {signal}")
            except ProcessLookupError:
                pass

    def do_forget(self, id: int) -> None:
        self.told.pop(id, None)
        if os.path.exists(self._path(id)):
            os.unlink(self._path(id))

    # -- the jobs

    def _path(self, id: int) -> str:
        return f"{self.folder}/{id}"

    def _ids(self) -> list:
        return [int(name) for name in os.listdir(self.folder) if name.isdigit()]

    def _record(self, id: int) -> tuple:
        """(what the job's res said, whether it lives)."""
        try:
            record = os.open(self._path(id), os.O_RDONLY)
        except FileNotFoundError:
            return [], False
        with os.fdopen(record, "rb") as file:
            try:
                fcntl.flock(record, fcntl.LOCK_EX | fcntl.LOCK_NB)
                alive = False
            except BlockingIOError:
                alive = True
            return [json.loads(line) for line in file if line.endswith(b"\n")], alive

    def _tell(self) -> None:
        for id in self._ids() if self.master else ():
            lines, alive = self._record(id)
            if not alive and not any("code" in line for line in lines):
                lines.append({"code": 255, "cpu": 0.0})  # res was killed, or the host restarted under it
            for line in lines[self.told.get(id, 0) :]:
                self._send(op="started" if "pid" in line else "ended", id=id, **line)
            self.told[id] = len(lines)

    @staticmethod
    def _reap() -> None:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass

    def _log(self, text: str) -> None:
        log(text, f"sbatchd on {self.host}")


def main(conf: dict, host: str) -> None:
    cluster = read_cluster(conf)
    if host not in cluster["hosts"]:
        sys.exit(
            f"lsfd: host {host!r} is none of the cluster's: {', '.join(cluster['hosts'])}. Give its name by --host."
        )
    Server(conf, host).run()
