# SPDX-License-Identifier: GPL-3.0-or-later
"""A client of LSF's command line.

Every call has an own deadline, since the commands themselves wait for ever while a daemon is away; transient refusals
are tried again within it, all others are raised with LSF's words.

What an LSF can do is found out by the first question about jobs, which is asked in the best form that it takes: with ``-json`` (from
10.1.0.2 on), with ``-o`` and a delimiter (from 9.1 on), or, as in OpenLava, in columns.
"""

import contextlib
import os
import re
import shutil
import time
from pathlib import Path

from . import LsfError, long, parse, queues
from .command import call, environment

__all__ = ["Lsf", "Unanswered", "environment"]

#: Seconds one command may take, and the pauses between tries of a command that met a passing trouble.
COMMAND_TIMEOUT = 30
PAUSES = (1, 3, 9)
#: Pauses between the questions about a job that LSF does not find: a live one can be missing for one of them.
MISSES = (1, 2)
#: Seconds between two looks at a job that is about to end, and those that LSF's ladder of signals takes at most (INT, TERM
#: after 10, KILL after 20), with some for its own poll.
POLL = 2
ENDING = 45
#: What a user's profile may set that makes bsub silent, wait for the job's end or submit nothing at all, and bjobs show other columns.
MISLEADING = ("BSUB_QUIET", "BSUB_BLOCK", "BSUB_CHK_RESREQ", "LSB_BJOBS_FORMAT")
#: What bjobs is asked in, from the best on. With json, options and errors leave no doubt; rows put names where they do no harm.
FORMS = ("json", "rows", "columns")


class Unanswered(LsfError):
    """LSF gave no answer in time: what was asked of it may have been done, or not."""


