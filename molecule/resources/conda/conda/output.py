# SPDX-License-Identifier: GPL-3.0-or-later
"""What conda prints."""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from . import MODERN, environment
from .environment import Record, dist_name
from .exceptions import CondaSystemExit, PackagesNotFoundError, UnsatisfiableError

if TYPE_CHECKING:
    from .change import Plan


REMOVE_EXISTING = "Remove existing environment"
if MODERN:
    REMOVE_EXISTING = """
Remove existing environment?
This will remove ALL directories contained within this specified prefix directory, including any other conda environments.

"""


def as_json(data: Any, stream: TextIO | None = None) -> None:
    """JSON as conda formats it."""
    print(json.dumps(data, indent=2, sort_keys=not MODERN), file=stream)


@contextmanager
def step(args: argparse.Namespace, *titles: str) -> Iterator[None]:
    """Lines with "...working... done": the first title stands there during the work, the others follow it."""
    if args.json:
        yield
        return
    print(f"{titles[0]}: ...working... ", end="", flush=True)
    try:
        yield
    except BaseException:
        print("failed")
        raise
    print("done", *(f"{title}: ...working... done" for title in titles[1:]), sep="\n")


def solver_header(args: argparse.Namespace, urls: Sequence[str], prefix: Any) -> None:
    """What newer conda says before it solves."""
    if MODERN and not args.json:
        print("Channel: " + urls[0] if len(urls) == 1 else "\n - ".join(["Channels:", *urls]))
        print(f"Platform: {environment.subdir()}\nTarget prefix: {'<dry run>' if args.dry_run else prefix}")


@contextmanager
def solving(args: argparse.Namespace, urls: Sequence[str], prefix: Any) -> Iterator[None]:
    """The step of the solver: conda's classic one tries twice, and newer conda looks twice for what is not there."""
    if args.json:
        yield
        return
    again = "Collecting package metadata (repodata.json): ...working... done\nSolving environment: ...working... "
    print("Solving environment: ...working... ", end="", flush=True)
    try:
        yield
    except PackagesNotFoundError:
        if MODERN:
            print("failed")
            solver_header(args, urls, prefix)
            print(f"{again}failed")
        elif args.command == "create":
            retry = (
                "unsuccessful attempt using repodata from current_repodata.json, retrying with next repodata source."
            )
            print(f"{retry}\n{again}failed")
        elif args.command == "install":
            retry = "unsuccessful initial attempt using frozen solve. Retrying with flexible solve."
            print(f"{retry}\n{again}{retry}")
        else:
            print("failed")
        raise
    except UnsatisfiableError:
        if not MODERN:
            print("unsuccessful attempt using repodata from current_repodata.json, retrying with next repodata source.")
            print(f"{again}\nFound conflicts! Looking for incompatible packages.")
            print("This can take several minutes.  Press CTRL-C to abort.")
        print("failed")
        raise
    except BaseException:
        print("failed")
        raise
    print("done")


def newer_conda(channel: str, version: str) -> None:
    """Older conda's advice, on standard error even with --json."""
    print(
        "\n\n==> WARNING: A newer version of conda exists. <==\n"
        f"  current version: {environment.__version__}\n  latest version: {version}\n\nPlease update conda by running\n\n"
        f"    $ conda update -n base -c {channel} conda\n\n"
        "Or to minimize the number of packages updated during conda update use\n\n"
        f"     conda install conda={version}\n\n",
        file=sys.stderr,
    )


def confirm(question: str, yes: bool | None, *, default: bool) -> None:
    """Ask; with no one there to answer, the default counts."""
    if yes:
        return
    print(f"{question} ({'[y]/n' if default else 'y/[n]'})? ", end="", flush=True)
    answer = sys.stdin.readline().strip().lower() or ("y" if default else "n")
    print("\n")
    if answer not in ("y", "yes"):
        raise CondaSystemExit("Exiting.")


