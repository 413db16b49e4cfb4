# SPDX-License-Identifier: GPL-3.0-or-later
"""roles/miniconda's tasks that need no installer, played on a folder that stands for a home."""

import getpass
import json
import os
import subprocess
import sys

import pytest
import yaml
from role_play import PROJECT, Home

OURS = {"channels": ["conda-forge"], "channel_priority": "strict"}


@pytest.fixture
def prefix(tmp_path):
    return tmp_path / "home/local/miniconda3"


@pytest.fixture
def home(tmp_path, prefix):
    return Home(
        tmp_path, "miniconda", target_conda_prefix=str(prefix), target_conda=str(prefix), target_user="ada", target_arch="ppc64le",
        target_env=f"{prefix}/envs/myenv", target_python=f"{prefix}/bin/python",
        __miniconda_run={"stdout": "slipway:state=complete\n"},
    )  # fmt: skip


def only(home, tasks):
    """Makes the play run these tasks of the role, and no others."""
    play = {
        "hosts": "home",
        "gather_facts": False,
        "tasks": [{"include_role": {"name": "miniconda", "tasks_from": tasks}}],
    }
    (home.folder / "play.yml").write_text(json.dumps([play]))


def base(prefix, conda="exit 0", ours=True):
    """As far as these tasks look at one."""
    (prefix / "bin").mkdir(parents=True)
    (prefix / "conda-meta").mkdir()
    (prefix / "conda-meta/history").touch()
    (prefix / "bin/conda").write_text(f"#!/bin/sh\n{conda}\n")
    (prefix / "bin/conda").chmod(0o755)
    if ours:
        (prefix / ".slipway.json").write_text('{"state": "complete"}')


def said(done):
    return " ".join((done.stdout + done.stderr).split())


def test_offboarding_takes_our_keys_out_of_condarc(home, prefix):
    only(home, "remove")
    base(prefix)
    (home / ".condarc").write_text(yaml.safe_dump(OURS) + "ssl_verify: true\n")
    home.play()
    assert (home / ".condarc").read_text() == "ssl_verify: true\n"
    assert not prefix.exists()


@pytest.mark.parametrize("beside", [False, True])
def test_offboarding_leaves_the_condarc_of_somebody_with_a_conda_of_their_own(home, prefix, beside):
    """These values were theirs before they were ours."""
    only(home, "remove")
    base(prefix, ours=False)
    in_use = prefix.with_name("miniconda3-slipway") if beside else prefix
    if beside:
        base(in_use)
    (home / ".condarc").write_text(yaml.safe_dump(OURS))
    done = home.ansible(target_conda=str(in_use), target_python=f"{in_use}/bin/python")
    assert done.returncode == 0, said(done)
    assert yaml.safe_load((home / ".condarc").read_text()) == OURS
    assert "Slipway may have set these keys of it: channels, channel_priority" in said(done)
    assert prefix.exists()
    assert in_use.exists() != beside


def test_a_removal_that_could_not_be_done_fails(home, prefix):
    only(home, "remove")
    base(prefix)
    (home / ".bashrc").write_text(f"# >>> conda initialize >>>\n. {prefix}/x\n# <<< conda initialize <<<\n")
    (home / ".bashrc.slipway").mkdir()
    done = home.ansible()
    assert done.returncode != 0
    assert ".bashrc could not be changed" in said(done)
    assert prefix.exists()


@pytest.mark.parametrize("tasks", ["configure", "remove"])
def test_a_channels_token_is_not_told(home, prefix, tasks):
    only(home, tasks)
    base(prefix)
    channels = ["https://conda.example.org/t/SECRET-TOKEN/lab"]
    done = home.ansible("-vvv", "--diff", miniconda_channels=channels)
    assert done.returncode == 0, said(done)
    assert (home / ".condarc").exists() == (tasks == "configure")
    assert "SECRET-TOKEN" not in said(done)
    (home / ".condarc").write_text("- a list\n")
    if tasks == "configure":
        assert "the file holds no mapping" in said(home.ansible(miniconda_channels=channels))


# conda 23.10 writes these before the answer, unless it is told to be quiet.
PROGRESS = 'case " $* " in *" --quiet "*) ;; *) echo \'{"fetch": "conda", "finished": true}\' ;; esac'


@pytest.mark.parametrize(("answer", "changed"), [('{"actions": {}}', 1), ('{"message": "All installed."}', 0)])
def test_conda_is_updated(home, prefix, answer, changed):
    only(home, "update")
    base(prefix, f"{PROGRESS}\necho '{answer}'")
    assert home.play() == changed


def test_an_update_that_fails_is_told_in_condas_words(home, prefix):
    only(home, "update")
    base(prefix, 'echo \'{"message": "HTTP 503 for conda-forge"}\'; exit 1')
    done = home.ansible()
    assert done.returncode != 0
    assert "HTTP 503 for conda-forge" in said(done)
    assert "set miniconda_update_conda to false" in said(done)
    assert "from_json" not in said(done)


def test_offboarding_looks_at_a_base_without_a_python(tmp_path):
    """As a check run: what it would do is told by its own tasks, not by the plan of an installation."""
    base(tmp_path / "local/miniconda3")
    host = {"ansible_connection": "local"}
    (tmp_path / "hosts.yml").write_text(json.dumps({"all": {"hosts": {"home": host}}}))
    argv = [
        "playbooks/offboard.yml",
        "-i",
        tmp_path / "hosts.yml",
        "--check",
        "-e",
        f"offboard_confirm={getpass.getuser()}",
    ]
    done = subprocess.run(
        [os.path.join(os.path.dirname(sys.executable), "ansible-playbook"), *argv],
        cwd=PROJECT, env=os.environ | {"HOME": str(tmp_path)}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, said(done)
    assert "Nothing is installed on" not in done.stdout
    assert "changed=1" in done.stdout
    assert (tmp_path / "local/miniconda3").exists()
