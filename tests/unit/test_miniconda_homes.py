# SPDX-License-Identifier: GPL-3.0-or-later
"""roles/miniconda/files with the stand-in's installers, as large and as slow as they are: a home made by hand, an upgrade, a removal."""

import hashlib
import platform
import subprocess
from pathlib import Path

import pytest
import yaml
from miniconda_account import new_account, serving

PROJECT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="the stand-in runs natively on x86_64 alone")


@pytest.fixture(scope="module")
def channel():
    build = [PROJECT / "molecule/resources/channel/build", "--arch", "amd64"]
    done = subprocess.run(build, stdout=subprocess.PIPE, text=True, check=True, timeout=600)
    return Path(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def installers(channel):
    """The files on the mirror, by distribution."""
    manifest = yaml.safe_load((channel / "manifest.yml").read_text())["installers"]
    return {kind: next(channel.rglob(entry["file"])) for kind, entry in manifest.items()}


@pytest.fixture
def account(channel):
    with serving(channel) as server, new_account(server) as account:
        yield account


def options(account, file):
    """What the role asks for, to get this installer."""
    base = account.server.url.rpartition("/")[0]
    return {
        "url": f"{base}/{file.relative_to(account.server.folder)}",
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "space": 300,
        "timeout": 120,
    }


def by_hand(account, script):
    """Words that the account's owner types."""
    argv = ["bash", "-ec", script]
    done = subprocess.run(argv, env=account.env, user=account.uid, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def snapshot(account):
    return {
        path: path.lstat().st_mtime_ns for path in account.home.rglob("*") if path.name not in ("__pycache__", "locale")
    }


@pytest.fixture
def tutorial(account, installers):
    """A home of someone who did the tutorial by hand, on a mirror that stands for the internet."""
    mirror = account.server.url.rpartition("/")[0]
    installer = account.owned(account.home / "src") / "Miniconda3-latest-Linux-ppc64le.sh"
    installer.write_bytes(installers["miniconda"].read_bytes())
    account.owned(account.home / "local")
    account.owned(account.home / ".condarc", f"channel_alias: {mirror}\ndefault_channels: ['{mirror}/conda-forge']\n")
    by_hand(
        account,
        """
        cd ~; bash src/Miniconda3-latest-Linux-ppc64le.sh -bfp ~/local/miniconda3
        PATH=~/local/miniconda3/bin:$PATH
        conda init
        conda config --set auto_activate_base false
        conda config --add channels conda-forge
        conda create -y -n myenv six
        """,
    )
    return account


def test_the_home_of_someone_who_did_the_tutorial_is_adopted_and_kept(tutorial, installers):
    before = snapshot(tutorial)
    asked = options(tutorial, installers["miniconda"])
    assert tutorial.run(**asked, upgrade="yes") == {"state": "adopted", "changed": "no"}
    assert tutorial.remove() == {"state": "adopted", "changed": "no"}
    assert snapshot(tutorial) == before


def test_from_nothing_to_conda_and_back(account, installers):
    asked = options(account, installers["miniconda"])
    account.owned(account.bashrc, "alias ll='ls -l'\n")
    assert account.run(**asked, init="bash zsh tcsh") == {"state": "absent", "changed": "yes"}
    assert by_hand(account, "bash -ic 'conda info --base' 2>/dev/null").strip() == str(account.prefix)
    assert by_hand(account, "bash -ic 'echo [$CONDA_PREFIX]' 2>/dev/null").strip() == "[]"
    assert account.run(**asked, init="bash zsh tcsh") == {"state": "complete", "changed": "no"}
    assert account.remove()["changed"] == "yes"
    assert account.bashrc.read_text() == "alias ll='ls -l'\n"
    left = {path.name for path in account.home.iterdir() if not path.name.endswith("~")}
    assert left <= {".bashrc", ".conda", ".cache", "local"}
    assert list((account.home / "local").iterdir()) == []


def test_an_upgrade_to_a_newer_conda_keeps_the_environments(account, installers):
    account.run(**options(account, installers["miniconda"]))
    base = account.server.url.rpartition("/")[0]
    conda = account.prefix / "bin/conda"
    by_hand(account, f"{conda} create -y -n thesis --override-channels -c {base}/conda-forge six")
    # The stand-in's newer conda comes as a Miniforge; an upgrade is within one distribution.
    file = account.owned(account.home / "Miniconda3-newer.sh", "")
    file.write_bytes(installers["miniforge"].read_bytes())
    newer = options(account, installers["miniforge"]) | {"url": f"{base}/miniconda/{file.name}", "file": file}
    assert "other" in account.run(**newer)
    assert by_hand(account, f"{conda} --version").strip() == "conda 23.10.0"
    assert account.run(**newer, upgrade="yes")["changed"] == "yes"
    assert by_hand(account, f"{conda} --version").strip() == "conda 26.7.1"
    assert "six" in by_hand(account, f"{conda} list -n thesis")
    assert account.run(**newer, upgrade="yes") == {"state": "complete", "changed": "no"}
