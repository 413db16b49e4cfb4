# SPDX-License-Identifier: GPL-3.0-or-later
"""A job as the master keeps it, and the file that keeps all of them over the master's restarts."""

import json
import os
from dataclasses import asdict, dataclass, field

from .matching import matches

UNFINISHED = {"PEND", "PSUSP", "RUN", "USUSP", "SSUSP", "ZOMBI"}


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
    resreq: str = ""  # -R as typed, and merged
    only_hosts: list = field(default_factory=list)
    runlimit: int = 0  # seconds, 0 for none
    own_runlimit: bool = False  # -W was given
    memlimit: int = 0  # KB, shown but not enforced
    rerunnable: bool = False
    held: bool = False  # -H
    output: str = ""
    error: str = ""
    output_replaces: bool = False
    error_replaces: bool = False
    stat: str = "PEND"
    pend_reason: str = ""  # a key of the words' PENDING
    pend_hosts: int = 1  # how many hosts that reason is about
    susp_reason: str = ""  # a key of the words' SUSPENDED
    hosts: list = field(default_factory=list)  # [[name, slots], ...]; set while PEND: on its way there
    start_time: float = 0
    end_time: float = 0
    pid: int = 0
    cpu: float = 0  # seconds; -1: never to be known
    exit_code: int = 0
    exec_home: str = ""
    exec_cwd: str = ""
    term_reason: str = ""  # TERM_OWNER, TERM_ADMIN, TERM_RUNLIMIT
    kill_time: float = 0  # the bkill ladder began
    kill_rung: int = 0  # signals of the ladder sent so far
    limit_time: float = 0  # SIGUSR2 for the run limit was sent
    resume_time: float = 0  # bresume was asked for
    requeue: int = 0  # it ends to begin again, by its owner's (1) or LSF's (2) wish
    avoid: str = ""  # the host it was taken from
    unknown: bool = False  # its host is silent

    @property
    def unfinished(self) -> bool:
        return self.stat in UNFINISHED

    @property
    def waiting(self) -> bool:
        """Pending, and not on its way to a host."""
        return self.stat == "PSUSP" or (self.stat == "PEND" and not self.hosts)

    def agrees(self, where: dict) -> bool:
        """Whether the job has this name (`*` stands for anything), queue and host; what is not named agrees."""
        return (
            ("name" not in where or matches(self.name, where["name"]))
            and where.get("queue", self.queue) == self.queue
            and ("host" not in where or where["host"] in [name for name, _ in self.hosts])
        )

    def again(self) -> None:
        """Back among the pending ones."""
        self.stat, self.hosts, self.pend_reason, self.susp_reason, self.term_reason = "PEND", [], "requeued", "", ""
        self.start_time = self.pid = self.kill_time = self.kill_rung = self.limit_time = self.requeue = 0
        self.unknown = False

    def end(self, code: int, now: float) -> None:
        self.stat, self.exit_code, self.end_time = ("EXIT" if code else "DONE"), code, now


class Store:
    """All jobs, and the next number. Scripts and environments lie beside it, one file a job, for root alone."""

    def __init__(self, folder: str, first_id: int):
        self.folder, self.file, self.spool = folder, folder + "/jobs.json", folder + "/spool"
        os.makedirs(self.spool, mode=0o700, exist_ok=True)
        self.next_id, self.jobs, self.saved = first_id, {}, ""
        self.closed = {"queues": [], "inactive": [], "hosts": []}  # by badmin
        if os.path.exists(self.file):
            with open(self.file) as file:
                self.saved = file.read()
            state = json.loads(self.saved)
            self.next_id = state["next_id"]
            self.jobs = {record["id"]: Job(**record) for record in state["jobs"]}
            self.closed |= state.get("closed", {})

    def save(self) -> None:
        """Write what changed, whole or not at all."""
        jobs = [asdict(job) for job in self.jobs.values()]
        state = json.dumps({"next_id": self.next_id, "closed": self.closed, "jobs": jobs})
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
