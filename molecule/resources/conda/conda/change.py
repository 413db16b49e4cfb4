"""create, install, update, remove: plan a transaction, tell it, carry it out."""

import argparse
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import environment, output
from .condarc import ROOT
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
    """What a transaction does to a prefix."""

    prefix: Path
    action: str  # "update" or "remove", as the history calls it
    specs: list[str]
    solution: list[Record]
    installed: list[Record]
    link: list[Record] = field(init=False)
    unlink: list[Record] = field(init=False)

    def __post_init__(self) -> None:
        old, new = ({environment.dist_name(r): r for r in group} for group in (self.installed, self.solution))
        self.link = sorted((new[name] for name in new.keys() - old.keys()), key=lambda r: r["name"])
        self.unlink = sorted((old[name] for name in old.keys() - new.keys()), key=lambda r: r["name"])


def create(args: argparse.Namespace, config: Mapping[str, Any]) -> None:
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
    specs, explicit = _asked_for(args)
    existed = prefix.exists()
    try:
        _change(args, config, prefix, specs, explicit=explicit, keep=[])
    except BaseException as error:
        if not existed and not isinstance(error, DryRunExit):
            shutil.rmtree(prefix, ignore_errors=True)
        raise


def install(args: argparse.Namespace, config: Mapping[str, Any]) -> None:
    """More packages in an environment; what is there stays, at its version where that is possible."""
    prefix = environment.existing(config, args.name, args.prefix)
    specs, explicit = _asked_for(args)
    if not specs and not explicit:
        raise CondaValueError("too few arguments, must supply command line package specs or --file")
    _change(args, config, prefix, specs, explicit=explicit, keep=environment.records(prefix))


def update(args: argparse.Namespace, config: Mapping[str, Any]) -> None:
    """Newer versions of the named packages, or of all; what nobody needs any more goes."""
    prefix = environment.existing(config, args.name, args.prefix)
    installed = {r["name"]: r for r in environment.records(prefix)}
    specs, _ = _asked_for(args)
    if args.all:
        _change(args, config, prefix, [], wanted=list(installed), update_all=True, keep=[])
        return
    if not specs:
        raise CondaValueError("no package names supplied\n# Example: conda update -n myenv scipy\n")
    for spec in specs:
        if environment.spec_name(spec) not in installed:
            raise PackageNotInstalledError(prefix, environment.spec_name(spec))
    _change(args, config, prefix, specs, keep=[])


def remove(args: argparse.Namespace, config: Mapping[str, Any]) -> None:
    """Packages and what depends on them; or, with --all, the environment."""
    if args.all:
        remove_environment(args, config)
        return
    prefix = environment.existing(config, args.name, args.prefix)
    if not args.packages:
        raise CondaValueError('no package names supplied,\n       try "conda remove -h" for more details')
    installed = environment.records(prefix)
    names = {environment.spec_name(spec) for spec in args.packages}
    if missing := sorted(names - {r["name"] for r in installed}):
        raise PackagesNotFoundError(
            "The following packages are missing from the target environment:\n"
            + "".join(f"  - {name}\n" for name in missing),
            packages=missing,
            channel_urls=[],
            channels_formatted=[],
        )
    gone = set(names)
    while more := {r["name"] for r in installed if any(environment.spec_name(d) in gone for d in r["depends"])} - gone:
        gone |= more
    wanted = [spec for name, spec in environment.requested(prefix).items() if name not in gone]
    _change(args, config, prefix, args.packages, action="remove", wanted=wanted, keep=[])


