# SPDX-License-Identifier: GPL-3.0-or-later
"""What the job runs on its node: takes a free port, says where it is, becomes the Jupyter server.

Copied beside the session's record and called as ``python launch.py RECORD``. It imports nothing of this package.
"""

import json
import os
import socket
import sys


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


def main(record_path):
    with open(record_path) as stream:
        record = json.load(stream)
    if record.get("job_id") not in (None, os.environ["LSB_JOBID"]):
        raise SystemExit("this job belongs to an earlier session")
    stem = record_path[: -len("json")]
    node = socket.gethostname()
    address = record["listen"] or node
    port = take_port(address, record["server_port"])

    # LSF shows a job's output only after its end; the server's words are needed while it lives.
    log = os.open(stem + "server.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)

    connection = {
        "nonce": record["nonce"],
        "job_id": os.environ["LSB_JOBID"],
        "node": node,
        # LSF's own name for it, which is what bjobs shows.
        "host": os.environ.get("LSB_HOSTS", "").split(" ")[0] or node,
        "port": port,
        "pid": os.getpid(),
    }
    temporary = stem + "connection.new"
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
        json.dump(connection, stream)
    os.replace(temporary, stem + "connection")

    # Where a link leads to now: what runs keeps its environment when the link is switched to a newer one.
    prefix = os.path.realpath(record["env_prefix"])
    os.environ.update(
        PATH=os.path.join(prefix, "bin") + os.pathsep + os.environ["PATH"],
        CONDA_PREFIX=prefix,
        # A path, not the token: other users may read a process's arguments, and some sites show a job's environment.
        JUPYTER_TOKEN_FILE=stem + "token",
    )
    os.chdir(os.path.expanduser("~"))
    server = os.path.join(prefix, "bin", "jupyter-lab")
    options = ["--no-browser", f"--ip={address}", f"--port={port}", "--ServerApp.port_retries=0"]
    os.execv(server, [server, *options, *record["server_arguments"]])


if __name__ == "__main__":
    main(sys.argv[1])
