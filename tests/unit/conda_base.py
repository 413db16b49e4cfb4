# SPDX-License-Identifier: GPL-3.0-or-later
"""A person's home with the conda stand-in in it, and a loopback web server, for tests that run natively."""

import functools
import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[2]


def build_channel() -> Path:
    """The channel's folder, from the cache unless something changed."""
    build = [PROJECT / "molecule/resources/channel/build", "--arch", "amd64"]
    done = subprocess.run(build, stdout=subprocess.PIPE, text=True, check=True, timeout=600)
    return Path(done.stdout.splitlines()[-1])


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The URL of a folder on a loopback web server."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class Home:
    """A home with an installation."""

    def __init__(self, path: Path, installer: Path, base: str = "miniconda3") -> None:
        self.path, self.base = path, path / base
        self.environ = {"HOME": str(path), "PATH": "/usr/bin:/bin", "CONDA_REMOTE_MAX_RETRIES": "0"}
        self.installed = self.sh(f"sh {installer} -b -p {self.base}")
        assert self.installed.returncode == 0, self.installed.stderr

    def run(self, argv: list[Any]) -> subprocess.CompletedProcess[str]:
        """A command of this person."""
        options = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True, "timeout": 240}
        return subprocess.run(argv, env=self.environ, cwd=self.path, **options)

    def sh(self, script: str) -> subprocess.CompletedProcess[str]:
        """A script of this person."""
        return self.run(["bash", "-c", script])

    def conda(self, *words: str, rc: int = 0) -> subprocess.CompletedProcess[str]:
        """A conda command that ends with this code."""
        done = self.run([self.base / "bin/conda", *words])
        assert done.returncode == rc, done.stdout + done.stderr
        return done

    def json(self, *words: str, rc: int = 0) -> Any:
        """Its answer with --json."""
        return json.loads(self.conda(*words, "--json", rc=rc).stdout)
