# SPDX-License-Identifier: GPL-3.0-or-later
"""One job on its host: the process that LSF calls res. A fork of the server, in a session of its own, running as the user.

It outlives the server. What it has to say goes as JSON lines into a record that the server opened for it; it
holds a lock on that record as long as it lives, so that a later server can tell a live job from a dead one.
"""

import contextlib
import fcntl
import json
import os
import pwd
import select
import signal
import socket
import time
import traceback

from . import nios, report
from .protocol import TREE, at_path

HANGUP_GRACE = 2.0  # seconds from SIGHUP to SIGKILL for a job whose bsub -I is gone


def shepherd(job: dict, script: str, env: dict, host: str, record: int, words) -> None:
    """Run the job to its end and leave the process."""
    code = 255
    try:
        os.setsid()
        job["start_time"] = time.time()
        _restore_signals()
        user = _become(job["uid"], job["gid"])
        env = _environment(job, env, host, user)
        cwd = _change_folder(job["cwd"])
        os.umask(job["umask"])
        spool = _spool(job, script, env["HOME"])
        run = _interactive if job["mode"] else _batch
        code, cpu = run(job, spool, env, host, lambda pid: _say(record, pid=pid, home=env["HOME"], cwd=cwd))
        if not job["mode"]:
            report.write(job, script, host, env["HOME"], cwd, spool, code, cpu, words)
        _sweep(spool)
        _say(record, code=code, cpu=cpu)
    except BaseException:
        traceback.print_exc()  # into the server's log
        _say(record, code=255, cpu=0.0)
    finally:
        os._exit(0)


def _say(record: int, **message) -> None:
    os.write(record, json.dumps(message).encode() + b"\n")


def _restore_signals() -> None:
    """Python ignores SIGPIPE, and whoever started the server may have ignored SIGINT: a job starts with defaults."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def _become(uid: int, gid: int):
    user = pwd.getpwuid(uid)
    if os.geteuid() == 0:
        os.initgroups(user.pw_name, gid)
        os.setgid(gid)
        os.setuid(uid)
    return user


def _environment(job: dict, env: dict, host: str, user) -> dict:
    """The environment of the submission, and what LSF adds."""
    hosts = [name for name, count in job["hosts"] for _ in range(count)]
    env = {"HOME": user.pw_dir, "USER": user.pw_name, "LOGNAME": user.pw_name, "SHELL": user.pw_shell} | env
    env |= {
        "LSB_JOBID": str(job["id"]),
        "LSB_BATCH_JID": str(job["id"]),
        "LSB_JOBINDEX": "0",
        "LSB_JOBNAME": job["name"],
        "LSB_QUEUE": job["queue"],
        "LSB_HOSTS": " ".join(hosts),
        "LSB_MCPU_HOSTS": "".join(f"{name} {count} " for name, count in job["hosts"]),
        "LSB_DJOB_NUMPROC": str(job["slots"]),
        "LSB_MAX_NUM_PROCESSORS": str(job["slots"]),
        "LSB_SUB_HOST": job["from_host"],
        "LSB_SUB_USER": user.pw_name,
        "LSFUSER": user.pw_name,
        "LS_SUBCWD": job["cwd"],
        "LS_JOBPID": str(os.getpid()),
        "LSF_ENVDIR": os.environ.get("LSF_ENVDIR", TREE + "/conf"),
        "LSF_BINDIR": TREE + "/10.1/bin",
        "LSF_LIBDIR": TREE + "/lib",
        "LSF_SERVERDIR": TREE + "/etc",
        "HOSTNAME": host,
        "PWD": job["cwd"],
    }
    if job["mode"]:
        env["LSB_INTERACTIVE"] = "Y"
    for variable, value in (("LSB_OUTPUTFILE", job["output"]), ("LSB_ERRORFILE", job["error"])):
        if value:
            env[variable] = value
    return env


def _change_folder(cwd: str) -> str:
    try:
        os.chdir(cwd)
    except OSError:  # a folder that this host lacks: LSF falls back to /tmp
        os.chdir("/tmp")
    return os.getcwd()


def _spool(job: dict, script: str, home: str) -> str:
    """~/.lsbatch/<time>.<id>, the script, with the mode that lets a #! line do its work. A full home fails here, as in LSF."""
    folder = home + "/.lsbatch"
    os.makedirs(folder, mode=0o700, exist_ok=True)
    path = f"{folder}/{int(job['submit_time'])}.{job['id']}"
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o700), "w", errors="surrogateescape") as file:
        file.write(script if script.endswith("\n") else script + "\n")
    return path


