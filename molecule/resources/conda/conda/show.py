# SPDX-License-Identifier: GPL-3.0-or-later
"""list, info, env, config: what conda tells."""

import argparse
import datetime
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import MODERN, __version__, condarc, environment, output
from .condarc import ROOT, Config
from .exceptions import CondaValueError


def list_packages(args: argparse.Namespace, config: Config) -> None:
    """The packages of an environment."""
    prefix = environment.existing(config, args.name, args.prefix)
    installed = environment.records(prefix)
    chosen = [*installed, *environment.pip_records(prefix, installed)]
    if args.regex:
        pattern = re.compile(f"^{args.regex}$" if args.full_name else args.regex, re.IGNORECASE)
        chosen = [r for r in chosen if pattern.search(r["name"])]
        if MODERN and not chosen:
            raise CondaValueError(f"No packages match '{args.regex}'.")
    if args.explicit:
        print(_file_header() + "@EXPLICIT")
        kind = "md5" if args.md5 else "sha256" if MODERN and args.sha256 else ""
        for record in (r for r in chosen if r["url"]):
            print(record["url"] + (f"#{record[kind]}" if kind else ""))
    elif args.export:
        print(_file_header(), end="")
        for record in chosen:
            print("{name}={version}={build}".format(**record))
    elif args.json:
        output.as_json([environment.summary(r) for r in sorted(chosen, key=lambda r: r["name"])])
    else:
        row = "{:<26} {:<16} {:<16} {}" if MODERN else "{:<25} {:<15} {:>15}  {}"
        print(f"# packages in environment at {prefix}:\n#\n" + row.format("# Name", "Version", "Build", "Channel"))
        for record in sorted(chosen, key=lambda r: r["name"]):
            url = environment.channel_url(record)
            channel = (
                "pypi" if record["subdir"] == "pypi" else url.removeprefix(f"{config['channel_alias'].rstrip('/')}/")
            )
            print(row.format(record["name"], record["version"], record["build"], channel))


def _file_header() -> str:
    return (
        "# This file may be used to create an environment using:\n"
        f"# $ conda create --name <env> --file <this file>\n# platform: {environment.subdir()}\n"
        + (f"# created-by: conda {__version__}\n" if MODERN else "")
    )


def env_list(args: argparse.Namespace, config: Config) -> None:
    """The environments."""
    prefixes = environment.all_prefixes(config)
    if args.json:
        details = {"envs_details": {str(p): _details(config, p) for p in prefixes}} if MODERN else {}
        output.as_json({"envs": [str(p) for p in prefixes], **details})
        return
    print("\n# conda environments:\n#\n# * -> active\n# + -> frozen" if MODERN else "# conda environments:\n#")
    for prefix in prefixes:
        name = environment.display_name(config, prefix)
        active = "*" if os.environ.get("CONDA_PREFIX") == str(prefix) else " "
        print(f"{'' if name == str(prefix) else name:<21}  {active} {prefix}")
    print()


def _details(config: Config, prefix: Path) -> dict[str, Any]:
    created = prefix / "conda-meta/created_at"
    return {
        "name": environment.display_name(config, prefix),
        "created": _moment(float(created.read_text())) if created.is_file() else None,
        "last_modified": _moment((prefix / "conda-meta/history").stat().st_mtime),
        "active": os.environ.get("CONDA_PREFIX") == str(prefix),
        "base": prefix == ROOT,
        "frozen": False,
        "writable": os.access(prefix / "conda-meta", os.W_OK),
    }


