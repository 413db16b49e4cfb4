# SPDX-License-Identifier: GPL-3.0-or-later
"""LSF's commands as processes: the environment they need, and one call of one of them."""

import contextlib
import os
import shutil
import signal
import subprocess

from . import LsfError

#: Seconds for a login shell to say what its environment is, and for an ended command's pipes to close.
SHELL_TIMEOUT = 30
CLOSING = 5


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
    its hands: so the command gets a process group of its own, which ends as a whole.

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
    late = False
    try:
        out, err = process.communicate(stdin, timeout)
    except subprocess.TimeoutExpired:
        late = True
        _end(process)
        try:
            out, err = process.communicate(timeout=CLOSING)
        except subprocess.TimeoutExpired as error:  # something left the group and holds the pipes
            out, err = error.stdout or b"", error.stderr or b""
    except BaseException:
        _end(process)
        raise
    return process.returncode, out, err, late


def _end(process):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
