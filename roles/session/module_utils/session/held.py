# SPDX-License-Identifier: GPL-3.0-or-later
"""Submits an interactive job, which bsub itself has to stay for: a holder on this login node keeps it, without anybody's terminal."""

import inspect
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from ..lsf import LsfError, parse
from ..lsf.client import Unanswered
from . import holder
from .record import write_private

#: Seconds for the submission to be taken, since bsub itself waits for ever while a daemon is away; between two looks; for a holder to end.
SUBMISSION = 60
LOOK = 0.3
ENDING = 5


def arguments(script, description, output):
    """The argv of ``bsub -Is`` for a script: its input is a terminal, so that its options and its command are arguments.

    ``output``, the file of LSF's report on a batch job, is left out: what an interactive one says goes to its terminal.
    """
    options, command = [], []
    for line in script.splitlines():
        if line.startswith("#BSUB "):
            words = shlex.split(line[len("#BSUB ") :], comments=True)
            options += [] if words[:1] == ["-o"] and Path(words[1]) == Path(output) else words
        elif line and not line.startswith("#"):
            command += shlex.split(line)
    return ["bsub", "-Is", "-Jd", description, *options, *command[command[:1] == ["exec"] :]]


def submit(lsf, record, argv, description):
    """As ``Lsf.submit``, for an interactive job. Returns its id, and that of the process which holds it on this host.

    Args:
        lsf, record: of the session.
        argv: what :func:`arguments` returned.
        description: what tells the job from others.

    Raises:
        Unanswered: LSF's answer did not come, and no job with this description is to be seen; bsub has been ended.
        LsfError: LSF refused, or has no descriptions, so that nobody could tell our job from another.
    """
    if not lsf.form:
        lsf.jobs()
    if lsf.form == "columns":
        raise LsfError(
            "the queue takes interactive jobs only, and this LSF's bsub has no descriptions (-Jd), by which Slipway knows its own jobs.",
            remedy="choose a queue for batch jobs in the inventory (session_queue)",
        )
    log, program = record.beside("bsub.log"), record.beside("holder.py")
    write_private(program, inspect.getsource(holder))
    write_private(log, "")
    lsf.watch()
    nothing = subprocess.DEVNULL
    process = subprocess.Popen(
        [sys.executable, str(program), str(log), *argv],
        env=lsf.env,
        cwd=os.path.expanduser("~"),
        stdin=nothing,
        stdout=nothing,
        stderr=nothing,
        start_new_session=True,
    )
    try:
        return _taken(lsf, process, log, description), process.pid
    except BaseException:
        _end(process)
        raise


def _taken(lsf, process, log, description):
    deadline = time.monotonic() + SUBMISSION
    ended = False
    while True:
        words = log.read_text(errors="replace")
        accepted = parse.submission(words)
        if accepted:
            return accepted[0]
        if ended or time.monotonic() > deadline:
            break
        # What it said last is read once more.
        ended = process.poll() is not None
        lsf.watch()
        time.sleep(0 if ended else LOOK)
    if ended and not parse.says_cut_off(words):
        raise LsfError("LSF refused the interactive job.", words[-500:], lsf.way_out(words))
    # It may have been taken all the same, whatever bsub says; then its bsub is what keeps it alive.
    taken = lsf.taken(description)
    if taken:
        return taken
    raise Unanswered(
        f"LSF did not answer bsub -Is within {SUBMISSION} s.",
        words[-500:],
        "LSF's daemons seem to be away or busy: run the same command again later, or tell the site's staff what it said",
    )


def _end(process):
    """Ends the holder, and with it bsub and its terminal."""
    if process.poll() is not None:
        return
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(ENDING)
    except subprocess.TimeoutExpired:
        # Its terminal closes, and bsub gets the hangup.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def release(record):
    """Ends the holder of a job that is over, if it is on this host and still there: LSF may have left its bsub without a word."""
    pid = record.data.get("holder")
    if not pid or record.data.get("login_host") != socket.gethostname():
        return
    with suppress(OSError):
        # That id may be another process's by now.
        if str(record.beside("holder.py")) in Path(f"/proc/{pid}/cmdline").read_text().split("\0"):
            os.killpg(pid, signal.SIGTERM)
