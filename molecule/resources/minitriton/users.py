# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts, made once for all nodes."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import access
from .podman import Podman
from .ui import Refusal

SCRIPT = Path(__file__).with_name("user.sh")
NAME = re.compile(r"[a-z][a-z0-9_-]{0,30}")
# Ends jobs by id, and waits until LSF shows none: what a job leaves behind would land in the next home.
END_JOBS = r"""
. /opt/lsf/conf/profile.lsf
for _ in $(seq 30); do
    ids=$(bjobs -noheader -o jobid -u "$1" 2> /dev/null | grep -E '^[0-9]+') || exit 0
    bkill $ids > /dev/null 2>&1 || :
    sleep 1
done
echo "jobs that did not end: $ids" >&2
exit 1
"""


def check_names(*names: str) -> None:
    for name in names:
        if not NAME.fullmatch(name):
            raise Refusal(f"name {name!r}", f"users and projects match {NAME.pattern}", "choose another name")


def make(podman: Podman, node: str, state: Path, name: str, project: str) -> None:
    check_names(name, project)
    key = access.keypair(state / "id_ed25519", "minitriton").strip()
    _script(podman, node, "make", name, project, key)


def wipe(podman: Podman, nodes: dict[str, str], name: str) -> None:
    """End all that this user runs anywhere, then take home and scratch away. `nodes`: container by host name."""
    check_names(name)
    if _known(podman, nodes["login"], name):
        podman.run("exec", "-i", nodes["login"], "sh", "-s", name, stdin=END_JOBS)
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda node: _script(podman, node, "stop", name), nodes.values()))
    _script(podman, nodes["login"], "wipe", name)


def _known(podman: Podman, node: str, name: str) -> bool:
    return f"\n{name}:" in "\n" + podman.run("exec", node, "cat", "/var/lib/extrausers/passwd")


def _script(podman: Podman, node: str, *args: str) -> None:
    podman.run("exec", "-i", node, "sh", "-s", *args, stdin=SCRIPT.read_text())
