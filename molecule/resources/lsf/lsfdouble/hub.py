# SPDX-License-Identifier: GPL-3.0-or-later
"""The master's socket: who is connected, what they say, what they have not been sent yet."""

import os
import selectors
import socket
import time

from .log import log
from .protocol import SOCKET, Lines, at_path, encode, peer_ids


class Peer:
    """A connection: a client's, or (once it said so) a server's."""

    def __init__(self, connection):
        self.connection, self.lines, self.unsent = connection, Lines(), b""
        _, self.uid, self.gid = peer_ids(connection)
        self.host = ""  # a server's
        self.waits_for = 0  # a client of -K or -I: the job whose end it wants to hear of
        self.last_seen = time.time()

    def send(self, **message) -> None:
        self.unsent += encode(message)
        self.flush()

    def flush(self) -> None:
        """Send what fits; the rest waits for the next tick. A peer that is gone is found out by its read."""
        try:
            while self.unsent:
                self.unsent = self.unsent[self.connection.send(self.unsent) :]
        except OSError:
            pass


class Hub:
    """`receive(peer, message)` is called for each message, and raises what a wrong one makes it raise; `gone(peer)` after a loss."""

    def __init__(self, work: str, receive, gone):
        self.path, self.receive, self.gone = f"{work}/{SOCKET}", receive, gone
        self.peers = set()
        self.selector = selectors.DefaultSelector()
        self.listener = None

    def listen(self) -> None:
        if os.path.exists(self.path):
            os.unlink(self.path)
        self.listener = socket.socket(socket.AF_UNIX)
        at_path(self.listener.bind, self.path)
        os.chmod(self.path, 0o666)
        self.listener.listen(128)
        self.listener.setblocking(False)
        self.selector.register(self.listener, selectors.EVENT_READ)

    def close(self) -> None:
        """As a master that died: nobody listens, every connection is broken."""
        self.selector.unregister(self.listener)
        self.listener.close()
        os.unlink(self.path)
        self.listener = None
        for peer in list(self.peers):
            self._forget(peer)

    def turn(self, timeout: float) -> None:
        for key, _ in self.selector.select(timeout):
            if key.fileobj is self.listener:
                self._accept()
            else:
                self._read(key.data)

    def flush(self) -> None:
        for peer in list(self.peers):
            peer.flush()

    def drop(self, peer: Peer) -> None:
        if peer in self.peers:
            self._forget(peer)
            self.gone(peer)

    def _forget(self, peer: Peer) -> None:
        self.peers.discard(peer)
        self.selector.unregister(peer.connection)
        peer.connection.close()

    def _accept(self) -> None:
        connection, _ = self.listener.accept()
        connection.setblocking(False)
        peer = Peer(connection)
        self.peers.add(peer)
        self.selector.register(connection, selectors.EVENT_READ, peer)

    def _read(self, peer: Peer) -> None:
        try:
            data = peer.connection.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            return self.drop(peer)
        peer.last_seen = time.time()
        try:
            for message in peer.lines.feed(data):
                self.receive(peer, message)
        except (ValueError, TypeError, KeyError) as error:  # not one of our clients: answer nothing
            log(f"bad request of uid {peer.uid}: {error!r}")
            self.drop(peer)
