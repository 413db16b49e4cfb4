"""The record: private, whole, and deaf to jobs that are not ours."""

import contextlib
import json
import os
import socket
import time
from unittest import mock

import pytest
from ansible.module_utils.session import SessionError
from ansible.module_utils.session import record as record_module
from ansible.module_utils.session.record import LEASE, Record, write_private


@pytest.fixture
def record(tmp_path):
    made = Record(tmp_path / "slipway", "jupyter")
    made.intend(env_prefix="/env")
    made.data["job_id"] = "7"
    made.save()
    return made


def say(record, **changes):
    said = {"nonce": record.data["nonce"], "job_id": "7", "node": "t037", "port": 8888, **changes}
    record.beside("connection").write_text(json.dumps(said))


def test_everything_is_readable_by_its_owner_alone(record):
    assert record.folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in record.folder.iterdir()} == {0o600}


def test_the_next_run_reads_what_was_recorded(record):
    assert Record(record.folder, "jupyter").data == record.data


def test_our_jobs_word_counts(record):
    say(record)
    assert record.connection()["node"] == "t037"


@pytest.mark.fault(36)
@pytest.mark.parametrize("changes", [{"nonce": "another"}, {"job_id": "8"}])
def test_another_jobs_word_does_not(record, changes):
    say(record, **changes)
    assert record.connection() is None


@pytest.mark.fault(35)
def test_a_half_written_connection_counts_as_none(record):
    record.beside("connection").write_text('{"nonce": "')
    assert record.connection() is None


def test_a_record_cut_in_half_is_no_record(record):
    record.path.write_text('{"nonce": ')
    assert Record(record.folder, "jupyter").data == {}


def test_each_session_has_its_own_nonce_and_token(record):
    nonce, token = record.data["nonce"], record.beside("token").read_text()
    record.intend(env_prefix="/env")
    assert record.data["nonce"] != nonce
    assert record.beside("token").read_text() != token


@pytest.mark.fault(29)
def test_a_second_run_is_turned_away_while_one_is_busy(record):
    with (
        record.locked(),
        pytest.raises(SessionError, match="another run is busy"),
        Record(record.folder, "jupyter").locked(),
    ):
        pass


def lease(record, host, age=0):
    path = record.beside("lease")
    path.write_text(json.dumps({"host": host, "pid": 1}))
    os.utime(path, (path.stat().st_mtime - age,) * 2)


@pytest.mark.fault(29)
def test_a_second_login_host_is_turned_away_by_the_lease(record):
    lease(record, "login2")
    with pytest.raises(SessionError, match="another run, on login2, is busy"), record.locked():
        pass
    assert record.beside("lease").exists()


@pytest.mark.fault(28)
@pytest.mark.parametrize(("host", "age"), [("login2", LEASE + 1), (socket.gethostname(), 0)])
def test_a_lease_whose_holder_was_killed_hinders_nobody_for_long(record, host, age):
    """One of this host's, whose lock is free, not at all."""
    lease(record, host, age)
    with record.locked():
        assert json.loads(record.beside("lease").read_text())["pid"] == os.getpid()
    assert not record.beside("lease").exists()


@pytest.mark.fault(30)
def test_a_lease_ages_by_the_file_systems_clock(record, monkeypatch):
    """Clocks of login hosts differ, by an hour if nobody cares for them."""
    monkeypatch.setattr("time.time", lambda: 0)
    lease(record, "login2")
    with pytest.raises(SessionError), record.locked():
        pass


def test_what_killed_runs_left_goes_with_the_session(record):
    (record.beside("notebook")).mkdir()
    for file in (record.beside("notebook") / "jupyter_notebook_config.json", record.beside("lease.12ab34cd")):
        file.write_text("{}")
    record.beside("server.log").write_text("words")
    record.forget()
    assert [path.name for path in record.folder.iterdir()] == ["session-jupyter.server.log"]


@pytest.fixture
def own_locks(monkeypatch):
    """As on a file system whose locks hold on one host alone."""
    monkeypatch.setattr(record_module, "flock", lambda *_: None)


@contextlib.contextmanager
def on(host):
    """What a run on another login host does."""
    with mock.patch("socket.gethostname", lambda: host):
        yield


def test_a_run_that_works_longer_than_a_lease_lasts_keeps_it(record, own_locks, monkeypatch):
    monkeypatch.setattr(record_module, "LEASE", 0.5)
    with record.locked():
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            record.renew()
            with on("login2"), pytest.raises(SessionError, match="is busy"), Record(record.folder, "jupyter").locked():
                pass
            time.sleep(0.05)
    with on("login2"), Record(record.folder, "jupyter").locked():
        pass


def test_a_run_that_was_taken_over_changes_nothing_more(record, own_locks, monkeypatch):
    """It stood still, as with a login host that was suspended."""
    before, other = record.path.read_text(), Record(record.folder, "jupyter")
    with pytest.raises(SessionError, match="another run has taken the session 'jupyter' over"), record.locked():
        lease = record.beside("lease")
        os.utime(lease, (lease.stat().st_mtime - LEASE - 1,) * 2)
        with on("login2"), other.locked():
            for change in (record.save, record.forget, record.intend):
                with pytest.raises(SessionError, match="taken the session 'jupyter' over"):
                    change()
            # Nor does its end free what is the other one's.
            record._give_back_lease()
            assert lease.exists()
        record._lease = {"run": "lost"}
        record.renew()
    assert record.path.read_text() == before


def test_a_lease_that_was_taken_over_in_the_same_moment_is_left_to_the_other(record, own_locks):
    """Two runs find a dead one's lease; the slower must not remove what the faster has made in its place."""
    lease(record, "login3", LEASE + 1)
    judged = json.loads(record.beside("lease").read_text())
    with on("login2"), Record(record.folder, "jupyter").locked():
        record._set_aside(record.beside("lease"), judged)
        assert json.loads(record.beside("lease").read_text())["host"] == "login2"
        with on("login1"), pytest.raises(SessionError, match="another run, on login2, is busy"), record.locked():
            pass


def test_what_was_seen_without_the_lock_does_not_overwrite_a_newer_session(record):
    late = Record(record.folder, "jupyter")
    record.intend(env_prefix="/other")
    record.data["job_id"] = "8"
    record.save()
    late.note(answered=["t037", 8888, 1])
    assert Record(record.folder, "jupyter").data == record.data


def test_an_intent_whose_bsub_may_live_on_keeps_its_nonce(record):
    record.intend(env_prefix="/env")
    nonce = record.data["nonce"]
    record.intend(env_prefix="/env")
    assert record.data["nonce"] == nonce


def test_forgetting_keeps_the_logs(record):
    say(record)
    record.beside("server.log").write_text("words")
    record.forget()
    assert [path.name for path in record.folder.iterdir()] == ["session-jupyter.server.log"]


def test_a_write_that_fails_leaves_the_old_text(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_private(path, "old")

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_private(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