def _moment(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat()


def env_export(args: argparse.Namespace, config: Config) -> None:
    """An environment as a YAML specification."""
    prefix = environment.locate(config, args.name, args.prefix)
    installed = environment.records(prefix)
    line = "{name}={version}" if args.no_builds else "{name}={version}={build}"
    depends: list[Any] = [line.format(**r) for r in installed]
    if args.from_history:
        depends = list(environment.requested(prefix).values())
    elif pip := [f"{r['name']}=={r['version']}" for r in environment.pip_records(prefix, installed)]:
        depends.append({"pip": pip})
    data = {
        "name": environment.display_name(config, prefix),
        "channels": list(dict.fromkeys(config["channels"])),
        **({"dependencies": depends} if depends or MODERN else {}),
        "prefix": str(prefix),
    }
    if args.json:
        output.as_json(data)
    else:
        condarc.dump(data, sys.stdout)


def info(args: argparse.Namespace, config: Config) -> None:
    """What conda knows about itself and this machine."""
    if args.base:
        print(ROOT) if not args.json else output.as_json({"root_prefix": str(ROOT)})
        return
    if args.envs:
        env_list(args, config)
        return
    for path, data in condarc.sources().items():
        condarc.check(data, str(path))
    facts = _facts(config)
    if args.json:
        output.as_json(facts)
        return
    writable = "writable" if facts["root_writable"] else "read only"
    active = facts["active_prefix_name"]
    rows = {
        "active environment": active,
        **({"active env location": facts["active_prefix"]} if active else {}),
        "user config file": facts["user_rc_path"],
        "populated config files": facts["config_files"],
        "conda version": facts["conda_version"],
        "stand-in": facts["stand_in"],
        "conda-build version": facts["conda_build_version"],
        "python version": facts["python_version"],
        **({"solver": config["solver"]} if MODERN else {}),
        "virtual packages": ["=".join(package) for package in facts["virtual_pkgs"]],
        "base environment": f"{ROOT}  ({writable})",
        "conda av data dir": facts["av_data_dir"],
        "conda av metadata url": facts["av_metadata_url_base"],
        "channel URLs": facts["channels"],
        "package cache": facts["pkgs_dirs"],
        "envs directories": facts["envs_dirs"],
        "platform": facts["platform"],
        "user-agent": facts["user_agent"],
        "UID:GID": f"{facts['UID']}:{facts['GID']}",
        "netrc file": facts["netrc_file"],
        "offline mode": facts["offline"],
    }
    print()
    for title, value in rows.items():
        lines = value if isinstance(value, list) else [value]
        print(f"{title:>23} : " + f"\n{' ' * 26}".join(map(str, lines)))
    print()


def _facts(config: Config) -> dict[str, Any]:
    """The keys of `conda info --json`, and `stand_in`."""
    active = os.environ.get("CONDA_PREFIX")
    python = sys.version.split()[0]
    glibc = os.confstr("CS_GNU_LIBC_VERSION").split()[1]  # type: ignore[union-attr]
    kernel = os.uname().release
    virtual = [
        ["__archspec", "1", os.uname().machine],
        *([["__conda", __version__, "0"]] if MODERN else []),
        ["__glibc", glibc, "0"],
        ["__linux", kernel.split("-")[0], "0"],
        ["__unix", "0", "0"],
    ]
    return {
        "GID": os.getgid(),
        "UID": os.getuid(),
        "active_prefix": active,
        "active_prefix_name": environment.display_name(config, Path(active)) if active else None,
        "channels": [f"{url}/{subdir}" for url in _channel_urls(config) for subdir in (environment.subdir(), "noarch")],
        "av_data_dir": str(ROOT / "etc/conda"),
        "av_metadata_url_base": None,
        "conda_build_version": "not installed",
        "conda_env_version": __version__,
        "conda_location": str(Path(__file__).parent),
        "conda_prefix": str(ROOT),
        "conda_shlvl": int(os.environ.get("CONDA_SHLVL") or -1),
        "conda_version": __version__,
        "config_files": [str(path) for path in condarc.sources()],
        "default_prefix": active or str(ROOT),
        "envs": [str(path) for path in environment.all_prefixes(config)],
        "envs_dirs": [str(path) for path in environment.envs_dirs(config)],
        "env_vars": {"CONDA_ROOT": str(ROOT), "PATH": os.environ.get("PATH", "<not set>")},
        "netrc_file": None,
        "offline": config["offline"],
        "site_dirs": [],
        "pkgs_dirs": [str(path) for path in environment.pkgs_dirs(config)],
        "platform": environment.subdir(),
        "python_version": f"{python}.final.0",
        "rc_path": str(condarc.user_rc()),
        "root_prefix": str(ROOT),
        "root_writable": os.access(ROOT, os.W_OK),
        "stand_in": "Slipway's stand-in for conda, over py-rattler",
        "sys.executable": sys.executable,
        "sys.prefix": sys.prefix,
        "sys.version": sys.version,
        "sys_rc_path": str(ROOT / ".condarc"),
        "user_agent": f"conda/{__version__} CPython/{python} Linux/{kernel} glibc/{glibc}",
        "user_rc_path": str(condarc.user_rc()),
        "virtual_pkgs": virtual,
    }


def config_command(args: argparse.Namespace, config: Config) -> None:
    """Read or change the configuration."""
    path = Path(args.rc_file).expanduser() if args.rc_file else ROOT / ".condarc" if args.system else condarc.user_rc()
    warnings: list[str] = []
    got: dict[str, Any] = {}
    if args.show is not None:
        shown = {key: config[key] for key in condarc.known(args.show)}
        output.as_json(shown) if args.json else print(*condarc.as_text(shown), sep="\n")
        return
    if args.show_sources:
        files = {str(p): dict(data) for p, data in condarc.sources().items()}
        if args.json:
            output.as_json({**files, "cmd_line": {"json": True}})
        else:
            for name, data in files.items():
                print(f"==> {name} <==", *condarc.as_text(dict(sorted(data.items()))), "", sep="\n")
        return
    if args.get is not None:
        data = condarc.read(path)
        got = {key: data[key] for key in args.get or sorted(data) if key in data}
        for key in args.get:
            if key not in condarc.DEFAULTS:
                print(f"unknown key {key}", file=sys.stderr)
        if not args.json:
            print(*_commands(got), sep="\n")
    else:
        warnings = condarc.edit(args, path)
        if not args.json:
            print(*warnings, sep="\n", end="\n" if warnings else "", file=sys.stderr)
    if args.json:
        output.as_json({"success": True, "rc_path": str(path), "warnings": warnings, "get": got})


def _commands(data: Mapping[str, Any]) -> list[str]:
    """Settings as options that would make them."""
    lines = []
    for key, value in data.items():
        if isinstance(value, list):  # --add puts on top, so the last comes first
            notes = {len(value) - 1: "   # highest priority", 0: "   # lowest priority"} if key == "channels" else {}
            lines += [f"--add {key} {item!r}{notes.get(i, '')}" for i, item in enumerate(reversed(value))]
        else:
            lines.append(f"--set {key} {value}")
    return lines


def _channel_urls(config: Config) -> list[str]:
    from .solver import channel_urls

    return channel_urls(config, config["channels"])
