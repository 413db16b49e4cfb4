# SPDX-License-Identifier: GPL-3.0-or-later
"""A user's small files, replaced whole or not at all. Runs on the cluster: Python 3.8 and its standard library."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path


def make_folders(path):
    """Make what is missing on the way, private (mkdir's own ``parents`` heeds the umask); return what was made."""
    if path.is_dir():
        return []
    made = make_folders(path.parent)
    path.mkdir(mode=0o700)
    return [*made, str(path)]


def write_atomically(path, text, mode):
    """Replace the file in one step; it's never more open than ``mode``, not even on the way."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(text.encode("utf-8", "surrogateescape"))
            stream.flush()
            os.fsync(descriptor)
        temporary.chmod(mode)
        temporary.replace(path)
    finally:
        if temporary.exists():
            temporary.unlink()


def back_up(path, text, mode):
    """Keep the old text beside the file, under a name that Ansible gives its own backups; return the name."""
    copy = path.with_name(f"{path.name}.{os.getpid()}.{time.strftime('%Y-%m-%d@%H:%M:%S')}~")
    write_atomically(copy, text, mode)
    return str(copy)
