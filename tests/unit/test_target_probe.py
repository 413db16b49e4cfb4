# SPDX-License-Identifier: GPL-3.0-or-later
"""roles/target/files/probe.sh, sent as the role sends it: through login shells, chatty profiles, and with and without a Python."""

import base64
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "roles/target/files/probe.sh"


@pytest.fixture
def probe(tmp_path):
    def run(shell="sh", path=os.environ["PATH"], prefix="$HOME/conda", env=None):
        script = base64.b64encode(SCRIPT.read_bytes()).decode()
        command = f'sh -c "$(echo {script} | base64 -d)" probe.sh "{prefix}" "{env or prefix + "/envs/myenv"}"'
        done = subprocess.run(
            [shutil.which(shell), "-c", f"/bin/sh -c {shlex.quote(command)}"],
            env={"HOME": str(tmp_path), "PATH": path}, capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip
        return dict(re.findall(r"(?m)^slipway:(\w+)=(.*?)\r?$", done.stdout))

    return run


def python(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_answers(probe, tmp_path):
    answers = probe()
    assert list(answers) == ["user", "home", "arch", "glibc", "login_host", "conda", "env", "python"]
    assert answers["home"] == str(tmp_path)
    assert answers["arch"] == os.uname().machine
    assert answers["glibc"] == platform.libc_ver()[1]
    assert answers["conda"] == f"{tmp_path}/conda"
    assert answers["env"] == f"{tmp_path}/conda/envs/myenv"


@pytest.mark.parametrize("shell", ["bash", "dash", "tcsh", "zsh"])
def test_any_login_shell_will_do(probe, shell, tmp_path):
    if not shutil.which(shell):
        pytest.skip(f"no {shell} here")
    (tmp_path / ".tcshrc").write_text('echo "*** Welcome! slipway:user=eve ***"; echo -n slip\n')
    assert probe(shell) == probe()


@pytest.mark.parametrize("old", ["exit 2", "exit 0", "echo; exit 127"])
def test_a_python_that_is_old_or_broken_is_none(probe, tmp_path, old):
    tools = tmp_path / "tools"
    for name in ("sh", "base64", "id", "uname", "getconf"):
        tools.mkdir(exist_ok=True)
        (tools / name).symlink_to(shutil.which(name))
    python(tmp_path / "conda/bin/python", old)
    python(tools / "python3", old)
    assert probe(path=str(tools))["python"] == ""


WITH_RUAMEL = f'exec {sys.executable} "$@"'
WITHOUT_RUAMEL = f'exec {sys.executable} -S "$@"'  # no site-packages


@pytest.fixture
def base(tmp_path):
    """Makes a conda base of the account's own, as far as the probe looks at one."""

    def make(text, ours=False, name="conda"):
        (tmp_path / name / "conda-meta").mkdir(parents=True)
        (tmp_path / name / "conda-meta/history").touch()
        if ours:
            (tmp_path / name / ".slipway.json").touch()
        return python(tmp_path / name / "bin/python", text)

    return make


def test_the_accounts_own_conda_is_used_if_it_can_be(probe, base, tmp_path):
    base(WITH_RUAMEL)
    answers = probe()
    assert answers["conda"] == f"{tmp_path}/conda"
    assert answers["python"]


@pytest.mark.parametrize("text", [WITHOUT_RUAMEL, "exit 127", "echo 3.7; exit 1"])
def test_ours_is_beside_an_own_conda_that_is_no_use(probe, base, tmp_path, text):
    base(text)
    answers = probe()
    assert answers["conda"] == f"{tmp_path}/conda-slipway"
    assert answers["env"] == f"{tmp_path}/conda-slipway/envs/myenv"
    assert answers["python"] != f"{tmp_path}/conda/bin/python"


@pytest.mark.parametrize("own", [WITH_RUAMEL, "exit 127", None])
def test_ours_beside_stays_in_use_whatever_becomes_of_the_other(probe, base, tmp_path, own):
    base(WITH_RUAMEL, ours=True, name="conda-slipway")
    if own:
        base(own)
    assert probe()["conda"] == f"{tmp_path}/conda-slipway"


@pytest.mark.parametrize("text", [WITHOUT_RUAMEL, "exit 127"])
def test_a_base_of_ours_is_never_left_for_another(probe, base, tmp_path, text):
    base(text, ours=True)
    assert probe()["conda"] == f"{tmp_path}/conda"


def test_an_environment_elsewhere_stays_where_it_is_wanted(probe, base, tmp_path):
    base("exit 127")
    answers = probe(env="$HOME/scratch/myenv")
    assert answers["env"] == f"{tmp_path}/scratch/myenv"


def test_an_environment_of_ours_beside_theirs_is_the_one_in_use(probe, tmp_path):
    (tmp_path / "conda/envs/myenv-slipway").mkdir(parents=True)
    assert probe()["env"] == f"{tmp_path}/conda/envs/myenv"
    (tmp_path / "conda/envs/myenv-slipway/.slipway.json").touch()
    assert probe()["env"] == f"{tmp_path}/conda/envs/myenv-slipway"


def test_asked_again_with_what_it_found_it_says_the_same(probe, base, tmp_path):
    """Each play of a run probes anew, and by then the wanted environment is made of what the first probe found."""
    base("exit 127")
    first = probe()
    assert probe(env=first["env"]) == first


@pytest.mark.parametrize("ours", [True, False])
def test_the_bases_python_comes_first(probe, base, tmp_path, ours):
    path = base(f"exec python3 -c 'print(\"{tmp_path}/conda/bin/python\")'", ours)
    assert probe()["python"] == str(path)
