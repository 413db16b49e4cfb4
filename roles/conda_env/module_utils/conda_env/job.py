# SPDX-License-Identifier: GPL-3.0-or-later
"""A command of conda's or pip's as an LSF job, for sites whose login nodes end what runs long."""

from pathlib import Path

from ansible.module_utils.conda_env import CondaEnvError
from ansible.module_utils.lsf import LsfError
from ansible.module_utils.lsf.command_job import CommandJob


def run_as_job(argv, env, deadline, stdin, job):
    """Runs a command in a job, or collects what that of a killed run has made of the same command.

    Args:
        argv: the command.
        env: its whole environment.
        deadline: when to give up, by ``time.monotonic()``; the wait in the queue counts.
        stdin: text for its standard input.
        job: as for :class:`CommandJob`.

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


class Job(CommandJob):
    """The one that an environment has."""

    word, variables, timeout = "conda_env", "conda_env_build_", "conda_env_timeout"

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