class Lsf:
    """LSF as one user sees it.

    Args:
        env: what :func:`environment` returned.
        variables: how the names of the role's variables begin, for remedies.
        deadline: seconds that one question may take in all, tries again included.
        watch: called before each try of a command; what it raises ends the question.
    """

    def __init__(self, env, variables, deadline=60, *, watch=lambda: None):
        self.env = {name: value for name, value in env.items() if name not in MISLEADING}
        self.variables = variables
        self.deadline = deadline
        self.watch = watch
        self.form = ""
        self.fields = parse.JOB_FIELDS
        self.long = "-UF"

    def run(self, argv, stdin=""):
        """Runs a command of LSF and returns ``(exit code, stdout, stderr)``.

        Raises:
            Unanswered: it did not answer in time, or its trouble did not pass.
            LsfError: there is no such command.
        """
        started = time.monotonic()
        submits = argv[0] == "bsub"
        # A job inherits bsub's environment, and with it the user's own language.
        env = self.env if submits else {**self.env, "LC_ALL": "C"}
        binary = shutil.which(argv[0], path=self.env.get("PATH", ""))
        if not binary:
            raise LsfError(
                f"LSF has no {argv[0]} on its PATH.",
                remedy=f"set {self.variables}lsf_profile to the site's profile.lsf",
            )
        for pause in (*PAUSES, None):
            self.watch()
            left = max(1.0, min(COMMAND_TIMEOUT, self.deadline - (time.monotonic() - started)))
            try:
                code, out, err, late = call([binary, *argv[1:]], stdin.encode("utf-8", "surrogateescape"), env, left)
            except OSError as error:
                raise LsfError(f"{binary} cannot be run.", str(error)) from error
            out, err = (text.decode("utf-8", "replace") for text in (out, err))
            again = not out.strip() and parse.says_try_again(err, unsent=submits)
            if not late and not again:
                return code, out, err
            # A bsub that was cut off may have been taken: its caller has to look before it submits again.
            if (late and submits) or pause is None or time.monotonic() - started + pause > self.deadline:
                break
            time.sleep(pause)
        raise Unanswered(
            f"LSF did not answer `{' '.join(argv)}` within {time.monotonic() - started:.0f} s.",
            (err + out)[-500:],
            "LSF's daemons seem to be away or busy: run the same command again later, or tell the site's staff what it said",
        )

    def submit(self, script, description):
        """Submits ``script`` (its #BSUB lines are the options) and returns the job's id.

        ``description`` tells our job from others of the same name, even before it has started. It stands in the script's second line,
        which LSF shows as the beginning of the job's command, and goes to ``-Jd``. OpenLava would take that for ``-J d`` and run the
        description as a command, so it gets none.

        Raises:
            Unanswered: LSF's answer did not come, and no job with this description is to be seen.
            LsfError: LSF refused.
        """
        if not self.form:
            self.jobs()
        argv = ["bsub"] if self.form == "columns" else ["bsub", "-Jd", description]
        try:
            code, out, err = self.run(argv, stdin=long.mark(script, description))
            said = err + "\n" + out
            accepted = parse.submission(said)
            if accepted:
                return accepted[0]
            if parse.says_cut_off(said):
                raise Unanswered("LSF's answer to bsub was cut off.", said, "run the same command again later")
        except Unanswered:
            # It may have been taken all the same, whatever bsub says.
            taken = self.taken(description)
            if taken:
                return taken
            raise
        raise LsfError(f"LSF refused the job (exit code {code}).", said, self.way_out(said))

    def way_out(self, refusal):
        """What to do about bsub's refusal."""
        if "cannot use the queue" in refusal:
            return f"choose another queue ({self.variables}queue), or ask the site for the right to this one"
        return f"the refusal names the option; its value comes from the variables {self.variables}*"

    def unfinished(self, description):
        """The user's jobs with this description that are not over: more than one where bsub's answer was lost."""
        return [job for job in self.jobs() if job.description == description and job.meaning != "over"]

    def taken(self, description):
        """The id of the job with this description that is not over; empty where there is none, or LSF does not answer."""
        with contextlib.suppress(LsfError):
            for job in self.unfinished(description):
                return job.id
        return ""

    def jobs(self, *ids):
        """The user's jobs, finished ones that LSF still remembers included; only those with the given ids if any.

        Raises:
            LsfError: LSF answered with something else than jobs or their absence, or told only half of one that could be ours.
        """
        for pause in (*MISSES, None):
            found = self._list(ids)
            if not found or (self.fields == parse.JOB_FIELDS and self.form != "columns"):
                return found
            told, said = self._details(ids)
            # A job may end and be forgotten between the two questions.
            lacking = {job.id for job in found} - {job_id.split("[")[0] for job_id in told}
            if not lacking:
                return [long.complete(job, told) for job in found]
            if pause is None:
                raise LsfError(f"bjobs {self.long} tells nothing of job {', '.join(sorted(lacking))}.", said)
            time.sleep(pause)

    def _list(self, ids):
        for form in FORMS[FORMS.index(self.form) if self.form else 0 :]:
            found = self._ask(form, ids)
            if found is not None:
                self.form = form
                return found
        raise AssertionError("columns are always an answer, or an error")

    def _ask(self, form, ids):
        """The jobs as bjobs tells them in this form, or None where this LSF does not know the form."""
        fields = " ".join(self.fields)
        argv = {
            "json": ["-json", "-o", fields],
            "rows": ["-noheader", "-o", f"{fields} delimiter='{parse.DELIMITER}'"],
            "columns": ["-w"],
        }[form]
        code, out, err = self.run(["bjobs", "-a", *argv, *ids])
        said = err + "\n" + out
        if form != "columns":
            unknown = parse.unknown_field(err)
            if unknown in self.fields and unknown not in parse.NEEDED:
                # An older LSF lacks what came later, so that all of it goes with the first: one more call instead of four.
                at = self.fields.index(unknown)
                self.fields = tuple(
                    name for name in self.fields if self.fields.index(name) < at or name in parse.NEEDED
                )
                return self._ask(form, ids)
            if unknown or parse.says_unknown_option(err):
                return None
        if form == "json" and (out.strip() or not parse.says_nothing_found(err)):
            try:
                return parse.jobs_json(out)
            except LsfError as error:
                # What LSF itself cannot write in JSON, a name for instance, it may still write in rows.
                if "{" in out:
                    return None
                raise LsfError(f"LSF did not list the jobs (exit code {code}).", said) from error
        found = parse.jobs_columns(out) if form == "columns" else parse.jobs(out, self.fields)
        if not found and not parse.says_nothing_found(said):
            raise LsfError(f"LSF did not list the jobs (exit code {code}).", said)
        return found

    def _details(self, ids):
        """What only the long text tells on this LSF, and LSF's words."""
        _, out, err = self.run(["bjobs", "-a", self.long, *ids])
        if self.long == "-UF" and parse.says_unknown_option(err):
            self.long = "-l"
            return self._details(ids)
        return long.details(out), err + "\n" + out

    def job(self, job_id):
        """The job with this id, or None.

        A live job can be missing for one question, so that a missing one is asked for again. What bjobs has forgotten, an hour after
        its end by default, bhist may know: with its exit code and LSF's reason. One that bjobs does not find, and that has
        not ended as far as bhist knows, is doubtful.
        """
        past = None
        for pause in (*MISSES, None):
            found = [job for job in self.jobs(job_id) if job.id == job_id]
            if found:
                return found[0]
            past = past or self.history(job_id)
            if pause is None or (past and past.meaning == "over" and past.exit_reason != long.ASKED):
                return past
            time.sleep(pause)

    def history(self, job_id):
        """The job as bhist knows it, or None; UNKWN if it has not ended. A bhist that is missing or does not answer knows nothing."""
        with contextlib.suppress(LsfError):
            return long.history(self.run(["bhist", "-l", job_id])[1], job_id)
        return None

    def kill(self, job_id):
        """Asks LSF to end a job. Returns whether there was one to end.

        Raises:
            LsfError: LSF refused.
        """
        code, out, err = self.run(["bkill", job_id])
        verdict = parse.killed(out + "\n" + err, job_id)
        if not verdict:
            raise LsfError(f"LSF did not end job {job_id} (exit code {code}).", err + "\n" + out)
        return verdict == "ending"

    def wait_until_over(self, job_id):
        """Waits for a job that LSF was asked to end.

        Raises:
            LsfError: it is still there when LSF's ladder of signals must have come to its end.
        """
        deadline = time.monotonic() + ENDING
        while True:
            seen = self.job(job_id)
            if seen is None or seen.meaning == "over":
                return
            if time.monotonic() > deadline:
                break
            time.sleep(POLL)
        raise LsfError(
            f"job {job_id} is still {seen.stat} {ENDING} s after LSF was asked to end it.",
            remedy=f"look with `bjobs {job_id}`; run the same command again later",
        )

    def queue(self, name):
        """The :class:`queues.Queue` of this name: what it takes (``takes``), whether it is open, its limits.

        Raises:
            LsfError: there is none; the message lists the queues there are.
        """
        _, out, err = self.run(["bqueues", "-l", name])
        found = queues.queue(out)
        if found and found.name == name:
            return found
        there = queues.statuses(self.run(["bqueues", "-w"])[1])
        if name in there:
            return queues.Queue(name, there[name])
        raise LsfError(
            f"{self.variables}queue is {name!r}: LSF has no such queue; it has {', '.join(sorted(there)) or 'none'}.",
            err,
            f"change {self.variables}queue in the inventory",
        )

    def require_queue(self, name, script="", interactive=False):
        """Checks that the queue is there, is open and takes what ``script`` (its #BSUB lines) asks for. Returns the queue.

        ``interactive`` says that the job may be an interactive one where the queue takes no others.

        Raises:
            LsfError: with the value, the rule and the variable to change.
        """
        found = self.queue(name)
        if not found.is_open:
            raise LsfError(
                f"{self.variables}queue is {name!r}: that queue is {found.status} and takes no jobs now.",
                remedy="choose another queue, or wait until it opens",
            )
        if found.takes == "interactive" and not interactive:
            raise LsfError(
                f"{self.variables}queue is {name!r}: that queue takes interactive jobs only, and this is a batch job.",
                remedy=f"choose another queue in the inventory ({self.variables}queue)",
            )
        asked = queues.request(script)
        unit = self.memory_unit() if asked.memory else "KB"
        queues.check(asked, found, unit, self.form != "columns", self.variables)
        return found

    def memory_unit(self):
        """What a bare number after -M counts: LSF_UNIT_FOR_LIMITS of lsf.conf, else KB, or MB in volclava."""
        conf = Path(self.env.get("LSF_ENVDIR", "/etc"), "lsf.conf")
        with contextlib.suppress(OSError):
            said = re.findall(
                r"^\s*LSF_UNIT_FOR_LIMITS\s*=\s*\"?([KMGTPE])B?\b", os.fsdecode(conf.read_bytes()), re.MULTILINE
            )
            if said:
                return said[-1] + "B"
        return "MB" if "volclava" in self.run(["lsid"])[1] else "KB"

    def cluster(self):
        """The cluster's name, of LIM: the quickest way to see whether LSF is there at all.

        Raises:
            LsfError: LIM is down.
        """
        code, out, err = self.run(["lsid"])
        name = parse.cluster(out)
        if not name:
            raise LsfError(f"lsid does not name the cluster (exit code {code}).", err + "\n" + out)
        return name
