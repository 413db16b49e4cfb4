# SPDX-License-Identifier: GPL-3.0-or-later
"""create, install, update, remove: plan a transaction, tell it, carry it out."""

import argparse
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import environment, output
from .condarc import ROOT, Config
from .environment import Record
from .exceptions import (
    ArgumentError,
    CondaEnvironmentError,
    CondaFileIOError,
    CondaValueError,
    DryRunExit,
    EnvironmentNotWritableError,
    PackageNotInstalledError,
    PackagesNotFoundError,
)


@dataclass
class Plan:
    """What a transaction makes of a prefix."""

    prefix: Path
    installed: list[Record]
    solution: list[Record]
    specs: list[str]  # as people asked, for the history
    action: str = "update"  # or "remove", as the history calls it
    link: list[Record] = field(init=False)
    unlink: list[Record] = field(init=False)

    def __post_init__(self) -> None:
        """Compare."""
        old, new = ({environment.dist_name(r): r for r in group} for group in (self.installed, self.solution))
        self.link = sorted((new[name] for name in new.keys() - old.keys()), key=lambda r: r["name"])
        self.unlink = sorted((old[name] for name in old.keys() - new.keys()), key=lambda r: r["name"])


def create(args: argparse.Namespace, config: Config) -> None:
    """A new environment."""
    prefix = environment.locate(config, args.name, args.prefix)
    if prefix == ROOT:
        raise CondaValueError("The target prefix is the base prefix. Aborting.")
    if environment.is_environment(prefix):
        if args.dry_run:
            raise CondaValueError("Cannot `create --dry-run` with an existing conda environment")
        warning = f"WARNING: A conda environment already exists at '{prefix}'\n"
        output.confirm(f"{warning}Remove existing environment", args.yes, default=False)
        shutil.rmtree(prefix)
    elif prefix.is_dir():
        warning = f"WARNING: A directory already exists at the target location '{prefix}'\n"
        question = "but it is not a conda environment.\nContinue creating environment"
        output.confirm(warning + question, args.yes, default=False)
    if (prefix / "conda-meta").exists():  # and no environment, else it would be gone by now
        raise CondaValueError(f"prefix already exists: {prefix}")
    existed = prefix.exists()
    try:
        specs, explicit = _asked_for(args)
        if explicit:
            _link_explicit(args, config, prefix, explicit)
        else:
            _change(args, config, prefix, specs, wanted=specs)
        if not args.json:
            output.activation_hint(environment.display_name(config, prefix))
    except BaseException:
        if not existed:
            shutil.rmtree(prefix, ignore_errors=True)
        raise


def install(args: argparse.Namespace, config: Config) -> None:
    """More packages in an environment; what is there stays, at its version where that is possible."""
    prefix = environment.existing(config, args.name, args.prefix)
    specs, explicit = _asked_for(args)
    if explicit:
        _link_explicit(args, config, prefix, explicit)
        return
    if not specs:
        raise CondaValueError("too few arguments, must supply command line package specs or --file")
    before = environment.requested(prefix)
    others = [r["name"] for r in environment.records(prefix) if r["name"] not in before]
    _change(args, config, prefix, specs, wanted=[*_without(specs, [*before.values(), *others]), *specs])


def update(args: argparse.Namespace, config: Config) -> None:
    """Newer versions of the named packages, or of all; what nobody needs any more goes."""
    prefix = environment.existing(config, args.name, args.prefix)
    installed = [r["name"] for r in environment.records(prefix)]
    if args.all:
        _change(args, config, prefix, [], wanted=installed, free=installed)
        return
    specs, _ = _asked_for(args)
    if not specs:
        raise CondaValueError("no package names supplied\n# Example: conda update -n myenv scipy\n")
    if absent := _without(installed, specs):
        raise PackageNotInstalledError(prefix, environment.spec_name(absent[0]))
    _change(args, config, prefix, specs, wanted=[*_without(specs, environment.requested(prefix).values()), *specs])


def remove(args: argparse.Namespace, config: Config) -> None:
    """Packages, what depends on them and what nobody needs any more; or, with --all, the environment."""
    if args.all:
        remove_environment(args, config)
        return
    prefix = environment.existing(config, args.name, args.prefix)
    if not args.packages:
        raise CondaValueError('no package names supplied,\n       try "conda remove -h" for more details')
    installed = environment.records(prefix)
    if missing := _without([r["name"] for r in installed], args.packages):
        raise PackagesNotFoundError(
            "The following packages are missing from the target environment:\n"
            + "".join(f"  - {name}\n" for name in missing),
            packages=missing,
            channel_urls=[],
            channels_formatted=[],
        )
    gone = {environment.spec_name(spec) for spec in args.packages}
    while more := {r["name"] for r in installed if gone & set(map(environment.spec_name, r["depends"]))} - gone:
        gone |= more
    wanted = _without(gone, environment.requested(prefix).values())
    _change(args, config, prefix, args.packages, wanted=wanted, action="remove")


