# SPDX-License-Identifier: GPL-3.0-or-later
"""A client of LSF's command line.

Every call has an own deadline, since the commands themselves wait for ever while a daemon is away; transient refusals
are tried again within it, all others are raised with LSF's words.
"""

import os
import shutil
import subprocess
import time

from . import SessionError, parse

#: Seconds one command may take, and the pauses between tries of a command that met a passing trouble.
COMMAND_TIMEOUT = 30
PAUSES = (1, 3, 9)


def environment(profile=""):
    """The environment in which LSF's commands work.

    A shell that ssh starts for one command is no login shell, and sites put LSF on PATH in profile.d only: where
    ``bsub`` is missing, the environment of a login shell is taken, or of ``profile`` if one is given.

    Raises:
        SessionError: neither has ``bsub`` on its PATH.
    """
    inherited = dict(os.environ)
    if not profile and shutil.which("bsub"):
        return inherited
    if profile:
        argv = ["/bin/sh", "-c", '. "$1" >&2; printf "\\0slipway\\0"; env -0', "sh", profile]
        source = f"session_lsf_profile, {profile},"
    else:
        argv = ["/bin/bash", "-lc", 'printf "\\0slipway\\0"; env -0']
        source = "your login shell"
    try:
        shell = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=COMMAND_TIMEOUT, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SessionError(f"{source} could not be read for LSF's environment.", str(error)) from error
    # What profiles print comes before the marker.
    printed = os.fsdecode(shell.stdout).rpartition("\0slipway\0")[2]
    found = dict(entry.split("=", 1) for entry in printed.split("\0") if "=" in entry)
    if not shutil.which("bsub", path=found.get("PATH", "")):
        raise SessionError(
            f"{source} does not put LSF's bsub on PATH.",
            os.fsdecode(shell.stderr)[-500:],
            "set session_lsf_profile to the site's profile.lsf (often /opt/ibm/lsf/conf/profile.lsf), or check the login host",
        )
    return {**inherited, **found}


class Lsf:
    """LSF as one user sees it.

    Args:
        env: what :func:`environment` returned.
        deadline: seconds that one question may take in all, tries again included.
    """

    def __init__(self, env, deadline=60):
        self.env = env
        self.deadline = deadline

    def run(self, argv, stdin=""):
        """Runs a command of LSF and returns ``(exit code, stdout, stderr)``.

        Raises:
            SessionError: it did not answer in time, or its trouble did not pass.
        """
        started = time.monotonic()
        submits = argv[0] == "bsub"
        # A job inherits bsub's environment, and with it the user's own language.
        env = self.env if submits else {**self.env, "LC_ALL": "C"}
        binary = shutil.which(argv[0], path=self.env["PATH"])
        if not binary:
            raise SessionError(
                f"LSF has no {argv[0]} on its PATH.", remedy="set session_lsf_profile to the site's profile.lsf"
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
        raise SessionError(
            f"LSF did not answer `{' '.join(argv)}` within {time.monotonic() - started:.0f} s.",
            words[-500:],
            "LSF's daemons seem to be away or busy: run the same command again later, or tell the site's staff what it said",
        )

    def submit(self, script, description):
        """Submits ``script`` (its #BSUB lines are the options) and returns the job's id.

        ``description`` goes to ``-Jd``: it tells our job from others of the same name, even before it has started.

        Raises:
            SessionError: LSF refused, or did not answer.
        """
        code, out, err = self.run(["bsub", "-Jd", description], stdin=script)
        accepted = parse.submission(out + "\n" + err)
        if accepted is None:
            raise SessionError(
                f"LSF refused the job (exit code {code}).",
                err or out,
                "the refusal names the option; its value comes from the variables session_*",
            )
        return accepted[0]

    def jobs(self, *ids):
        """The user's jobs, finished ones that LSF still remembers included; only those with the given ids if any.

        Raises:
            SessionError: LSF answered with something else than jobs or their absence.
        """
        fields = " ".join(parse.JOB_FIELDS)
        code, out, err = self.run(["bjobs", "-a", "-noheader", "-o", f"{fields} delimiter='{parse.DELIMITER}'", *ids])
        found = parse.jobs(out)
        if not found and not parse.says_nothing_found(out + "\n" + err):
            raise SessionError(f"LSF did not list the jobs (exit code {code}).", err or out)
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
            SessionError: LSF refused.
        """
        code, out, err = self.run(["bkill", job_id])
        if code == 0:
            return True
        if parse.says_already_over(out + "\n" + err):
            return False
        raise SessionError(f"LSF did not end job {job_id} (exit code {code}).", err or out)

    def require_queue(self, queue):
        """Checks that the queue is there and open.

        Raises:
            SessionError: it is not; the message lists the queues there are.
        """
        _, out, err = self.run(["bqueues", "-w"])
        queues = {line.split()[0]: line.split()[2] for line in out.splitlines()[1:] if len(line.split()) > 2}
        if queue not in queues:
            raise SessionError(
                f"session_queue is {queue!r}: LSF has no such queue; it has {', '.join(sorted(queues)) or 'none'}.",
                err,
                "change session_queue in the inventory's session.yml",
            )
        if not queues[queue].startswith("Open"):
            raise SessionError(
                f"session_queue is {queue!r}: that queue is {queues[queue]} and takes no jobs now.",
                remedy="choose another queue, or wait until it opens",
            )
