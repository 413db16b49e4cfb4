# SPDX-License-Identifier: GPL-3.0-or-later
"""A command as an LSF job, for sites whose login nodes end what runs long.

What is asked and what came of it lie in one folder on the home that the nodes share:

    job.py           runs the command on the node
    job.json         the command, its environment, a nonce, and the job's id once LSF gave one; for its owner alone
    job.out job.err  what the command wrote
    job.rc           its exit code, once it ended
    job.log          LSF's own report

The nonce is there before the job is, and travels with it as its description. So a later run finds the job of one that was killed: it
waits for it if it runs what is wanted now, and ends it, by its id, if not.
"""

import contextlib
import json
import os
import secrets
import shlex
import sys
import time
from pathlib import Path

from ..atomic_files import write_atomically
from . import LsfError
from .client import Lsf, environment

#: Seconds between two looks; and those in which a file that a node wrote must be seen on another: NFS keeps a folder's listing for 60.
POLL = 2
LATE = 90

#: Of a module's option ``job``; plugins/doc_fragments/lsf_job.py says what they are.
OPTIONS = {key: {"type": "str", "default": ""} for key in ("name", "queue", "project", "walltime", "profile")}

#: What the job runs. The command gets the environment it would have here, but no temporary folder that only the login node has.
RUNNER = """\
import json, os, subprocess, sys
os.chdir(os.path.dirname(sys.argv[0]))
with open("job.json") as file:
    asked = json.load(file)
if asked["nonce"] != sys.argv[1]:
    sys.exit("another job has taken this one's place")
env = asked["env"]
env.pop("TMPDIR", None)
if "TMPDIR" in os.environ:
    env["TMPDIR"] = os.environ["TMPDIR"]
os.umask(0o077)
with open("job.out", "wb") as out, open("job.err", "wb") as err:
    os.umask(0o022)
    done = subprocess.run(asked["argv"], input=asked["stdin"].encode(), env=env, stdout=out, stderr=err)
with open("job.rc.new", "w") as file:
    file.write(str(done.returncode))
os.replace("job.rc.new", "job.rc")
"""

SCRIPT = """\
#!/bin/sh
#BSUB -J {name}
{options}#BSUB -o {log}
exec {runner}
"""


