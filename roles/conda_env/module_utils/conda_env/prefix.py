# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of a conda environment: what is installed in it, and how far a run of ours came."""

import errno
import fcntl
import hashlib
import json
import os
import shutil
import socket
import time
from contextlib import contextmanager

from ansible.module_utils.conda_env import CondaEnvError

#: What a prefix may be. Half-made is only what a run of ours began; a foreign folder has something else in it.
ABSENT, HALF_MADE, ENVIRONMENT, FOREIGN = "absent", "half-made", "environment", "foreign"

#: Beside conda-meta, not in it: conda creates no environment in a folder that has one.
MARK = ".slipway.json"


class Records:
    """The records in conda-meta, by file name; parsed only where more than the names is wanted."""

    def __init__(self, folder="", texts=None):
        self.folder = folder
        self.texts = texts or {}

    @classmethod
    def read(cls, folder):
        """Reads a conda-meta folder; none there means no records."""
        names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
        texts = {}
        for name in names:
            if name.endswith(".json"):
                with open(os.path.join(folder, name), "rb") as file:
                    texts[name] = file.read()
        return cls(folder, texts)

    @property
    def lines(self):
        """``name version build`` of each package; that is what conda calls its record."""
        return [" ".join(name[: -len(".json")].rsplit("-", 2)) for name in self.texts]

    @property
    def digest(self):
        """Stands for all that the records say."""
        parts = [name.encode() + b"\0" + hashlib.sha256(text).digest() for name, text in self.texts.items()]
        return hashlib.sha256(b"".join(parts)).hexdigest()

    def parsed(self):
        """The records' content, by file name.

        Raises:
            CondaEnvError: a file is no record of a package.
        """
        contents = {}
        for name, text in self.texts.items():
            try:
                contents[name] = json.loads(text.decode())
                if not isinstance(contents[name]["name"], str):
                    raise ValueError("its name is no text")
            except (ValueError, KeyError, TypeError) as error:
                path = os.path.join(self.folder, name)
                raise CondaEnvError(
                    f"{path} is no record of a package ({error}), so nobody can tell what is installed.",
                    "remove this file (conda can't read it either) and run again: its package is then installed anew",
                )
        return contents


class Prefix:
    """An environment's folder and the two files beside it: the lock, and what is on its way out."""

    def __init__(self, path):
        self.path = path
        self.meta = os.path.join(path, "conda-meta")
        self.mark_file = os.path.join(path, MARK)
        self.parent, name = os.path.split(path)
        self.lock_file = os.path.join(self.parent, f".{name}.slipway-lock")
        self.aside = os.path.join(self.parent, f".{name}.slipway-aside")

    @property
    def kind(self):
        """What is there: one of the four kinds above."""
        if not os.path.lexists(self.path) or (os.path.isdir(self.path) and not os.listdir(self.path)):
            return ABSENT
        if self.mark.get("state") == "building":
            return HALF_MADE
        return ENVIRONMENT if self.has_history else FOREIGN

    @property
    def has_history(self):
        """Whether conda calls it an environment."""
        return os.path.isfile(os.path.join(self.meta, "history"))

    def records(self):
        """What conda-meta says now."""
        return Records.read(self.meta)

    # The mark: an environment without one is somebody else's. "building" and "changing" outlive a run that was killed, "complete" is
    # what a change has made, and "verified" saves the next run its questions.

    @property
    def mark(self):
        """What the last run left; empty where it left nothing that can be read."""
        try:
            with open(self.mark_file, encoding="utf-8") as file:
                mark = json.load(file)
        except (OSError, ValueError):
            return {}
        return mark if isinstance(mark, dict) else {}

    @property
    def unfinished(self):
        """Whether a creation or a change is under way, or was killed."""
        return self.mark.get("state") in ("building", "changing")

    @property
    def ours(self):
        """Whether a run of this module made the environment."""
        return bool(self.mark)

    def put_mark(self, **mark):
        """Replaces the mark at once: a reader sees the old or the new one."""
        self._write_mark(self.path, mark)

    def verified(self, request, records):
        """Whether exactly these records were found to satisfy exactly this request before."""
        return self.mark == {"state": "verified", "request": request, "records": records.digest}

    def put_verified(self, request, records):
        """Keeps what was found. In an environment that others own it can't be kept, and is asked again the next time."""
        try:
            self.put_mark(state="verified", request=request, records=records.digest)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise

    @staticmethod
    def _write_mark(folder, mark):
        new = os.path.join(folder, f"{MARK}.{os.getpid()}")
        with open(new, "w", encoding="utf-8") as file:
            json.dump(mark, file, sort_keys=True)
        os.replace(new, os.path.join(folder, MARK))

    # Changing the folder as a whole. A rename is all or nothing, so a run killed in between leaves nothing that looks foreign.

    def begin(self):
        """Puts a folder with nothing but the mark "building" at the prefix, for conda to fill."""
        os.makedirs(self.aside)
        self._write_mark(self.aside, {"state": "building"})
        os.rename(self.aside, self.path)

    def remove(self):
        """Takes the environment away, first by its name, then file by file."""
        os.rename(self.path, self.aside)
        self.sweep()

    def sweep(self):
        """Removes what a killed run had put aside."""
        if os.path.lexists(self.aside):
            shutil.rmtree(self.aside)

    def damaged(self, records):
        """File names of those records that name a file which is not there, as after a transaction that was killed."""
        return [
            name
            for name, record in records.parsed().items()
            if not all(os.path.lexists(os.path.join(self.path, file)) for file in record.get("files", []))
        ]

    def forget(self, names):
        """Removes records, so that conda installs their packages anew over what is left of them."""
        for name in names:
            os.unlink(os.path.join(self.meta, name))

    # The lock.

    @contextmanager
    def locked(self, deadline, warn):
        """Holds the prefix against other runs, on this and on other login nodes; gives the lock's file descriptor.

        Raises:
            CondaEnvError: another run has it until the deadline, or nothing can be written there.
        """
        try:
            os.makedirs(self.parent, exist_ok=True)
            file = open(self.lock_file, "a+", encoding="utf-8")  # noqa: SIM115 (closed below)
        except OSError as error:
            raise CondaEnvError(
                f"The environment {self.path} can't be changed: {error}.",
                "choose a prefix in a folder of yours that has room, or let its owner change this one",
            )
        with file:
            self._wait_for(file, deadline, warn)
            file.truncate(0)
            file.write("process {} on {}, since {}".format(os.getpid(), socket.gethostname(), time.strftime("%F %T")))
            file.flush()
            yield file.fileno()

    def _wait_for(self, file, deadline, warn):
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except OSError as error:
                if error.errno in (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP):
                    warn(f"{self.parent} is on a file system without locks: let no two runs change {self.path} at once")
                    return
                if error.errno != errno.EWOULDBLOCK:
                    raise
            if time.monotonic() > deadline:
                file.seek(0)
                raise CondaEnvError(
                    "Another run is changing {} and did not end in time: {}.".format(
                        self.path, file.read() or "unknown"
                    ),
                    "wait for it, or end that process on that host, and run again",
                )
            time.sleep(1)
