# SPDX-License-Identifier: GPL-3.0-or-later
"""Homes of a size, as quotas make them: a tmpfs in the home's place, which every node sees.

The nodes have the state's folder `home` as a slave of this machine's (rslave), where it is a shared mount: what is mounted below it
later appears on all of them at once.
"""

import re
import subprocess
from pathlib import Path

from .podman import as_root
from .ui import Refusal

SIZE = re.compile(r"[1-9][0-9]*[kMG]")
# `.` is the home as it was: the shell went there before it was mounted over.
COVER = """\
cd "$1"
mount -t tmpfs -o "$2" minitriton "$1"
cp -a . "$1/" || { umount "$1"; exit 1; }
"""


def share(homes: Path) -> None:
    """Make `homes` a mount whose own mounts reach the nodes. A reboot forgets it."""
    if not _is_mount(homes):
        _root("mount", "--bind", str(homes), str(homes))
    _root("mount", "--make-shared", str(homes))


def unshare(homes: Path) -> None:
    if _is_mount(homes):
        _root("umount", "--recursive", str(homes))


def resize(home: Path, size: str, read_only: bool) -> None:
    """Give the home this size, with all that is in it."""
    if not SIZE.fullmatch(size):
        raise Refusal(f"size {size!r}", f"a home's size matches {SIZE.pattern}", "say --home-size 900M, for example")
    options = f"size={size},mode=0711,{'ro' if read_only else 'rw'}"
    if _is_mount(home):
        _root("mount", "-o", f"remount,{options}", str(home))
    elif read_only:
        resize(home, size, read_only=False)
        resize(home, size, read_only)
    else:
        _root("sh", "-ec", COVER, "sh", str(home), options)


def release(home: Path) -> None:
    """Lazily: whoever is still in there is ended next."""
    if _is_mount(home):
        _root("umount", "--lazy", str(home))


def _is_mount(path: Path) -> bool:
    return subprocess.run(["mountpoint", "--quiet", path], check=False, timeout=30).returncode == 0


def _root(*argv: str) -> None:
    done = subprocess.run(as_root(*argv), capture_output=True, text=True, check=False, timeout=120)
    if done.returncode:
        raise Refusal(
            f"{' '.join(argv)}: {done.stderr.strip()}",
            "homes are mounted, and hold no more than their size",
            "a smaller size than what is in it is refused, and so is read-only while a file is open for writing",
        )
