# SPDX-License-Identifier: GPL-3.0-or-later
"""The tutorial's environment of 2020, made from PyPI. What differs from the tutorial's own is said in tests/tutorial/requirements.in."""

import subprocess
import sys
from pathlib import Path

import pytest

LOCK = Path(__file__).parents[1] / "tutorial/requirements.txt"


def run(*argv, **options):
    """A command's output, without the blanks around it. It has a quarter of an hour, and has to succeed."""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=900, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def build(prefix):
    """Makes the environment at ``prefix``."""
    if sys.version_info[:2] != (3, 11):
        pytest.fail(
            f"Python {sys.version.split()[0]}: the lock is made for 3.11; make .venv with PYTHON=python3.11 scripts/setup --all"
        )
    run(sys.executable, "-m", "venv", prefix)
    # The lock is complete, and older than pip's idea of what fits.
    run(prefix / "bin/pip", "install", "--quiet", "--no-deps", "--require-hashes", "-r", LOCK)
