# SPDX-License-Identifier: GPL-3.0-or-later
"""bjobs: which jobs, in which columns."""

import sys

from . import fields
from .cli import FAILED, Usage, complain, job_ids, options
from .layout import Format
from .matching import matches
from .protocol import LsfError, ask

STATES = {"p": ("PEND", "PSUSP"), "r": ("RUN", "UNKWN"), "s": ("USUSP", "SSUSP"), "d": ("DONE", "EXIT")}
NONE = {"p": "pending", "r": "running", "s": "suspended", "d": "finished", "a": "all"}
BAD_FIELD = 99


def main(argv: list, context) -> int:
    words, conf = context.words, context.conf
    found, rest = options(argv, context)
    ids = [id for id in job_ids(rest) if id]  # bjobs 0 lists all
    layout = Format(found["o"], words) if "o" in found else None
    if layout and layout.wrong:
        complain(f"<{layout.wrong}> in the format string is not a valid field name.")
        return BAD_FIELD
    if "json" in found and (not layout or "noheader" in found):
        raise Usage("-json requires -o and excludes -noheader")
    if "q" in found and found["q"] not in ask(conf, op="queues")["queues"]:
        raise LsfError(words.REFUSED["no_queue"].format(found["q"]))
    if "m" in found and found["m"] not in [host["name"] for host in ask(conf, op="hosts")["hosts"]]:
        raise LsfError(words.REFUSED["no_host"].format(found["m"]))
    finished = "a" in found or "d" in found
    answer = ask(conf, op="jobs", ids=ids, user=found.get("u", ""), finished=finished)
    jobs = [job for job in answer["jobs"] if _chosen(job, found)]
    if "json" in found:
        print(layout.json(jobs, answer["missing"], context))
    else:
        for id in answer["missing"]:
            print(words.NOT_FOUND.format(id), file=sys.stderr)
        if jobs:
            _show(jobs, found, layout, context)
        elif not answer["missing"]:
            print(_none(found, words), file=sys.stderr)
    return _code(bool(jobs), bool(answer["missing"]), "json" in found, context)


def _chosen(job: dict, found: dict) -> bool:
    return (
        found.get("q") in (None, job["queue"])
        and ("J" not in found or matches(job["name"], found["J"]))
        and ("m" not in found or found["m"] in [name for name, _ in job["hosts"]])
        and all(job["stat"] in STATES[flag] for flag in STATES if flag in found)
    )


def _none(found: dict, words) -> str:
    if "J" in found:
        return words.NOT_FOUND.format(found["J"])
    kind = next((kind for flag, kind in NONE.items() if flag in found), "unfinished")
    tail = f" in queue <{found['q']}>" if "q" in found else ""
    return words.NONE_FOUND[kind] + tail + (f" on host/group <{found['m']}>" if "m" in found else "")


def _code(any_job: bool, any_missing: bool, as_json: bool, context) -> int:
    """LSF's default counts "nothing found" as success, and only some-found-some-not as failure."""
    if context.conf.get("LSB_BJOBS_CONSISTENT_EXIT_CODE", "N").upper() == "Y":
        return FAILED if any_missing or not any_job else 0
    if any_job:
        return FAILED if any_missing else 0
    if any_missing:
        return context.words.ONE_NOT_FOUND_CODE
    return context.words.NONE_FOUND_JSON_CODE if as_json else context.words.NONE_FOUND_CODE


def _show(jobs: list, found: dict, layout, context) -> None:
    conf = context.conf
    if "l" in found or "UF" in found:
        from .details import long

        print(long(jobs, context, unfolded="UF" in found))
        return
    if layout:
        header, rows = layout.header(), [layout.row(job, conf) for job in jobs]
    elif "p" in found:
        header = "JOBID   USER    STAT  QUEUE       FROM_HOST      JOB_NAME           SUBMIT_TIME"
        rows = [_pending(job) for job in jobs]
    elif "s" in found:
        header = HEADER
        rows = [(_wide if "w" in found else _narrow)(job, conf) + f"\n {job['susp_reason']}" for job in jobs]
    elif "W" in found:
        header = HEADER + "  PROJ_NAME CPU_USED MEM SWAP PIDS START_TIME FINISH_TIME"
        rows = [_wide(job, conf) + _more(job) for job in jobs]
    else:
        header, rows = HEADER, [(_wide if "w" in found else _narrow)(job, conf) for job in jobs]
    if "noheader" not in found:
        rows.insert(0, header)
    print("\n".join(rows))


HEADER = "JOBID   USER    STAT  QUEUE      FROM_HOST   EXEC_HOST   JOB_NAME   SUBMIT_TIME"


def _narrow(job: dict, conf: dict) -> str:
    """The default: all cut but the id; the name keeps its tail, further hosts get lines of their own."""
    over = job["stat"] in ("DONE", "EXIT")
    hosts = (fields.exec_host(job, conf) or ("   - " if over else "")).split(":")
    name = job["name"] if len(job["name"]) <= 10 else "*" + job["name"][-9:]
    first = (
        f"{job['id']:<7d} {job['user']:7.7s} {job['stat']:5.5s} {job['queue']:10.10s} {job['from_host']:11.11s} "
        f"{hosts[0]:11.11s} {name:10s} {fields.clock(job['submit_time'])}"
    )
    return "\n".join([first] + [" " * 45 + host for host in hosts[1:]])


def _wide(job: dict, conf: dict) -> str:
    host = fields.exec_host(job, conf) or "   - "
    return (
        f"{job['id']:<7d} {job['user']:7s} {job['stat']:5s} {job['queue']:10s} {job['from_host']:11s} "
        f"{host:11s} {job['name']:10s} {fields.clock(job['submit_time'])}"
    )


def _more(job: dict) -> str:
    def moment(seconds: float) -> str:
        return fields.clock(seconds, "%m/%d-%H:%M:%S") or "-"

    seconds = max(0, job["cpu"])
    cpu = f"{int(seconds) // 3600:03d}:{int(seconds) // 60 % 60:02d}:{seconds % 60:05.2f}"
    pid = job["pid"] if job["pid"] and not job["end_time"] else "-"
    return f"  {job['project']} {cpu} 0      0      {pid} {moment(job['start_time'])} {moment(job['end_time'])}"


def _pending(job: dict) -> str:
    return (
        f"{job['id']:<7d} {job['user']:7s} {job['stat']:5s} {job['queue']:11s} {job['from_host']:14s} {job['name']:18s} "
        f"{fields.clock(job['submit_time'])}\n {job['pend_reason']}"
    )
