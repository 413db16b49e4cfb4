# SPDX-License-Identifier: GPL-3.0-or-later
"""`lsfd master`: mbatchd and its scheduler in one process, one thread, one socket."""

import os
import pwd
import selectors
import signal
import socket
import sys
import time
from dataclasses import asdict

from . import admission, request, scheduler
from .jobs import Job, Store
from .protocol import SOCKET, Lines, at_path, encode, peer_ids, read_cluster

CLIENT_OPS = {"submit", "wait", "jobs", "kill", "queues", "hosts", "server"}
SERVER_OPS = {"alive", "started", "ended"}  # only from who was let in as a server
LADDER = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)


class Peer:
    """A connection: a client's, or (once it said so) a server's."""

    def __init__(self, connection):
        self.connection, self.lines, self.unsent = connection, Lines(), b""
        _, self.uid, self.gid = peer_ids(connection)
        self.host = ""  # a server's
        self.waits_for = 0  # a client of -K or -I: the job whose end it wants to hear of
        self.last_seen = time.time()

    def send(self, **message) -> None:
        self.unsent += encode(message)
        self.flush()

    def flush(self) -> None:
        """Send what fits; the rest waits for the next tick. A peer that is gone is found out by its read."""
        try:
            while self.unsent:
                self.unsent = self.unsent[self.connection.send(self.unsent) :]
        except OSError:
            pass


