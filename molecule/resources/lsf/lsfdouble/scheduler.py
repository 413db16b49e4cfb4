# SPDX-License-Identifier: GPL-3.0-or-later
"""Which pending job goes where, and why the others wait: pure functions over the master's picture of the cluster."""

OCCUPYING = {"RUN", "USUSP", "SSUSP"}


def free_slots(cluster: dict, jobs) -> dict:
    """Slots free on each host. A job on its way to a host (PEND with hosts) holds its slots already."""
    free = {name: host["slots"] for name, host in cluster["hosts"].items()}
    for job in jobs:
        if job.stat in OCCUPYING or job.stat == "PEND":
            for host, count in job.hosts:
                free[host] = free.get(host, 0) - count
    return free


def place(job, candidates: dict) -> list:
    """[(host, slots), ...] among `candidates` {host: free slots}, emptiest host first as LSF's load order has it; [] = nowhere."""
    order = sorted(candidates, key=lambda name: -candidates[name])
    if "hosts" in job.span:
        return next(([(name, job.slots)] for name in order if candidates[name] >= job.slots), [])
    left, chosen = job.slots, []
    for name in order:
        take = min(left, candidates[name], job.span.get("ptile", left))
        if take > 0:
            chosen.append((name, take))
            left -= take
    return chosen if left == 0 else []


def schedule(cluster: dict, jobs, alive: set, closed: dict) -> tuple:
    """One cycle: ({job id: hosts}, {job id: (pending reason, hosts it is about)}), by queue priority, then first come, first served.
    `closed` names what badmin closed: hosts, and inactive queues.
    """
    jobs = list(jobs)
    free = free_slots(cluster, jobs)
    using = {}  # (queue, user) -> jobs started
    for job in jobs:
        if job.stat in OCCUPYING or (job.stat == "PEND" and job.hosts):
            using[job.queue, job.user] = using.get((job.queue, job.user), 0) + 1
    starts, reasons = {}, {}
    waiting = [job for job in jobs if job.stat == "PEND" and not job.hosts]
    for job in sorted(waiting, key=lambda job: (-cluster["queues"][job.queue]["priority"], job.id)):
        queue = cluster["queues"][job.queue]
        names = eligible(cluster, job)
        up = {name: max(0, free[name]) for name in names if name in alive and name not in closed["hosts"]}
        limit, used = queue["jobs_per_user"], using.get((job.queue, job.user), 0)
        if job.queue in closed["inactive"]:
            reasons[job.id] = ("queue_inactive", 1)
        elif limit and used >= limit:
            reasons[job.id] = ("user_limit", 1)
        elif not up:
            shut = names and all(name in closed["hosts"] for name in names)
            reasons[job.id] = ("host_closed" if shut else "unreachable", len(names))
        elif chosen := place(job, up):
            starts[job.id] = chosen
            using[job.queue, job.user] = used + 1
            for name, count in chosen:
                free[name] -= count
        else:
            reasons[job.id] = ("full" if not any(up.values()) else "span" if job.span else "slots", len(up))
    return starts, reasons


def eligible(cluster: dict, job) -> list:
    """Hosts that the queue and the job's own -m allow; the one it was taken from only when there is no other."""
    allowed = cluster["queues"][job.queue]["hosts"]
    names = [name for name in allowed if not job.only_hosts or name in job.only_hosts]
    return [name for name in names if name != job.avoid] or names


def largest(cluster: dict, job) -> int:
    """All slots the job may use: above these LSF refuses; what `span` forbids it lets pend for ever."""
    return sum(cluster["hosts"][name]["slots"] for name in eligible(cluster, job))
