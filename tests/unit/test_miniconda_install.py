# SPDX-License-Identifier: GPL-3.0-or-later
"""roles/miniconda/files/install.sh, run for real by an ordinary user: a small installer, a web server on 127.0.0.1, and accidents."""

import fcntl
import hashlib
import json
import os
import pwd
import re
import shutil
import signal
import stat
import subprocess
import tempfile
import textwrap
import threading
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "roles/miniconda/files/install.sh"
NAME = "Miniconda3-test-Linux-any.sh"

# A self-extracting folder like the real ones: -b -f -p PREFIX; INSTALL_PAUSE makes it slow enough to be killed half-way.
INSTALLER = r"""
    #!/bin/sh
    while getopts bfp: option; do [ "$option" = p ] && prefix=$OPTARG; done
    mkdir -p "$prefix/bin" "$prefix/conda-meta"
    sleep "${INSTALL_PAUSE:-0}"
    [ -z "${INSTALL_FAILS:-}" ] || { echo 'ERROR: Not enough free disk space.' >&2; exit 1; }
    printf '#!/bin/sh\n' >"$prefix/bin/python"
    cat >"$prefix/bin/conda" <<'CONDA'
    #!/bin/sh
    case $1 in
        --version) echo conda 23.10.0 ;;
        init) shift; for shell; do
            case $shell in bash) rc=.bashrc ;; zsh) rc=.zshrc ;; tcsh) rc=.tcshrc ;; esac
            printf '%s\n' '# >>> conda initialize >>>' '# <<< conda initialize <<<' >>"$HOME/$rc"; done ;;
    esac
    CONDA
    chmod +x "$prefix"/bin/*
    touch "$prefix/conda-meta/history"
    exit 0
    """


class Server(ThreadingHTTPServer):
    """Serves a folder; `cut` ends a transfer after so many bytes, that many times; `ranges` makes it able to continue one."""

    def __init__(self, folder):
        self.folder, self.cut, self.cuts_left, self.ranges, self.pause, self.log = folder, 0, 0, True, 0, []
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/{NAME}"


