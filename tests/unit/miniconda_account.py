# SPDX-License-Identifier: GPL-3.0-or-later
"""A home of its own, a web server on 127.0.0.1, and the scripts of roles/miniconda/files run there as the role sends them."""

import hashlib
import json
import os
import pwd
import re
import shutil
import subprocess
import tempfile
import textwrap
import threading
import time
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlparse

FILES = Path(__file__).parents[2] / "roles/miniconda/files"
# As tasks/run.yml sends them: one behind the other, as one script.
INSTALL, REMOVE = (
    "\n".join((FILES / name).read_text() for name in names)
    for names in (["common.sh", "obtain.sh", "install.sh"], ["common.sh", "remove.sh"])
)
NAME = "Miniconda3-test-Linux-any.sh"

# A self-extracting folder like the real ones: -b -f -u -p PREFIX; INSTALL_PAUSE makes it slow enough to be killed half-way.
INSTALLER = r"""
    #!/bin/sh
    while getopts bfup: option; do [ "$option" = p ] && prefix=$OPTARG; done
    mkdir -p "$prefix/bin" "$prefix/conda-meta"
    sleep "${INSTALL_PAUSE:-0}"
    [ -z "${INSTALL_FAILS:-}" ] || { echo 'ERROR: Not enough free disk space.' >&2; exit 1; }
    printf '#!/bin/sh\n' >"$prefix/bin/python"
    cat >"$prefix/bin/conda" <<'CONDA'
    #!/bin/sh
    case $1 in
        --version) echo conda @VERSION@ ;;
        init) shift; for shell; do
            case $shell in bash) rc=.bashrc ;; zsh) rc=.zshrc ;; tcsh) rc=.tcshrc ;; esac
            printf '\n%s\n%s\n%s\n\n' '# >>> conda initialize >>>' ". ${0%/bin/conda}/etc/profile.d/conda.sh" '# <<< conda initialize <<<' \
                >>"$HOME/$rc"; done ;;
    esac
    CONDA
    chmod +x "$prefix"/bin/*
    touch "$prefix/conda-meta/history"
    exit 0
    """


class Server(ThreadingHTTPServer):
    """Serves a folder; `cut` ends a transfer after so many bytes, that many times; `ranges` makes it able to continue one;
    `busy` answers 503 that many times."""

    def __init__(self, folder):
        self.folder, self.cut, self.cuts_left, self.ranges, self.pause, self.busy = folder, 0, 0, True, 0, 0
        self.log, self.asked = [], []
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/{NAME}"


class Handler(SimpleHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        path = server.folder / urlparse(self.path).path.lstrip("/")  # as a proxy it is asked for whole URLs
        server.asked.append(self.path)
        server.log.append(self.headers.get("Range"))
        if server.busy:
            server.busy -= 1
            self.send_error(503)
            return
        if not path.is_file():
            self.send_error(404)
            return
        body, start = path.read_bytes(), 0
        if server.ranges and (asked := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")):
            start = int(asked[1])
            if start >= len(body):
                self.send_error(416)
                return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        time.sleep(server.pause)
        if server.cuts_left:
            server.cuts_left -= 1
            self.wfile.write(body[start : start + server.cut])
            self.close_connection = True
        else:
            self.wfile.write(body[start:])

    def log_message(self, *_):
        pass


class Account:
    """A home of its own, and the script run in it. As root the user is `nobody`, since nothing is forbidden to root."""

    def __init__(self, home, server):
        self.home, self.server = home, server
        self.prefix = home / "local/miniconda3"
        self.marker = self.prefix / ".slipway.json"
        self.hidden = home / "local/.miniconda3.slipway"
        self.env = {"HOME": str(home), "PATH": os.environ["PATH"]}
        self.uid = pwd.getpwnam("nobody").pw_uid if os.getuid() == 0 else None

    @property
    def sum(self):
        """Of the small installer, as it is served now."""
        return hashlib.sha256((self.server.folder / NAME).read_bytes()).hexdigest()

    def start(self, env=None, **options):
        ours = {"prefix": self.prefix, "url": self.server.url, "timeout": 30, "init": "bash"}
        if "sha256" not in options:
            ours["sha256"] = self.sum
        return self.start_script(INSTALL, ours | options, env)

    def start_script(self, script, options, env=None):
        words = [f"--{key}={value}" for key, value in options.items()]
        # As Ansible sends it: the script is an argument, standard input stays free.
        return subprocess.Popen(
            ["sh", "-c", script, "script.sh", *words],
            env=self.env | (env or {}), user=self.uid, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip

    def run(self, **options):
        return self.answers(self.start(**options))

    def start_remove(self, **options):
        return self.start_script(REMOVE, {"prefix": self.prefix, "timeout": 30} | options)

    def remove(self, **options):
        return self.answers(self.start_remove(**options))

    @staticmethod
    def answers(process):
        output, _ = process.communicate(timeout=120)
        answers = dict(re.findall(r"(?m)^slipway:(\w+)=(.*)$", output))
        assert (process.returncode != 0) == ("error" in answers), output
        return answers

    def owned(self, path, text=None):
        path.mkdir(parents=True) if text is None else path.write_text(text)
        for part in (path, *path.parents):
            if part.is_relative_to(self.home) and self.uid is not None:
                os.chown(part, self.uid, -1)
        return path

    def assert_installed(self, version="23.10.0"):
        assert json.loads(self.marker.read_text()) == {
            "state": "complete", "version": version, "url": self.server.url, "sha256": self.sum,
        }  # fmt: skip
        assert not self.hidden.exists()
        assert (self.home / ".bashrc").read_text().count(">>> conda initialize") == 1

    @property
    def bashrc(self):
        return self.home / ".bashrc"


def installer(version="23.10.0"):
    # Larger than a pipe or a socket buffer, so that a transfer can break in its middle.
    padding = "".join(f": {n:060d}\n" for n in range(20000))
    return textwrap.dedent(INSTALLER).lstrip().replace("@VERSION@", version) + padding


@contextmanager
def serving(folder):
    with Server(folder) as instance:
        thread = threading.Thread(target=instance.serve_forever, daemon=True)
        thread.start()
        yield instance
        instance.shutdown()
        thread.join()


@contextmanager
def new_account(server):
    # Not below tmp_path, which only its owner may enter.
    home = Path(tempfile.mkdtemp(prefix="slipway-home-"))
    account = Account(home, server)
    home.chmod(0o755)
    if account.uid is not None:
        os.chown(home, account.uid, -1)
    yield account
    shutil.rmtree(home)