def downloaded(args: argparse.Namespace) -> None:
    """conda's first step; rattler downloads while it links."""
    if not (args.json or args.quiet):
        print("\nDownloading and Extracting Packages: ...working... done")


def nothing_to_do(args: argparse.Namespace) -> None:
    """Everything is there."""
    message = "All requested packages already installed."
    if args.json:
        as_json({"success": True, "message": message})
    else:
        print(f"\n# {message}\n")


def show_plan(plan: "Plan", fetch: Sequence[Record], *, quiet: bool) -> None:
    """The tables before a transaction."""
    verb = "removed" if plan.action == "remove" else "added / updated"
    print(f"\n## Package Plan ##\n\n  environment location: {plan.prefix}\n")
    if plan.specs:
        print(f"  {verb} specs:", *(f"    - {spec}" for spec in sorted(plan.specs)), "", sep="\n")
    if fetch and not quiet:
        print("\nThe following packages will be downloaded:\n\n    package                    |            build")
        print(f"    {'-' * 27}|{'-' * 17}")
        for record in fetch:
            name = f"{record['name']}-{record['version']}"
            print(f"    {name:<27}|{record['build']:>17} {size(record['size']):>11}  {environment.channel_url(record)}")
        print(f"    {'-' * 60}\n{'Total:':>49} {size(sum(r['size'] or 0 for r in fetch)):>11}")
    changed = {r["name"]: r for r in plan.unlink}
    linked = {r["name"] for r in plan.link}
    _table(
        "The following NEW packages will be INSTALLED:",
        (f"{r['name']:<18} {_origin(r)} " for r in plan.link if r["name"] not in changed),
    )
    _table("The following packages will be REMOVED:", (dist_name(r) for r in plan.unlink if r["name"] not in linked))
    changes = [(changed[r["name"]], r) for r in plan.link if r["name"] in changed]
    for title, downgrade in (("UPDATED", False), ("DOWNGRADED", True)):
        lines = (
            f"{new['name']:<18} {_short(old):>28} --> {_short(new)} "
            for old, new in changes
            if _older(new, old) == downgrade
        )
        _table(f"The following packages will be {title}:", lines)


def success(plan: "Plan", fetched: Iterable[Record], *, dry_run: bool = False) -> None:
    """The JSON of a transaction."""
    actions: dict[str, Any] = {"FETCH": [_public(r) for r in fetched], "PREFIX": str(plan.prefix)}
    for key, group in (("LINK", plan.link), ("UNLINK", plan.unlink)):
        if group:
            actions[key] = [environment.summary(r) for r in group]
    as_json({"success": True, "actions": actions, "prefix": str(plan.prefix)} | ({"dry_run": True} if dry_run else {}))


def activation_hint(name: str) -> None:
    """The end of `create`."""
    print(f"#\n# To activate this environment, use\n#\n#     $ conda activate {name}\n#")
    print("# To deactivate an active environment, use\n#\n#     $ conda deactivate\n")


def _table(title: str, lines: Iterable[str]) -> None:
    if lines := list(lines):
        print(f"\n{title}\n", *(f"  {line}" for line in lines), "", sep="\n")


def _public(record: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if not key.startswith("_")}


def _origin(record: Record) -> str:
    return f"{environment.channel_url(record).rpartition('/')[2]}/{record['subdir']}::{dist_name(record)}"


def _short(record: Record) -> str:
    return f"{record['version']}-{record['build']}"


def _older(new: Record, old: Record) -> bool:
    from rattler import Version

    return Version(new["version"]) < Version(old["version"])


def size(number: int | None) -> str:
    """Bytes, for people."""
    value = float(number or 0)
    for unit in ("B", "KB", "MB"):
        if value < 1024 or unit == "MB":
            break
        value /= 1024
    return f"{value:.1f} MB" if unit == "MB" else f"{value:.0f} {unit}"
