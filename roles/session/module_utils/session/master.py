# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenSSH as the one who carries a tunnel: where it goes, and its master process, asked through a control socket."""

import os
import re
import shlex
import signal
import socket
import subprocess
import time
from contextlib import suppress

#: Seconds to log in; then seconds after which a silent connection counts as dead (3 unanswered probes, 5 s apart).
CONNECT_TIMEOUT = 20
ALIVE_INTERVAL, ALIVE_COUNT = 5, 3
#: Seconds for a question to the master on this very machine.
CONTROL_TIMEOUT = 5
#: What a compute node is called in the tunnel's own known_hosts.
NODE_ALIAS = "slipway-node"


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


def control(destination, path, command, *arguments):
    """What the master at the control path ``path`` says to ``ssh -O command``; an empty text where none answers."""
    argv = destination.ssh("-S", path, "-O", command, *arguments, destination.host)
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=CONTROL_TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        return ""
    return "" if done.returncode else done.stderr + done.stdout or "ok"


class Master:
    """The ssh of one tunnel.

    Args:
        destination: whom it is asked about; it may log in by another one, see :meth:`log_in`.
        socket, log: the paths of its control socket and of what it says, which nobody else's ssh has.
    """

    def __init__(self, destination, socket, log):
        self.destination, self.socket, self.log = destination, socket, log

    def control(self, command, *arguments):
        """As the function of that name."""
        return control(self.destination, str(self.socket), command, *arguments) if self.socket.exists() else ""

    def pid(self):
        """The id of the process that answers, or 0."""
        pid = re.search(r"pid=(\d+)", self.control("check"))
        return int(pid[1]) if pid else 0

    def _argv(self, by, *arguments):
        options = {
            "ControlMaster": "yes",
            "ControlPersist": "no",
            "ExitOnForwardFailure": "yes",
            "ServerAliveInterval": ALIVE_INTERVAL,
            "ServerAliveCountMax": ALIVE_COUNT,
        }
        argv = by.ssh("-N", "-T", "-S", str(self.socket), "-E", str(self.log), *arguments, by.host)
        # These come before the inventory's arguments: ssh takes the first value it meets.
        argv[1:1] = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
        return argv

    def log_in(self, by, forward):
        """Logs in ``by`` a destination, with a forward as after ``ssh -L``. Returns whether both stand."""
        nothing, timeout = subprocess.DEVNULL, 3 * CONNECT_TIMEOUT
        argv = self._argv(by, "-f", "-L", forward)
        try:
            done = subprocess.run(argv, stdin=nothing, stdout=nothing, stderr=nothing, timeout=timeout, check=False)
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == 0

    def begin(self):
        """Begins to log in, without a forward, and does not wait. Returns the process."""
        nothing = subprocess.DEVNULL
        argv = self._argv(self.destination)
        return subprocess.Popen(argv, stdin=nothing, stdout=nothing, stderr=nothing, start_new_session=True)

    def has_begun(self, process):
        """Whether that process of :meth:`begin` logs in, and is not late for the control socket. Waits for it."""
        deadline = time.monotonic() + CONNECT_TIMEOUT
        while process.poll() is None and not self.socket.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        return self.pid() == process.pid

    def end(self, pid=0, frozen=False):
        """Ends it, if there is one: by a word, or by a signal to ``pid``, where it holds its socket and does not answer.

        ``frozen`` tells that it won't, so that it need not be asked.
        """
        if not self.socket.exists():
            return
        if (frozen or not self.control("exit")) and self._lives() and pid:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + CONTROL_TIMEOUT
        while self._lives() and time.monotonic() < deadline:
            time.sleep(0.05)
        with suppress(FileNotFoundError):
            self.socket.unlink()

    def _lives(self):
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
