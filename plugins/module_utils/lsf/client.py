# SPDX-License-Identifier: GPL-3.0-or-later
"""A client of LSF's command line.

Every call has an own deadline, since the commands themselves wait for ever while a daemon is away; transient refusals
are tried again within it, all others are raised with LSF's words.
"""

import os
import shutil
import subprocess
import time

from . import LsfError, parse

#: Seconds one command may take, and the pauses between tries of a command that met a passing trouble.
COMMAND_TIMEOUT = 30
PAUSES = (1, 3, 9)
#: Seconds between two looks at a job that is about to end, and those that LSF's ladder of signals takes at most (INT, TERM
#: after 10, KILL after 20), with some for its own poll.
POLL = 2
ENDING = 45


def environment(profile, variables):
    """The environment in which LSF's commands work.

    A shell that ssh starts for one command is no login shell, and sites put LSF on PATH in profile.d only: where
    ``bsub`` is missing, the environment of a login shell is taken, or of ``profile`` if one is given. ``variables`` is
    how the names of the role's variables begin, for remedies.

    Raises:
        LsfError: neither has ``bsub`` on its PATH.
    """
    inherited = dict(os.environ)
    if not profile and shutil.which("bsub"):
        return inherited
    if profile:
        argv = ["/bin/sh", "-c", '. "$1" >&2; printf "\\0slipway\\0"; env -0', "sh", profile]
        source = f"{variables}lsf_profile, {profile},"
    else:
        argv = ["/bin/bash", "-lc", 'printf "\\0slipway\\0"; env -0']
        source = "your login shell"
    try:
        shell = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=COMMAND_TIMEOUT, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LsfError(f"{source} could not be read for LSF's environment.", str(error)) from error
    # What profiles print comes before the marker.
    printed = os.fsdecode(shell.stdout).rpartition("\0slipway\0")[2]
    found = dict(entry.split("=", 1) for entry in printed.split("\0") if "=" in entry)
    if not shutil.which("bsub", path=found.get("PATH", "")):
        raise LsfError(
            f"{source} does not put LSF's bsub on PATH.",
            os.fsdecode(shell.stderr)[-500:],
            f"set {variables}lsf_profile to the site's profile.lsf (often /opt/ibm/lsf/conf/profile.lsf), or check the login host",
        )
    return {**inherited, **found}


class Lsf:
    """LSF as one user sees it.

    Args:
        env: what :func:`environment` returned.
        variables: how the names of the role's variables begin, for remedies.
        deadline: seconds that one question may take in all, tries again included.
    """

    def __init__(self, env, variables, deadline=60):
        self.env = env
        self.variables = variables
        self.deadline = deadline

    def run(self, argv, stdin=""):
        """Runs a command of LSF and returns ``(exit code, stdout, stderr)``.

        Raises:
            LsfError: it did not answer in time, or its trouble did not pass.
        """
        started = time.monotonic()
        submits = argv[0] == "bsub"
        # A job inherits bsub's environment, and with it the user's own language.
        env = self.env if submits else {**self.env, "LC_ALL": "C"}
        binary = shutil.which(argv[0], path=self.env["PATH"])
        if not binary:
            raise LsfError(
                f"LSF has no {argv[0]} on its PATH.",
                remedy=f"set {self.variables}lsf_profile to the site's profile.lsf",
            )
        for pause in (*PAUSES, None):
            left = max(1.0, min(COMMAND_TIMEOUT, self.deadline - (time.monotonic() - started)))
            try:
                done = subprocess.run(
                    [binary, *argv[1:]],
                    input=stdin,
                    env=env,
                    capture_output=True,
                    text=True,
                    errors="replace",
                    timeout=left,
                    check=False,
                )
                words, timed_out = done.stderr + done.stdout, False
            except subprocess.TimeoutExpired as error:
                words, timed_out = os.fsdecode(error.stderr or b""), True
            if not timed_out and not (done.returncode and parse.says_try_again(words, unsent=submits)):
                return done.returncode, done.stdout, done.stderr
            # A bsub that was cut off may have been taken: its caller has to look before it submits again.
            if (timed_out and argv[0] == "bsub") or pause is None or time.monotonic() - started + pause > self.deadline:
                break
            time.sleep(pause)
        raise LsfError(
            f"LSF did not answer `{' '.join(argv)}` within {time.monotonic() - started:.0f} s.",
            words[-500:],
            "LSF's daemons seem to be away or busy: run the same command again later, or tell the site's staff what it said",
        )

    def submit(self, script, description):
        """Submits ``script`` (its #BSUB lines are the options) and returns the job's id.

        ``description`` goes to ``-Jd``: it tells our job from others of the same name, even before it has started.

        Raises:
            LsfError: LSF refused, or did not answer.
        """
        code, out, err = self.run(["bsub", "-Jd", description], stdin=script)
        accepted = parse.submission(out + "\n" + err)
        if accepted is None:
            raise LsfError(
                f"LSF refused the job (exit code {code}).",
                err or out,
                f"the refusal names the option; its value comes from the variables {self.variables}*",
            )
        return accepted[0]

    def jobs(self, *ids):
        """The user's jobs, finished ones that LSF still remembers included; only those with the given ids if any.

        Raises:
            LsfError: LSF answered with something else than jobs or their absence.
        """
        fields = " ".join(parse.JOB_FIELDS)
        code, out, err = self.run(["bjobs", "-a", "-noheader", "-o", f"{fields} delimiter='{parse.DELIMITER}'", *ids])
        found = parse.jobs(out)
        if not found and not parse.says_nothing_found(out + "\n" + err):
            raise LsfError(f"LSF did not list the jobs (exit code {code}).", err or out)
        return found

    def job(self, job_id):
        """The job with this id, or None. LSF may miss a live job for one question, so a missing one is asked for twice."""
        for pause in (2, 0):
            found = [job for job in self.jobs(job_id) if job.id == job_id]
            if found:
                return found[0]
            time.sleep(pause)
        return None

    def kill(self, job_id):
        """Asks LSF to end a job. Returns whether there was one to end.

        Raises:
            LsfError: LSF refused.
        """
        code, out, err = self.run(["bkill", job_id])
        if code == 0:
            return True
        if parse.says_already_over(out + "\n" + err):
            return False
        raise LsfError(f"LSF did not end job {job_id} (exit code {code}).", err or out)

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

    def require_queue(self, queue):
        """Checks that the queue is there and open.

        Raises:
            LsfError: it is not; the message lists the queues there are.
        """
        _, out, err = self.run(["bqueues", "-w"])
        queues = {line.split()[0]: line.split()[2] for line in out.splitlines()[1:] if len(line.split()) > 2}
        if queue not in queues:
            raise LsfError(
                f"{self.variables}queue is {queue!r}: LSF has no such queue; it has {', '.join(sorted(queues)) or 'none'}.",
                err,
                f"change {self.variables}queue in the inventory",
            )
        if not queues[queue].startswith("Open"):
            raise LsfError(
                f"{self.variables}queue is {queue!r}: that queue is {queues[queue]} and takes no jobs now.",
                remedy="choose another queue, or wait until it opens",
            )
