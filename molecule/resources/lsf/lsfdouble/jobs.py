# SPDX-License-Identifier: GPL-3.0-or-later
"""A job as the master keeps it, and the file that keeps all of them over the master's restarts."""

import json
import os
from dataclasses import asdict, dataclass, field

UNFINISHED = {"PEND", "PSUSP", "RUN", "USUSP", "SSUSP"}


@dataclass
class Job:
    id: int
    name: str
    user: str
    uid: int
    gid: int
    queue: str
    command: str
    from_host: str
    cwd: str
    umask: int
    submit_time: float
    mode: str = ""  # "" for batch, else "I", "Ip" or "Is"
    nios: str = ""  # the interactive client's listening socket
    tty: bool = False
    project: str = "default"
    description: str = ""
    slots: int = 1
    span: dict = field(default_factory=dict)
    only_hosts: list = field(default_factory=list)
    runlimit: int = 0  # seconds, 0 for none
    memlimit: int = 0  # KB, shown but not enforced
    output: str = ""
    error: str = ""
    output_replaces: bool = False
    error_replaces: bool = False
    stat: str = "PEND"
    pend_reason: str = ""
    hosts: list = field(default_factory=list)  # [[name, slots], ...]; set while PEND: on its way there
    start_time: float = 0
    end_time: float = 0
    pid: int = 0
    cpu: float = 0
    exit_code: int = 0
    term_reason: str = ""  # TERM_OWNER, TERM_ADMIN, TERM_RUNLIMIT
    kill_time: float = 0  # the bkill ladder began
    kill_rung: int = 0  # signals of the ladder sent so far
    limit_time: float = 0  # SIGUSR2 for the run limit was sent

    @property
    def unfinished(self) -> bool:
        return self.stat in UNFINISHED

    def end(self, code: int, now: float) -> None:
        self.stat, self.exit_code, self.end_time = ("EXIT" if code else "DONE"), code, now


class Store:
    """All jobs, and the next number. Scripts and environments lie beside it, one file a job, for root alone."""

    def __init__(self, folder: str, first_id: int):
        self.folder, self.file, self.spool = folder, folder + "/jobs.json", folder + "/spool"
        os.makedirs(self.spool, mode=0o700, exist_ok=True)
        self.next_id, self.jobs, self.saved = first_id, {}, ""
        if os.path.exists(self.file):
            with open(self.file) as file:
                self.saved = file.read()
            state = json.loads(self.saved)
            self.next_id = state["next_id"]
            self.jobs = {record["id"]: Job(**record) for record in state["jobs"]}

    def save(self) -> None:
        """Write what changed, whole or not at all."""
        state = json.dumps({"next_id": self.next_id, "jobs": [asdict(job) for job in self.jobs.values()]})
        if state != self.saved:
            self._write(self.file, state)
            self.saved = state

    def add(self, job: Job, script: str, env: dict) -> None:
        self._write(f"{self.spool}/{job.id}.json", json.dumps({"script": script, "env": env}))
        self.jobs[job.id], self.next_id = job, job.id + 1
        self.save()

    def payload(self, job: Job) -> dict:
        with open(f"{self.spool}/{job.id}.json") as file:
            return json.load(file)

    def forget(self, job: Job) -> None:
        del self.jobs[job.id]
        os.unlink(f"{self.spool}/{job.id}.json")

    @staticmethod
    def _write(path: str, text: str) -> None:
        handle = os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(handle)
        os.rename(path + ".new", path)
