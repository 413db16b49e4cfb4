# SPDX-License-Identifier: GPL-3.0-or-later
"""What clients, master and servers share: where things are, and JSON lines over one unix socket.

Clients start once a poll, often under emulation, so this module imports little: `_socket` instead of `socket`
saves the enum and selectors imports.
"""

import json
import os
import sys
import time
from _socket import AF_UNIX, SO_PEERCRED, SOCK_STREAM, SOL_SOCKET, socket

TREE = __file__.rsplit("/lib/", 1)[0]  # the installed tree, DEST
SOCKET = "mbatchd.sock"


class LsfError(Exception):
    """An answer that ends a command: the text goes to stderr and the command exits 255."""


class NoConf(LsfError):
    """lsf.conf can not be read."""


def read_conf() -> dict:
    """lsf.conf as a dict; a variable of the same name in the environment wins, as LSF has it for LSB_*."""
    folder = os.environ.get("LSF_ENVDIR") or TREE + "/conf"
    try:
        with open(folder + "/lsf.conf") as file:
            pairs = [line.strip().split("=", 1) for line in file if "=" in line and not line.startswith("#")]
    except OSError:
        raise NoConf("Unable to open file lsf.conf") from None
    conf = {key: os.environ.get(key, value) if key.startswith("LSB_") else value for key, value in pairs}
    conf["LSF_CONFDIR"] = folder
    return conf


def read_cluster(conf: dict) -> dict:
    with open(conf["LSF_CONFDIR"] + "/cluster.json") as file:
        return json.load(file)


def at_path(act, path: str) -> None:
    """Call `act` (bind or connect) on a unix path of any length: sun_path holds 107 bytes, a folder's descriptor is short."""
    folder = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY)
    try:
        act(f"/proc/self/fd/{folder}/{os.path.basename(path)}")
    finally:
        os.close(folder)


def peer_ids(connection) -> tuple:
    """(pid, uid, gid) of the other end, as the kernel knows them."""
    raw = connection.getsockopt(SOL_SOCKET, SO_PEERCRED, 12)
    return tuple(int.from_bytes(raw[at : at + 4], sys.byteorder, signed=True) for at in (0, 4, 8))


def encode(message: dict) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


class Lines:
    """Cuts received bytes into messages."""

    def __init__(self):
        self.buffer = b""

    def feed(self, data: bytes) -> list:
        *lines, self.buffer = (self.buffer + data).split(b"\n")
        return [json.loads(line) for line in lines]


class Conversation:
    """A client's request and the answers to it. Without a master it waits for one, for ever, as LSF's commands do."""

    def __init__(self, conf: dict, request: dict):
        self.lines, self.pending = Lines(), []
        self.connection = self._connect(conf)
        self.connection.sendall(encode(request))

    @staticmethod
    def _connect(conf: dict):
        tries = int(os.environ.get("LSB_NTRIES", "0") or 0)
        while True:
            connection = socket(AF_UNIX, SOCK_STREAM)
            try:
                at_path(connection.connect, f"{conf['LSB_SHAREDIR']}/{SOCKET}")
                return connection
            except OSError:
                connection.close()
            if "LSB_NTRIES" in os.environ and tries <= 1:
                raise LsfError("Connection refused by server")
            tries -= 1
            time.sleep(float(conf.get("LSB_API_CONNTIMEOUT", 8)))
            print("batch system daemon not responding ... still trying", file=sys.stderr, flush=True)

    def fileno(self) -> int:
        return self.connection.fileno()

    def answer(self) -> dict:
        """The next message. LSF does not say whether a request cut off half-way was carried out, and neither do we."""
        while not self.pending:
            try:
                data = self.connection.recv(1 << 18)
            except ConnectionResetError:
                data = b""
            if not data:
                raise LsfError(
                    "Failed in an LSF library call: Failed in sending/receiving a message: Connection reset by peer"
                )
            self.pending = self.lines.feed(data)
        return self.pending.pop(0)

    def close(self) -> None:
        self.connection.close()


def ask(conf: dict, **request) -> dict:
    conversation = Conversation(conf, request)
    try:
        return conversation.answer()
    finally:
        conversation.close()
