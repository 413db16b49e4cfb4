# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens to a job after its submission: signals, suspension, requeue, its limits and its end."""

import os
import signal
import time

from .jobs import Job
from .log import log

LADDER = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)


class Control:
    """Acts for the master. `reach(host)` gives the connection of a host's server, or None while it does not answer;
    `ended(job)` tells those who wait. What users ask for is answered by a key of the words' ACTED.
    """

    def __init__(self, cluster: dict, words, history, reach, ended):
        self.cluster, self.words, self.history = cluster, words, history
        self.reach, self.ended = reach, ended

    # -- what users ask for

    def kill(self, job: Job, uid: int, number: int, force: bool) -> str:
        """bkill: the ladder, or with -s a signal, or with -r the end whatever the host says."""
        if refusal := _refusal(job, uid):
            return refusal
        if number:
            if not self.signal(job, number):
                return "not_started"
            return "terminating" if number == signal.SIGKILL else "signaled"
        by = "OWNER" if uid == job.uid else "ADMIN"
        job.term_reason = job.term_reason or (f"TERM_FORCE_{by}" if force else f"TERM_{by}")
        self.history.add(job, "signal", signal="KILL", uid=uid)
        if job.waiting:
            self.end(job, 130)
        elif force:
            self.signal(job, signal.SIGKILL)
            self.end(job, 130)
        elif self.out_of_reach(job):
            job.kill_time, job.cpu = job.kill_time or time.time(), -1
            if (self.words.KILLED_UNKNOWN if job.unknown else self.words.KILLED_OUT_OF_REACH) == "EXIT":
                self.end(job, 130)
            else:
                self._become(job, "ZOMBI", "zombie")
            return "in_progress"
        elif not job.kill_time:
            job.kill_time = time.time()
            self.climb(job, job.kill_time)
        return "terminating"

    def stop(self, job: Job, uid: int) -> str:
        if refusal := _refusal(job, uid):
            return refusal
        if job.waiting:
            job.pend_reason = "held"
            self._become(job, "PSUSP", "stop", uid=uid)
        elif job.stat == "PEND":  # on its way to a host
            return "not_started"
        elif job.stat in ("RUN", "SSUSP"):
            if not self.signal(job, signal.SIGTSTP if job.mode else signal.SIGSTOP):
                return "in_progress"
            job.susp_reason = "user"
            self._become(job, "USUSP", "stop", uid=uid)
        return "stopped"

    def resume(self, job: Job, uid: int) -> str:
        """A suspended job goes by way of SSUSP: LSF looks at the host's load before it lets it run."""
        if refusal := _refusal(job, uid):
            return refusal
        if job.stat == "PSUSP":
            job.pend_reason = "new"
            self._become(job, "PEND", "resume", uid=uid)
        elif job.stat == "USUSP":
            job.susp_reason, job.resume_time = "resumed", time.time()
            self._become(job, "SSUSP", "resume", uid=uid)
        return "resumed"

    def requeue(self, job: Job, uid: int) -> str:
        """brequeue: the job ends on its host and waits anew, with the number it has."""
        if refusal := _refusal(job, uid):
            return refusal
        if job.waiting or job.mode:
            return "not_started"
        return "requeued" if self._begin_again(job, uid) else "in_progress"

    # -- what LSF does by itself

    def suspend(self, job: Job) -> None:
        if self.signal(job, signal.SIGSTOP):
            job.susp_reason, job.resume_time = "load", 0
            self._become(job, "SSUSP", "suspend")

    def proceed(self, job: Job) -> None:
        """End an SSUSP."""
        if self.signal(job, signal.SIGCONT):
            job.susp_reason = ""
            self._become(job, "RUN", "proceed")

    def move(self, job: Job) -> None:
        """Off its host, and not back to it."""
        job.avoid = job.hosts[0][0]
        self._begin_again(job, 0)

    def rerun(self, job: Job, server) -> None:
        """bsub -r: the host is lost, the job begins elsewhere. What still runs there is ended when the host is back, or at
        once where its `server` is here all the same (the fault `unknown`)."""
        if server:
            server.send(do="signal", id=job.id, signal=int(signal.SIGKILL))
        job.avoid = job.hosts[0][0]
        job.again()
        self.history.add(job, "requeue", uid=0)
        log(f"job {job.id} is run again")

    def limit(self, job: Job, now: float) -> None:
        """The run limit: SIGUSR2 as a warning, and the ladder when that was not heeded."""
        if not job.runlimit or job.kill_time or now < job.start_time + job.runlimit:
            return
        if not job.limit_time:
            if self.signal(job, signal.SIGUSR2):
                job.limit_time, job.term_reason = now, "TERM_RUNLIMIT"
        elif now > job.limit_time + self.cluster["runlimit_grace"]:
            job.kill_time = now

    def climb(self, job: Job, now: float) -> None:
        """SIGINT, SIGTERM, SIGKILL, one interval apart; a rung waits while the job's host is away."""
        due = job.kill_time + job.kill_rung * self.cluster["terminate_interval"]
        if job.kill_rung < len(LADDER) and now >= due and self.signal(job, LADDER[job.kill_rung]):
            if LADDER[job.kill_rung] == signal.SIGTERM:
                self.signal(job, signal.SIGCONT)  # a stopped job has to run to end
            job.kill_rung += 1

    # -- what its host says

    def started(self, job: Job, pid: int, home: str, cwd: str) -> None:
        job.stat, job.pid, job.start_time, job.pend_reason = "RUN", pid, time.time(), ""
        job.exec_home, job.exec_cwd = home, cwd
        self.history.add(job, "start", pid=pid, home=home, cwd=cwd)
        log(f"job {job.id} runs on {job.hosts[0][0]}, process {pid}")

    def finished(self, job: Job, code: int, cpu: float) -> None:
        job.start_time = job.start_time or time.time()
        job.cpu = cpu
        if job.requeue:
            reason = "TERM_REQUEUE_ADMIN" if job.requeue == 2 else "TERM_REQUEUE_OWNER"
            self.history.add(job, "end", code=code, cpu=cpu, reason=reason, started=True)
            job.again()
            self.history.add(job, "requeue", uid=job.uid)
        else:
            self.end(job, code)

    def end(self, job: Job, code: int) -> None:
        job.end(code, time.time())
        reason = job.term_reason if code else ""
        self.history.add(job, "end", code=code, cpu=job.cpu, reason=reason, started=bool(job.start_time))
        log(f"job {job.id} {job.stat} with {code} {job.term_reason}")
        self.ended(job)

    # -- inside

    def out_of_reach(self, job: Job) -> bool:
        return bool(job.hosts) and not self.reach(job.hosts[0][0])

    def signal(self, job: Job, number: int) -> bool:
        server = self.reach(job.hosts[0][0]) if job.hosts and job.stat != "PEND" else None
        if server:
            server.send(do="signal", id=job.id, signal=int(number))
        return bool(server)

    def _begin_again(self, job: Job, uid: int) -> bool:
        if not self.signal(job, signal.SIGKILL):
            return False
        job.requeue = 1 if uid == job.uid else 2
        return True

    def _become(self, job: Job, stat: str, event: str, **more) -> None:
        job.stat = stat
        self.history.add(job, event, **more)


def _refusal(job, uid: int) -> str:
    if job is None:
        return "unknown"
    if uid not in (0, os.geteuid(), job.uid):
        return "denied"
    return "" if job.unfinished else "finished"
