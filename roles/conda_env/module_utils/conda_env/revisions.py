# SPDX-License-Identifier: GPL-3.0-or-later
"""Where an environment is kept: a link, and behind it one folder for each state that it had.

    envs/myenv -> .myenv.slipway/2      what everybody uses
    envs/.myenv.slipway/1               what it was before: kernels that started then still run on it, for SPARED days
    envs/.myenv.slipway/2
    envs/.myenv.slipway/lock            held by the run that changes something

A path is baked into an environment's files, so none is ever moved or changed: the next one is made beside, and the link is renamed
over the old one. conda lists folders right below ``envs`` and links to them; one level deeper it does not look.
"""

import errno
import fcntl
import json
import os
import pwd
import re
import shutil
import socket
import time
from contextlib import contextmanager
from pathlib import Path

from ansible.module_utils.atomic_files import write_atomically
from ansible.module_utils.conda_env import CondaEnvError

#: In each revision that became one; also the sign that an environment is ours.
MARK = ".slipway.json"

#: For how many days a revision is spared that was replaced. No session is to outlast that.
SPARED = 7

#: What users add to an environment and no package owns, relative to it. It goes along into the next revision: first what decides what
#: conda does, and once all packages are there the rest.
PINS = ("conda-meta/pinned", "conda-meta/state")
ADDITIONS = ("etc", "share/jupyter/kernels", "share/jupyter/lab/settings")

#: What conda, Python and JupyterLab make anew.
MADE_ANEW = ("conda-meta", "__pycache__", "staging")


def holds_environment(path):
    """Whether conda calls it one."""
    return os.path.isfile(os.path.join(path, "conda-meta", "history"))


def owner_of(path):
    """The account that owns it."""
    number = os.stat(path).st_uid
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


