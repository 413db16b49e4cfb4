# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of a session, kept on the cluster's shared home so that any later run finds it again.

Files, all in one folder of mode 0700:

=============================  =====================================================================================
``session-NAME.json``          the record: written as an intent with a nonce before the job is submitted, then its id
``session-NAME.token``         the token for Slipway's own requests (people use their password)
``session-NAME.connection``    what the job itself says: nonce, job id, node, port; ours only if nonce and id agree
``session-NAME.mode``          asks the launcher to listen in another way
``session-NAME.launch.py``     what the job runs
``session-NAME.notebook``      a folder: the token in the classic server's words, while its job runs
``session-NAME.lease``         who may change the session now; ``session-NAME.lock`` says so on one host
``session-NAME.started``       the job's id, dated when its launcher began
``session-NAME.holder.py``     what holds an interactive job on the login node; ``session-NAME.bsub.log`` is what it hears
``session-NAME.server.log``    what the Jupyter server says; ``session-NAME.job.log`` is LSF's own report
=============================  =====================================================================================
"""

import json
import os
import secrets
import shutil
import socket
import tempfile
from contextlib import contextmanager, suppress
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path

from . import SessionError

#: Seconds that a lease outlives its last renewal: more than one command of LSF may take, and the pause after it.
LEASE = 90


def write_private(path, text):
    """Writes a file of mode 0600 in one step: a reader sees the old text or the new, never a part."""
    path = Path(path)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=str(path.parent), prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, str(path))
    except BaseException:
        os.unlink(temporary)
        raise


class Record:
    """The record of the session ``name`` in ``folder``; a mapping of strings and numbers under :attr:`data`."""

    def __init__(self, folder, name):
        self.folder = Path(folder)
        self.name = name
        self.data = self._read(self.path) or {}
        self._lease = {}

    @property
    def path(self):
        return self.folder / f"session-{self.name}.json"

    def beside(self, ending):
        """The path of one of the session's other files."""
        return self.folder / f"session-{self.name}.{ending}"

    @staticmethod
    def _read(path):
        """The object in a JSON file, or None where there is none, or none that is whole."""
        try:
            data = json.loads(path.read_text())
        except (FileNotFoundError, ValueError):
            return None
        return data if isinstance(data, dict) else None

    def intend(self, **facts):
        """Begins a new session: a fresh nonce and token, recorded before anything is submitted.

        An intent without an id keeps its nonce: the bsub of a run that was killed may live on, and what it submits has to be ours.
        """
        self.renew()
        unsent = self.data.get("nonce") if not self.data.get("job_id") else None
        # What an earlier session said must not be taken for this one's words.
        for ending in ("connection", "mode", "started", "server.log", "job.log", "bsub.log"):
            self._remove(self.beside(ending))
        write_private(self.beside("token"), secrets.token_hex(24))
        self.data = {"nonce": unsent or secrets.token_hex(8), **facts}
        self.save()

    def save(self):
        self.renew()
        write_private(self.path, json.dumps(self.data, indent=2, sort_keys=True) + "\n")

    def note(self, **facts):
        """Adds what was seen without the lock, unless another run has begun a new session or forgotten this one meanwhile."""
        self.data.update(facts)
        now = self._read(self.path) or {}
        if now.get("nonce") == self.data.get("nonce"):
            self.data = {**now, **facts}
            self.save()

    def said(self):
        """What a job of this name said of itself, be it ours or not; empty where none did."""
        return self._read(self.beside("connection")) or {}

    def connection(self):
        """What our job says of itself, or None as long as it said nothing.

        A file left by an earlier job, or by a job that is not ours, carries another nonce or id and does not count.
        """
        said = self.said()
        if said and said.get("nonce") == self.data.get("nonce") and said.get("job_id") == self.data.get("job_id"):
            return said
        return None

    def age(self):
        """Seconds since the job's launcher began, or None as long as it has not."""
        with suppress(FileNotFoundError):
            started = self.beside("started")
            if started.read_text() == self.data.get("job_id"):
                return max(0.0, self._now() - started.stat().st_mtime)
        return None

    def forget(self):
        """Removes the record, the token and the connection; the logs stay."""
        self.renew()
        for path in (self.path, *map(self.beside, ("token", "connection", "mode", "started"))):
            self._remove(path)
        # What runs that were killed in their midst left: the classic server's copy of the token, a lease set aside.
        shutil.rmtree(str(self.beside("notebook")), ignore_errors=True)
        for path in self.folder.glob(self.beside("lease.*").name):
            self._remove(path)
        self.data = {}

    @staticmethod
    def _remove(path):
        with suppress(FileNotFoundError):
            path.unlink()

    @contextmanager
    def locked(self):
        """Keeps other runs away, on this login host and on others, while this one looks, submits or ends.

        The record is read again under the lock: another run may have written it since.

        Raises:
            SessionError: another run holds the lock.
            OSError: the file system has no locks, or no space.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(str(self.beside("lock")), os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            flock(lock, LOCK_EX | LOCK_NB)
            self._take_lease()
            try:
                self.data = self._read(self.path) or {}
                yield
            finally:
                self._give_back_lease()
        except BlockingIOError as error:
            raise SessionError(
                f"another run is busy with the session {self.name!r}.",
                remedy="wait for it to end; nothing was changed",
            ) from error
        finally:
            os.close(lock)

    def _take_lease(self):
        """The lock may hold on this host alone; the lease is a file that one run on all hosts can make.

        It ages by the file system's clock, since those of hosts differ. One whose holder was killed counts no longer than
        :data:`LEASE` seconds, or not at all where the holder ran on this host: its lock is gone.
        """
        lease, here, holder = self.beside("lease"), socket.gethostname(), {}
        ours = {"host": here, "pid": os.getpid(), "run": secrets.token_hex(8)}
        for _ in range(2):
            with suppress(FileExistsError):
                handle = os.open(str(lease), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                try:
                    with os.fdopen(handle, "w") as stream:
                        json.dump(ours, stream)
                except OSError:
                    # One that says nothing, as in a full home, would keep everybody away.
                    self._remove(lease)
                    raise
                self._lease = ours
                return
            with suppress(FileNotFoundError):
                holder, renewed = self._read(lease) or {}, lease.stat().st_mtime
                if holder.get("host") != here and self._now() - renewed < LEASE:
                    break
                self._set_aside(lease, holder)
        raise SessionError(
            f"another run, on {holder.get('host', 'another login host')}, is busy with the session {self.name!r}.",
            remedy=f"wait for it to end; one that was killed hinders nobody for longer than {LEASE} s. Nothing was changed",
        )

    def _set_aside(self, lease, dead):
        """Removes the lease of a ``dead`` holder, and no other: a second run may have done so, and made its own, in this moment."""
        aside = self.beside(f"lease.{secrets.token_hex(4)}")
        os.rename(str(lease), str(aside))
        if (self._read(aside) or {}) != dead:
            with suppress(FileExistsError):
                os.link(str(aside), str(lease))
        self._remove(aside)

    def renew(self):
        """Says that this run still works; to be called before each step that takes long or changes something. Nothing without a lock.

        Raises:
            SessionError: another run has taken the session over.
        """
        if not self._lease:
            return
        if self._read(self.beside("lease")) == self._lease:
            with suppress(FileNotFoundError):
                os.utime(str(self.beside("lease")))
                return
        raise SessionError(
            f"another run has taken the session {self.name!r} over, since this one stood still for more than {LEASE} s.",
            remedy="run the same command again: it goes on from what the other one did",
        )

    def _give_back_lease(self):
        lease = self.beside("lease")
        if self._read(lease) == self._lease:
            self._remove(lease)
        self._lease = {}

    def _now(self):
        """The file system's own time, in seconds."""
        with tempfile.TemporaryFile(dir=str(self.folder)) as stream:
            return os.fstat(stream.fileno()).st_mtime
