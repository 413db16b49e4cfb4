# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps the tunnel of a session healthy, unattended. It climbs the tunnel's rungs alone: a job is never its business.

Each look is a browser's question through the tunnel, with a deadline. What it thinks is in ``supervisor.json`` beside the tunnel's
record, and each change of its mind is a line of ``supervisor.log``.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
import traceback
from contextlib import contextmanager, suppress
from fcntl import LOCK_EX, LOCK_NB, flock

from . import SessionError, ladder
from .address import ask
from .master import Destination
from .record import write_private
from .tunnel import Tunnel, state_folder

#: Seconds between two looks, for an answer, and for a word over the tunnel's ssh: from frozen to noticed 12 at most.
LOOK, ANSWER, CARRY = 4, 4, 4
#: Seconds between two tries to open a tunnel that can't be opened: doubled from the first to the last.
FIRST_PAUSE, LAST_PAUSE = 2, 60
#: Seconds of nothing but closed connections after which the server is gone for good: its node and port may be a stranger's soon.
GONE = 300
#: Seconds without any success after which nobody waits for this tunnel any more: longer than a job or a weekend.
GIVE_UP = 3 * 24 * 3600
#: Seconds that one look can take at most; more by the wall's clock, and this machine has slept.
LONGEST_LOOK = 60
#: Bytes of the log that are kept when a supervisor starts.
KEPT_LOG = 100_000

#: ssh's words for what no further try will change.
_REFUSED = re.compile(r"Permission denied|Too many authentication failures|Authentication failed")
_UNKNOWN_HOST = re.compile(r"Host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED")
_NO_CONFIG = re.compile(r"Can't open user config file|Bad configuration option|no such identity", re.IGNORECASE)