class Master:
    def __init__(self, conf: dict):
        self.conf, self.cluster = conf, read_cluster(conf)
        self.work = conf["LSB_SHAREDIR"]
        self.store = Store(self.work, self.cluster["first_job_id"])
        self.jobs = self.store.jobs
        self.peers, self.servers, self.lost = set(), {}, {}  # lost: host -> since when silent
        self.started = time.time()
        self.selector = selectors.DefaultSelector()
        self.listener = socket.socket(socket.AF_UNIX)

    def run(self) -> None:
        path = f"{self.work}/{SOCKET}"
        if os.path.exists(path):
            os.unlink(path)
        at_path(self.listener.bind, path)
        os.chmod(path, 0o666)
        self.listener.listen(128)
        self.listener.setblocking(False)
        self.selector.register(self.listener, selectors.EVENT_READ)
        log(f"cluster {self.cluster['cluster']}: {len(self.jobs)} jobs known, next number {self.store.next_id}")
        due = 0.0
        while True:
            for key, _ in self.selector.select(max(0.0, due - time.monotonic())):
                if key.fileobj is self.listener:
                    self._accept()
                else:
                    self._read(key.data)
            if time.monotonic() >= due:
                self.tick(time.time())
                due = time.monotonic() + self.cluster["dispatch_interval"]
            self.store.save()

    # -- connections

    def _accept(self) -> None:
        connection, _ = self.listener.accept()
        connection.setblocking(False)
        peer = Peer(connection)
        self.peers.add(peer)
        self.selector.register(connection, selectors.EVENT_READ, peer)

    def _read(self, peer: Peer) -> None:
        try:
            data = peer.connection.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            return self._drop(peer)
        peer.last_seen = time.time()
        try:
            for message in peer.lines.feed(data):
                operation = message.pop("op")
                if operation not in (SERVER_OPS if peer.host else CLIENT_OPS):
                    raise ValueError(operation)
                getattr(self, "on_" + operation)(peer, **message)
        except (ValueError, TypeError, KeyError) as error:  # not one of our clients: answer nothing
            log(f"bad request of uid {peer.uid}: {error!r}")
            self._drop(peer)

    def _drop(self, peer: Peer) -> None:
        if peer not in self.peers:
            return
        self.peers.discard(peer)
        self.selector.unregister(peer.connection)
        peer.connection.close()
        if peer.host and self.servers.get(peer.host) is peer:
            del self.servers[peer.host]
            self.lost[peer.host] = peer.last_seen
            log(f"{peer.host} is lost")
        job = self.jobs.get(peer.waits_for)
        if job and job.mode and job.stat == "PEND" and not job.hosts:  # bsub -I was ended while it waited
            self._end(job, 130)

    # -- clients

    def on_submit(self, peer: Peer, job: dict, script: str, env: dict) -> None:
        try:
            job, is_default = admission.judge(self.cluster, self.store.next_id, peer.uid, peer.gid, job)
        except request.Refused as refusal:
            return peer.send(refused=refusal.key, values=refusal.values)
        self.store.add(job, script, env)
        log(f"job {job.id} of {job.user} for queue {job.queue}: {job.slots} slots")
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
        peer.send(jobs=[self._view(job) for job in found], missing=[id for id in ids if id not in self.jobs])

    def on_kill(self, peer: Peer, ids: list, signal: int) -> None:
        """bkill: without a signal the ladder. [0] stands for all of the caller's own, as in LSF."""
        if ids == [0]:
            ids = [job.id for job in self.jobs.values() if job.unfinished and job.uid == peer.uid]
        peer.send(results=[[id, self._kill(self.jobs.get(id), peer.uid, signal)] for id in ids])

    def _kill(self, job: Job, uid: int, number: int) -> str:
        if job is None:
            return "unknown"
        if uid not in (0, job.uid):
            return "denied"
        if not job.unfinished:
            return "finished"
        if number:
            return "signaled" if self._signal(job, number) else "not_started"
        job.term_reason = job.term_reason or ("TERM_OWNER" if uid == job.uid else "TERM_ADMIN")
        if job.stat == "PEND" and not job.hosts:
            self._end(job, 130)
        elif not job.kill_time:
            job.kill_time = time.time()
            self._climb(job, job.kill_time)
        return "terminating"

    def on_queues(self, peer: Peer) -> None:
        counts = {name: {"PEND": 0, "RUN": 0, "USUSP": 0, "SSUSP": 0} for name in self.cluster["queues"]}
        for job in self.jobs.values():
            if job.unfinished:
                counts[job.queue]["PEND" if job.stat == "PSUSP" else job.stat] += job.slots
        peer.send(queues=self.cluster["queues"], counts=counts)

    def on_hosts(self, peer: Peer) -> None:
        free = scheduler.free_slots(self.cluster, self.jobs.values())
        peer.send(
            hosts=[
                {"name": name, "slots": host["slots"], "used": host["slots"] - free[name], "status": self._status(name)}
                for name, host in self.cluster["hosts"].items()
            ]
        )

    # -- servers

    def on_server(self, peer: Peer, host: str, holds: list) -> None:
        """A server's greeting, with the jobs it holds. What we thought was there and is not, is over or was never begun."""
        if peer.uid not in (0, os.geteuid()) or host not in self.cluster["hosts"]:
            log(f"refused a server: uid {peer.uid}, host {host}")
            return self._drop(peer)
        if old := self.servers.pop(host, None):
            self._drop(old)
        peer.host, self.servers[host] = host, peer
        self.lost.pop(host, None)
        log(f"{host} is here with {len(holds)} jobs")
        for job in self.jobs.values():
            if job.unfinished and job.hosts and job.hosts[0][0] == host and job.id not in holds:
                if job.stat == "PEND":
                    job.hosts = []
                else:
                    self._end(job, 255)  # the host was restarted under it

    def on_alive(self, peer: Peer) -> None:
        """A heartbeat: `_read` noted the time."""

    def on_started(self, peer: Peer, id: int, pid: int) -> None:
        job = self.jobs.get(id)
        if job and job.stat == "PEND":
            job.stat, job.pid, job.start_time, job.pend_reason = "RUN", pid, time.time(), ""
            log(f"job {id} runs on {peer.host}, process {pid}")

    def on_ended(self, peer: Peer, id: int, code: int, cpu: float) -> None:
        job = self.jobs.get(id)
        if job and job.unfinished:
            job.start_time = job.start_time or time.time()
            job.cpu = cpu
            self._end(job, code)
        peer.send(do="forget", id=id)

    # -- time

    def tick(self, now: float) -> None:
        for peer in list(self.peers):
            peer.flush()
        alive = {host for host in self.servers if not self._silent(host, now)}
        starts, reasons = scheduler.schedule(self.cluster, self.jobs.values(), alive)
        for id, reason in reasons.items():
            self.jobs[id].pend_reason = reason
        for id, hosts in starts.items():
            self.jobs[id].hosts = [list(pair) for pair in hosts]
        self.store.save()  # before a server hears of it: a job must not be started twice
        for id, hosts in starts.items():
            job = self.jobs[id]
            self.servers[hosts[0][0]].send(do="start", job=asdict(job), **self.store.payload(job))
        for job in list(self.jobs.values()):
            if job.stat == "RUN":
                self._limit(job, now)
            if job.unfinished and job.kill_time:
                self._climb(job, now)
            if not job.unfinished and now - job.end_time > self.cluster["clean_period"]:
                self.store.forget(job)

    def _limit(self, job: Job, now: float) -> None:
        """The run limit: SIGUSR2 as a warning, and the ladder when that was not heeded."""
        if not job.runlimit or job.kill_time or now < job.start_time + job.runlimit:
            return
        if not job.limit_time:
            if self._signal(job, signal.SIGUSR2):
                job.limit_time, job.term_reason = now, "TERM_RUNLIMIT"
        elif now > job.limit_time + self.cluster["runlimit_grace"]:
            job.kill_time = now

    def _climb(self, job: Job, now: float) -> None:
        """SIGINT, SIGTERM, SIGKILL, one interval apart; a rung waits while the job's host is away."""
        due = job.kill_time + job.kill_rung * self.cluster["terminate_interval"]
        if job.kill_rung < len(LADDER) and now >= due and self._signal(job, LADDER[job.kill_rung]):
            job.kill_rung += 1

    def _signal(self, job: Job, number: int) -> bool:
        server = self.servers.get(job.hosts[0][0]) if job.hosts and job.stat != "PEND" else None
        if server:
            server.send(do="signal", id=job.id, signal=int(number))
        return bool(server)

    def _end(self, job: Job, code: int) -> None:
        job.end(code, time.time())
        log(f"job {job.id} {job.stat} with {code} {job.term_reason}")
        for peer in self.peers:
            if peer.waits_for == job.id:
                peer.send(ended=True, code=code, started=bool(job.start_time))

    # -- views

    def _silent(self, host: str, now: float) -> bool:
        peer = self.servers.get(host)
        last = peer.last_seen if peer else self.lost.get(host, self.started)
        return now - last > self.cluster["unknown_after"]

    def _status(self, host: str) -> str:
        return "ok" if host in self.servers and not self._silent(host, time.time()) else "unavail"

    def _view(self, job: Job) -> dict:
        """What bjobs sees: the record, but UNKWN while the job's host is silent."""
        view = asdict(job)
        if job.stat == "PEND":
            view["hosts"] = []
        elif job.unfinished and self._silent(job.hosts[0][0], time.time()):
            view["stat"] = "UNKWN"
        return view


def log(text: str) -> None:
    print(time.strftime("%b %d %H:%M:%S"), "mbatchd:", text, file=sys.stderr, flush=True)


def main(conf: dict) -> None:
    Master(conf).run()
