# SPDX-License-Identifier: GPL-3.0-or-later
"""A benchmark's own native Mini-Triton, and what its programs say where they are run."""

import os
import platform
import re
import statistics
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]


def machine():
    """This machine, and how busy it is now."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = f"{os.cpu_count()} cores ({model[1] if model else platform.machine()}), {memory:.0f} GiB"
    return f"{cores}, load {os.getloadavg()[0]:.1f} beforehand"


def median(rounds):
    return {name: statistics.median(times[name] for times in rounds) for name in rounds[0]}


class Native:
    """The cluster of this name; ``environ`` is for all that is run, each within ``deadline`` seconds."""

    def __init__(self, name, deadline=900, **environ):
        self.deadline = deadline
        self.state = (
            Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "slipway/minitriton" / name
        )
        self.environ = (
            os.environ | {"MINITRITON_NAME": name, "MINITRITON_ARCH": "amd64", "ANSIBLE_NOCOLOR": "1"} | environ
        )

    def finished(self, *argv, stdin=None, **environ):
        """The finished process, all that it said in stdout."""
        return subprocess.run(
            [str(word) for word in argv], cwd=PROJECT, env=self.environ | environ, input=stdin, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=self.deadline, check=False,
        )  # fmt: skip

    def run(self, *argv, **options):
        """Its stdout, or the end with all that it said."""
        done = self.finished(*argv, **options)
        if done.returncode:
            sys.exit(f"{' '.join(map(str, argv[:3]))}: rc {done.returncode}\n{done.stdout}")
        return done.stdout

    def ssh(self, account, command, stdin=None):
        return self.run("ssh", "-F", self.state / "ssh_config", f"{account}@login", command, stdin=stdin)

    def playbook(self, name, *options, **environ):
        return self.run("ansible-playbook", "-i", PROJECT / "inventory/minitriton", name, *options, **environ)
