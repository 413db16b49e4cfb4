# SPDX-License-Identifier: GPL-3.0-or-later
"""roles/preflight/files/preflight.sh, run by an account that is not root. A real quota is molecule/onboard's."""

import json
import os
import re
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
SCRIPT = PROJECT / "roles/preflight/files/preflight.sh"
# Root may write anywhere, so the account is another one.
UID = 65534 if os.geteuid() == 0 else os.geteuid()
MEGABYTE = 1 << 20


@pytest.fixture
def folder():
    """Not tmp_path, whose parents only their owner may enter."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def home(folder):
    path = folder / "home"
    path.mkdir()
    os.chown(path, UID, -1)
    return path


@pytest.fixture
def problems(home):
    """What the script says is wrong; it must come to its end."""

    def run(*folders, place=home, space=2, quota="", check="no", signs=("", ""), limit=resource.RLIM_INFINITY):
        done = subprocess.run(
            [
                "sh",
                "-c",
                SCRIPT.read_text(),
                "preflight.sh",
                str(place),
                str(space),
                quota,
                check,
                *signs,
                *map(str, folders),
            ],
            user=UID if os.geteuid() == 0 else None,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert "\nslipway:done=yes\n" in done.stdout, done
        return re.findall(r"(?m)^slipway:problem=(.*)$", done.stdout)

    return run


def test_a_sound_account_has_none_and_nothing_is_left_behind(problems, home, folder):
    scratch = folder / "scratch"
    scratch.mkdir()
    os.chown(scratch, UID, -1)
    assert problems(scratch, scratch / "ada/tmp") == []
    assert list(home.iterdir()) == []
    assert list(scratch.iterdir()) == []


def test_a_home_that_is_not_there(problems, folder):
    assert re.search("has no home: .*/nosuch is not there", *problems(place=folder / "nosuch"))


def test_a_home_of_somebody_elses(problems, home):
    assert re.search("belongs to root, not to", *problems(place="/"))


def test_a_home_that_cannot_be_written(problems, home):
    home.chmod(0o500)
    assert re.search("cannot write to the home", *problems())


def test_a_home_that_takes_too_little(problems, home):
    """A limit on the size of a file stands for a quota."""
    assert problems(limit=3 * MEGABYTE) == []
    assert re.search("takes less than 2 MB", *problems(limit=MEGABYTE))
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("echo 2", None),
        ("echo 1", "has 1 MB free by the quota command, and 2 MB are needed"),
        ("echo none; false", "as a whole number; it said: none"),
    ],
)
def test_a_sites_own_command_tells_what_is_free(problems, command, said):
    found = problems(quota=command, limit=0)
    assert (said is None and found == []) or re.search(said, *found)


def test_a_dry_run_writes_nothing(problems, home):
    before = home.stat().st_mtime_ns
    assert problems(check="yes", limit=MEGABYTE) == []
    assert home.stat().st_mtime_ns == before


@pytest.mark.parametrize("which", [0, 1])
def test_a_full_home_that_is_prepared_already_is_good_enough(problems, home, which):
    signs = [str(home / "jupyter-password"), str(home / "jobqueue.yaml")]
    assert problems(signs=signs, limit=MEGABYTE)
    (home / Path(signs[which]).name).touch()
    assert problems(signs=signs, limit=MEGABYTE) == problems(signs=signs, quota="echo 0") == []


@pytest.mark.parametrize(("free", "code"), [(20, 0), (19, 2)])
def test_a_dry_run_asks_an_account_where_nothing_is_installed_too(tmp_path, free, code):
    (tmp_path / "play.yml").write_text("[{hosts: all, gather_facts: false, roles: [target, preflight, miniconda]}]")
    (tmp_path / "hosts.yml").write_text("all: {hosts: {lake: {}}}")
    (tmp_path / "home").mkdir()
    variables = {
        "ansible_connection": "local",
        "target_conda_prefix": str(tmp_path / "home/conda"),
        "target_env_prefix": str(tmp_path / "home/conda/envs/myenv"),
        "preflight_quota_command": f"echo {free}",
    }
    command = [Path(sys.executable).with_name("ansible-playbook"), "-i", tmp_path / "hosts.yml", tmp_path / "play.yml"]
    done = subprocess.run(
        [*command, "--check", "-e", json.dumps(variables)],
        cwd=PROJECT,
        env={**os.environ, "HOME": str(tmp_path / "home"), "ANSIBLE_HOME": str(tmp_path / "ansible")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert ("has 19 MB free by the quota command" in done.stdout) == (code == 2)
    assert ("Nothing is installed on lake yet" in done.stdout) == (code == 0)
    assert list((tmp_path / "home").iterdir()) == []


def test_all_problems_are_told_at_once(problems, folder):
    first, second, third = problems("/nosuch/ada", "/", place=folder / "nosuch")
    assert "has no home" in first
    assert re.search(
        r"cannot make the folder /nosuch/ada, since / is not theirs to write to. Is the project right", second
    )
    assert "cannot write to /." in third
