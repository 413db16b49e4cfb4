# SPDX-License-Identifier: GPL-3.0-or-later
"""roles/miniconda/files: remove.sh, run for real by an ordinary user. What it leaves is what was there before us."""

import os
import signal
import stat
import time

import pytest
from miniconda_account import NAME, installer, new_account, serving

THEIRS = '# >>> conda initialize >>>\n. "{}/etc/profile.d/conda.sh"\n# <<< conda initialize <<<\n'


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("www")
    (folder / NAME).write_text(installer())
    with serving(folder) as server:
        yield server


@pytest.fixture
def account(server):
    with new_account(server) as account:
        account.owned(account.home / "local")
        yield account


def tree(home):
    """Every path below it, with what a reader sees of it, but for the copies of what was changed."""
    return {
        str(path.relative_to(home)): (
            path.lstat().st_mode,
            path.readlink() if path.is_symlink() else path.read_text() if path.is_file() else None,
        )
        for path in home.rglob("*")
        if not path.name.endswith("~")
    }


@pytest.fixture
def dotfiles(account):
    """Profiles as people have them: one with a mode of its own, one that is a link into a repository, one without a last newline."""
    account.owned(account.home / ".bashrc", "alias ll='ls -l'\n\n# the end\n").chmod(0o640)
    account.owned(account.home / "dotfiles")
    account.owned(account.home / "dotfiles/tcshrc", "set prompt = '%m> '\n\n")
    (account.home / ".tcshrc").symlink_to("dotfiles/tcshrc")
    return account


def test_after_removal_the_home_is_as_it_was(dotfiles):
    before = tree(dotfiles.home)
    dotfiles.run(init="bash zsh tcsh")
    assert dotfiles.remove() == {"state": "complete", "changed": "yes"}
    assert tree(dotfiles.home) == before
    assert dotfiles.remove() == {"state": "absent", "changed": "no"}
    assert tree(dotfiles.home) == before


def test_check_says_the_same_and_removes_nothing(dotfiles):
    dotfiles.run()
    before = tree(dotfiles.home)
    assert dotfiles.remove(check="yes") == {"state": "complete", "changed": "yes"}
    assert tree(dotfiles.home) == before


def test_a_conda_that_is_broken_is_removed_all_the_same(account):
    account.run()
    (account.prefix / "bin/python").unlink()
    (account.prefix / "bin/conda").unlink()
    assert account.remove()["changed"] == "yes"
    assert [path.name for path in account.home.iterdir()] == ["local"]


def test_the_users_own_conda_stays_with_its_block(account):
    account.run()
    account.marker.unlink()
    before = tree(account.home)
    assert account.remove() == {"state": "adopted", "changed": "no"}
    assert tree(account.home) == before


def test_a_foreign_folder_stays(account):
    account.owned(account.prefix)
    account.owned(account.prefix / "thesis.tex", "years")
    assert account.remove() == {"state": "foreign", "changed": "no"}
    assert (account.prefix / "thesis.tex").read_text() == "years"


def test_a_block_of_another_conda_stays(account):
    """Theirs may even begin with the same words: ours is then beside it."""
    theirs = f"before\n\n{THEIRS.format(f'{account.prefix}-old')}\n\nafter"
    account.owned(account.bashrc, theirs)
    account.run(init="bash zsh")
    assert account.remove()["changed"] == "yes"
    assert account.bashrc.read_text() == theirs
    assert not (account.home / ".zshrc").exists()


def test_a_block_that_is_not_closed_stays(account):
    account.run(init="")
    text = f"before\n{THEIRS.format(account.prefix)}after\n".replace("# <<< conda initialize <<<", "# <<<")
    account.owned(account.bashrc, text)
    account.remove()
    assert account.bashrc.read_text() == text


def test_what_stands_between_a_block_that_is_not_closed_and_ours_stays(account):
    open_block = "# >>> conda initialize >>>\n. /scratch/ada/old/etc/profile.d/conda.sh\n"
    mine = f"before\n{open_block}export THESIS=1\n"
    ours = THEIRS.format(account.prefix)
    account.owned(account.bashrc, f"{mine}{ours}after\n")
    account.run(init="")
    account.remove()
    assert account.bashrc.read_text() == f"{mine}after\n"


