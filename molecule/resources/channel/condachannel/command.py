# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a command of the host."""

import subprocess
from pathlib import Path


def run(*argv: str | Path) -> str:
    """A command's standard output; when it fails, its words become the error."""
    done = subprocess.run(argv, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, argv))}: exit {done.returncode}\n{done.stderr}{done.stdout}")
    return done.stdout
