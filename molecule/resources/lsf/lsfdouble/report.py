# SPDX-License-Identifier: GPL-3.0-or-later
"""The end of a batch job: LSF's report and the job's output in the -o file, its errors in the -e file."""

import os
import shutil
import signal
import time

RULE = "-" * 60


def write(job: dict, script: str, host: str, home: str, cwd: str, spool: str, code: int, cpu: float, words) -> None:
    """Runs as the user, in the job's folder. Without -o LSF would send mail; the double sends none."""
    if job["output"]:
        with _target(job["output"], job, job["output_replaces"]) as target:
            target.write(_head(job, script, host, home, cwd, code, cpu, words).encode(errors="surrogateescape"))
            _copy(spool + ".out", target)
            if job["error"]:
                name = _path(job["error"], job)
                target.write(f"\n\nPS:\n\nRead file <{name}> for stderr output of this job.\n\n".encode())
    if job["error"]:
        with _target(job["error"], job, job["error_replaces"]) as target:
            _copy(spool + ".err", target)


def _path(pattern: str, job: dict) -> str:
    return pattern.replace("%J", str(job["id"])).replace("%I", "0")


def _target(pattern: str, job: dict, replaces: bool):
    path = _path(pattern, job)
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    return open(path, "wb" if replaces else "ab")


def _copy(source: str, target) -> None:
    with open(source, "rb") as file:
        shutil.copyfileobj(file, target)


def _head(job: dict, script: str, host: str, home: str, cwd: str, code: int, cpu: float, words) -> str:
    name, user, queue = job["name"], job["user"], job["queue"]
    where = "> <".join(f"{count}*{host}" if count > 1 else host for host, count in job["hosts"])
    return f"""Sender: {words.NAME} System <lsfadmin@{host}>
Subject: Job {job["id"]}: <{name}> {"Exited" if code else "Done"}

Job <{name}> was submitted from host <{job["from_host"]}> by user <{user}>.
Job was executed on host(s) <{where}>, in queue <{queue}>, as user <{user}>.
<{home}> was used as the home directory.
<{cwd}> was used as the working directory.
Started at {time.ctime(job["start_time"])}
Results reported at {time.ctime()}

Your job looked like:

{RULE}
# LSBATCH: User input
{script.rstrip(chr(10))}
{RULE}

{_ending(code, words)}

Resource usage summary:

    CPU time   :      {cpu:.2f} sec.

The output (if any) follows:

"""


def _ending(code: int, words) -> str:
    if not code:
        return "Successfully completed."
    if words.REPORT_SIGNAL and code in words.EXIT_SIGNALS:
        return f"Exited with signal termination: {signal.strsignal(code - 128)}."
    return f"Exited with exit code {code}."
