# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what LSF prints. Pure functions over text; the facts are those of IBM Spectrum LSF 10.1's command reference, and for the
forms of OpenLava 3.3 and volclava 2.2 recorded output.

Exit codes are no guide (``bjobs`` on an unknown job exits with 0 or 255 by the site's lsb.params), so every verdict
here is drawn from words.
"""

import json
import re
from dataclasses import dataclass

from . import LsfError

#: What is asked of ``bjobs -o``, in this order. Job names may hold any character, so they come last, after what must not be misread.
JOB_FIELDS = (
    "jobid",
    "stat",
    "queue",
    "exec_host",
    "exit_code",
    "job_description",
    "pend_reason",
    "exit_reason",
    "job_name",
)
#: Those without which there is no listing; some LSF has no others.
NEEDED = ("jobid", "stat", "queue", "exec_host", "job_name")
#: One character that occurs neither in hosts' and queues' names nor in LSF's reasons nor in our descriptions.
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

_SUBMITTED = re.compile(
    r"^Job <(?P<id>[0-9]+)> is submitted to (?:default )?queue <(?P<queue>[^>\n]+)>\.", re.MULTILINE
)
_NOTHING = re.compile(
    r"^(?:No (?:unfinished |running |pending |suspended |DONE/EXIT )?job found|Job <[^>\n]*> is not found)",
    re.MULTILINE,
)
#: Said by a client that has not got through to a daemon yet: the same command may well succeed in a moment.
_UNSENT = re.compile(r"Please wait|still trying|try later|Pending job threshold reached|Connection refused by server")
_CUT_OFF = re.compile(r"Connection reset by peer|Request from non-LSF host rejected|Communication time out")
#: Said once and for all, whatever else was said before.
_FATAL = re.compile(
    r"No such queue|cannot use the queue|Queue has been closed|Queue (?:does not accept|only accepts)|Too many processors|hard limit"
    r"|Bad (?:resource requirement|argument|host name|[A-Z]+LIMIT)|Error (?:in|near)|Request aborted by esub|User permission denied"
    r"|User not in the specified user group|External authentication failed|Unable to open file lsf\.conf|Illegal job ID|[Uu]sage:"
)
#: A client that does not know an option says so, and shows its usage.
_USAGE = re.compile(r"(?:invalid|illegal|unrecognized) option|^ *[Uu]sage:|^: b\w+ \[-h\]", re.MULTILINE)
_BAD_FIELD = re.compile(r"<([^>\n]+)>[^\n]* not a valid field name")
_KILLED = {
    "ending": r"^Job <{0}> is being (?:terminated|signaled|requeued|stopped)|^Job <{0}>: Operation is in progress",
    "over": r"^Job <{0}>: (?:Job has already finished|No matching job found)",
}

_ID = re.compile(r"[0-9]+(?:\[[0-9]+\])?")
#: The beginning of a job in ``bjobs -o``; what does not begin so is the rest of the job before it.
_ROW = re.compile(rf"^[ \t]*(?=[0-9]+(?:\[[0-9]+\])?\s*\{DELIMITER}\s*[A-Z_]+\s*\{DELIMITER})", re.MULTILINE)
_COLUMNS = ("JOBID", "USER", "STAT", "QUEUE", "FROM_HOST", "EXEC_HOST", "JOB_NAME", "SUBMIT_TIME")
_MOMENT = re.compile(r" ([A-Z][a-z]{2} +[0-9]{1,2} [0-9]{2}:[0-9]{2}(?: [0-9]{4})?)\s*$")


@dataclass(frozen=True)
class Job:
    """One job as ``bjobs`` shows it. ``host`` is where its script runs, empty while it waits.

    ``pend_reason`` is why it waits or is suspended; ``exit_code`` (a number as text) and ``exit_reason`` (``TERM_RUNLIMIT: ...``) say how
    it ended. Each is empty where this LSF does not tell.
    """

    id: str
    stat: str
    queue: str = ""
    host: str = ""
    name: str = ""
    description: str = ""
    pend_reason: str = ""
    exit_code: str = ""
    exit_reason: str = ""

    @property
    def meaning(self):
        """``waiting``, ``held``, ``live``, ``frozen``, ``doubtful`` or ``over``; an unknown state is doubtful."""
        return MEANING.get(self.stat, "doubtful")

    @property
    def ending(self):
        """How it ended, for people: ``EXIT, exit code 140, TERM_RUNLIMIT: job killed after reaching LSF run time limit``."""
        code = f"exit code {self.exit_code}" if self.exit_code else ""
        return ", ".join(part for part in (self.stat, code, self.exit_reason) if part)


def submission(text):
    """The ``(job id, queue)`` of a bsub that was accepted, or None.

    Banners of a project or an esub may come before the line, and a refusing esub may exit with 0: only the line
    itself counts. ``text`` is stdout and stderr together, since BSUB_STDERR moves it to the latter.
    """
    found = _SUBMITTED.search(text.replace("\r", ""))
    return (found["id"], found["queue"]) if found else None


def hosts(exec_host):
    """The ``(host, slots)`` of EXEC_HOST: ``t037``, ``t037:t037``, ``40*t037``, ``4*t001:4*t002``, ``t037@cluster``, ``-`` or nothing."""
    found = []
    for part in exec_host.split(":"):
        count, star, name = part.strip().rpartition("*")
        name = name.split("@")[0].strip()
        # Where LSF puts jobs whose host it has lost is no host.
        if name in ("", "-", "lost_and_found"):
            continue
        slots = int(count) if star and re.fullmatch("[0-9]{1,9}", count) else 1
        if found and found[-1][0] == name:
            slots += found.pop()[1]
        found.append((name, slots))
    return found


def first_host(exec_host):
    """The host that runs a job's script; empty while there is none."""
    found = hosts(exec_host)
    return found[0][0] if found else ""


def _job(fields):
    """A job from a mapping of the fields in :data:`JOB_FIELDS`."""
    get = {name: "" if value.strip() == "-" else value.strip() for name, value in fields.items()}.get
    return Job(
        id=get("jobid", ""),
        stat=get("stat", ""),
        queue=get("queue", ""),
        host=first_host(get("exec_host", "")),
        name=get("job_name", ""),
        description=get("job_description", ""),
        pend_reason=get("pend_reason", ""),
        exit_code=get("exit_code", ""),
        exit_reason=get("exit_reason", ""),
    )


def jobs(text, fields=JOB_FIELDS):
    """The jobs in the output of ``bjobs -noheader -o "<fields> delimiter='^'"``; lines before the first one are passed over.

    A delimiter, or even a line's end, in a job's name or description never makes another state, id or host out of it: those
    come first. Nor is the job lost.

    Raises:
        LsfError: a job's line is cut off.
    """
    text = text.replace("\r", "")
    starts = [found.end() for found in _ROW.finditer(text)]
    found = []
    for start, end in zip(starts, [*starts[1:], len(text)]):
        values = text[start:end].split(DELIMITER, len(fields) - 1)
        if len(values) < len(fields):
            raise LsfError("bjobs printed a job without all that was asked for.", text[start:end])
        values[-1] = values[-1].split("\n")[0]
        found.append(_job(dict(zip(fields, values))))
    return found


def jobs_json(text):
    """The jobs in the output of ``bjobs -json -o``; those that LSF does not find are left out.

    Raises:
        LsfError: it is not the JSON that LSF documents, speaks of another trouble, or cuts values to a column's width: their tail
            stands after ``*`` then, as in a column.
    """
    found = []
    for record in _records(text):
        fields = {str(name).lower(): str(value or "") for name, value in record.items()}
        if says_nothing_found(fields.get("error", "")):
            continue
        if "error" in fields or not _ID.fullmatch(fields.get("jobid", "")) or not fields.get("stat"):
            raise LsfError("bjobs -json printed a job without id or state.", fields.get("error") or text[-500:])
        if any(fields.get(name, "").startswith("*") for name in ("exec_host", "job_description")):
            raise LsfError("bjobs -json cut a value.", text[-500:])
        found.append(_job(fields))
    return found


def _records(text):
    decoder = json.JSONDecoder(strict=False)  # LSF does not escape every control character of a job's name
    for brace in re.finditer(r"^\s*(?=\{)", text, re.MULTILINE):
        try:
            records = decoder.raw_decode(text, brace.end())[0]["RECORDS"]
            if all(isinstance(record, dict) for record in records):
                return records
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
    raise LsfError("bjobs -json printed no JSON of jobs.", text[-500:])


def jobs_columns(text):
    """The jobs in the columns of plain ``bjobs`` or ``bjobs -w``, with the line of headings.

    Columns are cut at their width or overflow it, EXEC_HOST may be blank, and names may hold spaces; further hosts come on lines of
    their own. So each column begins where its heading does, or one space after a longer value. A name that plain columns cut keeps its
    tail after ``*``.

    Raises:
        LsfError: a line with a job's number is none of these columns.
    """
    found, starts = [], []
    for line in text.replace("\r", "").split("\n"):
        if line.split() == list(_COLUMNS):
            starts = [line.index(name) for name in _COLUMNS]
        elif not starts or not line.strip():
            continue
        elif found and not line[: starts[5]].strip() and len(line.split()) == 1:
            found[-1]["exec_host"] += ":" + line.strip()
        elif _ID.match(line):
            found.append(_columns(line, starts))
    return [_job(fields) for fields in found]


def _columns(line, starts):
    values, at = [], 0
    for begin, end in zip(starts[:6], starts[1:7]):
        width = end - begin - 1
        if line[at : at + width].strip() and line[at + width : at + width + 1].strip():  # overflows
            width = len(line[at:].split(" ")[0])
        values.append(line[at : at + width].strip())
        at += width + 1
    moment = _MOMENT.search(line, at - 1)
    job_id, _, stat, queue, _, exec_host = values
    if (
        not moment
        or not _ID.fullmatch(job_id)
        or not re.fullmatch("[A-Z_]+", stat)
        or len(" ".join(values).split()) not in (5, 6)
    ):
        raise LsfError("bjobs printed columns that nobody understands.", line)
    return {
        "jobid": job_id,
        "stat": stat,
        "queue": queue,
        "exec_host": exec_host,
        "job_name": line[at : moment.start()],
    }


def says_nothing_found(text):
    """Whether LSF says that there is no such job, in any of its wordings; a tail such as `` in queue <normal>`` may follow."""
    return bool(_NOTHING.search(text.replace("\r", "")))


def says_unknown_option(text):
    """Whether a command of LSF does not know an option it was given."""
    return bool(_USAGE.search(text))


def unknown_field(text):
    """The field, in small letters, of which ``bjobs -o`` says that it has none such; else an empty string."""
    found = _BAD_FIELD.search(text)
    return found[1].lower() if found else ""


def killed(text, job_id):
    """What bkill says of a job: ``ending``, ``over`` (there was none to end any more) or an empty string for a refusal.

    A job on a host that LSF has lost is ending as well: LSF notes the wish, and ends it once the host is back.
    """
    text = text.replace("\r", "")
    for verdict, pattern in _KILLED.items():
        if re.search(pattern.format(re.escape(job_id)), text, re.MULTILINE):
            return verdict
    return ""


def says_try_again(text, unsent=False):
    """Whether LSF's last word is a passing trouble: a daemon that is away, a threshold, a cut connection.

    A client that waits says so and may then succeed or be refused, so the last line decides, and a refusal for good does wherever it
    stands. With ``unsent``, only a trouble counts that came before the request was sent: a second bsub must not make a second job.
    """
    lines = [line for line in text.replace("\r", "").split("\n") if line.strip()]
    if not lines or _FATAL.search(text):
        return False
    return bool(_UNSENT.search(lines[-1]) or (not unsent and says_cut_off(lines[-1])))


def says_cut_off(text):
    """Whether LSF speaks of a trouble after which nobody knows whether the request was taken, `Job not submitted` or not."""
    return bool(_CUT_OFF.search(text))


def cluster(text):
    """The cluster's name out of ``lsid``; empty if LIM did not give it."""
    found = re.search(r"^My cluster name is (\S+)", text.replace("\r", ""), re.MULTILINE)
    return found[1] if found else ""