class Handler(SimpleHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        path = server.folder / self.path.lstrip("/")
        server.log.append(self.headers.get("Range"))
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


@pytest.fixture
def server(tmp_path):
    folder = tmp_path / "www"
    folder.mkdir()
    # Larger than a pipe or a socket buffer, so that a transfer can break in its middle.
    padding = "".join(f": {n:060d}\n" for n in range(20000))
    (folder / NAME).write_text(textwrap.dedent(INSTALLER).lstrip() + padding)
    with Server(folder) as instance:
        thread = threading.Thread(target=instance.serve_forever, daemon=True)
        thread.start()
        yield instance
        instance.shutdown()
        thread.join()


class Account:
    """A home of its own, and the script run in it. As root the user is `nobody`, since nothing is forbidden to root."""

    def __init__(self, home, server):
        self.home, self.server = home, server
        self.prefix = home / "local/miniconda3"
        self.marker = self.prefix / ".slipway.json"
        self.hidden = home / "local/.miniconda3.slipway"
        self.env = {"HOME": str(home), "PATH": os.environ["PATH"]}
        self.sum = hashlib.sha256((server.folder / NAME).read_bytes()).hexdigest()
        self.uid = pwd.getpwnam("nobody").pw_uid if os.getuid() == 0 else None

    def start(self, env=None, **options):
        options = {
            "prefix": self.prefix,
            "url": self.server.url,
            "sha256": self.sum,
            "timeout": 30,
            "init": "bash",
        } | options
        words = [f"--{key}={value}" for key, value in options.items()]
        # As Ansible sends it: the script is an argument, standard input stays free.
        return subprocess.Popen(
            ["sh", "-c", SCRIPT.read_text(), "install.sh", *words],
            env=self.env | (env or {}), user=self.uid, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip

    def run(self, **options):
        process = self.start(**options)
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

    def assert_installed(self):
        assert json.loads(self.marker.read_text()) == {
            "state": "complete", "version": "23.10.0", "url": self.server.url, "sha256": self.sum,
        }  # fmt: skip
        assert not self.hidden.exists()
        assert (self.home / ".bashrc").read_text().count(">>> conda initialize") == 1


@pytest.fixture
def account(server):
    # Not below tmp_path, which only its owner may enter.
    home = Path(tempfile.mkdtemp(prefix="slipway-home-"))
    account = Account(home, server)
    home.chmod(0o755)
    if account.uid is not None:
        os.chown(home, account.uid, -1)
    yield account
    shutil.rmtree(home)


def test_fresh_home_then_nothing_to_do(account):
    assert account.run() == {"state": "absent", "changed": "yes"}
    account.assert_installed()
    before = {path: path.lstat().st_mtime_ns for path in account.home.rglob("*")}
    assert account.run() == {"state": "complete", "changed": "no"}
    assert before == {path: path.lstat().st_mtime_ns for path in account.home.rglob("*")}
    assert len(account.server.log) == 1


def test_check_says_the_same_and_writes_nothing(account):
    assert account.run(check="yes") == {"state": "absent", "changed": "yes"}
    assert list(account.home.iterdir()) == []
    account.run(init="")
    assert account.run(check="yes", init="") == {"state": "complete", "changed": "no"}
    assert account.run(check="yes") == {"state": "complete", "changed": "yes"}
    assert not (account.home / ".bashrc").exists()


def test_shells_are_initialised_once_each(account):
    account.run()
    assert account.run(init="bash zsh tcsh")["changed"] == "yes"
    assert account.run(init="bash zsh tcsh")["changed"] == "no"
    account.assert_installed()
    assert all((account.home / name).exists() for name in (".zshrc", ".tcshrc"))


@pytest.fixture(params=["curl", "wget"])
def only(request, account, tmp_path):
    """A PATH on which one of the two downloaders is missing."""
    if not shutil.which(request.param):
        pytest.skip(f"no {request.param} here")
    folder = account.home / "bin"
    folder.mkdir()
    for directory in map(Path, ("/usr/local/bin", "/usr/bin", "/bin")):
        for tool in directory.iterdir() if directory.is_dir() else ():
            if tool.name not in {"curl", "wget"} - {request.param} and not (folder / tool.name).is_symlink():
                (folder / tool.name).symlink_to(tool)
    account.env["PATH"] = str(folder)
    return request.param


@pytest.mark.usefixtures("only")
@pytest.mark.parametrize("ranges", [True, False])
def test_a_broken_transfer_is_continued_or_begun_anew(account, server, ranges):
    server.cut, server.cuts_left, server.ranges = 300_000, 1, ranges
    assert account.run()["changed"] == "yes"
    account.assert_installed()
    assert server.log[1] == "bytes=300000-"
    assert len(server.log) <= (2 if ranges else 3)


@pytest.mark.usefixtures("only")
def test_a_server_that_keeps_breaking_leaves_only_the_part_and_the_next_run_continues(account, server):
    server.cut, server.cuts_left = 200_000, 9
    error = account.run()["error"]
    assert server.url in error
    assert "proxy" in error
    assert not account.prefix.exists()
    server.cuts_left = 0
    assert account.run()["changed"] == "yes"
    account.assert_installed()


@pytest.mark.usefixtures("only")
def test_wrong_checksum(account):
    error = account.run(sha256="0" * 64)["error"]
    assert f"has sha256 {account.sum}, but {'0' * 64} is expected" in error
    assert "miniconda_installer_sha256" in error
    assert not account.prefix.exists()
    assert not account.hidden.exists()
    assert len(account.server.log) == 1
    account.run()
    account.assert_installed()


@pytest.mark.usefixtures("only")
def test_installer_not_found(account, server):
    error = account.run(url=server.url + ".gone")["error"]
    assert "404" in error
    assert "miniconda_installer_url" in error
    assert not account.hidden.exists()


def test_nobody_answers(account, server):
    error = account.run(url="http://127.0.0.1:9/x.sh")["error"]
    assert "http://127.0.0.1:9/x.sh could not be downloaded" in error


def test_no_downloader(account, tmp_path):
    account.env["PATH"] = str(account.owned(account.home / "bin"))
    for tool in (
        "id",
        "date",
        "dirname",
        "basename",
        "df",
        "awk",
        "mkdir",
        "rm",
        "uname",
        "ls",
        "grep",
        "flock",
        "tail",
        "tr",
        "sha256sum",
    ):
        (account.home / "bin" / tool).symlink_to(shutil.which(tool))
    (account.home / "bin/sh").symlink_to("/bin/sh")
    assert "neither curl nor wget" in account.run()["error"]


@pytest.mark.parametrize("check", ["no", "yes"])
def test_prefix_not_writable(account, check):
    (account.home / "local").mkdir(mode=0o555)
    error = account.run(check=check)["error"]
    assert f"no permission to write to {account.home}/local" in error
    assert "target_conda_prefix" in error


@pytest.mark.parametrize("check", ["no", "yes"])
def test_not_enough_space(account, check):
    assert re.search(r"has \d+ MB free, .* needs 999999999 MB", account.run(space=999_999_999, check=check)["error"])


def test_a_foreign_folder_is_not_touched(account):
    account.owned(account.prefix)
    thesis = account.owned(account.prefix / "thesis.tex", "years")
    error = account.run()["error"]
    assert "not a conda installation" in error
    assert "target_conda_prefix" in error
    assert [thesis] == list(account.prefix.iterdir())
    assert not account.hidden.exists()


def test_an_empty_folder_is_no_obstacle(account):
    account.owned(account.prefix)
    assert account.run()["changed"] == "yes"
    account.assert_installed()


def handmade(account, python):
    """What the tutorial's commands leave."""
    for folder in ("bin", "conda-meta"):
        account.owned(account.prefix / folder)
    account.owned(account.prefix / "conda-meta/history", "")
    for name, text in (("conda", "#!/bin/sh\n"), ("python", python)):
        account.owned(account.prefix / "bin" / name, text).chmod(0o755)
    account.owned(account.home / ".bashrc", "# >>> conda initialize >>>\n")


def test_the_users_own_conda_is_adopted_as_it_is(account):
    handmade(account, "#!/bin/sh\n")
    assert account.run() == {"state": "adopted", "changed": "no"}
    assert not account.marker.exists()


def test_the_users_own_conda_may_be_too_old(account):
    handmade(account, "#!/bin/sh\nexit 1\n")
    assert "older than 3.9 or can't import ruamel.yaml" in account.run()["error"]


def test_a_linked_prefix_is_that_which_it_leads_to(account):
    account.owned(account.home / "local")
    scratch = account.owned(account.home / "scratch/conda")
    account.prefix.symlink_to(scratch)
    assert account.run()["changed"] == "yes"
    assert account.prefix.is_symlink()
    account.assert_installed()
    assert account.run() == {"state": "complete", "changed": "no"}


def test_a_python_that_hangs_is_not_waited_for(account):
    handmade(account, "#!/bin/sh\nsleep 60\n")
    assert "does not run" in account.run(timeout=1)["error"]


@pytest.mark.parametrize("check", ["no", "yes"])
def test_an_interrupted_installation_with_environments_is_not_removed(account, check):
    handmade(account, "#!/bin/sh\n")
    account.owned(account.marker, '{"state": "installing"}')
    account.owned(account.prefix / "envs/thesis/conda-meta")
    error = account.run(check=check)["error"]
    assert f"{account.prefix}/envs/thesis" in error
    assert f"remove {account.marker}" in error
    assert (account.prefix / "envs/thesis").exists()
    account.marker.unlink()
    assert account.run() == {"state": "adopted", "changed": "no"}


def test_a_base_that_broke_is_reported_with_the_remedy(account):
    account.run()
    (account.prefix / "bin/python").unlink()
    assert f"rm -rf {account.prefix}" in account.run()["error"]


def test_an_installer_that_fails_leaves_nothing(account):
    process = account.start(env={"INSTALL_FAILS": "1"})
    assert "Not enough free disk space" in process.communicate(timeout=60)[0]
    assert not account.prefix.exists()
    account.run()
    account.assert_installed()


def test_the_installer_has_a_deadline(account):
    process = account.start(env={"INSTALL_PAUSE": "60"}, timeout=2)
    assert "slipway:error=the installer" in process.communicate(timeout=30)[0]
    assert not account.prefix.exists()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGHUP, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["transfer", "installer", "after"])
def test_killed_and_run_again(account, server, how, moment):
    """The whole session is killed, as when ssh is cut; then the next run gets there."""
    server.pause = 3 if moment == "transfer" else 0
    process = account.start(env={"INSTALL_PAUSE": "3"})
    there = {
        "transfer": lambda: server.log,
        "installer": lambda: (account.prefix / "bin").exists(),
        "after": lambda: (account.prefix / "bin/conda").exists(),
    }[moment]
    deadline = time.monotonic() + 20
    while not there() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, how)
    process.communicate(timeout=30)
    server.pause = 0
    assert account.run()["changed"] in ("yes", "no")
    account.assert_installed()


