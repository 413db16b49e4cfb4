"""One account's way to conda and an environment, and each time something real breaks. Later tests go on from where earlier ones ended.

After each fault: the words that its user gets, nothing broken left behind, and the next run gets there.
"""

import contextlib
import json
import os
import subprocess
import time

import pytest
from minitriton_fixtures import PROJECT

PLAY = "molecule/faults/conda.yml"
HOME_SIZE = "900M"


@pytest.fixture(scope="module")
def conda(playbook):
    """Runs the play; returns its code, and its words as one line, since Ansible wraps them."""

    def run(**variables):
        done = playbook(PLAY, "-e", json.dumps(variables))
        return done.returncode, " ".join(done.stdout.split())

    return run


@pytest.fixture(scope="module")
def base(home):
    return f"{home}/local/miniconda3"


@pytest.fixture(scope="module")
def six(host, base):
    """The version of six that the environment's Python gets; None where it doesn't run."""

    def ask():
        done = host.run(f"{base}/envs/myenv/bin/python -c 'import six; print(six.__version__)'")
        return done.stdout.strip() if done.rc == 0 else None

    return ask


@pytest.fixture
def mirror(minitriton):
    """Puts a fault into the mirror; it is well again after the test."""
    yield lambda *fault: minitriton("mirror", *fault)
    minitriton("mirror", "up")


@pytest.fixture
def full(minitriton, host, user, home):
    """Leaves the home only so many MB of room; it has its old size again after the test."""

    def leave(megabytes):
        used = int(host.check_output(f"df --output=used --block-size=1M {home} | tail -n 1"))
        minitriton("user", user, "--home-size", f"{used + megabytes}M")

    yield leave
    minitriton("user", user, "--home-size", HOME_SIZE)


@pytest.fixture
def read_only(minitriton, user):
    yield lambda: minitriton("user", user, "--home-size", HOME_SIZE, "--read-only")
    minitriton("user", user, "--home-size", HOME_SIZE)