def remove_environment(args: argparse.Namespace, config: Config) -> None:
    """A whole environment."""
    prefix = environment.locate(config, args.name, args.prefix)
    if prefix in (ROOT, Path(os.environ.get("CONDA_PREFIX") or ROOT)):
        raise CondaEnvironmentError("cannot remove current environment. deactivate and run conda remove again")
    if not environment.is_environment(prefix):
        return  # conda 23.10 says nothing
    if not args.json:
        print(f"\nRemove all packages in environment {prefix}:\n")
    plan = Plan(prefix, environment.records(prefix), [], [], "remove")
    _agree(args, plan, fetch=[])
    if args.json and args.dry_run:
        return
    shutil.rmtree(prefix)
    environment.register(prefix, gone=True)
    if args.json:
        output.success(plan, [])


def _change(
    args: argparse.Namespace,
    config: Config,
    prefix: Path,
    specs: Sequence[str],
    *,
    wanted: Sequence[str],
    free: Iterable[str] | None = None,
    action: str = "update",
) -> None:
    """Solve for `wanted` and make it so; only the packages `free` (by default those of `specs`) need not keep their version."""
    solver = _solver(args, config)
    installed = environment.records(prefix)
    keep = _without(specs if free is None else free, [r["name"] for r in installed])
    locked = [prefix / f"conda-meta/{environment.dist_name(r)}.json" for r in installed if r["name"] in keep]
    with output.step(args, "Collecting package metadata (current_repodata.json)"):
        available = solver.collect(wanted)
    with output.step(args, "Solving environment"):
        solution = solver.solve(wanted, available, locked)
    plan = Plan(prefix, installed, solution, list(specs), action)
    if not plan.link and not plan.unlink and environment.is_environment(prefix):
        output.nothing_to_do(args)
        return
    fetch = solver.to_fetch(plan.link)
    _agree(args, plan, fetch)
    if args.dry_run:
        return
    _link(args, solver, plan)
    if args.json:
        output.success(plan, fetch)


def _link_explicit(args: argparse.Namespace, config: Config, prefix: Path, lines: Sequence[str]) -> None:
    """Packages by their URLs, without a question or a word of JSON (as conda 23.10)."""
    solver = _solver(args, config)
    installed = environment.records(prefix)
    new = solver.explicit(lines)
    others = [r for r in installed if r["name"] not in {n["name"] for n in new}]
    solution = [*new, *solver.explicit(f"{r['url']}#{r['md5']}" for r in others)]
    if args.dry_run:
        raise DryRunExit("Dry run. Exiting.")
    _link(args, solver, Plan(prefix, installed, solution, [f"{r['name']}=={r['version']}={r['build']}" for r in new]))


def _link(args: argparse.Namespace, solver: Any, plan: Plan) -> None:
    steps = (
        "Downloading and Extracting Packages",
        "Preparing transaction",
        "Verifying transaction",
        "Executing transaction",
    )
    with output.step(args, *steps):
        _check_writable(plan.prefix)
        (plan.prefix / "conda-meta").mkdir(parents=True, exist_ok=True)
        solver.link(plan.prefix, plan.solution)
    environment.write_history(plan.prefix, plan.unlink, plan.link, plan.action, plan.specs)
    environment.register(plan.prefix)


def _agree(args: argparse.Namespace, plan: Plan, fetch: Sequence[Record]) -> None:
    """Show what is going to happen, and ask."""
    if args.json:
        if args.dry_run:
            output.success(plan, fetch, dry_run=True)
        return
    output.show_plan(plan, fetch, quiet=args.quiet)
    if args.dry_run:
        raise DryRunExit("Dry run. Exiting.")
    output.confirm("Proceed", args.yes, default=True)


def _solver(args: argparse.Namespace, config: Config) -> Any:
    from . import solver  # rattler takes a second to import under emulation

    if args.override_channels and not args.channel:
        raise ArgumentError("At least one -c / --channel flag must be supplied when using --override-channels.")
    channels = args.channel if args.override_channels else [*args.channel, *config["channels"]]
    return solver.Solver(config, solver.channel_urls(config, channels))


def _without(names: Iterable[str], specs: Iterable[str]) -> list[str]:
    """The specifications of other packages than these."""
    excluded = {environment.spec_name(name) for name in names}
    return [spec for spec in specs if environment.spec_name(spec) not in excluded]


def _asked_for(args: argparse.Namespace) -> tuple[list[str], list[str]]:
    """Specifications, and the lines of @EXPLICIT files."""
    specs, explicit = list(args.packages), []
    for name in args.file:
        try:
            text = Path(name).read_text()
        except OSError as error:
            raise CondaFileIOError(f"'{name}'. {error}") from error
        lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
        if "@EXPLICIT" in lines:
            explicit += [line for line in lines if line != "@EXPLICIT"]
        else:  # in a file, conda 23.10 reads one = as two
            specs += [_exact(line) for line in lines]
    if specs and explicit:
        raise CondaValueError("cannot mix specifications with explicit package filenames")
    return specs, explicit


def _exact(spec: str) -> str:
    name, equals, version = spec.partition("=")
    exact = equals and not version.startswith("=") and name.isidentifier() and "=" not in version and "*" not in version
    return f"{name}=={version}" if exact else spec


def _check_writable(prefix: Path) -> None:
    nearest = next(p for p in (prefix / "conda-meta", prefix, *prefix.parents) if p.exists())
    if not os.access(nearest, os.W_OK):
        raise EnvironmentNotWritableError(
            "The current user does not have write permissions to the target environment.\n"
            f"  environment location: {prefix}\n  uid: {os.geteuid()}\n  gid: {os.getegid()}\n",
            environment_location=str(prefix),
        )
