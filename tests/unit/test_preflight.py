# SPDX-License-Identifier: GPL-3.0-or-later
"""roles/preflight/files/preflight.sh, run by an account that is not root. A real quota is molecule/onboard's."""

import os
import re
import resource
import subprocess
import tempfile
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "roles/preflight/files/preflight.sh"
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

    def run(*folders, place=home, space=2, quota="", check="no", limit=resource.RLIM_INFINITY):
        done = subprocess.run(
            ["sh", "-c", SCRIPT.read_text(), "preflight.sh", str(place), str(space), quota, check, *map(str, folders)],
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


def test_all_problems_are_told_at_once(problems, folder):
    first, second, third = problems("/nosuch/ada", "/", place=folder / "nosuch")
    assert "has no home" in first
    assert re.search(
        r"cannot make the folder /nosuch/ada, since / is not theirs to write to. Is the project right", second
    )
    assert "cannot write to /." in third