@pytest.fixture
def start():
    """Starts the play and does not wait; what still runs after the test is ended."""
    started = []

    def run(*arguments):
        argv = ["ansible-playbook", "-i", "inventory/minitriton", PLAY, "-l", "triton", *arguments]
        # A command whose connection breaks is not to be sent again: then a run that was killed would go on.
        environ = os.environ | {"ANSIBLE_SSH_RETRIES": "0", "ANSIBLE_NOCOLOR": "1"}
        process = subprocess.Popen(
            argv, cwd=PROJECT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        started.append(process)
        return process

    yield run
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        process.communicate(timeout=60)


# On the node itself, since a look from outside takes longer than some of what is to be interrupted.
KILL = r"""
until eval "$2"; do sleep 0.02; done
while pids=$(ps -o pid= -u "$1"); do kill -KILL $pids 2> /dev/null; done
eval "$2" || { echo "it had ended before it was killed: $2" >&2; exit 1; }
"""


@pytest.fixture
def kill_when(minitriton, user):
    """Ends all that the account runs on the login node, by SIGKILL, once a shell's condition is true there."""

    def wait_and_kill(run, condition):
        minitriton("exec", "login", "timeout", "240", "sh", "-c", KILL, "sh", user, condition)
        said, _ = run.communicate(timeout=60)
        assert run.returncode != 0, said

    return wait_and_kill


def changed(words):
    return "changed=0 " not in words


# --- the installer


def test_mirror_down(conda, mirror, host, home):
    mirror("down")
    code, words = conda()
    assert code != 0
    assert "http://mirror/miniconda/Miniconda3" in words and "could not be downloaded" in words
    assert "miniconda_base_url" in words
    assert host.check_output(f"ls -A {home}/local") == ""


def test_truncated_download(conda, mirror, host, base):
    mirror("cut", "2M")
    code, words = conda()
    assert code != 0
    assert "could not be downloaded" in words
    assert not host.file(base).exists


def test_wrong_hash(conda, mirror, host, base, home):
    """Also of what the broken download had left."""
    mirror("garble")
    code, words = conda()
    assert code != 0
    assert "is expected; it was not run" in words
    assert host.check_output(f"ls -A {home}/local") == ""


def test_mirror_slow(conda, mirror, host, base, home):
    mirror("slow", "1M")
    began = time.monotonic()
    code, words = conda(miniconda_timeout=8)
    assert code != 0
    assert "did not arrive within 8 s" in words and "miniconda_timeout" in words
    assert time.monotonic() - began < 120
    assert not host.file(base).exists
    # Of the next run's work that much is done.
    assert host.file(f"{home}/local/.miniconda3.slipway/installer.sh").size > 1 << 20


def test_read_only_home(conda, read_only, host, base):
    read_only()
    code, words = conda()
    assert code != 0
    assert f"cannot make {base}" in words and "target_conda_prefix" in words


def test_disk_full_before_it_began(conda, full, host, base):
    full(100)
    code, words = conda()
    assert code != 0
    assert "100 MB free" in words or "99 MB free" in words
    assert "700 MB" in words
    assert not host.file(base).exists


def test_disk_full_while_it_installs(conda, full, host, base):
    """As with a required size that is too low, or another's download at the same time."""
    full(100)
    code, words = conda(miniconda_required_mb=1)
    assert code != 0
    assert "No space left on device" in words or "disk space" in words
    assert not host.file(base).exists


def test_kill_during_install(start, kill_when, host, base):
    kill_when(start(), f"grep -qs installing {base}/.slipway.json && test -d {base}/lib")


def test_two_runs_at_once_mend_it(start, host, home, base, six):
    """Neither refuses because of what the other is at, and nothing is made twice."""
    runs = [start(), start()]
    for run in runs:
        said, _ = run.communicate(timeout=600)
        assert run.returncode == 0, said
    assert six() == "1.16.0"
    assert host.check_output(f"ls -A {home}/local") == "miniconda3"
    assert host.check_output(f"ls {base}/envs") == "myenv"
    assert host.check_output(f"find {home} ! -user {host.user().name}") == ""
    assert host.file(f"{home}/.bashrc").content_string.count("# >>> conda initialize >>>") == 1


# --- the environment


def test_mirror_down_in_a_transaction(conda, mirror, six):
    mirror("down")
    code, words = conda(conda_env_packages=["python=3.11", "jedi"])
    assert code != 0
    assert "http://mirror/conda-forge" in words and "Traceback" not in words
    assert six() == "1.16.0"


def test_wrong_hash_in_a_transaction(conda, mirror, six, host, base):
    mirror("garble")
    code, words = conda(conda_env_packages=["python=3.11", "jedi"])
    assert code != 0
    assert "jedi" in words
    assert host.run(f"{base}/envs/myenv/bin/python -c 'import jedi'").rc != 0
    assert six() == "1.16.0"


def test_kill_in_a_transaction(start, kill_when, mirror, conda, host, base, six):
    """Of a package that was damaged once, too: the cache has not kept it."""
    mirror("slow", "100k")
    wanted = ["python=3.11", "jedi"]
    new = f"{base}/envs/.myenv.slipway/[0-9]*"
    unfinished = f"for new in {new}; do test -d $new/conda-meta && ! test -e $new/.slipway.json && break; false; done"
    kill_when(start("-e", json.dumps({"conda_env_packages": wanted})), unfinished)
    assert six() == "1.16.0"
    mirror("up")
    code, words = conda(conda_env_packages=wanted)
    assert code == 0, words
    host.check_output(f"{base}/envs/myenv/bin/python -c 'import jedi'")
    assert six() == "1.16.0"


def test_disk_full_in_a_transaction(conda, full, six):
    full(5)
    code, words = conda(conda_env_packages=["python=3.11", "babel"])
    assert code != 0
    assert "No space left on device" in words and "Traceback" not in words
    assert six() == "1.16.0"


def test_corrupted_record(conda, host, base, six):
    record = host.check_output(f"ls {base}/envs/myenv/conda-meta/six-*.json")
    host.check_output(f"truncate --size 100 $(readlink -f {record})")
    code, words = conda(conda_env_packages=["python=3.11", "six=1.16"])
    assert code == 0, words
    assert changed(words)
    assert (
        json.loads(host.file(host.check_output(f"ls {base}/envs/myenv/conda-meta/six-*.json")).content_string)["name"]
        == "six"
    )
    assert six() == "1.16.0"


def test_read_only_home_that_has_it_all(conda, read_only, six):
    read_only()
    code, words = conda(conda_env_packages=["python=3.11", "six=1.16"])
    assert code == 0, words
    assert not changed(words)
    code, words = conda(conda_env_packages=["python=3.11", "six=1.17"])
    assert code != 0
    assert "Read-only file system" in words and "Traceback" not in words
    assert six() == "1.16.0"


# --- the support team


def test_support_becomes_the_user_without_setfacl(playbook, host, home, user, six):
    assert host.run("command -v setfacl").rc != 0
    done = playbook(
        PLAY,
        "-e", f"ansible_user=support ansible_become=true ansible_become_user={user}",
        "-e", '{"conda_env_packages": ["python=3.11", "six=1.17"]}',
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert six() == "1.17.0"
    assert host.check_output(f"find {home} ! -user {user}") == ""
