# SPDX-License-Identifier: GPL-3.0-or-later
"""Wheels from PyPI: locked by version and sha256, fetched by pip."""

import hashlib
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from packaging.utils import parse_wheel_filename

from .command import run

MANYLINUX = (
    "2_5",
    "2_12",
    "2_17",
    "2_24",
    "2_26",
    "2_27",
    "2_28",
    "2_31",
    "2_34",
    "2_35",
    "2_36",
)  # up to bookworm's glibc


def download(folder: Path, lock: Path, python: str, machine: str) -> None:
    """The wheels of a lock; pip checks their digests."""
    _pip(folder, python, machine, "--no-deps", "--require-hashes", "--requirement", lock)


def resolve(folder: Path, requirements: Sequence[str], links: Path, python: str, machine: str) -> None:
    """The newest wheels that fit together, with Debian's (in `links`) at their versions."""
    constraints = folder / "constraints.txt"
    debian = [parse_wheel_filename(wheel.name)[:2] for wheel in links.glob("*.whl")]
    constraints.write_text("".join(f"{name}=={version}\n" for name, version in debian))
    _pip(folder, python, machine, "--find-links", links, "--constraint", constraints, *requirements)
    constraints.unlink()


def lock_lines(wheels: Iterable[Path], without: Iterable[str]) -> str:
    """A requirements file with these wheels' digests."""
    lines = []
    for wheel in sorted(wheels):
        name, version, *_ = parse_wheel_filename(wheel.name)
        if name not in without:
            lines.append(f"{name}=={version} --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n")
    return "".join(lines)


def _pip(folder: Path, python: str, machine: str, *arguments: str | Path) -> None:
    # The order of the platforms is the order of preference: Debian's own wheels first.
    platforms = [
        f"linux_{machine}",
        *(f"manylinux_{glibc}_{machine}" for glibc in reversed(MANYLINUX)),
        f"manylinux2014_{machine}",
    ]
    tag = "cp" + python.replace(".", "")
    argv: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--disable-pip-version-check",
        "--only-binary=:all:",
    ]
    argv += [f"--platform={platform}" for platform in platforms]
    argv += ["--python-version", python, "--implementation", "cp", "--abi", tag, "--abi", "abi3", "--abi", "none"]
    run(*argv, "--dest", folder, *arguments)