def _change(
    args: argparse.Namespace,
    config: Mapping[str, Any],
    prefix: Path,
    specs: Sequence[str],
    *,
    keep: Iterable[Record],
    explicit: Sequence[str] = (),
    action: str = "update",
    wanted: Sequence[str] | None = None,
    update_all: bool = False,
) -> None:
    """
    One transaction. `wanted`: what to solve for, by default the history's specifications and the new; `keep`: packages
    that must stay in some version.
    """
    from . import solver as solving  # rattler takes a second to import under emulation

    installed = environment.records(prefix)
    named = {environment.spec_name(spec) for spec in specs}
    if wanted is None:
        before = {name: spec for name, spec in environment.requested(prefix).items() if name not in named}
        others = [r["name"] for r in keep if r["name"] not in named | before.keys()]
        wanted = [*before.values(), *others, *specs]
    say = output.Progress(silent=args.json)
    solver = solving.Solver(config, _channels(args, config, solving))
    try:
        if explicit:
            new = solver.explicit(explicit)
            names = {r["name"] for r in new}
            solution = [*new, *solver.explicit(f"{r['url']}#{r['md5']}" for r in installed if r["name"] not in names)]
            specs = [f"{r['name']}=={r['version']}={r['build']}" for r in new]
        else:
            locked = [] if update_all else _meta_files(prefix, installed, without=named)
            with say.step("Collecting package metadata (current_repodata.json)"):
                available = solver.collect(wanted)
            with say.step("Solving environment"):
                solution = solver.solve(wanted, available, locked)
        plan = Plan(prefix, action, list(specs), solution, installed)
        if not plan.link and not plan.unlink and not explicit and environment.is_environment(prefix):
            output.nothing_to_do(args.json)
            return
        if not explicit:
            output.show_plan(plan, [] if args.dry_run else solver.to_fetch(plan.link), args)
        if args.dry_run:
            if args.json:
                output.success(plan, solver.to_fetch(plan.link), dry_run=True)
                return
            raise DryRunExit("Dry run. Exiting.")
        if not args.json and not explicit:
            output.confirm("Proceed", args.yes, default=True)
        fetched = solver.to_fetch(plan.link)
        _check_writable(prefix)
        with say.step(
            "Downloading and Extracting Packages",
            "Preparing transaction",
            "Verifying transaction",
            "Executing transaction",
        ):
            (prefix / "conda-meta").mkdir(parents=True, exist_ok=True)
            solver.link(prefix, plan.solution)
    except BaseException:
        say.failed()
        raise
    environment.write_history(prefix, plan.unlink, plan.link, action, specs)
    environment.register(prefix)
    if args.json:
        if not explicit:  # with an explicit file conda prints nothing at all
            output.success(plan, fetched)
    elif args.command == "create":
        output.activation_hint(prefix, environment.display_name(config, prefix))


def remove_environment(args: argparse.Namespace, config: Mapping[str, Any]) -> None:
    """A whole environment."""
    prefix = environment.locate(config, args.name, args.prefix)
    if prefix in (ROOT, Path(os.environ.get("CONDA_PREFIX") or ROOT)):
        raise CondaEnvironmentError("cannot remove current environment. deactivate and run conda remove again")
    if not environment.is_environment(prefix):
        return  # conda 23.10 says nothing
    plan = Plan(prefix, "remove", [], [], environment.records(prefix))
    if not args.json:
        print(f"\nRemove all packages in environment {prefix}:\n")
    output.show_plan(plan, [], args)
    if args.dry_run:
        raise DryRunExit("Dry run. Exiting.")
    if not args.json:
        output.confirm("Proceed", args.yes, default=True)
    _check_writable(prefix)
    shutil.rmtree(prefix)
    environment.register(prefix, gone=True)
    if args.json:
        output.success(plan, [])


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


def _channels(args: argparse.Namespace, config: Mapping[str, Any], solving: Any) -> list[str]:
    if args.override_channels and not args.channel:
        raise ArgumentError("At least one -c / --channel flag must be supplied when using --override-channels.")
    return solving.channel_urls(
        config, args.channel if args.override_channels else [*args.channel, *config["channels"]]
    )


def _meta_files(prefix: Path, installed: Iterable[Record], without: set[str]) -> list[Path]:
    return [prefix / "conda-meta" / f"{environment.dist_name(r)}.json" for r in installed if r["name"] not in without]


def _check_writable(prefix: Path) -> None:
    nearest = next(p for p in (prefix / "conda-meta", prefix, *prefix.parents) if p.exists())
    if not os.access(nearest, os.W_OK):
        raise EnvironmentNotWritableError(
            "The current user does not have write permissions to the target environment.\n"
            f"  environment location: {prefix}\n  uid: {os.geteuid()}\n  gid: {os.getegid()}\n",
            environment_location=str(prefix),
        )
