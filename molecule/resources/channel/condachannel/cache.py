# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders keyed by what they are made from: safe against interruption and against two builders at once."""

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path


def root() -> Path:
    """Slipway's cache: $SLIPWAY_CACHE, else the XDG place."""
    xdg = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("SLIPWAY_CACHE") or Path(xdg) / "slipway")


def digest(parts: Iterable[str | bytes]) -> str:
    """Sixteen hex digits that stand for these parts; each is hashed with its length, so no two lists run together."""
    total = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        total.update(b"%d:" % len(data) + data)
    return total.hexdigest()[:16]


def sources(*folders: Path) -> list[str | bytes]:
    """Names and contents of all files under the folders but documentation, as input for `digest`."""
    parts: list[str | bytes] = []
    for top in folders:
        for file in sorted(f for f in top.rglob("*") if f.is_file()):
            if "__pycache__" not in file.parts and file.suffix != ".md":
                parts += [str(file.relative_to(top)), file.read_bytes()]
    return parts


def folder(path: Path, make: Callable[[Path], None]) -> Path:
    """`path`, made by `make(temporary folder)` unless it is there already; it appears whole or not at all."""
    if path.is_dir():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{path.name}."
    with open(path.parent / f"{prefix}lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.is_dir():
            for leftover in path.parent.glob(f"{prefix}*/"):  # of a builder that was killed: we hold its lock
                shutil.rmtree(leftover)
            temporary = Path(tempfile.mkdtemp(prefix=prefix, dir=path.parent))
            try:
                make(temporary)
                temporary.chmod(0o755)
                temporary.rename(path)
            except BaseException:
                shutil.rmtree(temporary)
                raise
    return path
