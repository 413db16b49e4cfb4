# SPDX-License-Identifier: GPL-3.0-or-later
"""The master's answers to those who look: pure functions over its jobs and its configuration."""

from dataclasses import asdict

from .scheduler import OCCUPYING


def queues(cluster: dict, jobs) -> dict:
    """{queue: {state: slots}}; held jobs count as pending, ZOMBI ones not at all."""
    counts = {name: {"PEND": 0, "RUN": 0, "USUSP": 0, "SSUSP": 0} for name in cluster["queues"]}
    for job in jobs:
        if job.unfinished and job.stat != "ZOMBI":
            counts[job.queue]["PEND" if job.stat == "PSUSP" else job.stat] += job.slots
    return counts


def hosts(cluster: dict, jobs) -> dict:
    """{host: {state: slots}}; a job on its way to a host counts as running there."""
    used = {name: {"RUN": 0, "USUSP": 0, "SSUSP": 0} for name in cluster["hosts"]}
    for job in jobs:
        if job.stat in OCCUPYING or (job.stat == "PEND" and job.hosts):
            for name, count in job.hosts:
                used[name]["RUN" if job.stat == "PEND" else job.stat] += count
    return used


def job(job, words, silent: bool) -> dict:
    """What bjobs sees: the record, with reasons in words, and UNKWN where the job's host is `silent`."""
    view = asdict(job)
    reason = words.PENDING.get(job.pend_reason, job.pend_reason)
    view["pend_reason"] = reason.format(words.hosts(job.pend_hosts)) if job.stat in ("PEND", "PSUSP") else ""
    view["susp_reason"] = words.SUSPENDED.get(job.susp_reason, "") if job.stat in ("USUSP", "SSUSP") else ""
    if job.stat == "PEND":
        view["hosts"] = []
    elif silent:
        view["stat"] = "UNKWN"
    return view
