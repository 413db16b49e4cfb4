# SPDX-License-Identifier: GPL-3.0-or-later
"""bjobs -l and -UF: one job in sentences, which bhist -l shares."""

import os

from . import fields

RULE = "-" * 78
MODES = {
    "I": "Interactive mode, ",
    "Ip": "Interactive pseudo-terminal mode, ",
    "Is": "Interactive pseudo-terminal shell mode, ",
}
NO_LOAD = "   -     -     -     -       -     -    -     -     -      -      -  "
LOAD = f"""
 SCHEDULING PARAMETERS:
           r15s   r1m  r15m   ut      pg    io   ls    it    tmp    swp    mem
 loadSched{NO_LOAD}
 loadStop {NO_LOAD}"""


def moment(seconds: float) -> str:
    """`Mon Nov 23 01:16:58`."""
    return fields.clock(seconds, "%a %b %e %H:%M:%S")


def fold(text: str, folded: bool) -> str:
    """At 80 columns, wherever that falls; what goes on is indented by 21."""
    lines, rest = [text[:80]], text[80:]
    if not folded:
        return text
    while rest:
        rest = rest.removeprefix(" ")
        lines.append(" " * 21 + rest[:59])
        rest = rest[59:]
    return "\n".join(lines)


def long(jobs: list, context, unfolded: bool) -> str:
    return f"\n{RULE}\n".join(_job(job, context, unfolded) for job in jobs) + "\n"


def head(job: dict, words, tail: str) -> str:
    name = "" if job["name"] == job["command"] else f"Job Name <{job['name']}>, "
    return f"{words.JOB} <{job['id']}>, {name}User <{job['user']}>, Project <{job['project']}>, {tail}Command <{job['command']}>"


def submission(job: dict, words, to_queue: str = "") -> str:
    """`Submitted from host <...>, ...`"""
    home = os.environ.get("HOME", "\0")
    cwd = job["cwd"]
    if cwd == home or cwd.startswith(home + "/"):
        cwd = "$HOME" + cwd[len(home) :]
    text = f"Submitted from host <{job['from_host']}>{to_queue}"
    text += f" {words.ON_HOLD}" if job["held"] else ""
    text += f", CWD <{cwd}>"
    text += f", Output File <{job['output']}>" if job["output"] else ""
    text += f", Error File <{job['error']}>" if job["error"] else ""
    text += words.TASKS.format(**job) if job["slots"] > 1 else ""
    text += f", Requested Resources <{job['resreq']}>" if job["resreq"] else ""
    text += f", Specified Hosts <{'>, <'.join(job['only_hosts'])}>" if job["only_hosts"] else ""
    return text + (", Re-runnable;" if job["rerunnable"] else ";")


def limits(job: dict, words, always: bool = True) -> list:
    """The paragraphs RUNLIMIT and MEMLIMIT, where there are such."""
    found = []
    if job["runlimit"] and (job["own_runlimit"] or always):
        text = words.RUNLIMIT.format(minutes=job["runlimit"] / 60, host=(job["hosts"] or [[job["from_host"]]])[0][0])
        found.append(f"\n {'RUNLIMIT':24s}\n{text:25s}")
    if job["memlimit"]:
        found.append("\n MEMLIMIT\n" + words.MEMLIMIT.format(**job))
    return found


def each_host(hosts: list, conf: dict) -> str:
    """`<4*n002>`, or without LSB_SHORT_HOSTLIST `<n002> <n002> ...`."""
    return f"<{'> <'.join(fields.exec_host({'hosts': hosts}, conf).split(':'))}>"


def ending(code: int, cpu: float, words, stop: str = ".") -> str:
    if cpu < 0:
        return f"Exited The CPU time used is unknown{stop}"
    if not code:
        how = "Done successfully"
    elif code in words.EXIT_SIGNALS:
        how = f"Exited by signal {code - 128}"
    else:
        how = f"Exited with exit code {code}"
    return f"{how}. The CPU time used is {cpu:.1f} seconds{stop}"


def _job(job: dict, context, unfolded: bool) -> str:
    words = context.words
    folded = words.FOLDED and not unfolded
    status = f"Status <{job['stat']}>, Queue <{job['queue']}>, {MODES.get(job['mode'], '')}"
    text = head(job, words, status)
    if unfolded:
        text = "Job" + text.removeprefix(words.JOB)
    text += f", Job Description <{job['description']}>" if job["description"] else ""
    lines = ["", fold(text, folded), _said(job["submit_time"], submission(job, words), folded)]
    lines += limits(job, words, words.QUEUE_RUNLIMIT_IN_LONG)
    if job["start_time"] and job["hosts"]:
        lines.append(_said(job["start_time"], _started(job, context, unfolded), folded))
        if job["pid"] and job["stat"] == "RUN" and not job["mode"]:
            lines += _usage(job, unfolded, words)
    if job["stat"] in ("DONE", "EXIT"):
        lines.append(_said(job["end_time"], _ended(job, words), folded))
        reason = words.TERMINATED.get(job["term_reason"])
        if job["stat"] == "EXIT" and reason and words.TERMINATIONS_IN_LONG:
            lines.append(_said(job["end_time"], f"Completed <exit>; {reason}.", folded))
    elif job["stat"] == "ZOMBI":
        request = "Termination request issued; the job will be killed once the host is ok;"
        lines.append(_said(job["kill_time"], request, folded))
    if job["pend_reason"]:
        lines += [" PENDING REASONS:", f" {job['pend_reason']}"]
    if job["susp_reason"]:
        lines += [" SUSPENDING REASONS:", f" {job['susp_reason']}"]
    if job["start_time"] and (words.MEMORY_IN_LONG or unfolded):
        lines += ["", " MEMORY USAGE:", " MAX MEM: 5 Mbytes;  AVG MEM: 5 Mbytes"]
    lines.append(LOAD)
    if words.RESOURCES_IN_LONG or unfolded:
        default = words.DEFAULT_RESOURCES.replace("local", "any" if job["only_hosts"] else "local")
        wanted = f"{default} {job['resreq']}".strip()
        effective = wanted if job["hosts"] or not words.DEFAULT_RESOURCES else "-"
        lines += ["", " RESOURCE REQUIREMENT DETAILS:", f" Combined: {wanted}", f" Effective: {effective}"]
    return "\n".join(lines)


def _said(seconds: float, text: str, folded: bool) -> str:
    return fold(f"{moment(seconds)}: {text}", folded)


def _started(job: dict, context, unfolded: bool) -> str:
    words = context.words
    form = words.STARTED_UNFOLDED if unfolded else words.STARTED
    form = form[job["slots"] > 1] if isinstance(form, tuple) else form
    text = form.format(slots=job["slots"], each=each_host(job["hosts"], context.conf))
    if job["exec_home"] and not job["mode"]:
        text += f", Execution Home <{job['exec_home']}>, Execution CWD <{job['exec_cwd']}>"
    return text + ";"


def _ended(job: dict, words) -> str:
    if not job["start_time"]:
        return "Exited"
    return ending(job["exit_code"], job["cpu"], words)


def _usage(job: dict, unfolded: bool, words) -> list:
    """What the double does not measure: a shell's usual memory."""
    collected = f"{moment(job['start_time'])}: Resource usage collected."
    memory, processes = words.USAGE_COLLECTED
    pid = job["pid"]
    if unfolded:
        return [f"{collected} {memory.replace('  ', ' ')} PGID: {pid}; PIDs: {pid};"]
    return [collected, f"{'':21s}{memory.rstrip(';')}", f"{'':21s}PGID: {pid};  PIDs: {pid} ", *processes]
