# SPDX-License-Identifier: GPL-3.0-or-later
"""jupyter_password against an environment whose jupyter_server is the two functions that count (the real one: Molecule)."""

import json
import shutil
import stat
import subprocess
import sysconfig
import venv
from pathlib import Path

import argon2
import module_runner
import pytest

jupyter_password = module_runner.load("roles/jupyter/library/jupyter_password.py")

SECURITY = """\
import argon2

def passwd(passphrase):
    return "argon2:" + argon2.PasswordHasher(memory_cost=1024, time_cost=1).hash(passphrase)

def passwd_check(hashed, passphrase):
    try:
        return argon2.PasswordHasher().verify(hashed[7:], passphrase)
    except argon2.exceptions.VerificationError:
        return False
"""
# Made by jupyter_server 2.21.1 of the word "hello-world".
RECORDED = "argon2:$argon2id$v=19$m=10240,t=10,p=8$hhtVOKBoF9+N9fNOaslN/g$gr/8ECM0+81g0n8SZG+7z50oDbr0LAtfmgTf4beSOBo"


@pytest.fixture(scope="module")
def env(tmp_path_factory):
    prefix = tmp_path_factory.mktemp("env")
    venv.create(prefix)
    (site,) = prefix.glob("lib/python*/site-packages")
    # argon2 comes from the interpreter that runs the tests.
    (site / "tests.pth").write_text(sysconfig.get_path("purelib"))
    (site / "jupyter_server/auth").mkdir(parents=True)
    (site / "jupyter_server/__init__.py").write_text('__version__ = "2.21.1"\n')
    (site / "jupyter_server/auth/__init__.py").touch()
    (site / "jupyter_server/auth/security.py").write_text(SECURITY)
    return prefix


class Account:
    def __init__(self, home, env):
        self.home = home
        self.python = env / "bin/python"
        self.config = home / ".jupyter/jupyter_server_config.json"
        self.kept = home / ".config/slipway/jupyter-password"

    def run(self, password="", check=False):
        arguments = {"config": str(self.config), "password_file": str(self.kept), "python": str(self.python)}
        return module_runner.run(jupyter_password, {**arguments, "password": password}, check=check)

    def configure(self, config, mode=0o600):
        self.config.parent.mkdir(exist_ok=True)
        self.config.write_text(config if isinstance(config, str) else json.dumps(config))
        self.config.chmod(mode)

    @property
    def hashed(self):
        return json.loads(self.config.read_text())["IdentityProvider"]["hashed_password"]

    def accepts(self, password):
        return argon2.PasswordHasher().verify(self.hashed.removeprefix("argon2:"), password)

    @property
    def files(self):
        return {path: path.read_text() for path in self.home.rglob("*") if path.is_file()}


@pytest.fixture
def account(tmp_path, env):
    return Account(tmp_path, env)


def test_a_generated_password_is_its_owners_alone(account):
    first = account.run()
    password = account.kept.read_text().strip()
    assert (first["changed"], first["source"]) == (True, "file")
    assert len(password) == 23
    assert account.accepts(password)
    assert password not in json.dumps(first)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (account.kept, account.kept.parent, account.config)] == [
        0o600,
        0o700,
        0o600,
    ]
    files = account.files
    assert account.run() == {**first, "changed": False}
    assert account.files == files


def test_a_word_written_into_the_file_is_set(account):
    account.run()
    account.kept.write_text("my own word\n")
    account.kept.chmod(0o644)
    assert account.run()["changed"] is True
    assert account.accepts("my own word")
    assert stat.S_IMODE(account.kept.stat().st_mode) == 0o600
    assert account.run()["changed"] is False


def test_a_given_password_is_set_and_changed_and_a_stale_file_goes(account):
    account.run()
    result = account.run("hello-world")
    assert (result["changed"], result["source"]) == (True, "given")
    assert account.run("hello-world")["changed"] is False
    assert account.accepts("hello-world")
    assert not account.kept.exists()
    assert account.run("another-word")["changed"] is True
    assert account.accepts("another-word")


