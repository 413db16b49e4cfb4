# SPDX-License-Identifier: GPL-3.0-or-later
"""A tunnel from this machine to a server on a compute node: one OpenSSH master with one forward.

OpenSSH does the work and is asked through its control socket; nothing is found or ended by port or by name.
"""

import errno
import hashlib
import json
import os
import shlex
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path

from . import SessionError
from .master import CONNECT_TIMEOUT, NODE_ALIAS, Master, control
from .record import write_private

#: A unix socket's path holds 104 bytes on macOS, 108 on Linux; ssh appends 17 of its own while it opens one.
LONGEST_SOCKET_PATH = 86
#: How many ports are tried from the one that was asked for.
NEXT_PORTS = 50


def state_folder(name):
    """The folder of a session's state on the controller, ``$XDG_STATE_HOME/slipway/NAME``."""
    home = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return Path(home) / "slipway" / name


def is_free(port):
    """Whether a port of localhost can be listened on, in IPv4 and, where there is one, IPv6."""
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((address, port))
        except OSError as error:
            # A machine without a loopback of that family has nobody on the port there.
            if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                return False
    return True


class Tunnel:
    """The tunnel of one session, ``localhost:local_port`` to ``node:port`` by way of ``destination``."""

    def __init__(self, name, destination):
        self.destination = destination
        self.folder = state_folder(name)
        self.socket = self.folder / "tunnel.sock"
        if len(str(self.socket)) > LONGEST_SOCKET_PATH:
            digest = hashlib.sha256(str(self.folder).encode()).hexdigest()[:16]
            self.socket = Path(tempfile.gettempdir()) / f"slipway-{os.getuid()}" / digest
        self.log = self.folder / "tunnel.log"
        self.master = Master(destination, self.socket, self.log)
        self.record = self.folder / "tunnel.json"
        #: By which destination an ssh logs in ahead of :meth:`open`.
        self.login = self.folder / "login.json"
        #: What the server at its end is known by, where that speaks https; for a browser to import, too.
        self.certificate_file = self.folder / "certificate.pem"

    @property
    def carrier(self):
        """The control path of the ssh that carries the tunnel: its own, or the one it shares."""
        return self.recorded().get("shared") or str(self.socket)

    def recorded(self):
        """What is known of the tunnel as last opened; empty where it was closed, or never opened."""
        try:
            return json.loads(self.record.read_text())
        except (FileNotFoundError, ValueError):
            return {}

    def forward(self):
        """The forward of the living tunnel as :meth:`leads` has it, or None where no master answers, or none was opened."""
        recorded = self.recorded()
        if not recorded or not os.path.exists(self.carrier) or not control(self.destination, self.carrier, "check"):
            return None
        hidden = ("pid", "host_keys", "until", "destination", "shared")
        shown = {key: value for key, value in recorded.items() if key not in hidden}
        # Older records know of no scheme.
        return {"scheme": "http", **shown}

    def leads(self, asked, end):
        """What :meth:`forward` returns of a tunnel to ``end`` by this destination, but for its local port.

        Args:
            asked: the local port that was asked for, which is not always the one that was free.
            end: the job's own words: ``node``, ``port``, ``mode``, ``socket``, ``scheme``, ``host_keys``; only the first two are needed.
        """
        fields = ("node", "port", "mode", "socket", "scheme")
        defaults = {"mode": "login", "socket": "", "scheme": "http"}
        return {
            "asked": asked,
            "via": str(self.destination),
            **{key: end.get(key, defaults.get(key)) for key in fields},
        }

    @property
    def certificate(self):
        """The certificate of the server at its end, a PEM text; empty where that speaks http, or none was told."""
        if self.recorded().get("scheme") != "https":
            return ""
        try:
            return self.certificate_file.read_text()
        except FileNotFoundError:
            return ""

    def trust(self, certificate):
        """Keeps the certificate of the server at its end, a PEM text; it may be renewed while the tunnel stays."""
        if certificate and certificate != self.certificate:
            write_private(self.certificate_file, certificate)

    def _free_port(self, asked):
        """The port that this session had, the one asked for, or else the next that is free.

        Raises:
            SessionError: all of them are taken.
        """
        recorded = self.recorded()
        had = [recorded["local_port"]] if recorded.get("asked") == asked else []
        for port in (*had, *range(asked, min(asked + NEXT_PORTS, 65536))):
            if is_free(port):
                return port
        raise SessionError(
            f"session_local_port is {asked}: other programs on this machine listen there and on the {NEXT_PORTS - 1} next ports.",
            remedy=f"end one (`lsof -i:{asked}` tells which), or choose another port with -e session_local_port=PORT",
        )

    def open(self, asked, end, frozen=False):
        """Opens the tunnel, in place of one of this session that is frozen or leads elsewhere. Returns the :meth:`forward`.

        Args:
            asked, end: as for :meth:`leads`.
            frozen: whether the ssh that is there is known to be frozen, so that it need not be asked to end.

        Raises:
            SessionError: no local port is free, or ssh failed; with ssh's words.
        """
        with self.locked():
            return self._open(asked, end, frozen)

    def reopen(self, recorded, frozen):
        """Opens the tunnel again as ``recorded``, unless somebody else opened or closed it meanwhile. As :meth:`open`."""
        with self.locked():
            now = self.recorded()
            return now if now != recorded else self._open(recorded["asked"], recorded, frozen)

    @contextmanager
    def logging_in(self):
        """An ssh logs in meanwhile, for an :meth:`open` to come. Yields what is to be called once that will come; else it ends again.

        There is none where something is known of the tunnel. One of mode ``jump`` or ``socket`` has no use for it.
        """
        process, kept = None, []
        # What is in the way here is in the way of open, too, which says so.
        with suppress(OSError, SessionError):
            if not self.recorded() and not self.socket.exists():
                self._make_folders()
                write_private(self.login, json.dumps(self.destination.facts))
                process = self.master.begin()
        try:
            yield lambda: kept.append(process and self.master.has_begun(process))
        finally:
            if process and not any(kept) and not self._carried_by(process):
                process.terminate()
                process.wait()

    def _carried_by(self, process):
        """Whether another run has made that process its tunnel, which it found logged in."""
        return bool(self.recorded()) and self.master.pid() == process.pid

    @property
    def has_logged_in(self):
        """Whether an ssh has done so ahead, and by this destination: one that a killed run left may have had another."""
        with suppress(FileNotFoundError, ValueError):
            return json.loads(self.login.read_text()) == self.destination.facts and self.master.pid() > 0
        return False

    def _open(self, asked, end, frozen):
        lead = self.leads(asked, end)
        has_logged_in = lead["mode"] == "login" and not self.recorded() and self.has_logged_in
        if not has_logged_in:
            self._end_master(frozen)
        local_port = self._free_port(asked)
        self._make_folders()
        lead = {"local_port": local_port, **lead}
        by, where = self._way(lead, end.get("host_keys", []))
        forward = f"localhost:{local_port}:{where}"
        # Recorded first: a run that is killed here leaves a record that the next one compares with the socket.
        unseen = {"host_keys": end.get("host_keys", []), "until": end.get("until")}
        kept = {**lead, **unseen, "destination": self.destination.facts}
        write_private(self.record, json.dumps(kept))
        failed = not (has_logged_in and self.master.control("forward", "-L", forward))
        if failed:
            self.master.end()
            failed = not self.master.log_in(by, forward)
        if failed and self._forwarded_by_shared(local_port, where, lead["mode"]):
            lead = {**lead, "shared": self.destination.shared}
            write_private(self.record, json.dumps({**kept, **lead}))
            return lead
        if failed:
            raise SessionError(
                f"ssh could not open the tunnel localhost:{local_port} to {lead['node']}, {where}, through {self.destination.host}.",
                self.log.read_text(errors="replace")[-800:],
                f"try `{shlex.join(by.ssh(by.host, 'true'))}` by hand",
            )
        pid = self.master.pid()
        if pid:
            write_private(self.record, json.dumps({**kept, "pid": pid}))
        return lead

    def _forwarded_by_shared(self, local_port, where, mode):
        """Whether a connection that was opened by hand carries the tunnel, where the login node lets nobody else in by a key alone."""
        shared = self.destination.shared
        refused = "Permission denied" in self.log.read_text(errors="replace")
        if mode != "login" or not refused or not shared or not control(self.destination, shared, "check"):
            return False
        return bool(control(self.destination, shared, "forward", "-L", f"localhost:{local_port}:{where}"))

    def _make_folders(self):
        """Makes the folders of the tunnel's state and of its control socket, and an empty log of ssh's."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(self.log, "")
        folder = self.socket.parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
        if status.st_uid != os.getuid() or status.st_mode & 0o077:
            raise SessionError(
                f"{folder} is open to others; ssh's control socket must not lie there.",
                remedy=f"remove {folder}, or set TMPDIR",
            )

    def _way(self, lead, host_keys):
        """By which destination the tunnel goes, and where it leads to as seen from there, in the words of ``ssh -L``."""
        if lead["mode"] == "login":
            return self.destination, f"{lead['node']}:{lead['port']}"
        known_hosts = self.folder / "node_known_hosts"
        write_private(known_hosts, "".join(f"{NODE_ALIAS} {' '.join(key.split()[:2])}\n" for key in host_keys))
        return self.destination.beyond(lead["node"], known_hosts), lead["socket"] or f"127.0.0.1:{lead['port']}"

    @contextmanager
    def locked(self):
        """One at a time opens or closes this tunnel, be it a playbook or the supervisor.

        Raises:
            SessionError: another one is at it for longer than an opening takes.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        deadline = time.monotonic() + 4 * CONNECT_TIMEOUT
        with open(os.open(self.folder / "tunnel.lock", os.O_WRONLY | os.O_CREAT, 0o600), "w") as lock:
            while True:
                try:
                    flock(lock, LOCK_EX | LOCK_NB)
                    break
                except BlockingIOError as error:
                    if time.monotonic() > deadline:
                        raise SessionError(
                            f"another program is busy with the tunnel in {self.folder}.",
                            remedy="wait for it to end, and run the same command again",
                        ) from error
                    time.sleep(0.1)
            yield

    def lasts(self, minutes):
        """Records when the job at the tunnel's end reaches its run limit, in ``minutes``; 0 or None where nobody knows."""
        with self.locked():
            recorded = self.recorded()
            if recorded:
                until = time.time() + 60 * minutes if minutes else None
                write_private(self.record, json.dumps({**recorded, "until": until}))

    def close(self, recorded=None):
        """Ends the tunnel, if there is one, and forgets its port; with ``recorded``, only if it is still that one."""
        with self.locked():
            if recorded not in (None, self.recorded()):
                return
            self._end_master()
            for path in (self.record, self.login, self.certificate_file):
                with suppress(FileNotFoundError):
                    path.unlink()

    def _end_master(self, frozen=False):
        recorded = self.recorded()
        if recorded.get("shared"):
            # The connection is its opener's; what is ours is the forward.
            forward = "localhost:{local_port}:{node}:{port}".format(**recorded)
            control(self.destination, recorded["shared"], "cancel", "-L", forward)
        # The process is the recorded one, since that socket is ours.
        self.master.end(recorded.get("pid", 0), frozen)

    def carries(self, patience):
        """Whether the tunnel's ssh carries a word to the other end and back within ``patience`` seconds."""
        argv = self.destination.ssh("-S", self.carrier, self.destination.host, "true")
        try:
            # Without a master, ssh would log in anew, which says nothing of the tunnel.
            argv[1:1] = ["-o", "ProxyCommand=false"]
            done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=patience, check=False)
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == 0

    def read_remote(self, path):
        """The text of a file on the login node, through the tunnel's own connection.

        The session's token and password travel this way: in no argv, variable or result.

        Raises:
            SessionError: it could not be read.
        """
        argv = self.destination.ssh("-S", self.carrier, self.destination.host, f"cat -- {shlex.quote(path)}")
        try:
            done = subprocess.run(
                argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=CONNECT_TIMEOUT, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise SessionError(
                f"{path} could not be read within {CONNECT_TIMEOUT} s.",
                remedy="the connection to the login node seems frozen",
            ) from error
        if done.returncode:
            raise SessionError(f"{path} could not be read on {self.destination.host}.", done.stderr)
        return done.stdout.strip()
