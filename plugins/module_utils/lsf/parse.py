# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what LSF prints. Pure functions over text; the facts are those of IBM Spectrum LSF 10.1's command reference.

Exit codes are no guide (``bjobs`` on an unknown job exits with 0 or 255 by the site's lsb.params), so every verdict
here is drawn from words.
"""

import re
from dataclasses import dataclass

#: The columns that :func:`jobs` expects, in this order, from ``bjobs -noheader -o``.
JOB_FIELDS = ("jobid", "stat", "queue", "exec_host", "job_name", "job_description", "pend_reason")
#: One character that occurs neither in job names nor in LSF's reasons.
DELIMITER = "^"

#: LSF's states, told apart by what they mean for a session.
MEANING = {
    "PEND": "waiting",
    "WAIT": "waiting",
    "PROV": "waiting",
    "PSUSP": "held",
    "RUN": "live",
    "USUSP": "frozen",
    "SSUSP": "frozen",
    "UNKWN": "doubtful",
    "DONE": "over",
    "EXIT": "over",
    "ZOMBI": "over",
}

_SUBMITTED = re.compile(r"^Job <(?P<id>\d+)> is submitted to (?:default )?queue <(?P<queue>[^>]+)>\.", re.MULTILINE)
_NOTHING = re.compile(
    r"^(?:No (?:unfinished |running |pending |suspended |DONE/EXIT )?job found|Job <[^>]*> is not found)", re.MULTILINE
)
_ALREADY_OVER = re.compile(r"^Job <\d+>: (?:Job has already finished|No matching job found)", re.MULTILINE)
#: Said by a client that has not got through to a daemon yet: the same command may well succeed in a moment.
_UNSENT = re.compile(r"Please wait|still trying|try later|Pending job threshold reached")
#: Said of a passing trouble after which nobody knows whether the request was taken.
_CUT_OFF = re.compile(r"Connection reset by peer|Request from non-LSF host rejected|Communication time out")


@dataclass(frozen=True)
class Job:
    """One job as ``bjobs`` shows it; ``host`` is where its script runs, empty while it waits."""

    id: str
    stat: str
    queue: str
    host: str
    name: str
    description: str
    pend_reason: str

    @property
    def meaning(self):
        """``waiting``, ``held``, ``live``, ``frozen``, ``doubtful`` or ``over``; an unknown state is doubtful."""
        return MEANING.get(self.stat, "doubtful")


def submission(text):
    """The ``(job id, queue)`` of a bsub that was accepted, or None.

    Banners of a project or an esub may come before the line, and a refusing esub may exit with 0: only the line
    itself counts. ``text`` is stdout and stderr together, since BSUB_STDERR moves it to the latter.
    """
    found = _SUBMITTED.search(text.replace("\r", ""))
    return (found["id"], found["queue"]) if found else None


def first_host(exec_host):
    """The host that runs a job's script out of EXEC_HOST: ``t037``, ``t037:t037``, ``40*t037``, ``4*t001:4*t002``, ``-``."""
    first = exec_host.strip().split(":")[0].split("*")[-1]
    return "" if first in ("-", "") else first.split("@")[0]


def jobs(text):
    """The jobs in the output of ``bjobs -noheader -o "<JOB_FIELDS> delimiter='^'"``; other lines are passed over."""
    found = []
    for line in text.replace("\r", "").splitlines():
        fields = [field.strip() for field in line.split(DELIMITER)]
        if len(fields) != len(JOB_FIELDS) or not fields[0].isdigit():
            continue
        job_id, stat, queue, exec_host, name, description, reason = ("" if field == "-" else field for field in fields)
        found.append(Job(job_id, stat, queue, first_host(exec_host), name, description, reason))
    return found


def says_nothing_found(text):
    """Whether LSF says that there is no such job, in any of its wordings."""
    return bool(_NOTHING.search(text))


def says_already_over(text):
    """Whether bkill says that the job had ended before: its goal is reached."""
    return bool(_ALREADY_OVER.search(text))


def says_try_again(text, unsent=False):
    """Whether LSF speaks of a passing trouble: a daemon that is away, a threshold, a cut connection.

    With ``unsent``, only of one that came before the request was sent: a second bsub must not make a second job.
    """
    return bool(_UNSENT.search(text) or (not unsent and _CUT_OFF.search(text)))