def _sweep(spool: str) -> None:
    for suffix in ("", ".out", ".err"):
        if os.path.exists(spool + suffix):
            os.unlink(spool + suffix)


def _execute(spool: str, env: dict) -> None:
    """In the child: become the job. A script with #! is its own program, any other is /bin/sh's."""
    env["LSB_JOBFILENAME"] = spool
    with open(spool, "rb") as file:
        argv = [spool] if file.read(2) == b"#!" else ["/bin/sh", spool]
    try:
        os.execve(argv[0], argv, env)
    except OSError as error:
        os.write(2, f"{argv[0]}: {error.strerror}\n".encode())
    os._exit(127)


def _exit_code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code


def _batch(job: dict, spool: str, env: dict, host: str, say_pid) -> tuple:
    """Output goes to ~/.lsbatch and reaches -o and -e at the job's end."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
    output = os.open(spool + ".out", flags, 0o600)
    error = os.open(spool + ".err", flags, 0o600) if job["error"] else output
    pid = os.fork()
    if pid == 0:
        os.setpgid(0, 0)
        for source, target in ((os.open(os.devnull, os.O_RDONLY), 0), (output, 1), (error, 2)):
            os.dup2(source, target)
        _execute(spool, env)
    say_pid(pid)
    _, status, usage = os.wait4(pid, 0)
    return _exit_code(status), usage.ru_utime + usage.ru_stime


def _interactive(job: dict, spool: str, env: dict, host: str, say_pid) -> tuple:
    """bsub -I: stdin, stdout and stderr are the submitter's, over its socket; with a terminal there, a pty here."""
    client = socket.socket(socket.AF_UNIX)
    at_path(client.connect, job["nios"])
    client.sendall(nios.frame("h", host.encode()))
    if job["tty"] and job["mode"] != "I":
        master, inside = os.openpty()
        ends, to_job, from_job = (inside, inside), master, master
    else:
        stdin, to_job = os.pipe()
        from_job, stdout = os.pipe()
        ends = (stdin, stdout)
    pid = os.fork()
    if pid == 0:
        os.dup2(ends[0], 0)
        os.dup2(ends[1], 1)
        os.dup2(ends[1], 2)
        if to_job == from_job:
            import termios

            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        else:
            os.setpgid(0, 0)
        _execute(spool, env)
    say_pid(pid)
    for end in set(ends):
        os.close(end)
    status, usage = _pump(pid, client, to_job, from_job)
    code = _exit_code(status)
    with contextlib.suppress(OSError):  # the submitter is gone, which ended the job
        client.sendall(nios.frame("x", str(code).encode()))
    return code, usage.ru_utime + usage.ru_stime


def _pump(pid: int, client, to_job: int, from_job: int) -> tuple:
    """Carry bytes until the job is over and its output drained. Returns (status, usage)."""
    frames, readable, kill_at, done = nios.Frames(), [client, from_job], 0.0, None
    while True:
        ready, _, _ = select.select(readable, [], [], 0.05 if done else 0.2)
        if from_job in ready:
            try:
                data = os.read(from_job, 1 << 16)
            except OSError:  # a pty whose last user left
                data = b""
            if not data:
                readable.remove(from_job)
            elif client in readable:
                try:
                    client.sendall(nios.frame("o", data))
                except OSError:
                    readable.remove(client)
                    kill_at = _hang_up(pid)
        if client in ready and client in readable and not _from_client(pid, client, frames, to_job):
            readable.remove(client)
            kill_at = _hang_up(pid)
        if done and from_job not in ready:  # nothing more comes; a left-over child may keep the pipe open
            return done
        if kill_at and not done and time.monotonic() > kill_at:
            _signal_group(pid, signal.SIGKILL)
        if not done:
            ended, status, usage = os.wait4(pid, os.WNOHANG)
            done = (status, usage) if ended else None


def _from_client(pid: int, client, frames, to_job: int) -> bool:
    """Input, end of input, a signal. False once the client is gone."""
    try:
        data = client.recv(1 << 16)
    except OSError:
        data = b""
    for kind, body in frames.feed(data):
        try:
            if kind == "i":
                os.write(to_job, body)
            elif kind == "e":
                os.close(to_job)
            elif kind == "s":
                _signal_group(pid, int(body))
        except OSError:  # the job closed its stdin
            pass
    return bool(data)


def _hang_up(pid: int) -> float:
    _signal_group(pid, signal.SIGHUP)
    return time.monotonic() + HANGUP_GRACE


def _signal_group(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)
