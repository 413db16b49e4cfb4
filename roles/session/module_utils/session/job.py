# SPDX-License-Identifier: GPL-3.0-or-later
"""The LSF job of a session, as its owner sees it from a login node: found, submitted, looked at, ended.

Standard library alone: the module and the login node's own command run it.
"""

import inspect
import math
import shlex
import socket
import subprocess
import sys
import time
from dataclasses import asdict

from ..lsf import LsfError, parse
from ..lsf.client import Lsf, environment
from . import SessionError, ladder, launcher
from . import holder as holder_source
from .record import Record, write_private

#: Seconds between two looks at a job that is about to start.
POLL = 2
#: Seconds for a server to take a connection, and to say a word. A busy one is asked again as long as there is patience.
CONNECT, ANSWER = 5, 10
#: Seconds for a server to end and start in another way: a look of its launcher, Jupyter's own end, its start.
RELISTEN = 60
#: Seconds for an interactive submission to be taken: LSF's daemons may be busy.
SUBMISSION = 60


def ask_server(host, port):
    """What a Jupyter server's address says: ``refused``, ``unreachable``, ``silent`` or ``answers``. It is told no secret."""
    try:
        connection = socket.create_connection((host, port), timeout=CONNECT)
    except ConnectionRefusedError:
        return "refused"
    except OSError:
        return "unreachable"
    with connection:
        try:
            connection.settimeout(ANSWER)
            connection.sendall(b"GET /api HTTP/1.0\r\nHost: localhost\r\n\r\n")
            # One that closes without a word had no server behind it any more.
            return "answers" if connection.recv(1) else "refused"
        except socket.timeout:
            return "silent"
        except OSError:
            return "refused"


