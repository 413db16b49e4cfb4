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

from ansible.module_utils.atomic_files import write_atomically
from ansible.module_utils.conda_env import CondaEnvError
from ansible.module_utils.lsf import LsfError
from ansible.module_utils.lsf.client import Lsf, environment

#: How the names of the role's variables for this begin.
VARIABLES = "conda_env_build_"
#: Seconds between two looks; and those in which a file that a node wrote must be seen on another: NFS keeps a folder's listing for 60.
POLL = 2
LATE = 90

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


def run_as_job(argv, env, deadline, stdin, job):
    """Runs a command in a job, or collects what that of a killed run has made of the same command.

    Args:
        argv: the command.
        env: its whole environment.
        deadline: when to give up, by ``time.monotonic()``; the wait in the queue counts.
        stdin: text for its standard input.
        job: ``folder`` for the files above; ``request``, a digest of all that the command depends on; and the job's ``name``,
            ``queue``, ``project``, ``walltime`` and the site's ``profile``, of which each but the name may be empty.

    Returns:
        Exit code, standard output, standard error.

    Raises:
        CondaEnvError: LSF refused the job, or it came to no end; it's over then, unless the message says otherwise.
    """
    try:
        command = Job(job)
        command.take_up(argv, env, stdin)
        return command.result(deadline)
    except LsfError as error:
        raise CondaEnvError(str(error), command=argv) from error


def left_behind(job):
    """The folder that the job of a killed run is filling, or has filled, for the same request: to be kept, and gone on with.

    Every other job of a killed run is ended here, so that nothing writes any more into what may then be swept away.

    Args:
        job: as for :func:`run_as_job`.

    Returns:
        What follows ``-p`` in the command; empty if there is nothing to go on with.

    Raises:
        CondaEnvError: LSF does not answer, or the job can't be ended.
    """
    if not Path(job["folder"], "job.json").exists():
        return ""
    try:
        return Job(job).left_behind()
    except LsfError as error:
        raise CondaEnvError(str(error)) from error


class Job:
    """The one job that a folder has."""

    def __init__(self, job):
        self.folder = Path(job["folder"])
        self.options = job
        # LSF hands bsub's environment on to the job.
        env = environment(job["profile"], VARIABLES)
        self.lsf = Lsf({name: value for name, value in env.items() if name != "TMPDIR"}, VARIABLES)
        self.asked = json.loads(self.read("json") or "{}")

    def path(self, ending):
        return self.folder / f"job.{ending}"

    def read(self, ending):
        path = self.path(ending)
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def save(self):
        write_atomically(self.path("json"), json.dumps(self.asked), 0o600)

    def forget(self):
        for ending in ("json", "py", "out", "err", "rc", "log"):
            self.path(ending).unlink(missing_ok=True)
        self.asked = {}

    @property
    def description(self):
        """What ``-Jd`` carries: no other job has it."""
        return "slipway conda_env {}".format(self.asked.get("nonce", ""))

    @property
    def ended(self):
        """Whether the command has come to its end. Listed first, since a shared file system answers for single files from memory."""
        return bool(self.asked) and "job.rc" in os.listdir(self.folder)

    def find(self):
        """The job that was asked for, unless it is over or never was."""
        if not self.asked:
            return None
        known = self.lsf.job(self.asked["id"]) if "id" in self.asked else None
        # bsub's answer may have been lost, with or without the run that waited for it.
        found = [known] if known and known.description == self.description else self.lsf.jobs()
        return next((job for job in found if job.description == self.description and job.meaning != "over"), None)

    def left_behind(self):
        argv = self.asked["argv"]
        there = self.find()
        # Only the first command of a build finds its folder as it was when it began.
        wanted = self.asked["request"] == self.options["request"] and not self.asked.get("spoiled")
        if wanted and "create" in argv and (there or self.ended):
            return argv[argv.index("-p") + 1]
        if there:
            self.end(there.id)
        self.forget()
        return ""

    def take_up(self, argv, env, stdin):
        """Finds the job with this command, or ends what is there and submits one."""
        wanted = {"argv": argv, "stdin": stdin, "request": self.options["request"]}
        same = {name: self.asked.get(name) for name in wanted} == wanted
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
            name=self.options["name"],
            options=self.header,
            log=shlex.quote(str(self.path("log"))),
            runner=shlex.join(runner),
        )

    def result(self, deadline):
        """Waits for the command's end. LSF's daemons may be away meanwhile: what counts is the file that the job writes."""
        seen, over = None, 0
        while not self.ended:
            with contextlib.suppress(LsfError):
                seen = self.lsf.job(self.asked["id"])
                over = (over or time.monotonic()) if seen is None or seen.meaning == "over" else 0
            if over and time.monotonic() > over + LATE:
                raise self.died(seen)
            if time.monotonic() > deadline:
                raise self.late(seen)
            time.sleep(POLL)
        found = int(self.read("rc")), self.read("out"), self.read("err")
        self.forget()
        return found

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
            f"TERM_RUNLIMIT asks for more {VARIABLES}walltime, TERM_MEMLIMIT for another queue; else run again",
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
            f"raise conda_env_timeout, or choose a quicker queue ({VARIABLES}queue)",
        )
