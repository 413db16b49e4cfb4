# SPDX-License-Identifier: GPL-3.0-or-later
"""`lsfd master`: mbatchd and its scheduler in one process, one thread, one socket."""

import os
import pwd
import time
from dataclasses import asdict

from . import admission, request, scheduler, views, words
from .control import Control
from .faults import Switches
from .history import History
from .hub import Hub, Peer
from .jobs import Job, Store
from .log import log
from .protocol import read_cluster

CLIENT_OPS = {"submit", "wait", "jobs", "act", "queues", "hosts", "admin", "server"}
SERVER_OPS = {"alive", "started", "ended"}  # only from who was let in as a server


class Master:
    def __init__(self, conf: dict):
        self.conf, self.cluster = conf, read_cluster(conf)
        work = conf["LSB_SHAREDIR"]
        self.words = words.of(self.cluster["personality"])
        self.store = Store(work, self.cluster["first_job_id"])
        self.jobs = self.store.jobs
        self.servers, self.lost = {}, {}  # host -> its peer; host -> since when silent
        self.started = time.time()
        self.faults = Switches(work)
        self.history = History(work)
        self.hub = Hub(work, self.receive, self.gone)
        self.control = Control(self.cluster, self.words, self.history, self.reach, self.tell_end)

    def run(self) -> None:
        self.hub.listen()
        log(f"cluster {self.cluster['cluster']}: {len(self.jobs)} jobs known, next number {self.store.next_id}")
        due = 0.0
        while True:
            if self.faults.values("mbatchd") is not None:
                self._be_away()
            self.hub.turn(max(0.0, due - time.monotonic()))
            if time.monotonic() >= due:
                self.tick(time.time())
                due = time.monotonic() + self.cluster["dispatch_interval"]
            self.store.save()

    def _be_away(self) -> None:
        """The fault mbatchd: as if it had died, and later been started again."""
        log("the fault mbatchd: away")
        self.hub.close()
        self.servers.clear()
        while self.faults.values("mbatchd") is not None:
            time.sleep(0.1)
        self.lost.clear()
        self.started = time.time()
        self.hub.listen()
        log("the fault mbatchd: back")

    # -- connections

    def receive(self, peer: Peer, message: dict) -> None:
        operation = message.pop("op")
        if operation not in (SERVER_OPS if peer.host else CLIENT_OPS):
            raise ValueError(operation)
        getattr(self, "on_" + operation)(peer, **message)

    def gone(self, peer: Peer) -> None:
        if peer.host and self.servers.get(peer.host) is peer:
            del self.servers[peer.host]
            self.lost[peer.host] = peer.last_seen
            log(f"{peer.host} is lost")
        job = self.jobs.get(peer.waits_for)
        if job and job.mode and job.waiting:  # bsub -I was ended while it waited
            self.control.end(job, 130)

    # -- clients

    def on_submit(self, peer: Peer, job: dict, script: str, env: dict) -> None:
        try:
            given = (self.cluster, self.store.closed, self.store.next_id, peer.uid, peer.gid)
            job, is_default = admission.judge(*given, job)
        except request.Refused as refusal:
            return peer.send(refused=refusal.key, values=refusal.values)
        self.store.add(job, script, env)
        self.history.add(job, "new", job=asdict(job))
        log(f"job {job.id} of {job.user} for queue {job.queue}: {job.slots} slots")
        cut = self.faults.hits("cut", user=job.user)
        if cut is not None:
            self.faults.used("cut")
            return self.hub.drop(peer) if cut.get("how") else None
        peer.send(id=job.id, queue=job.queue, default=is_default)

    def on_wait(self, peer: Peer, id: int) -> None:
        peer.waits_for = id
        job = self.jobs.get(id)
        if job is None or not job.unfinished:
            peer.send(ended=True, code=job.exit_code if job else 255, started=bool(job and job.start_time))

    def on_jobs(self, peer: Peer, ids: list, user: str, finished: bool) -> None:
        """Jobs by number, whoever's they are; else a user's or ("all") everyone's."""
        user = user or pwd.getpwuid(peer.uid).pw_name
        if ids:
            found = [self.jobs[id] for id in ids if id in self.jobs]
        else:
            found = [job for job in self.jobs.values() if user in ("all", job.user) and (finished or job.unfinished)]
        shown = [job for job in found if not self._missing(job)]
        if len(shown) < len(found):
            self.faults.used("missing")
        known = {job.id for job in shown}
        peer.send(
            jobs=[views.job(job, self.words, self._silent(job)) for job in shown],
            missing=[id for id in ids if id not in known],
        )

    def on_act(self, peer: Peer, action: str, ids: list, where: dict, signal: int = 0, force: bool = False) -> None:
        """bkill, bstop, bresume, brequeue: on jobs by number, or ([0] or none) on all that agree with `where`."""
        acts = {
            "kill": lambda job: self.control.kill(job, peer.uid, signal, force),
            "stop": lambda job: self.control.stop(job, peer.uid),
            "resume": lambda job: self.control.resume(job, peer.uid),
            "requeue": lambda job: self.control.requeue(job, peer.uid),
        }
        if any(ids):
            chosen = [(id, self.jobs.get(id)) for id in ids]
        else:
            user = where.get("user") or pwd.getpwuid(peer.uid).pw_name
            agreeing = [job for job in self.jobs.values() if user in ("all", job.user) and job.agrees(where)]
            chosen = [(job.id, job) for job in agreeing if job.unfinished]
            if not ids and action == "kill":  # by name without 0: the finished ones are spoken of, too
                chosen = [(job.id, job) for job in sorted(agreeing, key=lambda job: (not job.unfinished, -job.id))]
                chosen = chosen if any(job.unfinished for _, job in chosen) or "name" in where else []
        peer.send(results=[[id, acts[action](job)] for id, job in chosen])

    def on_queues(self, peer: Peer) -> None:
        counts = views.queues(self.cluster, self.jobs.values())
        peer.send(queues=self.cluster["queues"], counts=counts, closed=self.store.closed)

    def on_hosts(self, peer: Peer) -> None:
        used = views.hosts(self.cluster, self.jobs.values())
        hosts = [
            {"name": name, "slots": host["slots"], "used": used[name], "away": not self._answers(name)}
            for name, host in self.cluster["hosts"].items()
        ]
        peer.send(hosts=hosts, closed=self.store.closed["hosts"])

    def on_admin(self, peer: Peer, kind: str, names: list, closed: bool) -> None:
        """badmin: open or close queues, make them (in)active, open or close hosts. Results: [[name, "" or what is wrong], ...]."""
        known, results = self.cluster["hosts" if kind == "hosts" else "queues"], []
        for name in names:
            if peer.uid not in (0, os.geteuid()):
                results.append([name, "denied"])
            elif name not in known:
                results.append([name, "unknown"])
            else:
                now = set(self.store.closed[kind]) - {name} | ({name} if closed else set())
                self.store.closed[kind] = sorted(now)
                results.append([name, ""])
        peer.send(results=results)

    # -- servers

    def on_server(self, peer: Peer, host: str, holds: list) -> None:
        """A server's greeting, with the jobs it holds. What we thought was there and is not, is over or was never begun."""
        if peer.uid not in (0, os.geteuid()) or host not in self.cluster["hosts"]:
            log(f"refused a server: uid {peer.uid}, host {host}")
            return self.hub.drop(peer)
        if old := self.servers.pop(host, None):
            self.hub.drop(old)
        peer.host, self.servers[host] = host, peer
        self.lost.pop(host, None)
        log(f"{host} is here with {len(holds)} jobs")
        for job in self.jobs.values():
            if job.unfinished and job.hosts and job.hosts[0][0] == host and job.id not in holds:
                if job.stat == "PEND":
                    job.hosts = []
                elif job.rerunnable:
                    self.control.rerun(job, None)
                else:
                    self.control.finished(job, 255, 0.0)  # the host was restarted under it
        self.on_alive(peer, holds)

    def on_alive(self, peer: Peer, holds: list) -> None:
        """A heartbeat. What runs there and should not (killed with -r, or run again elsewhere, while out of reach) is ended."""
        for id in holds if self._here(peer.host) else ():
            if not self._belongs(self.jobs.get(id), peer.host):
                peer.send(do="signal", id=id, signal=9)

    def on_started(self, peer: Peer, id: int, pid: int, home: str = "", cwd: str = "") -> None:
        job = self.jobs.get(id)
        if self._belongs(job, peer.host) and job.stat == "PEND":
            self.control.started(job, pid, home, cwd)

    def on_ended(self, peer: Peer, id: int, code: int, cpu: float) -> None:
        job = self.jobs.get(id)
        if self._belongs(job, peer.host):
            self.control.finished(job, code, cpu)
        peer.send(do="forget", id=id)

    @staticmethod
    def _belongs(job, host: str) -> bool:
        return bool(job and job.unfinished and job.hosts and job.hosts[0][0] == host)

    # -- time

    def tick(self, now: float) -> None:
        self.hub.flush()
        alive = {host for host in self.servers if self._here(host)}
        starts, reasons = scheduler.schedule(self.cluster, self.jobs.values(), alive, self.store.closed)
        for id, (reason, hosts) in reasons.items():
            self.jobs[id].pend_reason, self.jobs[id].pend_hosts = reason, hosts
        for id, hosts in starts.items():
            self.jobs[id].hosts = [list(pair) for pair in hosts]
        self.store.save()  # before a server hears of it: a job must not be started twice
        for id, hosts in starts.items():
            job = self.jobs[id]
            self.history.add(job, "dispatch", hosts=job.hosts)
            self.servers[hosts[0][0]].send(do="start", job=asdict(job), **self.store.payload(job))
        forgotten = self.faults.values("forgotten")
        for job in list(self.jobs.values()):
            if job.unfinished:
                self._watch(job, now)
            elif now - job.end_time > self.cluster["clean_period"] or (
                forgotten is not None and forgotten.get("job", job.id) == job.id
            ):
                self.store.forget(job)

    def _watch(self, job: Job, now: float) -> None:
        """One unfinished job's timers and the faults that are about it."""
        silent = self._silent(job, now)
        if silent != job.unknown:
            job.unknown = silent
            self.history.add(job, "unknown" if silent else "known", **({"stat": "UNKWN"} if silent else {}))
        if silent and job.rerunnable:
            self.control.rerun(job, self.servers.get(job.hosts[0][0]))
        if job.stat == "SSUSP" and job.resume_time and now > job.resume_time + self.cluster["dispatch_interval"]:
            self.control.proceed(job)
        if job.stat in ("RUN", "SSUSP"):
            self._faults_of(job)
        if job.stat == "RUN":
            self.control.limit(job, now)
        if job.kill_time:
            self.control.climb(job, now)

    def _faults_of(self, job: Job) -> None:
        about = {"job": job.id, "host": job.hosts[0][0]}
        suspended = self.faults.hits("suspended", **about) is not None
        if job.stat == "RUN" and suspended:
            self.control.suspend(job)
        elif job.stat == "SSUSP" and job.susp_reason == "load" and not suspended:
            self.control.proceed(job)
        if not job.requeue and not job.mode and self.faults.hits("requeue", **about) is not None:
            self.faults.used("requeue")
            self.control.move(job)

    def reach(self, host: str):
        """The host's server, None while it does not answer."""
        return self.servers.get(host) if self._here(host) else None

    def tell_end(self, job: Job) -> None:
        for peer in self.hub.peers:
            if peer.waits_for == job.id:
                peer.send(ended=True, code=job.exit_code, started=bool(job.start_time))

    # -- views

    def _here(self, host: str, now: float = 0) -> bool:
        """Whether the host's server was heard of within `unknown_after`; a connection that broke a moment ago counts."""
        if self.faults.hits("unknown", host=host) is not None:
            return False
        peer = self.servers.get(host)
        last = peer.last_seen if peer else self.lost.get(host, self.started)
        return (now or time.time()) - last <= self.cluster["unknown_after"]

    def _answers(self, host: str) -> bool:
        return (host in self.servers or host in self.lost) and self._here(host)

    def _missing(self, job: Job) -> bool:
        return job.unfinished and self.faults.hits("missing", job=job.id, user=job.user) is not None

    def _silent(self, job: Job, now: float = 0) -> bool:
        return job.stat in scheduler.OCCUPYING and not self._here(job.hosts[0][0], now)


def main(conf: dict) -> None:
    Master(conf).run()