class SessionJob:
    """The job of one session: what its record says, and what LSF says.

    Args:
        folder, name: of the record.
        profile: the site's profile.lsf; an empty one means the login shell's environment.
        dry: whether to change nothing.
    """

    def __init__(self, folder, name, profile="", dry=False):
        self.record = Record(folder, name)
        self.lsf = Lsf(environment(profile, "session_"), "session_")
        self.dry = dry
        self.evidence = ladder.Evidence()

    @property
    def description(self):
        """What ``-Jd`` carries: no other job has it."""
        return self._described(self.record.data.get("nonce", ""))

    def _described(self, nonce):
        return f"slipway {self.record.name} {nonce}"

    def is_ours(self, job):
        return job.description == self.description

    def find(self):
        """The session's job, unless it is over; mends a record that was lost, or whose run was killed before it had the id."""
        if not self.record.data and not self._found_again():
            return None
        job_id = self.record.data.get("job_id")
        job = self.lsf.job(job_id) if job_id else None
        if job is None or not self.is_ours(job):
            ours = [other for other in self.lsf.jobs() if self.is_ours(other)]
            job = max(ours, key=lambda found: int(found.id)) if ours else None
        if job is None or job.meaning == "over":
            return None
        if job.id != job_id and not self.dry:
            self.record.data["job_id"] = job.id
            self.record.save()
        return job

    def _found_again(self):
        """Whether the record could be made anew: a job, and the words of one, that carry the same nonce and id."""
        said = self.record.said()
        if not said.get("nonce") or not self.record.beside("token").exists():
            return False
        for job in self.lsf.jobs():
            if (job.id, job.description) == (said.get("job_id"), self._described(said["nonce"])) and (
                job.meaning != "over"
            ):
                self.record.data = {"nonce": said["nonce"], "job_id": job.id, "login_host": socket.gethostname()}
                if not self.dry:
                    self.record.save()
                return True
        return False

    def submit(self, script, queue, interactive=False, **facts):
        """Records an intent, submits, records the id. ``facts`` are what the launcher has to know.

        An ``interactive`` job is ``bsub -Is``, held on this login node without anybody's terminal; it ends with this node.

        Raises:
            LsfError: LSF refused, or did not answer.
        """
        self.lsf.require_queue(queue, script, interactive)
        self.record.intend(login_host=socket.gethostname(), **facts)
        write_private(self.record.beside("launch.py"), inspect.getsource(launcher))
        job_id = (self._submit_held if interactive else self.lsf.submit)(script, self.description)
        self.record.data["job_id"] = job_id
        self.record.save()
        job = self.lsf.job(job_id)
        # LSF took it, so that one that it does not show yet waits.
        if job is None or job.stat == "UNKWN":
            return parse.Job(id=job_id, stat="PEND", queue=queue, description=self.description)
        return job

    def adopt_or_submit(self, submission, anew=False):
        """The session's job and whether it was there; ``anew`` ends one that is there first. To be called under the lock.

        ``submission`` are the arguments of :meth:`submit`.
        """
        job = self.find()
        if job is not None and not anew:
            return job, True
        self.end()
        return self.submit(**submission), False

    def _submit_held(self, script, description):
        """As ``Lsf.submit``, for an interactive job: its input is a terminal, so its options and command are arguments."""
        lines = script.splitlines()
        options = [word for line in lines if line.startswith("#BSUB ") for word in shlex.split(line[6:])]
        command = [word for line in lines if line and not line.startswith("#") for word in shlex.split(line)]
        log, holder = self.record.beside("bsub.log"), self.record.beside("holder.py")
        write_private(holder, inspect.getsource(holder_source))
        write_private(log, "")
        argv = ["bsub", "-Is", "-Jd", description, *options, *command[command[:1] == ["exec"] :]]
        subprocess.run(
            [sys.executable, str(holder), str(log), *argv],
            env=self.lsf.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=SUBMISSION,
            check=False,
        )
        deadline = time.monotonic() + SUBMISSION
        while time.monotonic() < deadline:
            words = log.read_text(errors="replace")
            accepted = parse.submission(words)
            if accepted:
                return accepted[0]
            if "Job not submitted" in words:
                break
            time.sleep(0.2)
        raise LsfError(
            "LSF refused the interactive job.",
            log.read_text(errors="replace")[-500:],
            "the refusal names the option; its value comes from the variables session_*",
        )

    def connection(self, job):
        """What the job says of itself, or None as long as it said nothing of the host that it runs on now."""
        said = self.record.connection()
        # A requeued job runs elsewhere under the same id; until its launcher has spoken, the old words are wrong.
        if said and job and job.host and said.get("host", job.host) != job.host:
            return None
        return said

    def look(self, job):
        """The verdict on ``job`` as just seen."""
        said = self.connection(job) if job else None
        server = "unsaid"
        if said and job.meaning in ("live", "doubtful"):
            private = said.get("mode", "login") != "login"
            # Nobody but the node itself can ask a loopback or a unix socket: the launcher says that it listens.
            server = ("unasked" if said["listens"] else "unsaid") if private else ask_server(said["node"], said["port"])
        this = [said["node"], said["port"], said.get("pid")] if said else None
        answered = bool(this) and self.record.data.get("answered") == this
        if server == "answers" and not answered and not self.dry:
            self.record.data["answered"] = this
            self.record.save()
        self.evidence = ladder.Evidence(stat=job.stat if job else "", server=server, answered=answered)
        return ladder.judge(self.evidence)

    @property
    def ready(self):
        """Whether the job was seen to run, and its server to listen."""
        return (
            self.evidence.stat == "RUN"
            and self.evidence.server in ("answers", "silent", "unasked")
            and ladder.judge(self.evidence).rung in ("none", "wait")
        )

    def wait_until_ready(self, job, patience):
        """Looks until the server listens, no waiting can help, or ``patience`` seconds are over. Returns the job as last seen.

        Raises:
            SessionError: the job is over; with the server's last words.
        """
        deadline = time.monotonic() + patience
        verdict = self.look(job)
        while not self.ready and self._may_pass(verdict) and time.monotonic() < deadline:
            time.sleep(POLL)
            job = self.lsf.job(job.id)
            verdict = self.look(job)
        if patience and self.record.data and verdict.name == "over":
            raise SessionError(
                "job {} ended before its server listened ({}).".format(
                    self.record.data.get("job_id", ""), job.ending if job else "LSF forgot it"
                ),
                self.last_words(),
                "the whole of it is in {} on the cluster".format(self.record.beside("server.log")),
            )
        return job

    def _may_pass(self, verdict):
        """Whether waiting can help: a busy server's silence, or a network's trouble, may be a moment's."""
        return verdict.rung == "wait" or (verdict.state == "live" and self.evidence.server in ("silent", "unreachable"))

    def relisten(self, job, mode):
        """Has the launcher start its server anew, listening by ``mode``. Returns the job as last seen.

        Raises:
            SessionError: there is no job that runs, or its server does not listen in time.
        """
        if job is None or job.meaning != "live":
            raise SessionError("there is no job that runs.", remedy="run playbooks/session.yml")
        if not self.dry:
            self.record.data["mode"] = mode
            self.record.save()
            write_private(self.record.beside("mode"), mode)
        deadline = time.monotonic() + RELISTEN
        while not self.dry and (self.connection(job) or {}).get("mode") != mode:
            if time.monotonic() > deadline:
                raise SessionError(
                    f"the server of job {job.id} did not start anew within {RELISTEN} s.",
                    self.last_words(),
                    f"look into {self.record.beside('server.log')} on the cluster",
                )
            time.sleep(POLL / 4)
        return self.wait_until_ready(job, 0 if self.dry else RELISTEN)

    def last_words(self):
        """The end of what the server, or LSF, wrote."""
        for ending in ("server.log", "job.log"):
            path = self.record.beside(ending)
            if path.exists() and path.stat().st_size:
                return path.read_text(errors="replace")[-1500:]
        return ""

    def end(self):
        """Ends every job that carries our nonce, by id, and waits for its end. Returns their ids.

        Raises:
            LsfError: LSF refused, or the job outlived its ladder of signals.
        """
        if not self.record.data:
            return []
        # A bsub whose answer was lost may have left more than one.
        found = self.lsf.jobs()
        job_id = self.record.data.get("job_id")
        if job_id and job_id not in [job.id for job in found if self.is_ours(job)]:
            # A live job can be missing in one listing.
            found += filter(None, [self.lsf.job(job_id)])
        ours = [job for job in found if self.is_ours(job) and job.meaning != "over"]
        for job in ours:
            self.lsf.kill(job.id)
        for job in ours:
            # LSF ends a job on a lost host when the host is back.
            if job.stat != "UNKWN":
                self.lsf.wait_until_over(job.id)
        return [job.id for job in ours]