def test_a_run_killed_at_any_point_leaves_a_word_that_opens(account, monkeypatch):
    def killed(*arguments):
        raise OSError(28, "No space left on device")

    account.run()
    word = account.kept.read_text().strip()
    monkeypatch.setattr(jupyter_password, "write_atomically", killed)
    assert account.run("hello-world")["failed"]
    assert account.kept.read_text().strip() == word
    assert account.accepts(word)


def test_a_hash_that_is_replaced_stays_in_a_backup(account):
    before = {"IdentityProvider": {"hashed_password": RECORDED}}
    account.configure(before, mode=0o400)
    account.run("another-word")
    (copy,) = account.config.parent.glob("*~")
    assert json.loads(copy.read_text()) == before
    assert stat.S_IMODE(copy.stat().st_mode) == 0o400


def test_a_hash_that_fits_is_not_salted_anew(account):
    account.configure({"IdentityProvider": {"hashed_password": RECORDED}})
    assert account.run("hello-world")["changed"] is False
    assert account.hashed == RECORDED


def test_the_users_own_password_stays(account):
    account.configure({"IdentityProvider": {"hashed_password": RECORDED}}, mode=0o400)
    assert account.run()["source"] == "own"
    assert account.hashed == RECORDED
    assert not account.kept.exists()


def test_other_keys_and_the_mode_of_the_configuration_stay(account):
    account.configure({"ServerApp": {"ip": "x"}, "IdentityProvider": {"cookie_name": "ä"}}, mode=0o400)
    account.run("hello-world")
    config = json.loads(account.config.read_text())
    assert config["ServerApp"] == {"ip": "x"}
    assert config["IdentityProvider"]["cookie_name"] == "ä"
    assert stat.S_IMODE(account.config.stat().st_mode) == 0o400


def test_check_mode_works_before_there_is_an_environment(account):
    account.python = Path("/nonexistent/bin/python")
    assert account.run(check=True)["changed"] is True
    assert account.run("hello-world", check=True)["changed"] is True
    assert account.files == {}


def test_check_mode_writes_nothing(account):
    assert account.run(check=True)["changed"] is True
    assert account.files == {}
    account.run()
    assert account.run(check=True)["changed"] is False


def test_the_password_is_no_argument(account, monkeypatch):
    commands = []
    real = subprocess.run
    monkeypatch.setattr(
        jupyter_password.subprocess, "run", lambda argv, **rest: commands.append(argv) or real(argv, **rest)
    )
    result = account.run("hello-world")
    assert commands
    assert "hello-world" not in str(commands)
    assert "hello-world" not in json.dumps(result)


def test_a_missing_environment_leaves_nothing_behind(account):
    account.python = Path("/nonexistent/bin/python")
    assert "/nonexistent/bin/python doesn't exist; make the environment first (role conda_env)" in account.run()["msg"]
    assert account.files == {}


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("jupyter_server/__init__.py", '__version__ = "1.24.0"\n', "jupyter_server 1.24.0 is too old"),
        ("jupyter_server/__init__.py", "import nothing_of_this_name\n", "No module named 'nothing_of_this_name'"),
        ("jupyter_server/auth/security.py", "import time\ntime.sleep(60)\n", "took more than 0.1 s"),
    ],
)
def test_an_unsuitable_environment_is_named(account, env, monkeypatch, file, text, message):
    (path,) = env.glob(f"lib/python*/site-packages/{file}")
    before = path.read_text()
    if "sleep" in text:
        monkeypatch.setattr(jupyter_password, "DEADLINE", 0.1)
    shutil.rmtree(path.parent / "__pycache__", ignore_errors=True)  # of the same second and size, it would pass for new
    path.write_text(text)
    try:
        result = account.run()
    finally:
        path.write_text(before)
        shutil.rmtree(path.parent / "__pycache__", ignore_errors=True)
    assert message in result["msg"]
    assert str(account.python) in result["msg"]
    assert account.files == {}


@pytest.mark.parametrize(
    ("config", "message"),
    [('{"a": 1,\n}', "line 2: "), ("[]", "must be objects"), ('{"IdentityProvider": 1}', "must be objects")],
)
def test_a_broken_configuration_is_named(account, config, message):
    account.configure(config)
    result = account.run()
    assert str(account.config) in result["msg"]
    assert message in result["msg"]
    assert account.files == {account.config: config}
