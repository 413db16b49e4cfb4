# SPDX-License-Identifier: GPL-3.0-or-later
"""env create, env update: environments from an environment.yml."""

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import MODERN, change, condarc, environment, output
from .condarc import ROOT, Config
from .exceptions import (
    ArgumentError,
    CondaEnvException,
    CondaValueError,
    EnvironmentFileNotFound,
    PackagesNotFoundError,
    ResolvePackageNotFound,
)

NAGGING = (
    "Warning: you have pip-installed dependencies in your environment file, but you do not list pip itself as one of your conda "
    "dependencies.  Conda may not use the correct pip to install your packages, and they may end up in the wrong place.  Please "
    "add an explicit pip dependency.  I'm adding one for you, but still nagging you."
)


def create(args: argparse.Namespace, config: Config) -> None:
    """A new environment; newer conda makes one anew without being asked."""
    file = _read(args)
    prefix = _prefix(args, config, file)
    if (prefix / "conda-meta").exists():
        if prefix == ROOT or not (args.yes or MODERN):
            raise CondaValueError(f"prefix already exists: {prefix}")
        shutil.rmtree(prefix)
    with change.removed_after_failure(prefix):
        pip = _transact(args, config, prefix, file, kept=[])
    _finish(args, config, prefix, pip)  # what conda has made stays when pip fails


def update(args: argparse.Namespace, config: Config) -> None:
    """What the file names, beside what was asked for before; with --prune, instead of it."""
    file = _read(args)
    prefix = _prefix(args, config, file)
    kept = [] if args.prune else list(environment.requested(prefix).values())
    _finish(args, config, prefix, _transact(args, config, prefix, file, kept))


def _read(args: argparse.Namespace) -> dict[str, Any]:
    path = Path(args.file).expanduser()
    if not path.is_file():
        raise EnvironmentFileNotFound(args.file)
    return condarc.read(path)


def _prefix(args: argparse.Namespace, config: Config, file: dict[str, Any]) -> Path:
    name = args.name or (None if args.prefix else file.get("name"))
    if MODERN and not (name or args.prefix):
        words = (
            "The environment file(s) do not specify a name or prefix. Please provide one via -n/--name or -p/--prefix."
        )
        raise ArgumentError(words)
    return environment.locate(config, name, args.prefix)


def _transact(
    args: argparse.Namespace, config: Config, prefix: Path, file: dict[str, Any], kept: Sequence[str]
) -> Sequence[str]:
    """Conda's part; returns pip's."""
    dependencies = file.get("dependencies") or []
    specs = [str(item) for item in dependencies if not isinstance(item, dict)]
    pip = [str(line) for item in dependencies if isinstance(item, dict) for line in item.get("pip") or []]
    if pip and "pip" not in map(environment.spec_name, specs):
        if not args.json:
            print(*[NAGGING] * (2 if MODERN else 1), sep="\n")
        specs.append("pip")
    channels = [str(channel) for channel in file.get("channels") or []]
    if "nodefaults" not in channels:
        channels += config["channels"]
    elif not MODERN:  # with rattler's solver, newer conda takes it for a channel
        channels.remove("nodefaults")
    named = {environment.spec_name(spec) for spec in specs}
    wanted = [*(spec for spec in kept if environment.spec_name(spec) not in named), *specs]
    args.yes = True  # this command never asks
    try:
        change.transact(args, config, prefix, specs, wanted=wanted, channels=channels, told=MODERN and args.new)
    except PackagesNotFoundError as error:
        if MODERN:
            raise
        packages = error.details["packages"]
        raise ResolvePackageNotFound("\n" + "".join(f"  - {spec}\n" for spec in packages), bad_deps=packages) from error
    return pip


def _finish(args: argparse.Namespace, config: Config, prefix: Path, pip: Sequence[str]) -> None:
    if args.dry_run:
        return
    if pip:
        _install(args, prefix, pip)
    if not (args.json or args.quiet):
        output.activation_hint(environment.display_name(config, prefix))


def _install(args: argparse.Namespace, prefix: Path, lines: Sequence[str]) -> None:
    """pip's part, with whatever configuration pip has."""
    with tempfile.NamedTemporaryFile(
        "w", prefix="condaenv.", suffix=".requirements.txt", dir=Path(args.file).absolute().parent
    ) as requirements:
        requirements.writelines(f"{line}\n" for line in lines)
        requirements.flush()
        argv = [f"{prefix}/bin/python", "-m", "pip", "install", "-U", "-r", requirements.name, "--exists-action=b"]
        if not args.json:
            print("Installing pip dependencies: ...working... ", end="", flush=True)
        done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if not args.json:
        told = f"Ran pip subprocess with arguments:\n{argv}\nPip subprocess output:\n{done.stdout}\n" if MODERN else ""
        print(f"{told}{'failed' if done.returncode else 'done'}")
    if done.returncode:
        print(f"Pip subprocess error:\n{done.stderr}", file=sys.stderr)
        raise CondaEnvException("Pip failed")
