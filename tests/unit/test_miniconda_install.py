# SPDX-License-Identifier: GPL-3.0-or-later
"""roles/miniconda/files: install.sh, run for real by an ordinary user: a small installer, a web server on 127.0.0.1, and accidents."""

import fcntl
import hashlib
import os
import re
import shutil
import signal
import stat
import subprocess
import time
from pathlib import Path

import pytest
from miniconda_account import NAME, installer, new_account, serving


@pytest.fixture
def server(tmp_path):
    folder = tmp_path / "www"
    folder.mkdir()
    (folder / NAME).write_text(installer())
    with serving(folder) as server:
        yield server


@pytest.fixture
def account(server):
    with new_account(server) as account:
        yield account


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


@pytest.mark.parametrize("theirs", [None, "set prompt = '%m> '\n"])
def test_tcsh_goes_on_reading_the_cshrc(account, theirs):
    account.owned(account.home / ".cshrc", "setenv EDITOR vi\n")
    if theirs:
        account.owned(account.home / ".tcshrc", theirs)
    account.run(init="tcsh")
    first = (account.home / ".tcshrc").read_text().splitlines(keepends=True)[0]
    assert first == (theirs or "source ~/.cshrc\n")


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


@pytest.mark.usefixtures("only")
def test_a_server_that_is_busy_for_a_moment_is_asked_again(account, server):
    server.busy = 2
    assert account.run()["changed"] == "yes"
    account.assert_installed()


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
        "timeout",
        "dd",
    ):
        (account.home / "bin" / tool).symlink_to(shutil.which(tool))
    (account.home / "bin/sh").symlink_to("/bin/sh")
    assert "neither curl nor wget" in account.run()["error"]


@pytest.mark.parametrize("check", ["no", "yes"])
def test_prefix_not_writable(account, check):
    (account.home / "local").mkdir(mode=0o555)
    error = account.run(check=check)["error"]
    assert f"{account.home}/local" in error
    assert re.search("no permission to write|Permission denied", error)
    assert "target_conda_prefix" in error


def test_what_mkdir_says_is_passed_on(account):
    account.owned(account.hidden.parent)
    account.owned(account.hidden, "a file in the way")
    error = account.run()["error"]
    assert f"cannot create directory '{account.hidden}': File exists" in error
    assert "no permission" not in error


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


def handmade(account, python, profile="# >>> conda initialize >>>\n"):
    """What the tutorial's commands leave."""
    for folder in ("bin", "conda-meta"):
        account.owned(account.prefix / folder)
    account.owned(account.prefix / "conda-meta/history", "")
    for name, text in (("conda", "#!/bin/sh\n"), ("python", python)):
        account.owned(account.prefix / "bin" / name, text).chmod(0o755)
    account.owned(account.home / ".bashrc", profile)


def test_the_users_own_conda_is_adopted_as_it_is(account):
    handmade(account, "#!/bin/sh\n")
    assert account.run() == {"state": "adopted", "changed": "no"}
    assert not account.marker.exists()


@pytest.mark.parametrize("check", ["no", "yes"])
def test_who_never_had_a_block_gets_none(account, check):
    handmade(account, "#!/bin/sh\n", profile="alias ll='ls -l'\n")
    assert account.run(init="bash zsh", check=check) == {"state": "adopted", "changed": "no"}
    assert account.bashrc.read_text() == "alias ll='ls -l'\n"
    assert not (account.home / ".zshrc").exists()


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


def test_without_a_checksum_nothing_runs(account):
    assert "miniconda_installer_sha256" in account.run(sha256="")["error"]
    assert list(account.home.iterdir()) == []


@pytest.mark.usefixtures("only")
def test_an_installer_may_be_run_unverified_where_that_is_asked_for(account, server):
    assert account.run(sha256="unverified")["changed"] == "yes"
    account.assert_installed()
    assert account.run(sha256="unverified") == {"state": "complete", "changed": "no"}


@pytest.mark.usefixtures("only")
def test_a_part_of_an_unverified_download_is_never_continued(account, server):
    server.cut, server.cuts_left = 300_000, 1
    account.run(sha256="unverified")
    account.assert_installed()
    assert server.log == [None, None]


@pytest.mark.usefixtures("only")
def test_the_download_goes_by_the_proxy(account, server):
    proxy = server.url.removesuffix(f"/{NAME}")
    assert account.run(url=f"http://no-such-host.invalid/{NAME}", proxy=proxy)["changed"] == "yes"
    assert server.asked == [f"http://no-such-host.invalid/{NAME}"]


@pytest.mark.usefixtures("only")
def test_without_a_proxy_of_ours_that_of_the_account_is_used(account, server):
    account.env["http_proxy"] = server.url.removesuffix(f"/{NAME}")
    account.run(url=f"http://no-such-host.invalid/{NAME}")
    assert server.asked == [f"http://no-such-host.invalid/{NAME}"]


def test_a_file_on_the_cluster(account, server):
    file = account.owned(account.home / "any.name", (server.folder / NAME).read_text())
    assert account.run(file=file)["changed"] == "yes"
    account.assert_installed()
    assert file.exists()
    assert server.log == []


def test_a_file_on_the_cluster_is_verified(account, server):
    file = account.owned(account.home / "any.name", "echo surprise >&2\n")
    error = account.run(file=file)["error"]
    assert f"{file} has sha256 {hashlib.sha256(file.read_bytes()).hexdigest()}, but {account.sum} is expected" in error
    assert file.exists()
    assert not account.prefix.exists()
    assert not account.hidden.exists()


