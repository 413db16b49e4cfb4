# SPDX-License-Identifier: GPL-3.0-or-later
"""A tunnel from this machine to a server on a compute node: one OpenSSH master with one forward.

OpenSSH does the work and is asked through its control socket; nothing is found or ended by port or by name.
"""

import errno
import hashlib
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path

from . import SessionError
from .record import write_private

#: A unix socket's path holds 104 bytes on macOS, 108 on Linux; ssh appends 17 of its own while it opens one.
LONGEST_SOCKET_PATH = 86
#: Seconds to log in; then seconds after which a silent connection counts as dead (3 unanswered probes, 5 s apart).
CONNECT_TIMEOUT = 20
#: Seconds for a question to the master on this very machine.
CONTROL_TIMEOUT = 5
ALIVE_INTERVAL, ALIVE_COUNT = 5, 3
#: What a compute node is called in the tunnel's own known_hosts.
NODE_ALIAS = "slipway-node"
#: How many ports are tried from the one that was asked for.
NEXT_PORTS = 50


class Destination:
    """Where ssh goes, with the inventory's own words for how.

    Args:
        host: name or alias, as after ``ssh``.
        user, port, key: empty or 0 leave it to the user's ssh_config.
        arguments: further arguments of ssh in one string, as in ``ansible_ssh_common_args``.
        shared: the control path of a connection that may be open already, Ansible's or scripts/login's.
    """

    def __init__(self, host, user="", port=0, key="", arguments="", shared=""):
        self.host = host
        self.user = user
        self.facts = {"host": host, "user": user, "port": port, "key": key, "arguments": arguments, "shared": shared}
        self.shared = os.path.expanduser(shared)
        self.options = shlex.split(arguments)
        if user:
            self.options += ["-l", user]
        if port:
            self.options += ["-p", str(port)]
        if key:
            self.options += ["-i", os.path.expanduser(key)]

    def __str__(self):
        return f"{self.user}@{self.host}" if self.user else self.host

    def ssh(self, *arguments):
        """The argv of an ssh that never asks anything."""
        return ["ssh", "-o", "BatchMode=yes", "-o", f"ConnectTimeout={CONNECT_TIMEOUT}", *self.options, *arguments]

    def beyond(self, node, known_hosts):
        """The destination ``node`` as reached from this one, known by its keys in the file ``known_hosts`` alone."""
        there = Destination(node, self.user, 0, self.facts["key"], self.facts["arguments"])
        options = {
            "ProxyCommand": shlex.join(
                self.ssh(*(["-S", self.shared] if self.shared else []), "-W", "[%h]:%p", self.host)
            ),
            "HostKeyAlias": NODE_ALIAS,
            "UserKnownHostsFile": str(known_hosts),
            "GlobalKnownHostsFile": "none",
            "StrictHostKeyChecking": "yes",
            # That of the login node, which the site's ssh_config may set for every host.
            "ControlPath": "none",
        }
        # These come before the inventory's arguments: ssh takes the first value it meets.
        there.options[:0] = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
        return there


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
        self.record = self.folder / "tunnel.json"
        self.log = self.folder / "tunnel.log"
        #: What the server at its end is known by, where that speaks https; for a browser to import, too.
        self.certificate_file = self.folder / "certificate.pem"

    @property
    def master(self):
        """The control path of the ssh that carries the tunnel: its own, or the one it shares."""
        return self.recorded().get("shared") or str(self.socket)

    def _control(self, command, *arguments, path=""):
        """What the master says to ``-O command``; an empty text where none answers."""
        argv = self.destination.ssh("-S", path or self.master, "-O", command, *arguments, self.destination.host)
        try:
            done = subprocess.run(
                argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=CONTROL_TIMEOUT, check=False
            )
        except subprocess.TimeoutExpired:
            return ""
        return "" if done.returncode else done.stderr + done.stdout or "ok"

    def recorded(self):
        """What is known of the tunnel as last opened; empty where it was closed, or never opened."""
        try:
            return json.loads(self.record.read_text())
        except (FileNotFoundError, ValueError):
            return {}

    def forward(self):
        """The forward of the living tunnel as :meth:`leads` has it, or None where no master answers."""
        if not os.path.exists(self.master) or not self._control("check"):
            return None
        shown = {
            key: value
            for key, value in self.recorded().items()
            if key not in ("pid", "host_keys", "until", "destination", "shared")
        }
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

    def _open(self, asked, end, frozen):
        self._end_master(frozen)
        local_port = self._free_port(asked)
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._make_socket_folder()
        write_private(self.log, "")
        options = {
            "ControlMaster": "yes",
            "ControlPersist": "no",
            "ExitOnForwardFailure": "yes",
            "ServerAliveInterval": ALIVE_INTERVAL,
            "ServerAliveCountMax": ALIVE_COUNT,
        }
        lead = {"local_port": local_port, **self.leads(asked, end)}
        by, where = self._way(lead, end.get("host_keys", []))
        argv = by.ssh("-f", "-N", "-T", "-S", str(self.socket), "-E", str(self.log))
        # These come before the inventory's arguments: ssh takes the first value it meets.
        argv[1:1] = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
        argv += ["-L", f"localhost:{local_port}:{where}", by.host]
        # Recorded first: a run that is killed here leaves a record that the next one compares with the socket.
        unseen = {"host_keys": end.get("host_keys", []), "until": end.get("until")}
        kept = {**lead, **unseen, "destination": self.destination.facts}
        write_private(self.record, json.dumps(kept))
        try:
            done = subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=3 * CONNECT_TIMEOUT,
                check=False,
            )
            failed = done.returncode != 0
        except subprocess.TimeoutExpired:
            failed = True
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
        pid = re.search(r"pid=(\d+)", self._control("check"))
        if pid:
            write_private(self.record, json.dumps({**kept, "pid": int(pid[1])}))
        return lead

    def _forwarded_by_shared(self, local_port, where, mode):
        """Whether a connection that was opened by hand carries the tunnel, where the login node lets nobody else in by a key alone."""
        shared = self.destination.shared
        refused = "Permission denied" in self.log.read_text(errors="replace")
        if mode != "login" or not refused or not shared or not self._control("check", path=shared):
            return False
        return bool(self._control("forward", "-L", f"localhost:{local_port}:{where}", path=shared))

    def _make_socket_folder(self):
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
            for path in (self.record, self.certificate_file):
                with suppress(FileNotFoundError):
                    path.unlink()

    def carries(self, patience):
        """Whether the tunnel's ssh carries a word to the other end and back within ``patience`` seconds."""
        argv = self.destination.ssh("-S", self.master, self.destination.host, "true")
        try:
            # Without a master, ssh would log in anew, which says nothing of the tunnel.
            argv[1:1] = ["-o", "ProxyCommand=false"]
            done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=patience, check=False)
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == 0

    def _end_master(self, frozen=False):
        recorded = self.recorded()
        if recorded.get("shared"):
            # The connection is its opener's; what is ours is the forward.
            self._control("cancel", "-L", "localhost:{local_port}:{node}:{port}".format(**recorded))
        if not self.socket.exists():
            return
        if (frozen or not self._control("exit")) and self._master_lives():
            # It holds its socket and does not answer: frozen. The process is the recorded one, since that socket is ours.
            pid = self.recorded().get("pid")
            if pid:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + CONTROL_TIMEOUT
        while self._master_lives() and time.monotonic() < deadline:
            time.sleep(0.05)
        with suppress(FileNotFoundError):
            self.socket.unlink()

    def _master_lives(self):
        """Whether a process listens on the control socket, be it frozen; a socket of a dead one refuses."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1)
            try:
                client.connect(str(self.socket))
            except socket.timeout:
                return True
            except OSError:
                return False
        return True

    def read_remote(self, path):
        """The text of a file on the login node, through the tunnel's own connection.

        The session's token and password travel this way: in no argv, variable or result.

        Raises:
            SessionError: it could not be read.
        """
        argv = self.destination.ssh("-S", self.master, self.destination.host, f"cat -- {shlex.quote(path)}")
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
