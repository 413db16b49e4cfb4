# SPDX-License-Identifier: GPL-3.0-or-later
"""What the job runs on its node: takes a free port or a unix socket, starts the Jupyter server, says where it is.

Copied beside the session's record and called as ``python launch.py RECORD``. It imports nothing of this package.
"""

import glob
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress

#: Seconds between two looks at the server and at what is asked of this, and at a server that is about to listen.
POLL, LOOK = 2, 0.1


def take_port(address, preferred):
    """A port that is free on ``address``, ``preferred`` first, and that no other session of this node has taken.

    The server binds only seconds later, and on a node for notebooks everybody prefers the same port. So the choice is
    held by an abstract unix socket of that number, which the server inherits and the kernel frees.
    """
    for port in (preferred, 0, 0, 0):
        with socket.socket(socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0][0]) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            claim = socket.socket(socket.AF_UNIX)
            try:
                probe.bind((address, port))
                claim.bind(f"\0slipway-{probe.getsockname()[1]}")
            except OSError:
                claim.close()
                continue
            os.set_inheritable(claim.detach(), True)
            return probe.getsockname()[1]
    raise SystemExit(f"no free port on {address}")


def choose(mode, prefix, listen=""):
    """What the server listens on: ``login`` its node's address, ``jump`` the loopback, ``socket`` a unix socket.

    ``auto`` takes the last that this node and this server can do; whether an ssh from outside gets in is found out there.
    """
    if mode != "auto":
        return mode
    if listen:
        return "login"
    try:
        socket.create_connection(("localhost", 22), timeout=5).close()
    except OSError:
        return "login"
    return "jump" if is_classic(prefix) else "socket"


def listens(connection, address):
    """Whether somebody listens there now."""
    try:
        if connection["socket"]:
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(connection["socket"])
        else:
            socket.create_connection((address, connection["port"]), timeout=5).close()
    except OSError:
        return False
    return True


def read_all(pattern):
    texts = []
    for path in sorted(glob.glob(pattern)):
        with suppress(OSError), open(path) as stream:  # a hardened node may keep them to itself
            texts.append(stream.read().strip())
    return texts


def certificate(record):
    """What the server shows as its own where it speaks https, as PEM; else an empty text.

    The first one in its file: what else is there may be its key, and the authorities that signed it.
    """
    pem = r"-----BEGIN CERTIFICATE-----\s.+?-----END CERTIFICATE-----\n?"
    with suppress(OSError), open(record.get("certificate") or os.devnull, errors="replace") as stream:
        return "".join(re.findall(pem, stream.read(), re.DOTALL)[:1])
    return ""


def is_classic(prefix):
    """Whether JupyterLab there runs on the classic notebook server, which has neither ServerApp nor JUPYTER_TOKEN_FILE."""
    return bool(glob.glob(os.path.join(prefix, "lib", "python3*", "site-packages", "jupyterlab-[012].*-info")))