def test_a_copy_of_a_profile_is_kept(account):
    account.owned(account.bashrc, "mine\n").chmod(0o640)
    account.run()
    before = account.bashrc.read_text()
    account.remove()
    (copy,) = account.home.glob(".bashrc.*~")
    assert copy.read_text() == before
    assert stat.S_IMODE(copy.stat().st_mode) == 0o640


def test_a_tcshrc_that_only_reads_the_cshrc_goes(account):
    account.owned(account.home / ".cshrc", "setenv EDITOR vi\n")
    account.run(init="tcsh")
    account.remove()
    assert {path.name for path in account.home.iterdir()} == {".cshrc", "local"}


@pytest.mark.parametrize("which", [".bashrc", ".conda/environments.txt"])
def test_a_file_that_cannot_be_changed_is_an_error(account, which):
    """A folder where the new text would go stands for a full disk; the profile after it can be changed."""
    account.run(init="bash zsh")
    account.owned(account.home / ".conda")
    account.owned(account.home / ".conda/environments.txt", f"{account.prefix}\n/scratch/ada/other\n")
    account.owned(account.home / f"{which}.slipway")
    text = (account.home / which).read_text()
    answers = account.remove()
    assert f"{account.home}/{which} could not be changed" in answers["error"]
    assert "changed" not in answers
    assert (account.home / which).read_text() == text
    assert account.prefix.exists()
    (account.home / f"{which}.slipway").rmdir()
    assert account.remove()["changed"] == "yes"


def test_conda_forgets_its_environments_and_no_others(account):
    account.run()
    account.owned(account.home / ".conda")
    registered = account.owned(
        account.home / ".conda/environments.txt",
        f"{account.prefix}\n{account.prefix}/envs/myenv\n/scratch/ada/other\n{account.prefix}-old/envs/x\n",
    )
    account.remove()
    assert registered.read_text() == f"/scratch/ada/other\n{account.prefix}-old/envs/x\n"


@pytest.mark.parametrize("check", ["no", "yes"])
def test_an_environment_that_slipway_did_not_make_is_spared(account, check):
    account.run()
    account.owned(account.prefix / "envs/myenv/conda-meta")
    account.owned(account.prefix / "envs/myenv/.slipway.json", "{}")
    thesis = account.owned(account.prefix / "envs/thesis/conda-meta")
    before = tree(account.home)
    error = account.remove(check=check)["error"]
    assert f"{account.prefix}/envs/thesis" in error
    assert "miniconda_remove_environments" in error
    assert tree(account.home) == before
    assert account.remove(environments="yes", check=check)["changed"] == "yes"
    assert thesis.exists() == (check == "yes")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_a_shared_conda_is_its_owners_to_remove(account):
    account.run()
    os.chown(account.prefix, 0, 0)
    assert account.remove() == {"state": "complete", "changed": "yes"}
    assert (account.prefix / "bin/conda").exists()
    assert not account.bashrc.exists()
    assert account.remove() == {"state": "complete", "changed": "no"}


def test_a_profile_keeps_its_mode(account):
    account.owned(account.bashrc, "mine\n").chmod(0o444)
    account.run(init="")
    account.bashrc.chmod(0o644)
    with account.bashrc.open("a") as file:
        file.write("\n" + THEIRS.format(account.prefix))
    account.bashrc.chmod(0o444)
    account.remove()
    assert account.bashrc.read_text() == "mine\n"
    assert stat.S_IMODE(account.bashrc.stat().st_mode) == 0o444


def test_a_killed_removal_is_finished(account):
    account.run()
    for number in range(2000):
        account.owned(account.prefix / f"lib/{number}")
    process = account.start_remove()
    deadline = time.monotonic() + 20
    while account.prefix.exists() and time.monotonic() < deadline:
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    assert account.remove()["state"] == "absent"
    assert [path.name for path in account.home.iterdir()] == ["local"]
    assert list((account.home / "local").iterdir()) == []
