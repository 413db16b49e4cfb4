# SPDX-License-Identifier: GPL-3.0-or-later
"""Prefixes: where they are, what is installed in them, and their history."""

import ast
import functools
import json
import os
import re
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from . import MODERN, __version__
from .condarc import ROOT, Config
from .exceptions import CondaValueError, CorruptedEnvironmentError, EnvironmentLocationNotFound

Record = dict[str, Any]
REGISTRY = Path.home() / ".conda/environments.txt"


def subdir() -> str:
    """This machine, as channels name it."""
    machine = os.uname().machine
    return "linux-64" if machine == "x86_64" else f"linux-{machine}"


def envs_dirs(config: Config) -> list[Path]:
    """Where named environments are, the first place for a new one first."""
    own = [ROOT / "envs", Path.home() / ".conda/envs"]
    if not os.access(ROOT, os.W_OK):
        own.reverse()
    return list(dict.fromkeys([*(Path(d).expanduser() for d in config["envs_dirs"]), *own]))


def pkgs_dirs(config: Config) -> list[Path]:
    """The package caches."""
    own = [ROOT / "pkgs", Path.home() / ".conda/pkgs"]
    return list(dict.fromkeys([Path(d).expanduser() for d in config["pkgs_dirs"]] or own))


def is_environment(prefix: Path) -> bool:
    """Whether conda calls this folder an environment."""
    return (prefix / "conda-meta/history").is_file()


def locate(config: Config, name: str | None, prefix: str | None) -> Path:
    """The prefix that -n, -p or the active environment mean; it need not exist."""
    if prefix:
        return Path(prefix).expanduser().absolute()
    if name is None:
        return Path(os.environ.get("CONDA_PREFIX") or ROOT)
    if name in ("base", "root"):
        return ROOT
    if set(name) & set("/ :#"):
        raise CondaValueError(
            f"Invalid environment name: {name!r}\nCharacters not allowed: {{'#', '/', ':', ' '}}\n"
            "If you are specifying a path to an environment, the `-p`\nflag should be used instead."
        )
    places = [folder / name for folder in envs_dirs(config)]
    return next(filter(is_environment, places), places[0])


def existing(config: Config, name: str | None, prefix: str | None) -> Path:
    """The same, of an environment that is there."""
    path = locate(config, name, prefix)
    if not (path / "conda-meta").is_dir():
        raise EnvironmentLocationNotFound(path)
    return path


def display_name(config: Config, prefix: Path) -> str:
    """How prompts call an environment."""
    if prefix == ROOT:
        return "base"
    return prefix.name if prefix.parent in envs_dirs(config) else str(prefix)


def all_prefixes(config: Config) -> list[Path]:
    """All environments that are known and exist."""
    named = [p for folder in envs_dirs(config) if folder.is_dir() for p in folder.iterdir()]
    registered = [Path(line) for line in _registered()]
    return [ROOT, *sorted({p for p in [*named, *registered] if is_environment(p)} - {ROOT})]


def register(config: Config, prefix: Path, *, gone: bool = False) -> None:
    """Note an environment in ~/.conda/environments.txt, or strike it out."""
    if not config["register_envs"]:
        return
    lines = [line for line in _registered() if line != str(prefix)] + ([] if gone else [str(prefix)])
    REGISTRY.parent.mkdir(exist_ok=True)
    REGISTRY.write_text("".join(f"{line}\n" for line in lines))


def _registered() -> list[str]:
    return REGISTRY.read_text().split("\n")[:-1] if REGISTRY.is_file() else []


def records(prefix: Path) -> list[Record]:
    """The installed packages, by name."""
    found = []
    for file in (prefix / "conda-meta").glob("*.json"):
        try:
            found.append(json.loads(file.read_bytes()))
        except ValueError as error:
            raise CorruptedEnvironmentError(prefix, file) from error
    return sorted(found, key=lambda r: r["name"])


def pip_records(prefix: Path, known: Iterable[Record]) -> Iterator[Record]:
    """What pip installed beside conda."""
    ours = {name for record in known for name in record.get("files", ())}
    for info in sorted(prefix.glob("lib/python3.*/site-packages/*.dist-info")):
        if f"{info.relative_to(prefix)}/METADATA" not in ours:
            name, _, version = info.name.removesuffix(".dist-info").rpartition("-")
            record = {"name": name.lower().replace("_", "-"), "version": version, "build": "pypi_0", "build_number": 0}
            yield record | {"subdir": "pypi", "url": "", "channel": "pypi"}


def dist_name(record: Record) -> str:
    """name-version-build."""
    return "{name}-{version}-{build}".format(**record)


def channel_url(record: Record) -> str:
    """The channel that a package came from, without the subdir."""
    return record["url"].rsplit("/", 2)[0] if record["url"] else "https://conda.anaconda.org/pypi"


def summary(record: Record) -> dict[str, Any]:
    """A package in the JSON of `list` and of transactions."""
    return {
        "base_url": channel_url(record),
        "build_number": record["build_number"],
        "build_string": record["build"],
        "channel": channel_url(record).rpartition("/")[2],
        "dist_name": dist_name(record),
        "name": record["name"],
        "platform": record["subdir"],
        "version": record["version"],
    }


def requested(prefix: Path) -> dict[str, str]:
    """What people asked for so far, as the history has it: package name -> specification."""
    specs: dict[str, str] = {}
    history = prefix / "conda-meta/history"
    for action, items in re.findall(
        r"^# (update|remove) specs: (\[.*\])$", history.read_text() if history.is_file() else "", re.MULTILINE
    ):
        for spec in ast.literal_eval(items):
            if action == "update":
                specs[spec_name(spec)] = spec
            else:
                specs.pop(spec_name(spec), None)
    return specs


@functools.cache
def spec_name(spec: str) -> str:
    """
    >>> spec_name("numpy >=1.2"), spec_name("conda-forge::Six==1.0"), spec_name("pkg[version='1']")
    ('numpy', 'six', 'pkg')
    """
    return re.split(r"[\s=<>!~\[]", spec.rpartition("::")[2].strip(), maxsplit=1)[0].lower()


def write_history(
    prefix: Path, unlinked: Iterable[Record], linked: Iterable[Record], action: str, specs: Iterable[str]
) -> None:
    """Append one transaction."""
    lines = [
        time.strftime("==> %Y-%m-%d %H:%M:%S <=="),
        f"# cmd: {' '.join(sys.argv)}",
        f"# conda version: {__version__}",
    ]
    lines += [
        f"{sign}{channel_url(r)}/{r['subdir']}::{dist_name(r)}"
        for sign, group in (("-", unlinked), ("+", linked))
        for r in group
    ]
    if specs := list(specs):
        lines.append(f"# {action} specs: {specs!r}")
    created = prefix / "conda-meta/created_at"
    if MODERN and prefix != ROOT and not created.exists():
        created.write_text(f"{time.time()}\n")
    with (prefix / "conda-meta/history").open("a") as history:
        history.write("\n".join(lines) + "\n")
