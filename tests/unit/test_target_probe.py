# SPDX-License-Identifier: GPL-3.0-or-later
"""roles/target/files/probe.sh, sent as the role sends it: through login shells, chatty profiles, and with and without a Python."""

import base64
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "roles/target/files/probe.sh"


@pytest.fixture
def probe(tmp_path):
    def run(shell="sh", path=os.environ["PATH"], prefix="$HOME/conda"):
        command = f'sh -c "$(echo {base64.b64encode(SCRIPT.read_bytes()).decode()} | base64 -d)" probe.sh "{prefix}"'
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
    assert list(answers) == ["user", "home", "arch", "login_host", "python"]
    assert answers["home"] == str(tmp_path)
    assert answers["arch"] == os.uname().machine


@pytest.mark.parametrize("shell", ["bash", "dash", "tcsh", "zsh"])
def test_any_login_shell_will_do(probe, shell, tmp_path):
    if not shutil.which(shell):
        pytest.skip(f"no {shell} here")
    (tmp_path / ".tcshrc").write_text('echo "*** Welcome! slipway:user=eve ***"; echo -n slip\n')
    assert probe(shell) == probe()


def test_the_bases_python_comes_first(probe, tmp_path):
    base = python(tmp_path / "conda/bin/python", f"exec python3 -c 'print(\"{tmp_path}/conda/bin/python\")'")
    assert probe()["python"] == str(base)


@pytest.mark.parametrize("old", ["exit 2", "exit 0", "echo; exit 127"])
def test_a_python_that_is_old_or_broken_is_none(probe, tmp_path, old):
    tools = tmp_path / "tools"
    for name in ("sh", "base64", "id", "uname"):
        tools.mkdir(exist_ok=True)
        (tools / name).symlink_to(shutil.which(name))
    python(tmp_path / "conda/bin/python", old)
    python(tools / "python3", old)
    assert probe(path=str(tools))["python"] == ""