class CommandJob:
    """The one job that a folder has.

    Args:
        job: ``folder`` for the files above; ``request``, a digest of all that the command depends on; and the job's ``name``,
            ``queue``, ``project``, ``walltime`` and the site's ``profile``, of which each may be empty.

    Attributes:
        word: what its description says besides the nonce.
        variables: how the names of the role's variables for LSF begin, for remedies; ``timeout`` is the one with the deadline.
        identity: what of a job that is there has to be as asked for, for it to be gone on with.
        lock: what keeps other runs away; empty where the caller has that for as long as it has the job.

    Raises:
        LsfError: LSF's commands are not to be found; of all methods: LSF refused, or the job came to no end.
    """

    word, variables, timeout = "command", "", ""
    identity = "argv", "stdin", "request"
    lock = contextlib.nullcontext

    def __init__(self, job):
        self.folder = Path(job["folder"])
        self.options = job
        # LSF hands bsub's environment on to the job.
        env = environment(job["profile"], self.variables)
        self.lsf = Lsf({name: value for name, value in env.items() if name != "TMPDIR"}, self.variables)
        self.asked = json.loads(self.read("json") or "{}")

    def path(self, ending):
        return self.folder / f"job.{ending}"

    def read(self, ending):
        with contextlib.suppress(FileNotFoundError):
            return self.path(ending).read_text(encoding="utf-8", errors="replace")
        return ""

    def save(self):
        write_atomically(self.path("json"), json.dumps(self.asked), 0o600)

    def forget(self):
        for ending in ("json", "py", "out", "err", "rc", "log"):
            self.path(ending).unlink(missing_ok=True)
        self.asked = {}

    @property
    def description(self):
        """What ``-Jd`` carries: no other job has it."""
        return "slipway {} {}".format(self.word, self.asked.get("nonce", ""))

    @property
    def ended(self):
        """Whether the command has come to its end. Listed first, since a shared file system answers for single files from memory."""
        return bool(self.asked) and "job.rc" in os.listdir(self.folder)

    @property
    def replaced(self):
        """Whether another run has read what came of the job, or put another one in its place."""
        return json.loads(self.read("json") or "{}").get("nonce") != self.asked.get("nonce")

    def find(self):
        """The job that was asked for, unless it is over or never was."""
        if not self.asked:
            return None
        known = self.lsf.job(self.asked["id"]) if "id" in self.asked else None
        if known and known.description == self.description:
            return known if known.meaning != "over" else None
        # bsub's answer may have been lost, with or without the run that waited for it.
        return next(iter(self.lsf.unfinished(self.description)), None)

    def take_up(self, argv, env, stdin):
        """Finds the job with this command, or ends what is there and submits one.

        Args:
            argv: the command.
            env: its whole environment.
            stdin: text for its standard input.
        """
        wanted = {"argv": argv, "stdin": stdin, "request": self.options["request"]}
        same = all(self.asked.get(name) == wanted[name] for name in self.identity) and not self.asked.get("spoiled")
        there = None if same and self.ended else self.find()
        if same and (there or self.ended):  # it may have come to its end meanwhile
            if there:
                self.asked["id"] = there.id
                self.save()
            return
        if there:
            self.end(there.id)
        if self.options["queue"]:
            self.lsf.require_queue(self.options["queue"], self.header)
        self.forget()
        self.asked = {"nonce": secrets.token_hex(8), "env": env, **wanted}
        self.save()
        write_atomically(self.path("py"), RUNNER, 0o600)
        self.asked["id"] = self.lsf.submit(self.script(), self.description)
        self.save()

    @property
    def header(self):
        """What of the script is for bsub, and has to keep to the queue's limits."""
        options = [("-q", self.options["queue"]), ("-P", self.options["project"]), ("-W", self.options["walltime"])]
        return "".join(f"#BSUB {option} {value}\n" for option, value in options if value)

    def script(self):
        runner = [sys.executable, "-I", str(self.path("py")), self.asked["nonce"]]
        return SCRIPT.format(
            name=self.options["name"] or self.word,
            options=self.header,
            log=shlex.quote(str(self.path("log"))),
            runner=shlex.join(runner),
        )

    def watch(self, deadline):
        """Waits for the command's end. LSF's daemons may be away meanwhile: what counts is the file that the job writes.

        Args:
            deadline: when to leave it alone, by ``time.monotonic()``; a job that is just over has longer, for its file to be seen.

        Returns:
            What LSF last said of the job, or None.
        """
        seen, over = None, 0
        while not self.ended and not self.replaced:
            with contextlib.suppress(LsfError):
                seen = self.lsf.job(self.asked["id"])
                over = (over or time.monotonic()) if seen is None or seen.meaning == "over" else 0
            if over and time.monotonic() > over + LATE:
                with self.lock():
                    if not self.ended and not self.replaced:
                        raise self.died(seen)
                break
            if not over and time.monotonic() > deadline:
                break
            time.sleep(POLL)
        return seen

    def collect(self):
        """Exit code, standard output and standard error of the command that has ended; they are told once."""
        found = int(self.read("rc")), self.read("out"), self.read("err")
        self.forget()
        return found

    def result(self, deadline):
        """What :meth:`collect` says; a job that has not ended by the deadline is ended."""
        seen = self.watch(deadline)
        if self.replaced:
            raise LsfError(f"another run has taken the place of job {self.asked['id']}.", remedy="run again after it")
        if not self.ended:
            raise self.late(seen)
        return self.collect()

    def end(self, job_id):
        """Ends the job. While LSF doesn't, it's noted that nobody may go on with what it does."""
        self.asked["spoiled"] = True
        self.save()
        self.lsf.kill(job_id)
        self.lsf.wait_until_over(job_id)

    def died(self, seen):
        """The error of a job that is over and has said nothing: LSF ended it, or its node did."""
        said = "\n".join(self.read(ending)[-1500:].strip() for ending in ("err", "log"))
        error = LsfError(
            "job {} ended before its command did ({}).".format(
                self.asked["id"], seen.ending if seen else "LSF forgot it"
            ),
            said,
            f"TERM_RUNLIMIT asks for more {self.variables}walltime, TERM_MEMLIMIT for another queue; else run again",
        )
        self.forget()
        return error

    def late(self, seen):
        """The error of a job that took too long; it's ended."""
        job_id = self.asked["id"]
        self.end(job_id)
        state = f"{seen.stat} in queue {seen.queue}" if seen else "not to be seen"
        self.forget()
        return LsfError(
            f"job {job_id} was still {state} at the deadline, and was ended.",
            seen.pend_reason if seen else "",
            f"raise {self.timeout}, or choose a quicker queue ({self.variables}queue)",
        )
