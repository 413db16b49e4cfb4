# SPDX-License-Identifier: GPL-3.0-or-later
"""create, install, update, remove: plan a transaction, tell it, carry it out."""

import argparse
import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import MODERN, environment, output
from .condarc import ROOT, Config
from .environment import Record
from .exceptions import (
    ArgumentError,
    CondaEnvironmentError,
    CondaError,
    CondaFileIOError,
    CondaValueError,
    DryRunExit,
    EnvironmentFileNotFound,
    EnvironmentLocationNotFound,
    EnvironmentNotWritableError,
    PackageNotInstalledError,
    not_in_prefix,
)

STEPS = ("Preparing transaction", "Verifying transaction", "Executing transaction")


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
    if not (args.name or args.prefix):  # older conda's parser has noticed
        raise ArgumentError("one of the arguments -n/--name -p/--prefix is required")
    prefix = environment.locate(config, args.name, args.prefix)
    if prefix == ROOT:
        raise CondaValueError("The target prefix is the base prefix. Aborting.")
    if environment.is_environment(prefix):
        if args.dry_run:
            raise CondaValueError("Cannot `create --dry-run` with an existing conda environment")
        warning = f"WARNING: A conda environment already exists at '{prefix}'\n"
        output.confirm(warning + output.REMOVE_EXISTING, args.yes, default=False)
        shutil.rmtree(prefix)
    elif prefix.is_dir():
        warning = f"WARNING: A directory already exists at the target location '{prefix}'\n"
        question = "but it is not a conda environment.\nContinue creating environment"
        output.confirm(warning + question, args.yes, default=False)
    if (prefix / "conda-meta").exists():  # and no environment, else it would be gone by now
        raise CondaValueError(f"prefix already exists: {prefix}")
    with removed_after_failure(prefix):
        specs, explicit = _asked_for(args)
        if explicit:
            _link_explicit(args, config, prefix, explicit)
        else:
            transact(args, config, prefix, specs, wanted=specs)
        if not (args.json or args.quiet):
            output.activation_hint(environment.display_name(config, prefix))


@contextlib.contextmanager
def removed_after_failure(prefix: Path) -> Iterator[None]:
    """Nothing of a new environment is left behind, unless its folder was there before."""
    existed = prefix.exists()
    try:
        yield
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
        new, old = "one of command line packages, --file or --revision", "command line package specs or --file"
        raise CondaValueError(f"too few arguments, must supply {new if MODERN else old}")
    before = environment.requested(prefix)
    others = [r["name"] for r in environment.records(prefix) if r["name"] not in before]
    transact(args, config, prefix, specs, wanted=[*_without(specs, [*before.values(), *others]), *specs])


def update(args: argparse.Namespace, config: Config) -> None:
    """Newer versions of the named packages, or of all; what nobody needs any more goes."""
    prefix = environment.existing(config, args.name, args.prefix)
    installed = [r["name"] for r in environment.records(prefix)]
    if args.all:
        transact(args, config, prefix, [], wanted=installed, free=installed)
        return
    specs, _ = _asked_for(args)
    if not specs:
        raise CondaValueError("no package names supplied\n# Example: conda update -n myenv scipy\n")
    if absent := _without(installed, specs):
        raise PackageNotInstalledError(prefix, environment.spec_name(absent[0]))
    transact(args, config, prefix, specs, wanted=[*_without(specs, environment.requested(prefix).values()), *specs])


def remove(args: argparse.Namespace, config: Config) -> None:
    """Packages, what depends on them and what nobody needs any more; or, with --all, the environment."""
    if args.all:
        remove_environment(args, config)
        return
    prefix = environment.existing(config, args.name, args.prefix)
    if not args.packages:
        raise CondaValueError('no package names supplied,\n       try "conda remove -h" for more details')
    installed = environment.records(prefix)
    gone = {environment.spec_name(spec) for spec in args.packages}
    while more := {r["name"] for r in installed if gone & set(map(environment.spec_name, r["depends"]))} - gone:
        gone |= more
    wanted = _without(gone, environment.requested(prefix).values())
    transact(args, config, prefix, args.packages, wanted=wanted, action="remove")


def remove_environment(args: argparse.Namespace, config: Config) -> None:
    """A whole environment."""
    prefix = environment.locate(config, args.name, args.prefix)
    if prefix in (ROOT, Path(os.environ.get("CONDA_PREFIX") or ROOT)):
        raise CondaEnvironmentError("cannot remove current environment. deactivate and run conda remove again")
    if not environment.is_environment(prefix):
        if MODERN:
            raise EnvironmentLocationNotFound(prefix)
        return  # conda 23.10 says nothing
    if not args.json:
        print(f"\nRemove all packages in environment {prefix}:\n")
    plan = Plan(prefix, environment.records(prefix), [], [], "remove")
    told = MODERN or args.command == "remove"  # older conda's `env remove` is short
    _agree(args, plan, fetch=[], told=told)
    if args.json and args.dry_run:
        return
    if MODERN and not args.yes:
        found = f"Everything found within the environment ({prefix}), including any conda environment configurations"
        question = f"{found} and any non-conda files, will be deleted. Do you wish to continue?\n"
        output.confirm(question, args.yes, default=False)
    if told and MODERN:
        output.downloaded(args)
    with output.step(args, *STEPS) if told else contextlib.nullcontext():
        shutil.rmtree(prefix)
    environment.register(config, prefix, gone=True)
    if args.json:
        output.success(plan, [])