class Revisions:
    """The link at a prefix, the folders behind it, and the lock."""

    def __init__(self, prefix):
        self.prefix = prefix
        self.parent, name = os.path.split(prefix)
        self.folder = os.path.join(self.parent, f".{name}.slipway")
        self.lock_file = os.path.join(self.folder, "lock")

    @classmethod
    def at(cls, prefix):
        """Those at a prefix, where links of the user's may lead to another place, such as one with more room."""
        for _ in range(40):
            revisions = cls(prefix)
            if revisions.ours or not os.path.islink(prefix):
                return revisions
            prefix = os.path.normpath(os.path.join(revisions.parent, os.readlink(prefix)))
        raise CondaEnvError(f"{prefix} is a link that leads in a circle.", "remove the link")

    # What is there.

    @property
    def current(self):
        """The number of the revision that the link leads to; 0 if it is no link of ours."""
        target = os.readlink(self.prefix) if os.path.islink(self.prefix) else ""
        found = re.fullmatch(re.escape(os.path.basename(self.folder)) + r"/([1-9]\d*)", target)
        return int(found[1]) if found else 0

    @property
    def ours(self):
        """Whether a run of this module made what is at the prefix."""
        return self.current > 0

    @property
    def environment(self):
        """The real folder of the environment at the prefix, be it ours or not; empty if there is none."""
        path = self.path(self.current) if self.ours else self.prefix
        return path if holds_environment(path) else ""

    @property
    def obstructed(self):
        """Whether something is in the way that is no environment."""
        if self.ours or self.environment or not os.path.lexists(self.prefix):
            return False
        return not (os.path.isdir(self.prefix) and not os.listdir(self.prefix))

    @property
    def numbers(self):
        """All revisions that exist, unfinished ones included."""
        names = os.listdir(self.folder) if os.path.isdir(self.folder) else []
        return sorted(int(name) for name in names if name.isdigit())

    def path(self, number):
        """The folder of a revision."""
        return os.path.join(self.folder, str(number))

    @property
    def has_job(self):
        """Whether a job was left behind that may still write here."""
        return os.path.exists(os.path.join(self.folder, "job.json"))

    # The mark: what a revision was found to be.

    def mark(self):
        """That of the current revision; empty where there is none that can be read."""
        return self.mark_of(self.prefix) if self.ours else {}

    @staticmethod
    def mark_of(folder):
        """That of any revision."""
        try:
            with open(os.path.join(folder, MARK), encoding="utf-8") as file:
                mark = json.load(file)
        except (OSError, ValueError):
            return {}
        return mark if isinstance(mark, dict) else {}

    @staticmethod
    def put_mark(folder, mark):
        """Writes a revision's mark at once: a reader sees the old or the new one."""
        new = os.path.join(folder, f"{MARK}.{os.getpid()}")
        with open(new, "w", encoding="utf-8") as file:
            json.dump(mark, file, sort_keys=True)
        os.replace(new, os.path.join(folder, MARK))

    def remember(self, **found):
        """Adds to the current mark. In an environment that another account owns that can't be, and is asked again the next time."""
        try:
            self.put_mark(self.path(self.current), {**self.mark(), **found})
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT):
                raise

    # Changing what is there; all under the lock.

    def begin(self):
        """The path for the next revision; nothing is there yet."""
        return self.path(max([self.current, *self.numbers], default=0) + 1)

    def switch(self, path, keep=False, **mark):
        """Makes a finished revision the current one; the one before may have to be kept for ever."""
        if self.current:  # the time of this mark says when it was replaced
            self.put_mark(self.path(self.current), {**self.mark(), "keep": keep})
        self.put_mark(path, {**mark, "previous": self.current})
        if not os.path.islink(self.prefix) and os.path.isdir(self.prefix):
            os.rmdir(self.prefix)  # an empty folder: a link can't be renamed over it
        link = os.path.join(self.folder, "link")
        if os.path.lexists(link):
            os.unlink(link)
        os.symlink(os.path.relpath(path, self.parent), link)
        os.replace(link, self.prefix)

    def sweep(self, begun=""):
        """Removes old revisions and what killed runs left, but not the current one, the one before, what is begun and what is spared."""
        kept = {self.path(self.current), self.path(self.mark().get("previous")), begun}
        for number in self.numbers:
            if self.path(number) not in kept and not self.spared(self.path(number)):
                self.discard(self.path(number))

    def spared(self, path):
        """Whether something may still run on a revision, or has its only place there."""
        mark = self.mark_of(path)
        return bool(mark) and (
            mark.get("keep") or os.stat(os.path.join(path, MARK)).st_mtime > time.time() - SPARED * 86400
        )

    @staticmethod
    def discard(path):
        """Removes a folder as far as it can be; a file that is still open on another node may hold it until the next time."""
        shutil.rmtree(path, ignore_errors=True)

    def remove(self):
        """Takes all of it away, first the name."""
        if self.ours:
            os.unlink(self.prefix)
        shutil.rmtree(self.folder)

    def note(self, name, text):
        """Writes an input for a command beside the revisions, for its owner alone; returns its path."""
        path = Path(self.folder, name)
        # A job of a killed run may be reading it.
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            write_atomically(path, text, 0o600)
        return str(path)

    # The lock.

    @contextmanager
    def locked(self, deadline, warn):
        """Holds the prefix against other runs, on this and on other login nodes; gives the lock's file descriptor.

        Raises:
            CondaEnvError: another run has it until the deadline, or nothing can be written there.
        """
        try:
            file = self._open()
            while not self._wait_for(file, deadline, warn):
                file.close()
                file = self._open()
        except OSError as error:
            raise CondaEnvError(
                f"The environment {self.prefix} can't be changed: {error}.",
                "choose a prefix in a folder of yours that has room, or let its owner change this one",
            ) from error
        with file:
            file.truncate(0)
            file.write("process {} on {}, since {}".format(os.getpid(), socket.gethostname(), time.strftime("%F %T")))
            file.flush()
            try:
                yield file.fileno()
            finally:
                if not self.ours and not self.numbers and not self.has_job:  # nothing came of it
                    shutil.rmtree(self.folder, ignore_errors=True)

    def _open(self):
        os.makedirs(self.folder, exist_ok=True)
        return open(self.lock_file, "a+", encoding="utf-8")

    def _wait_for(self, file, deadline, warn):
        """Waits for the lock. Returns whether the file is still the one that others would lock: a removal takes it away."""
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return os.path.exists(self.lock_file) and os.path.samestat(
                    os.fstat(file.fileno()), os.stat(self.lock_file)
                )
            except OSError as error:
                if error.errno in (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP):
                    warn(
                        f"{self.parent} is on a file system without locks: let no two runs change {self.prefix} at once"
                    )
                    return True
                if error.errno != errno.EWOULDBLOCK:
                    raise
            if time.monotonic() > deadline:
                file.seek(0)
                raise CondaEnvError(
                    f"Another run is changing {self.prefix} and did not end in time: {file.read() or 'unknown'}.",
                    "wait for it, or end that process on that host, and run again",
                )
            time.sleep(1)


def carry(old, new, places, owned=()):
    """Copies what its user added to an environment without a package, with the new path in place of the old one.

    Args:
        old: The environment so far.
        new: The one that follows; what it has already stays.
        places: Files and folders to look at, relative to ``old``.
        owned: The files that belong to packages, relative to ``old``.
    """
    # Not where the path goes on, as .../1 does in .../10.
    path = re.compile(re.escape(old.encode()) + rb"(?!\d)")
    for place in places:
        top = os.path.join(old, place)
        found = [top] if os.path.isfile(top) else []
        found += [os.path.join(folder, name) for folder, _, names in os.walk(top) for name in names]
        for source in found:
            name = os.path.relpath(source, old)
            target = os.path.join(new, name)
            if name in owned or os.path.lexists(target) or os.path.islink(source):
                continue
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(source, "rb") as reader, open(target, "wb") as writer:
                writer.write(path.sub(lambda _: new.encode(), reader.read()))
            shutil.copymode(source, target)


def stranded(old, new, owned):
    """What belongs to no package and is not in the environment that follows: files, or the topmost folder of them, relative to ``old``."""
    found = set()
    for folder, folders, names in os.walk(old):
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        folders[:] = [name for name in folders if name not in MADE_ANEW]
        for name in [*names, *links]:
            path = os.path.relpath(os.path.join(folder, name), old)
            if path in owned or path == MARK or path.endswith(".pyc") or os.path.lexists(os.path.join(new, path)):
                continue
            while os.path.dirname(path) and not os.path.isdir(os.path.join(new, os.path.dirname(path))):
                path = os.path.dirname(path)
            found.add(path)
    return sorted(found)