def test_two_runs_at_once_make_one_installation(account):
    first, second = account.start(env={"INSTALL_PAUSE": "2"}), account.start(env={"INSTALL_PAUSE": "2"})
    outputs = [process.communicate(timeout=60)[0] for process in (first, second)]
    assert all("slipway:changed=" in output for output in outputs), outputs
    account.assert_installed()
    assert len(account.server.log) == 1


def test_a_lock_that_was_tidied_up_is_taken_anew(account):
    account.owned(account.hidden)
    lock = account.owned(account.hidden / "lock", "")
    with lock.open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        process = account.start(env={"INSTALL_PAUSE": "2"})
        time.sleep(1)
        shutil.rmtree(account.hidden)
    deadline = time.monotonic() + 20
    while not (account.prefix / "bin").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    with lock.open() as third, pytest.raises(BlockingIOError):
        fcntl.flock(third, fcntl.LOCK_EX | fcntl.LOCK_NB)
    process.communicate(timeout=30)
    account.assert_installed()


def test_an_interrupted_removal_is_finished(account):
    account.owned(account.prefix)
    account.owned(account.marker, '{"state": "installing"}')
    account.owned(account.hidden)
    account.owned(account.hidden / "half-made.1")
    assert account.run() == {"state": "interrupted", "changed": "yes"}
    account.assert_installed()


def test_the_prefix_keeps_the_users_mode(account):
    account.run()
    assert stat.S_IMODE(account.prefix.stat().st_mode) & 0o700 == 0o700