def transact(
    args: argparse.Namespace,
    config: Config,
    prefix: Path,
    specs: Sequence[str],
    *,
    wanted: Sequence[str],
    free: Iterable[str] | None = None,
    action: str = "update",
    channels: Sequence[str] | None = None,
    told: bool = True,
) -> bool:
    """
    Solve for `wanted` and make it so; only the packages `free` (by default those of `specs`) need not keep their version.

    Returns whether there was anything to do. `told`: show the plan, or that there was nothing.
    """
    installed = environment.records(prefix)
    missing = _without([r["name"] for r in installed], specs) if action == "remove" else []
    if MODERN and environment.is_environment(prefix):  # older conda notices both later
        _check_writable(prefix)
        if missing:
            raise not_in_prefix(prefix, missing)
    solver = _solver(args, config, channels)
    solver.check(specs)
    keep = _without(specs if free is None else free, [r["name"] for r in installed])
    locked = [prefix / f"conda-meta/{environment.dist_name(r)}.json" for r in installed if r["name"] in keep]
    source = "current_repodata.json" if not MODERN and told and action != "remove" else "repodata.json"
    output.solver_header(args, solver.urls, prefix)
    with output.step(args, f"Collecting package metadata ({source})"):
        available = solver.collect(wanted)
    with output.solving(args, solver.urls, prefix):
        if missing:
            raise not_in_prefix(prefix, missing)
        solution = solver.solve(wanted, available, locked, frozen=args.freeze_installed)
    if newer := not args.quiet and solver.newer_conda():
        output.newer_conda(*newer)
    if MODERN and not args.json:
        print()
    plan = Plan(prefix, installed, solution, list(specs), action)
    if not plan.link and not plan.unlink and environment.is_environment(prefix):
        if told or args.json:
            output.nothing_to_do(args)
        return False
    fetch = solver.to_fetch(plan.link)
    _agree(args, plan, fetch, told=told)
    if args.dry_run:
        return True
    if MODERN or plan.link:
        output.downloaded(args)
    _link(args, config, solver, plan)
    if args.json:
        output.success(plan, fetch)
    return True


def _link_explicit(args: argparse.Namespace, config: Config, prefix: Path, lines: Sequence[str]) -> None:
    """Packages by their URLs, without a question or a word of JSON, and anew where they are there already."""
    solver = _solver(args, config)
    installed = environment.records(prefix)
    solver.check_explicit(lines)
    if not args.dry_run:
        output.downloaded(args)
    new = solver.explicit(lines)
    names = {record["name"] for record in new}
    others = [r for r in installed if r["name"] not in names]
    solution = [*new, *solver.explicit(f"{r['url']}#{r['md5']}" for r in others)]
    if args.dry_run:
        raise DryRunExit("Dry run. Exiting.")
    specs = [f"{environment.channel_url(r)}/{r['subdir']}::{r['name']}=={r['version']}={r['build']}" for r in new]
    plan = Plan(prefix, installed, solution, specs)
    if MODERN and not args.json:
        output.show_plan(plan, [], quiet=True)
    _link(args, config, solver, plan, anew=names)


def _link(args: argparse.Namespace, config: Config, solver: Any, plan: Plan, *, anew: Iterable[str] = ()) -> None:
    with output.step(args, *STEPS):
        _check_writable(plan.prefix)
        try:
            (plan.prefix / "conda-meta").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CondaError(
                f"Unable to create prefix directory '{plan.prefix}'.\nCheck that you have sufficient permissions.\n"
            ) from error
        solver.link(plan.prefix, plan.solution, anew)
    environment.write_history(plan.prefix, plan.unlink, plan.link, plan.action, plan.specs)
    environment.register(config, plan.prefix)


def _agree(args: argparse.Namespace, plan: Plan, fetch: Sequence[Record], *, told: bool = True) -> None:
    """Show what is going to happen, and ask."""
    if args.json:
        if args.dry_run:
            output.success(plan, fetch, dry_run=True)
        return
    if told:
        output.show_plan(plan, fetch, quiet=args.quiet)
    if args.dry_run:
        raise DryRunExit("Dry run. Exiting.")
    if told:
        output.confirm("Proceed", args.yes, default=True)


def _solver(args: argparse.Namespace, config: Config, channels: Sequence[str] | None = None) -> Any:
    from . import solver  # rattler takes a second to import under emulation

    if args.override_channels and not args.channel:
        raise ArgumentError("At least one -c / --channel flag must be supplied when using --override-channels.")
    if channels is None:
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
            if MODERN:
                raise EnvironmentFileNotFound(name) from error
            raise CondaFileIOError(f"'{name}'. {error}") from error
        lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
        if "@EXPLICIT" in lines:
            explicit += [line for line in lines if line != "@EXPLICIT"]
        else:  # in a file, conda 23.10 reads one = as two
            specs += lines if MODERN else [_exact(line) for line in lines]
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
            gid=os.getegid(),
            uid=os.geteuid(),
        )
