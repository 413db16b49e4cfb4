# SPDX-License-Identifier: GPL-3.0-or-later
"""Jupyter's servers, of both generations, as a browser meets them."""

import contextlib
import os
import re
import socket
import subprocess
import time

import requests
from local_ports import free_port

PASSWORD = "hello-world"


def mode(path):
    return oct(path.stat().st_mode & 0o777)


@contextlib.contextmanager
def running(home, command, **environment):
    """A server of the home's, on a free port; yields its address once it answers there."""
    port = free_port()
    command = [*command, "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}"]
    keep = {key: value for key, value in os.environ.items() if not key.startswith(("JUPYTER", "DASK"))}
    with open(home / "server.log", "w") as log:
        process = subprocess.Popen(
            command, env={**keep, "HOME": str(home.path), **environment}, stdout=log, stderr=log, cwd=home.path
        )
    try:
        deadline = time.monotonic() + 60
        while socket.socket().connect_ex(("127.0.0.1", port)):
            assert process.poll() is None, (home / "server.log").read_text()
            assert time.monotonic() < deadline, (home / "server.log").read_text()
            time.sleep(0.1)
        yield f"localhost:{port}"
    finally:
        process.terminate()
        process.wait(30)


def logged_in(url, password=PASSWORD, verify=True, base="/"):
    person = requests.Session()
    person.trust_env = False  # else a bundle of the environment's would count for more
    person.verify = verify
    form = person.get(f"{url}{base}login", timeout=30).text
    field = re.search(r'name="_xsrf" value="([^"]+)"', form)[1]
    person.post(f"{url}{base}login", data={"password": password, "_xsrf": field}, timeout=30)
    return person
