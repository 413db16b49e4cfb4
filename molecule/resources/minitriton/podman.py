# SPDX-License-Identifier: GPL-3.0-or-later
"""One place that calls podman, as root: rootless networks can't be reached from the host."""

import json
import os
import shutil
import subprocess
from pathlib import Path

from .ui import Refusal

# Needed where cgroups are in hybrid mode (crun refuses them), where CAP_SYS_RESOURCE is missing (podman raises ulimits) and
# where no journal runs. Other machines keep their own settings.
FALLBACK = """\
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]

[engine]
runtime = "runc"
events_logger = "file"
"""


def as_root(*argv: str) -> list[str]:
    return list(argv) if os.geteuid() == 0 else ["sudo", *argv]


class Podman:
    def __init__(self, settings: Path):
        """`settings` is the containers.conf that exists only where podman's stock settings fail."""
        self.settings = settings
        if not shutil.which("podman"):
            raise Refusal(
                "podman: not found on PATH",
                "Mini-Triton's nodes are podman containers",
                "run scripts/setup, or install podman 4 or newer",
            )

    def argv(self, *args: str) -> list[str]:
        env = ["env", f"CONTAINERS_CONF={self.settings}"] if self.settings.exists() else []
        return as_root(*env, "podman", *args)

    def run(self, *args: str, stdin: str | None = None, timeout: float = 120) -> str:
        done = self._run(*args, stdin=stdin, timeout=timeout)
        if done.returncode:
            raise Refusal(
                f"podman {' '.join(args)}: rc {done.returncode}: {(done.stderr or done.stdout).strip()}",
                "podman must run containers on this machine",
                "see the words above; `scripts/minitriton down` starts from nothing",
            )
        return done.stdout

    def json(self, *args: str):
        return json.loads(self.run(*args, "--format", "json") or "null") or []

    def _run(self, *args: str, stdin: str | None = None, timeout: float = 120) -> subprocess.CompletedProcess:
        given = {"input": stdin} if stdin is not None else {"stdin": subprocess.DEVNULL}
        return subprocess.run(self.argv(*args), capture_output=True, text=True, timeout=timeout, check=False, **given)

    def probe(self, image: str) -> None:
        """Try the stock settings with a real container, and fall back only where they fail."""
        trial = ("run", "--rm", "--network=none", "--entrypoint=/bin/true", image)
        stock = self._run(*trial)
        if stock.returncode == 0 or self.settings.exists():
            return
        self.settings.write_text(FALLBACK)
        fallback = self._run(*trial)
        if fallback.returncode:
            self.settings.unlink()
            raise Refusal(
                f"podman run: {stock.stderr.strip()}\nwith runc and low ulimits: {fallback.stderr.strip()}",
                "podman must run a container of this image",
                "try `podman run --rm --network=none --entrypoint=/bin/true " + image + "` by hand",
            )
