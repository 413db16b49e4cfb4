# SPDX-License-Identifier: GPL-3.0-or-later
"""The LSF job of a session, as its owner sees it from a login node: found, submitted, looked at, ended.

Standard library alone: the module and the login node's own command run it.
"""

import inspect
import math
import shlex
import socket
import time
from contextlib import suppress
from dataclasses import asdict

from ..lsf import LsfError, parse
from ..lsf.client import Lsf, environment
from . import SessionError, held, ladder, launcher
from .address import ask
from .record import Record, write_private

#: Seconds between two questions to LSF about a job that is about to start, and between two looks at what the job itself says.
POLL, LOOK = 2, 0.1
#: Seconds for a server to take a connection, and to say a word. A busy one is asked again as long as there is patience.
CONNECT, ANSWER = 5, 10
#: What a server's address may say for a moment: it is busy, its network is in trouble, its certificate was renewed and is not told yet.
PASSING = ("silent", "unreachable", "stranger")
#: Seconds for a server to end and start in another way: a look of its launcher, Jupyter's own end, its start.
RELISTEN = 60


class SessionJob:
    """The job of one session: what its record says, and what LSF says.

    Args:
        folder, name: of the record.
        profile: the site's profile.lsf; an empty one means the login shell's environment.
        dry: whether to change nothing.
    """

    def __init__(self, folder, name, profile="", dry=False):
        self.record = Record(folder, name)
        self.lsf = Lsf(environment(profile, "session_"), "session_", watch=self.record.renew)
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
            self.record.note(job_id=job.id)
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
                # Another run may have begun a session since.
                if not self.dry and not Record(self.record.folder, self.record.name).data:
                    self.record.save()
                return True
        return False

    def kind(self, script, queue):
        """``batch``, or ``interactive`` where the queue says that it takes no others: a batch job outlives the login node.

        Raises:
            LsfError: the queue is not there, is closed, or does not take what the script asks for.
        """
        takes = self.lsf.require_queue(queue, script, interactive=True).takes
        return "interactive" if takes == "interactive" else "batch"

    def as_submitted(self, kind, script):
        """What bsub is given: the script on its input, or the command line of ``bsub -Is``. A nonce to come is ``NONCE``."""
        if kind != "interactive":
            return script
        return shlex.join(self._held(script, self._described(self.record.data.get("nonce", "NONCE")))) + "\n"

    def _held(self, script, description):
        return held.arguments(script, description, self.record.beside("job.log"))

    def submit(self, script, queue, **facts):
        """Records an intent, submits as the queue wants it, records the id. ``facts`` are what the launcher has to know.

        Raises:
            LsfError: LSF refused, or did not answer.
        """
        kind = self.kind(script, queue)
        self.record.intend(login_host=socket.gethostname(), kind=kind, **facts)
        write_private(self.record.beside("launch.py"), inspect.getsource(launcher))
        if kind == "interactive":
            argv = self._held(script, self.description)
            job_id, self.record.data["holder"] = held.submit(self.lsf, self.record, argv, self.description)
        else:
            job_id = self.lsf.submit(script, self.description)
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
            if private:
                server = "unasked" if said["listens"] else "unsaid"
            else:
                server = ask(said["node"], said["port"], said.get("certificate", ""), CONNECT, ANSWER)
        this = [said["node"], said["port"], said.get("pid")] if said else None
        answered = bool(this) and self.record.data.get("answered") == this
        if server == "answers" and not answered and not self.dry:
            self.record.note(answered=this)
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
        asked, said = time.monotonic(), self.record.connection()
        deadline = asked + patience
        verdict = self.look(job)
        while not self.ready and self._may_pass(verdict) and time.monotonic() < deadline:
            time.sleep(LOOK)
            # A job that says something new has started, whatever LSF told of it last.
            if time.monotonic() - asked > POLL or (job.meaning == "waiting" and self.record.connection() != said):
                job = self.lsf.job(job.id)
                asked, said = time.monotonic(), self.record.connection()
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
        """Whether waiting can help."""
        return verdict.rung == "wait" or (verdict.state == "live" and self.evidence.server in PASSING)

    def relisten(self, job, mode):
        """Has the launcher start its server anew, listening by ``mode``. Returns the job as last seen.

        Raises:
            SessionError: there is no job that runs, or its server does not listen in time.
        """
        if job is None or job.meaning != "live":
            raise SessionError("there is no job that runs.", remedy="run playbooks/session.yml")
        if not self.dry:
            self.record.note(mode=mode)
            write_private(self.record.beside("mode"), mode)
        deadline = time.monotonic() + RELISTEN
        while not self.dry and (self.connection(job) or {}).get("mode") != mode:
            if time.monotonic() > deadline:
                raise SessionError(
                    f"the server of job {job.id} did not start anew within {RELISTEN} s.",
                    self.last_words(),
                    f"look into {self.record.beside('server.log')} on the cluster",
                )
            time.sleep(LOOK)
        return self.wait_until_ready(job, 0 if self.dry else RELISTEN)

    def company(self, job):
        """The user's other jobs in the queue of a job that waits: where a queue has one slot a user, they are what it waits for."""
        if job is None or job.meaning != "waiting":
            return []
        with suppress(LsfError):
            return [
                other
                for other in self.lsf.jobs()
                if other.queue == job.queue and other.meaning not in ("waiting", "over") and other.id != job.id
            ]
        return []

    def last_words(self):
        """The end of what the server, or LSF, wrote."""
        for ending in ("server.log", "job.log", "bsub.log"):
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
        held.release(self.record)
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
        "others": [{field: getattr(other, field) for field in fields} for other in session.company(job)],
        "kind": session.record.data.get("kind", ""),
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
