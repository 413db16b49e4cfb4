# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a submission becomes a job: the queue's policy and limits, and LSF's refusals in LSF's order."""

import pwd
import time

from . import request, scheduler
from .jobs import Job

# What a client may say of its job as it is; everything else is judged here or belongs to the master.
PLAIN = {
    "name", "description", "command", "project", "output", "error", "output_replaces", "error_replaces", "from_host", "cwd", "umask",
    "mode", "tty", "nios", "rerunnable", "held",
}  # fmt: skip


def judge(cluster: dict, closed: dict, id: int, uid: int, gid: int, wish: dict) -> tuple:
    """(Job, whether its queue is the default one), or Refused. `wish` holds q, n, W, M, R and m as typed; `closed` what badmin closed."""
    if uid == 0 and not cluster["root_jobs"]:
        raise request.Refused("root")
    default = next(name for name, queue in cluster["queues"].items() if queue["default"])
    user = pwd.getpwuid(uid).pw_name
    name = _queue(cluster["queues"], closed, (wish["q"] or default).split(), user, bool(wish["mode"]))
    queue = cluster["queues"][name]
    job = Job(
        id=id,
        user=user,
        uid=uid,
        gid=gid,
        queue=name,
        only_hosts=_hosts(cluster, wish["m"]),
        slots=request.slots(wish["n"]) if wish["n"] else 1,
        runlimit=_runlimit(queue, wish["W"]),
        own_runlimit=bool(wish["W"]),
        memlimit=_memlimit(queue, wish["M"], cluster["units"]),
        span=request.resource_requirement(wish["R"]),
        resreq=" ".join(text.strip() for text in wish["R"]),
        submit_time=time.time(),
        stat="PSUSP" if wish["held"] else "PEND",
        pend_reason="held" if wish["held"] else "new",
        **{key: value for key, value in wish.items() if key in PLAIN},
    )
    if job.slots > min(queue["max_slots"] or job.slots, scheduler.largest(cluster, job)):
        raise request.Refused("slots_too_many")
    return job, name == default


def _queue(queues: dict, closed: dict, names: list, user: str, interactive: bool) -> str:
    """The first that takes the job; where none does, what the last one says."""
    for name in names:
        try:
            if name not in queues:
                raise request.Refused("no_queue", name)
            _may_use(queues[name], name, user, interactive)
            if name in closed["queues"]:
                raise request.Refused("queue_closed", name)
            return name
        except request.Refused as refusal:
            last = refusal
    raise last


def _may_use(queue: dict, name: str, user: str, interactive: bool) -> None:
    if queue["users"] != "all" and user not in queue["users"]:
        raise request.Refused("queue_users", name)
    if queue["interactive"] == "no" and interactive:
        raise request.Refused("queue_batch_only")
    if queue["interactive"] == "only" and not interactive:
        raise request.Refused("queue_interactive_only")


def _hosts(cluster: dict, text: str) -> list:
    for host in text.split():
        if host not in cluster["hosts"]:
            raise request.Refused("no_host", host)
    return text.split()


def _runlimit(queue: dict, text: str) -> int:
    """The job's own limit, else the queue's default, else the queue's hard limit, which none may exceed."""
    asked = request.runlimit(text) if text else int(queue["default_runlimit"] * 60)
    hard = int(queue["runlimit_minutes"] * 60)
    if hard and asked > hard:
        raise request.Refused("runlimit_hard")
    return asked or hard


def _memlimit(queue: dict, text: str, unit: str) -> int:
    """In KB; the queue's hard limit is also the default."""
    hard = request.memlimit(str(queue["memlimit"]), unit) if queue["memlimit"] else 0
    asked = request.memlimit(text, unit) if text else 0
    if hard and asked > hard:
        raise request.Refused("memlimit_hard")
    return asked or hard
