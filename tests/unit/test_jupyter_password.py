# SPDX-License-Identifier: GPL-3.0-or-later
"""jupyter_password with the real jupyter_server."""

import json
import stat
import subprocess
import venv
from pathlib import Path

import argon2
import module_runner
import pytest

pytest_plugins = ["native_env"]

jupyter_password = module_runner.load("roles/jupyter/library/jupyter_password.py")

# Made by jupyter_server 2.21.1 of the word "hello-world".
RECORDED = "argon2:$argon2id$v=19$m=10240,t=10,p=8$hhtVOKBoF9+N9fNOaslN/g$gr/8ECM0+81g0n8SZG+7z50oDbr0LAtfmgTf4beSOBo"


class Account:
    def __init__(self, home, env):
        self.home = home
        self.python = env / "bin/python"
        self.config = home / ".jupyter/jupyter_server_config.json"
        self.kept = home / ".config/slipway/jupyter-password"

    def run(self, password="", check=False, **options):
        arguments = {"config": str(self.config), "password_file": str(self.kept), "python": str(self.python)}
        return module_runner.run(jupyter_password, {**arguments, "password": password, **options}, check=check)

    def configure(self, config, mode=0o600):
        self.config.parent.mkdir(exist_ok=True)
        self.config.write_text(config if isinstance(config, str) else json.dumps(config))
        self.config.chmod(mode)

    @property
    def hashed(self):
        return json.loads(self.config.read_text())["IdentityProvider"]["hashed_password"]

    def accepts(self, password):
        try:
            return argon2.PasswordHasher().verify(self.hashed.removeprefix("argon2:"), password)
        except argon2.exceptions.VerificationError:
            return False

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


def test_a_kept_word_becomes_private_again(account):
    account.run()
    account.kept.chmod(0o644)
    assert account.run()["changed"] is True
    assert stat.S_IMODE(account.kept.stat().st_mode) == 0o600
    assert account.run()["changed"] is False


def test_a_password_that_its_owner_has_changed_since_stays(account):
    """By `jupyter server password`, where the configuration's mode lets it."""
    account.run()
    account.configure({"IdentityProvider": {"hashed_password": RECORDED}})
    assert account.run() == {**account.run(), "changed": False, "source": "own"}
    assert account.hashed == RECORDED


@pytest.mark.parametrize("section, key", [("PasswordIdentityProvider", "hashed_password"), ("ServerApp", "password")])
def test_a_hash_under_a_name_that_counts_more_is_the_one(account, section, key):
    own = {section: {key: RECORDED, "other": 1}}
    account.configure(own)
    assert account.run()["source"] == "own"
    assert account.run("hello-world")["changed"] is False
    assert json.loads(account.config.read_text()) == own
    assert account.run("another-word")["changed"] is True
    config = json.loads(account.config.read_text())
    assert config.pop("IdentityProvider")["hashed_password"].startswith("argon2:")
    assert config == {section: {"other": 1}}
    assert account.accepts("another-word")


def test_a_given_password_is_set_and_changed_and_a_stale_file_goes(account):
    account.run()
    result = account.run("hello-world")
    assert (result["changed"], result["source"]) == (True, "given")
    assert account.run("hello-world")["changed"] is False
    assert account.accepts("hello-world")
    assert not account.kept.exists()
    assert account.run("another-word")["changed"] is True
    assert account.accepts("another-word")


def dying(monkeypatch, n):
    """From the n-th change of a file on, nothing is written any more."""
    left = iter([True] * n)

    def stands_for(real):
        def act(*arguments):
            if not next(left, False):
                raise OSError(28, "No space left on device", "/home")
            return real(*arguments)

        return act

    monkeypatch.setattr(jupyter_password, "write_atomically", stands_for(jupyter_password.write_atomically))
    monkeypatch.setattr(jupyter_password.Path, "unlink", stands_for(Path.unlink))


@pytest.mark.parametrize("n", range(2))
def test_a_first_run_killed_at_any_point_is_taken_up(account, monkeypatch, n):
    with monkeypatch.context() as patch:
        dying(patch, n)
        assert account.run()["failed"]
    assert not account.config.exists()
    account.run()
    assert account.accepts(account.kept.read_text().strip())


@pytest.mark.parametrize("n", range(2))
def test_a_change_killed_at_any_point_leaves_a_word_that_opens(account, monkeypatch, n):
    account.run()
    word = account.kept.read_text().strip()
    with monkeypatch.context() as patch:
        patch.setattr(jupyter_password, "back_up", lambda *arguments: None)
        dying(patch, n)
        assert account.run("hello-world")["failed"]
    assert account.accepts([word, "hello-world"][n])
    account.run()
    assert account.accepts([word, "hello-world"][n])
    account.run("hello-world")
    assert account.accepts("hello-world")
    assert not account.kept.exists()


def test_what_was_generated_goes(account):
    account.configure({"ServerApp": {"ip": "x"}})
    account.run()
    files = account.files
    assert account.run(state="absent", check=True)["changed"] is True
    assert account.files == files
    assert account.run(state="absent")["changed"] is True
    assert json.loads(account.config.read_text()) == {"ServerApp": {"ip": "x"}}
    assert not account.kept.exists()
    assert account.run(state="absent")["changed"] is False


def test_a_password_of_the_users_outlives_ours(account):
    account.run()
    account.configure({"IdentityProvider": {"hashed_password": RECORDED}})
    account.run(state="absent")
    assert account.hashed == RECORDED
    assert not account.kept.exists()


def test_without_its_environment_it_goes_into_a_backup(account):
    account.run()
    before = account.config.read_text()
    account.python = Path("/nonexistent/bin/python")
    account.run(state="absent")
    assert "IdentityProvider" not in account.config.read_text()
    (copy,) = account.config.parent.glob("*~")
    assert copy.read_text() == before


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
    ("code", "message"),
    [
        ('__version__ = "1.24.0"\n', "jupyter_server 1.24.0 is too old"),
        ("import nothing_of_this_name\n", "No module named 'nothing_of_this_name'"),
        ("import time\ntime.sleep(60)\n", "took more than 1 s"),
    ],
)
def test_an_unsuitable_environment_is_named(account, tmp_path_factory, monkeypatch, code, message):
    prefix = tmp_path_factory.mktemp("env")
    venv.create(prefix)
    (site,) = prefix.glob("lib/python*/site-packages")
    (site / "jupyter_server/auth").mkdir(parents=True)
    (site / "jupyter_server/__init__.py").write_text(code)
    (site / "jupyter_server/auth/security.py").write_text("passwd = passwd_check = None\n")
    account.python = prefix / "bin/python"
    if "sleep" in code:
        monkeypatch.setattr(jupyter_password, "DEADLINE", 1)
    result = account.run()
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
