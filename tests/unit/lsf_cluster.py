# SPDX-License-Identifier: GPL-3.0-or-later
"""The LSF double on this machine, for the tests that need a batch system: real daemons, clients and processes."""

import contextlib
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import yaml

SOURCE = Path(__file__).resolve().parents[2] / "molecule/resources/lsf"
DEADLINE = 10.0

CLUSTER = {
    "cluster": "triton",
    "master": "mgmt",
    "units": "MB",
    "first_job_id": 33565,
    "root_jobs": True,
    "dispatch_interval": 0.1,
    "terminate_interval": 0.6,
    "runlimit_grace": 0.5,
    "heartbeat": 0.2,
    "retry_interval": 0.5,
    "hosts": {
        "t001": {"slots": 4, "queues": ["normal", "batchonly", "brief", "staff"]},
        "t002": {"slots": 4, "queues": ["normal"]},
        "t037": {"slots": 40, "queues": ["interactive", "typed"]},
    },
    "queues": {
        "normal": {"default": True, "runlimit_minutes": 10080},
        "interactive": {
            "priority": 40,
            "description": "Notebooks and shells.",
            "default_runlimit": 360,
            "runlimit_minutes": 1440,
            "jobs_per_user": 1,
        },
        "batchonly": {"priority": 20, "interactive": "no"},
        "typed": {"priority": 20, "interactive": "only"},
        "brief": {"priority": 20, "default_runlimit": 0.02},  # about a second
        "staff": {"priority": 50, "users": ["nobody"]},
    },
}


class Cluster:
    """An installed double with its daemons, and the commands as a user's shell would run them."""

    def __init__(self, folder: Path, python: str = sys.executable, **changes):
        self.dest, self.home = folder / "lsf", folder / "home"
        self.home.mkdir(parents=True)
        self.processes = {}
        config = folder / "cluster.yml"
        config.write_text(yaml.safe_dump(CLUSTER | changes))
        command = [sys.executable, SOURCE / "install", self.dest, "--python", python, "--config", config]
        subprocess.run(command, check=True, timeout=60)
        keep = {key: value for key, value in os.environ.items() if not key.startswith(("LSB_", "LSF_", "BSUB_"))}
        self.env = keep | {
            "HOME": str(self.home),
            "LSF_ENVDIR": f"{self.dest}/conf",
            "PATH": f"{self.dest}/10.1/bin:{os.environ['PATH']}",
        }

    def start(self, *names: str) -> None:
        """`master`, and servers by their host's name."""
        for name in names:
            arguments = ["master"] if name == "master" else ["server", "--host", name]
            with open(self.dest / f"{name}.log", "a") as log:
                self.processes[name] = subprocess.Popen(
                    [self.dest / "etc/lsfd", *arguments], env=self.env, stderr=log, stdin=subprocess.DEVNULL, cwd="/"
                )

    def stop(self, *names: str) -> None:
        for name in names:
            process = self.processes.pop(name)
            process.kill()  # no farewell: what matters must be on disk
            process.wait(DEADLINE)

    def up(self) -> "Cluster":
        self.start("master", *CLUSTER["hosts"])
        until(lambda: self("bhosts").stdout.count(" ok ") == 3)
        return self

    def __call__(
        self, *argv: str, stdin: str = "", timeout: float = DEADLINE, **env: str
    ) -> subprocess.CompletedProcess:
        return subprocess.run(
            argv, input=stdin, env=self.env | env, cwd=self.home, capture_output=True, text=True, timeout=timeout
        )

    def submit(self, *argv: str, stdin: str = "") -> str:
        done = self("bsub", *argv, stdin=stdin)
        match = re.fullmatch(r"Job <(\d+)> is submitted to (default )?queue <\w+>\.\n", done.stdout)
        assert match, done
        return match[1]

    def field(self, id: str, name: str) -> str:
        return self("bjobs", "-a", "-noheader", "-o", f"{name} delimiter='^'", id).stdout.rstrip("\n")

    def reaches(self, id: str, *states: str) -> None:
        until(lambda: self.field(id, "stat") in states)

    def fault(self, *argv: str) -> str:
        """`lsfd fault ...`, as whoever runs a cluster turns a fault switch."""
        done = self(f"{self.dest}/etc/lsfd", "fault", *argv)
        assert done.returncode == 0, done
        return done.stdout

    def clear(self) -> None:
        self.fault("off")
        self("bkill", "0")
        until(lambda: "No unfinished" in self("bjobs").stderr)


def until(condition) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


@contextlib.contextmanager
def running(folder: Path, **changes):
    cluster = Cluster(folder, **changes)
    try:
        yield cluster.up()
        cluster.clear()
    finally:
        for name in list(cluster.processes):
            with contextlib.suppress(subprocess.TimeoutExpired):
                cluster.stop(name)
