# SPDX-License-Identifier: GPL-3.0-or-later
"""LSF's commands as processes: the environment they need, and one call of one of them."""

import contextlib
import os
import shutil
import signal
import subprocess
import time

from . import LsfError

#: Seconds for a login shell to say what its environment is, and between two looks at whether a command has ended.
SHELL_TIMEOUT = 30
LOOK = 1


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
        _, out, err, late = call(argv, b"", inherited, SHELL_TIMEOUT)
    except OSError as error:
        raise LsfError(f"{source} could not be read for LSF's environment.", str(error)) from error
    said = os.fsdecode(err)[-500:]
    if late:
        raise LsfError(f"{source} could not be read for LSF's environment within {SHELL_TIMEOUT} s.", said)
    # What profiles print comes before the marker.
    printed = os.fsdecode(out).rpartition("\0slipway\0")[2]
    found = dict(entry.split("=", 1) for entry in printed.split("\0") if "=" in entry)
    if not shutil.which("bsub", path=found.get("PATH", "")):
        raise LsfError(
            f"{source} does not put LSF's bsub on PATH.",
            said,
            f"set {variables}lsf_profile to the site's profile.lsf (often /opt/ibm/lsf/conf/profile.lsf), or check the login host",
        )
    return {**inherited, **found}


def call(argv, stdin, env, timeout):
    """Runs a command for at most ``timeout`` seconds, and returns ``(exit code, stdout, stderr, whether it was cut off)``; texts are bytes.

    Sites wrap LSF's commands in scripts, and what a wrapper started goes on when the wrapper is killed, with our pipes in
    its hands: so the command gets a process group of its own, which ends as a whole. And what outlives a command that ended by
    itself, as an agent that a profile starts, is neither waited for nor ended.

    Raises:
        OSError: the command cannot be run.
    """
    process = subprocess.Popen(
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=env,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + timeout
        out, err, whole = _read(process, stdin, min(LOOK, timeout))
        ended = False
        while not (whole or ended) and time.monotonic() < deadline:
            ended = process.poll() is not None
            out, err, whole = _read(process, None, min(LOOK, max(0.0, deadline - time.monotonic())))
        late = process.poll() is None
        if late:
            _end(process)
            out, err, _ = _read(process, None, LOOK)
    finally:
        if process.poll() is None:  # interrupted
            _end(process)
        for stream in (process.stdin, process.stdout, process.stderr):
            with contextlib.suppress(OSError):
                stream.close()
    return process.returncode, out, err, late


def _read(process, stdin, seconds):
    """What the process wrote up to now, and whether that is all."""
    try:
        return (*process.communicate(stdin, seconds), True)
    except subprocess.TimeoutExpired as error:
        return error.stdout or b"", error.stderr or b"", False


def _end(process):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