def test_a_file_that_is_not_there_is_asked_for(account):
    answers = account.run(file=account.home / "nothing.sh")
    assert answers["missing"] == f"{account.home}/nothing.sh"
    assert "miniconda_installer_file" in answers["error"]
    assert not account.hidden.exists()


def test_a_file_staged_beside_the_prefix_is_used_up(account, server):
    missing = account.run(file="beside")["missing"]
    assert not account.hidden.exists()
    account.owned(account.hidden)
    (account.home / missing).write_text((server.folder / NAME).read_text())
    assert account.run(file="beside") == {"state": "absent", "changed": "yes"}
    account.assert_installed()
    assert server.log == []


@pytest.mark.parametrize("check", ["no", "yes"])
def test_a_sites_quota_command_is_believed(account, check):
    error = account.run(space=2000, quota="echo 1500", check=check)["error"]
    assert "by miniconda_quota_command" in error


@pytest.mark.parametrize("check", ["no", "yes"])
def test_too_small_a_quota_is_refused(account, check):
    error = account.run(space=20, quota="echo 15", check=check)["error"]
    assert "has 15 MB free, and conda with its installer needs 20 MB" in error
    assert account.run(space=20, quota="echo 25", check=check)["changed"] == "yes"


def test_an_upgrade_to_another_distribution_is_refused(account, server):
    account.run()
    other = server.folder / "Miniforge3-test-Linux-any.sh"
    other.write_text(installer("26.7.1"))
    asked = {"url": server.url.replace(NAME, other.name), "sha256": hashlib.sha256(other.read_bytes()).hexdigest()}
    assert "other" in account.run(**asked)
    error = account.run(**asked, upgrade="yes")["error"]
    assert "is a Miniconda3, and miniconda_upgrade can't make a Miniforge3 of it" in error
    assert "target_conda_prefix" in error
    account.assert_installed()


def test_a_room_test_that_takes_too_long_is_no_quota(account, tmp_path):
    tools = account.owned(account.home / "bin")
    account.owned(tools / "fallocate", "#!/bin/sh\nexit 1\n").chmod(0o755)
    account.owned(tools / "dd", "#!/bin/sh\nsleep 60\n").chmod(0o755)
    account.env["PATH"] = f"{tools}:{account.env['PATH']}"
    error = account.run(timeout=2, space=1)["error"]
    assert "miniconda_timeout" in error
    assert "quota there is used up" not in error


def test_room_that_only_df_knows_of_is_refused(account, monkeypatch):
    """A limit on the size of a file stands for a quota: df does not know it either."""
    process = subprocess.Popen  # as it is
    limited = lambda words, **options: process(  # noqa: E731
        ["sh", "-c", 'ulimit -f 20480; exec "$@"', "sh", *words], **options
    )
    monkeypatch.setattr(subprocess, "Popen", limited)
    error = account.run(space=50)["error"]
    assert "takes less than the 50 MB" in error
    assert "target_conda_prefix" in error
    assert not account.hidden.exists()
    assert account.run(space=5)["changed"] == "yes"


@pytest.fixture
def newer(account, server):
    """Another version is pinned than the one that is installed."""
    account.run()
    (server.folder / NAME).write_text(installer("26.7.1"))
    return account


def test_another_version_is_left_and_reported(newer):
    before = newer.marker.read_text()
    answers = newer.run()
    assert answers == {"state": "complete", "other": f"conda 23.10.0 of {newer.server.url}", "changed": "no"}
    assert newer.marker.read_text() == before


def test_an_upgrade_keeps_environments_and_settings(newer):
    thesis = newer.owned(newer.prefix / "envs/thesis/conda-meta")
    (newer.prefix / ".condarc").write_text("auto_activate_base: true\n")
    assert newer.run(upgrade="yes", check="yes") == {"state": "complete", "changed": "yes"}
    assert newer.run(upgrade="yes")["changed"] == "yes"
    newer.assert_installed("26.7.1")
    assert thesis.exists()
    assert (newer.prefix / ".condarc").read_text() == "auto_activate_base: true\n"
    assert newer.run(upgrade="yes") == {"state": "complete", "changed": "no"}


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_upgrade_is_done_again_and_nothing_is_removed(newer, how):
    thesis = newer.owned(newer.prefix / "envs/thesis/conda-meta")
    process = newer.start(env={"INSTALL_PAUSE": "3"}, upgrade="yes")
    deadline = time.monotonic() + 20
    while "upgrading" not in newer.marker.read_text() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, how)
    process.communicate(timeout=30)
    assert thesis.exists()
    assert newer.run() == {"state": "upgrading", "changed": "yes"}
    newer.assert_installed("26.7.1")
    assert thesis.exists()


def test_a_users_own_conda_is_never_upgraded(account):
    handmade(account, "#!/bin/sh\n")
    assert account.run(upgrade="yes") == {"state": "adopted", "changed": "no"}


def test_the_base_says_for_all_that_it_stays_inactive(account):
    account.run()
    condarc = account.prefix / ".condarc"
    assert condarc.read_text() == "auto_activate_base: false\n"
    assert stat.S_IMODE(condarc.stat().st_mode) == 0o644
