# SPDX-License-Identifier: GPL-3.0-or-later
"""bjobs' values: how LSF writes hosts and times, and the fields of -o. Every value is text, "" where there is none."""

import os
import time

wrong_by = 0.0  # seconds; the fault `clock` sets it for one command


def exec_host(job: dict, conf: dict) -> str:
    if conf.get("LSB_SHORT_HOSTLIST") == "1":
        return ":".join(name if count == 1 else f"{count}*{name}" for name, count in job["hosts"])
    return ":".join(name for name, count in job["hosts"] for _ in range(count))


def clock(seconds: float, form: str = "%b %d %H:%M") -> str:
    """`Nov 23 01:20`; LSF leaves the year out. Every time that a command prints goes through here."""
    return time.strftime(form, time.localtime(seconds + wrong_by)) if seconds else ""


def _end(job: dict) -> float:
    return job["end_time"] or time.time()


def _run_seconds(job: dict) -> int:
    return int(_end(job) - job["start_time"]) if job["start_time"] else 0


def _due(job: dict) -> float:
    return job["start_time"] + job["runlimit"] if job["start_time"] and job["runlimit"] else 0


def _finish_time(job: dict, conf: dict) -> str:
    """When it ended; while it runs, when its limit will end it, marked L."""
    if job["end_time"]:
        return clock(job["end_time"])
    return clock(_due(job)) + " L" if _due(job) else ""


def _time_left(job: dict, conf: dict) -> str:
    if not _due(job) or job["end_time"]:
        return ""
    minutes = max(0, int(_due(job) - time.time())) // 60
    return f"{minutes // 60}:{minutes % 60} L"


def _memlimit(job: dict, conf: dict) -> str:
    size, units = job["memlimit"], ["Kbytes", "Mbytes", "Gbytes"]
    while size >= 1024 and len(units) > 1:
        size, units = size / 1024, units[1:]
    return f"{size:.4g} {units[0]}" if size else ""


def _plain(key: str):
    return lambda job, conf: str(job[key])


def _time(key: str):
    return lambda job, conf: clock(job[key])


# field -> (width when no delimiter is given, value); the heading is the name in capitals
FIELDS = {
    "jobid": (7, _plain("id")),
    "jobindex": (8, lambda job, conf: "0"),
    "stat": (5, _plain("stat")),
    "user": (7, _plain("user")),
    "queue": (10, _plain("queue")),
    "job_name": (10, _plain("name")),
    "job_description": (17, _plain("description")),
    "proj_name": (11, _plain("project")),
    "command": (15, _plain("command")),
    "from_host": (11, _plain("from_host")),
    "exec_host": (11, exec_host),
    "first_host": (11, lambda job, conf: job["hosts"][0][0] if job["hosts"] else ""),
    "nexec_host": (10, lambda job, conf: str(len(job["hosts"])) if job["hosts"] else ""),
    "slots": (5, _plain("slots")),
    "submit_time": (15, _time("submit_time")),
    "start_time": (15, _time("start_time")),
    "finish_time": (16, _finish_time),
    "time_left": (11, _time_left),
    "run_time": (15, lambda job, conf: f"{_run_seconds(job)} second(s)"),
    "runtimelimit": (12, lambda job, conf: f"{job['runlimit'] / 60:.1f}" if job["runlimit"] else ""),
    "memlimit": (10, _memlimit),
    "cpu_used": (10, lambda job, conf: f"{job['cpu']:.1f} second(s)" if job["start_time"] and job["cpu"] >= 0 else ""),
    "pids": (20, lambda job, conf: str(job["pid"]) if job["pid"] and not job["end_time"] else ""),
    "pend_reason": (11, _plain("pend_reason")),
    "exit_code": (10, lambda job, conf: str(job["exit_code"]) if job["stat"] == "EXIT" else ""),
    "exit_reason": (50, lambda job, conf: _reason(job)),
    "output_file": (11, _plain("output")),
    "error_file": (11, _plain("error")),
    "sub_cwd": (10, lambda job, conf: job["cwd"].replace(os.environ.get("HOME", "\0"), "$HOME", 1)),
}


def _reason(job: dict) -> str:
    from .words import Lsf10  # no other personality has the field

    return Lsf10.TERMINATED.get(job["term_reason"], "") if job["stat"] == "EXIT" else ""


def value(job: dict, field: str, conf: dict) -> str:
    return FIELDS[field][1](job, conf)