class Supervisor:
    """The supervisor of the tunnel with this state folder.

    Args:
        name: the session's name on this machine, as for :class:`Tunnel`.
    """

    def __init__(self, name):
        self.folder = state_folder(name)
        self.name = name
        self.lock = self.folder / "supervisor.lock"
        self.state = self.folder / "supervisor.json"
        self.verdict = None
        self.pause = 0
        self.next_try = 0.0
        self.closed_since = None

    def _tunnel(self):
        """The tunnel as last opened and where it ended, or ``(None, {})`` where it was closed."""
        recorded = Tunnel(self.name, Destination("")).recorded()
        if not recorded.get("destination"):
            return None, {}
        return Tunnel(self.name, Destination(**recorded["destination"])), recorded

    def think(self, name, words=""):
        """Records a verdict; a new one is a line in the log."""
        if self.verdict == name:
            return
        self.verdict = name
        _, message, remedy = ladder.VERDICTS.get(name, ("", name, ""))
        said = {"verdict": name, "message": message, "remedy": remedy, "words": words.strip()[-500:]}
        write_private(self.state, json.dumps({**said, "pid": os.getpid(), "since": time.time()}))
        print(time.strftime("%Y-%m-%d %H:%M:%S"), name, message, words.strip().replace("\n", " | "), flush=True)

    def look(self):
        """Looks once, and opens the tunnel anew where that can help. Returns whether to go on."""
        tunnel, recorded = self._tunnel()
        if tunnel is None:
            return False
        through = ask("localhost", recorded["local_port"], tunnel.certificate, ANSWER, ANSWER)
        carries = through == "silent" and tunnel.carries(CARRY)
        verdict = ladder.judge(ladder.Evidence(through=through, carries=carries))
        self.closed_since = (self.closed_since or time.time()) if through == "closed" else None
        # A job may outlive its limit, as one that was suspended does, so that one that answers is left alone.
        if recorded.get("until") and time.time() > recorded["until"] and verdict.name != "healthy":
            return self.give_back(tunnel, recorded, "over", "its job's run limit is reached")
        if self.closed_since and time.time() - self.closed_since > GONE:
            return self.give_back(tunnel, recorded, "server-away", f"nothing else for {GONE} s")
        if verdict.rung != "tunnel":
            self.pause = 0
            self.think(verdict.name)
            return True
        if time.monotonic() < self.next_try:
            return True
        self.think(verdict.name)
        return self.mend(tunnel, recorded, frozen=through == "silent")

    def give_back(self, tunnel, recorded, name, words):
        """Closes a tunnel at whose end there is no server of ours any more. Returns whether to go on: it was another one by now."""
        # Told again, with the reason.
        self.verdict = None
        self.think(name, f"{words}: the tunnel is closed")
        tunnel.close(recorded)
        return bool(tunnel.recorded())

    def _pause(self):
        self.pause = min(max(2 * self.pause, FIRST_PAUSE), LAST_PAUSE)
        self.next_try = time.monotonic() + self.pause

    def mend(self, tunnel, recorded, frozen):
        """Opens the tunnel anew. Returns whether to go on: not where no further try will help."""
        try:
            lead = tunnel.reopen(recorded, frozen)
        except SessionError as error:
            for words, name in ((_REFUSED, "log-in-again"), (_UNKNOWN_HOST, "host-key"), (_NO_CONFIG, "ssh-config")):
                if words.search(error.words):
                    self.think(name, error.words)
                    return False
            self.think("login-away", error.words or error.message)
            self._pause()
            return True
        # One that freezes again at once, as with a suspended job, is no reason for a login every few seconds.
        self._pause()
        if lead and lead["local_port"] != recorded["local_port"]:
            print(f"the tunnel is at localhost:{lead['local_port']} now", flush=True)
        return True

    def run(self):
        """Looks until the tunnel is closed, no try can help, or a signal ends this."""
        last_success = time.time()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: sys.exit(0))
        while True:
            looked = time.time()
            if not self.look():
                return
            if self.verdict == "healthy":
                last_success = time.time()
            if time.time() - last_success > GIVE_UP:
                self.think("given-up")
                return
            time.sleep(LOOK if self.verdict == "healthy" else LOOK / 2)
            if time.time() - looked > LONGEST_LOOK:
                # After a sleep nothing that was known of the line counts any more.
                self.pause, self.next_try, self.closed_since = 0, 0.0, None

    def start(self):
        """Becomes a daemon and runs, unless one is there. Returns in the caller, with the daemon's id or 0 if there was one."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(str(self.lock), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            flock(lock, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return 0
        # What a killed one left there is nobody's id now.
        os.ftruncate(lock, 0)
        # The daemon inherits the lock, and with it the proof that its id is still its own.
        child = os.fork()
        if child:
            # Both write it, in the same place: whoever asks next knows it, however soon that is.
            os.pwrite(lock, str(child).encode(), 0)
            os.close(lock)
            return child
        try:
            self._serve(lock)
        except SystemExit:
            pass
        except BaseException:
            os.write(2, traceback.format_exc().encode())
        finally:
            with suppress(OSError):
                os.ftruncate(lock, 0)
            os._exit(0)

    def _serve(self, lock):
        """Runs as a daemon that holds ``lock`` and hears nobody."""
        os.setsid()
        os.chdir("/")
        log = self.folder / "supervisor.log"
        kept = log.read_text(errors="replace")[-KEPT_LOG:] if log.exists() else ""
        write_private(log, kept)
        into = os.open(str(log), os.O_WRONLY | os.O_APPEND)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for descriptor, source in ((0, nothing), (1, into), (2, into)):
            os.dup2(source, descriptor)
        os.closerange(3, lock)
        os.closerange(lock + 1, 256)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        self.run()

    def pid(self):
        """The id of the running supervisor, or 0."""
        try:
            with open(self.lock) as lock:
                flock(lock, LOCK_EX | LOCK_NB)
                return 0
        except FileNotFoundError:
            return 0
        except BlockingIOError:
            return int(self.lock.read_text() or 0)

    def end(self, patience=10):
        """Ends the supervisor, if there is one. Returns whether there was.

        Raises:
            SessionError: it does not end.
        """
        pid = self.pid()
        if not pid:
            return False
        deadline = time.monotonic() + patience
        # One that was stopped by a signal hears no other.
        for number in (signal.SIGTERM, signal.SIGCONT):
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        while self.pid():
            if time.monotonic() > deadline:
                raise SessionError(f"the supervisor, process {pid}, does not end.", remedy=f"kill -9 {pid}")
            time.sleep(0.05)
        with suppress(FileNotFoundError):
            self.state.unlink()
        return True


@contextmanager
def at_hand(script, name):
    """The program ``script``, which becomes the supervisor of the session ``name`` once it is told to: its start takes as long as a login.

    Yields what tells it, and returns whether it became one: not where there is one already. A program of its own, since a playbook's
    processes end.

    Raises:
        SessionError: it said why it could not.
    """
    if Supervisor(name).pid():
        yield lambda: False
        return
    argv = [sys.executable, str(script), name, "--when-told"]
    pipe = subprocess.PIPE
    program = subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe, text=True, start_new_session=True)

    def tell():
        said, trouble = program.communicate("\n", timeout=30)
        if program.returncode:
            raise SessionError(f"`{' '.join(argv)}` failed.", trouble[-500:])
        return "started" in said

    try:
        yield tell
    finally:
        if program.poll() is None:
            program.kill()
            program.communicate()