def write(path, data):
    with os.fdopen(os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
        json.dump(data, stream)
    os.replace(path + ".new", path)


@contextmanager
def taking_the_token(stem, prefix):
    """Has the server take the session's token out of a file.

    Other users may read a process's arguments, and some sites show a job's environment. The classic server has no option for such
    a file: it is told in one more folder of configuration, beside the user's own, which has the password.
    """
    os.environ["JUPYTER_TOKEN_FILE"] = stem + "token"
    if not is_classic(prefix):
        yield
        return
    # Beside the token, whose copy it holds: what is killed leaves it where playbooks/stop.yml looks.
    folder = stem + "notebook"
    os.makedirs(folder, mode=0o700, exist_ok=True)
    try:
        with open(stem + "token") as stream:
            token = stream.read()
        write(os.path.join(folder, "jupyter_notebook_config.json"), {"NotebookApp": {"token": token}})
        os.environ["JUPYTER_CONFIG_PATH"] = os.pathsep.join(
            filter(None, [folder, os.environ.get("JUPYTER_CONFIG_PATH")])
        )
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def keep_saying(path, words):
    """Has the file say ``words``, unless it is gone or says another job's: that is left to those who came since.

    What can't be written now, as in a full home, is tried again at the next look.
    """
    with suppress(OSError):
        try:
            with open(path) as stream:
                there = json.load(stream)
        except ValueError:  # half-written
            there = {}
        # A job that is requeued keeps its id on another host.
        ours = all(there.get(key) == words.get(key) for key in ("nonce", "job_id", "host", "pid"))
        if there != words and (ours or not there):
            write(path, words)


def serve(record, mode, stem, prefix):
    """Runs the server until it ends; returns its exit code, or the mode in which to run it anew."""
    shown = certificate(record)
    if record.get("certificate") and not shown:
        raise SystemExit(f"{record['certificate']}: no certificate (jupyter_tls); playbooks/onboard.yml makes it")
    node = socket.gethostname()
    address, port, path = {"login": record["listen"] or node, "jump": "127.0.0.1", "socket": ""}[mode], 0, ""
    if mode == "socket":
        if is_classic(prefix):
            raise SystemExit("session_tunnel_mode is socket: the classic notebook server has none; set it to jump")
        # Of mode 0700, on the node's own disk, where sockets work; its name is nobody's to guess.
        path = os.path.join(tempfile.mkdtemp(prefix="slipway-"), "jupyter.sock")
        options = [f"--ServerApp.sock={path}", "--ServerApp.sock_mode=0600"]
    else:
        port = take_port(address, record["server_port"])
        options = [f"--ip={address}", f"--port={port}", "--ServerApp.port_retries=0"]
    if shown:
        options.append(f"--certfile={record['certificate']}")
        options += [f"--keyfile={record['certificate_key']}"] if record.get("certificate_key") else []
    options += record["server_arguments"]
    if is_classic(prefix):
        options = [re.sub("^--ServerApp[.]", "--NotebookApp.", option) for option in options]
    binary = os.path.join(prefix, "bin", "jupyter-lab")
    server = subprocess.Popen([binary, "--no-browser", *options], close_fds=False)
    connection = {
        "nonce": record["nonce"],
        "job_id": os.environ["LSB_JOBID"],
        "node": node,
        # LSF's own name for it, which is what bjobs shows.
        "host": os.environ.get("LSB_HOSTS", "").split(" ")[0] or node,
        "port": port,
        "pid": server.pid,
        "mode": mode,
        "socket": path,
        # Who asks the server knows it by this.
        "scheme": "https" if shown else "http",
        "certificate": shown,
        # Who reaches this node by ssh knows it by these, which came over the shared home.
        "host_keys": read_all("/etc/ssh/ssh_host_*_key.pub"),
        "listens": False,
    }
    write(stem + "connection", connection)
    try:
        while server.poll() is None:
            # The server reads its certificate anew for each connection, so that one that is renewed counts at once.
            connection["certificate"] = certificate(record) or shown
            connection["listens"] = connection["listens"] or listens(connection, address)
            keep_saying(stem + "connection", connection)
            if os.path.exists(stem + "mode"):
                with open(stem + "mode") as stream:
                    asked = stream.read().strip()
                os.unlink(stem + "mode")
                server.terminate()
                server.wait()
                return asked
            # A look at the shared home now and then; the first ones are what somebody waits for.
            time.sleep(POLL if connection["listens"] else LOOK)
    finally:
        if path:
            shutil.rmtree(os.path.dirname(path), ignore_errors=True)
    return server.returncode if server.returncode >= 0 else 128 - server.returncode


def main(record_path):
    with open(record_path) as stream:
        record = json.load(stream)
    if record.get("job_id") not in (None, os.environ["LSB_JOBID"]):
        raise SystemExit("this job belongs to an earlier session")
    stem = record_path[: -len("json")]

    # LSF shows a job's output only after its end; the server's words are needed while it lives.
    log = os.open(stem + "server.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)

    # Where a link leads to now: what runs keeps its environment when the link is switched to a newer one.
    prefix = os.path.realpath(record["env_prefix"])
    os.environ.update(
        PATH=os.path.join(prefix, "bin") + os.pathsep + os.environ["PATH"],
        CONDA_PREFIX=prefix,
    )
    os.chdir(os.path.expanduser("~"))
    # LSF signals the whole process group: the server ends as it sees fit, and this waits for it. A handler, not SIG_IGN,
    # which the server would inherit.
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR2):
        signal.signal(number, lambda *_: None)
    # When the job began, by the shared file system's clock, since those of hosts differ.
    with os.fdopen(os.open(stem + "started", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
        stream.write(os.environ["LSB_JOBID"])
    outcome = choose(record.get("mode", "login"), prefix, record["listen"])
    with taking_the_token(stem, prefix):
        while isinstance(outcome, str):
            outcome = serve(record, outcome, stem, prefix)
    sys.exit(outcome)


if __name__ == "__main__":
    main(sys.argv[1])
