# SPDX-License-Identifier: GPL-3.0-or-later
"""bjobs: which jobs, in which columns."""

import json
import re
import sys

from . import fields, words
from .cli import FAILED, Usage, complain, job_ids, options
from .protocol import LsfError, ask

USAGE = """Usage: bjobs [-h] [-V] [-w | -W | -o "field_name[:[-]output_width] ... [delimiter='character']" [-json]] [-noheader]
             [-a | -p | -r] [-q queue_name] [-u user_name | -u all] [-J job_name] [-m host_name] [job_ID ...]"""
BAD_FIELD = 99


def main(argv: list, conf: dict) -> int:
    found, rest = options(argv, "w W noheader json a p r", "o q u J m")
    ids = [id for id in job_ids(rest) if id]  # bjobs 0 lists all
    layout = Format(found["o"]) if "o" in found else None
    if layout and layout.wrong:
        complain(f"<{layout.wrong}> in the format string is not a valid field name.")
        return BAD_FIELD
    if "json" in found and (not layout or "noheader" in found):
        raise Usage("-json requires -o and excludes -noheader")
    if "q" in found and found["q"] not in ask(conf, op="queues")["queues"]:
        raise LsfError(f"{found['q']}: No such queue")
    answer = ask(conf, op="jobs", ids=ids, user=found.get("u", ""), finished="a" in found)
    jobs = [job for job in answer["jobs"] if _chosen(job, found)]
    if "json" in found:
        print(layout.json(jobs, answer["missing"], conf))
    else:
        for id in answer["missing"]:
            print(words.NOT_FOUND.format(id), file=sys.stderr)
        if jobs:
            _show(jobs, found, layout, conf)
        elif not answer["missing"]:
            print(_none(found), file=sys.stderr)
    return _code(bool(jobs), bool(answer["missing"]), conf)


def _chosen(job: dict, found: dict) -> bool:
    return (
        found.get("q") in (None, job["queue"])
        and ("J" not in found or _matches(job["name"], found["J"]))
        and ("m" not in found or found["m"] in [name for name, _ in job["hosts"]])
        and ("p" not in found or job["stat"] in ("PEND", "PSUSP"))
        and ("r" not in found or job["stat"] == "RUN")
    )


def _matches(name: str, pattern: str) -> bool:
    """LSF knows `*` alone as a wildcard."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), name, re.DOTALL) is not None


def _none(found: dict) -> str:
    if "J" in found:
        return words.NOT_FOUND.format(found["J"])
    kind = next(
        (kind for flag, kind in (("p", "pending"), ("r", "running"), ("a", "all")) if flag in found), "unfinished"
    )
    tail = f" in queue <{found['q']}>" if "q" in found else ""
    return words.NONE_FOUND[kind] + tail + (f" on host/group <{found['m']}>" if "m" in found else "")


def _code(any_job: bool, any_missing: bool, conf: dict) -> int:
    """LSF's default counts "nothing found" as success, and only some-found-some-not as failure."""
    if conf.get("LSB_BJOBS_CONSISTENT_EXIT_CODE", "N").upper() == "Y":
        return FAILED if any_missing or not any_job else 0
    return FAILED if any_missing and any_job else 0


def _show(jobs: list, found: dict, layout, conf: dict) -> None:
    if layout:
        header, rows = layout.header(), [layout.row(job, conf) for job in jobs]
    elif "p" in found:
        header = "JOBID   USER    STAT  QUEUE       FROM_HOST      JOB_NAME           SUBMIT_TIME"
        rows = [_pending(job) for job in jobs]
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
    hosts = fields.exec_host(job, conf).split(":")
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
    import time

    def moment(seconds: float) -> str:
        return time.strftime("%m/%d-%H:%M:%S", time.localtime(seconds)) if seconds else "-"

    cpu = f"{int(job['cpu']) // 3600:03d}:{int(job['cpu']) // 60 % 60:02d}:{job['cpu'] % 60:05.2f}"
    pid = job["pid"] if job["pid"] and not job["end_time"] else "-"
    return f"  {job['project']} {cpu} 0      0      {pid} {moment(job['start_time'])} {moment(job['end_time'])}"


def _pending(job: dict) -> str:
    return (
        f"{job['id']:<7d} {job['user']:7s} {job['stat']:5s} {job['queue']:11s} {job['from_host']:14s} {job['name']:18s} "
        f"{fields.clock(job['submit_time'])}\n {job['pend_reason']}"
    )


class Format:
    """-o "field[:[-]width] ... [delimiter='c']"."""

    def __init__(self, text: str):
        delimiter = re.search(r"\s*delimiter\s*=\s*(['\"])(.)\1\s*$", text)
        self.delimiter = delimiter[2] if delimiter else ""
        self.columns, self.wrong = [], ""
        for word in (text[: delimiter.start()] if delimiter else text).split():
            name, _, width = word.lower().partition(":")
            if name not in fields.FIELDS or not re.fullmatch(r"(-?\d+)?", width):
                self.wrong = self.wrong or word.upper()
            else:
                self.columns.append((name, int(width) if width else fields.FIELDS[name][0]))

    def header(self) -> str:
        return self._line([name.upper() for name, _ in self.columns])

    def row(self, job: dict, conf: dict) -> str:
        return self._line([fields.value(job, name, conf) or "-" for name, _ in self.columns])

    def _line(self, values: list) -> str:
        """With a delimiter whole values, else columns: too long keeps its tail after *, a minus sets it to the right."""
        if self.delimiter:
            return self.delimiter.join(values)
        cells = []
        for text, (_, width) in zip(values, self.columns, strict=True):
            size = abs(width)
            text = text if len(text) <= size else "*" + text[len(text) - size + 1 :]
            cells.append(text.rjust(size) if width < 0 else text.ljust(size))
        return " ".join(cells)

    def json(self, jobs: list, missing: list, conf: dict) -> str:
        """All values are text, uncut; what the columns show as - is empty here."""
        records = [{name.upper(): fields.value(job, name, conf) for name, _ in self.columns} for job in jobs]
        records += [{"JOBID": str(id), "ERROR": words.NOT_FOUND.format(id)} for id in missing]
        return json.dumps(
            {"COMMAND": "bjobs", "JOBS": len(records), "RECORDS": records}, indent=2, separators=(",", ":")
        )