def minutes(walltime):
    """The minutes of LSF's ``[hours:]minutes``."""
    hours, _, rest = str(walltime).rpartition(":")
    return 60 * int(hours or 0) + int(rest)


def minutes_left(session, job):
    """Minutes that LSF leaves the job, or None where nobody knows: it waits, or its record is an older one."""
    age, walltime = session.record.age(), session.record.data.get("walltime")
    if not job or age is None or not walltime:
        return None
    # Rounded up: 0 is that of a job which outlived its limit, as one that was suspended does.
    return max(0, math.ceil(minutes(walltime) - age / 60))


def as_seen(session, job):
    """What a person or a playbook is told of ``job`` as last looked at."""
    connection = (session.connection(job) if job else None) or {}
    verdict = ladder.judge(session.evidence)
    fields = ("id", "stat", "meaning", "queue", "host", "name", "pend_reason")
    return {
        "job": {field: getattr(job, field) for field in fields} if job else {},
        "ready": session.ready,
        "connection": {key: value for key, value in connection.items() if key != "nonce"},
        "minutes_left": minutes_left(session, job),
        "verdict": {**verdict.as_dict(), "words": str(verdict)},
        "evidence": asdict(session.evidence),
        "login_host": session.record.data.get("login_host", ""),
        "here": socket.gethostname(),
        "token_file": str(session.record.beside("token")),
        "server_log": str(session.record.beside("server.log")),
    }
