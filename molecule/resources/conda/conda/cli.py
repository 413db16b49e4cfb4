# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line."""

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from . import MODERN, __version__, condarc, output
from .exceptions import CondaError, CondaSystemExit


def parser() -> argparse.ArgumentParser:
    """conda's commands and options, as far as the stand-in goes."""
    top = argparse.ArgumentParser(prog="conda", description=__doc__)
    top.add_argument("-V", "--version", action="version", version=f"conda {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def command(
        name: str, run: str, *parents: argparse.ArgumentParser, aliases: Sequence[str] = ()
    ) -> argparse.ArgumentParser:
        added = commands.add_parser(name, parents=[json, *parents], aliases=aliases)
        added.set_defaults(run=run)
        return added

    json = _options(
        ("--json", {"action": "store_true"}),
        ("-q --quiet", {"action": "store_true"}),
        ("-v --verbose", {"action": "count"}),
    )
    target, new = argparse.ArgumentParser(add_help=False), argparse.ArgumentParser(add_help=False)
    for group, required in ((target, False), (new, not MODERN)):
        where = group.add_mutually_exclusive_group(required=required)
        where.add_argument("-n", "--name", metavar="ENVIRONMENT")
        where.add_argument("-p", "--prefix", metavar="PATH")
    transaction = _options(
        ("-y --yes", {"action": "store_true", "default": None}),
        ("-d --dry-run", {"action": "store_true"}),
        ("-c --channel", {"action": "append", "default": []}),
        ("--override-channels", {"action": "store_true"}),
        ("--offline", {"action": "store_true"}),
        ("--file", {"action": "append", "default": []}),
        ("--freeze-installed --no-update-deps", {"action": "store_true"}),
        ("--solver", {"choices": ["classic", "libmamba", *(["rattler"] if MODERN else [])]}),
    )
    transaction.add_argument("packages", nargs="*", metavar="package_spec")
    command("create", "change.create", transaction, new)
    command("install", "change.install", transaction, target)
    everything = _options(("-a --all", {"action": "store_true"}))
    command("update", "change.update", transaction, everything, target, aliases=["upgrade"])
    command("remove", "change.remove", transaction, everything, target, aliases=["uninstall"])

    listing = command("list", "show.list_packages", target)
    for option in ("--explicit", "--md5", "-e --export", "-f --full-name", "--show-channel-urls"):
        listing.add_argument(*option.split(), action="store_true")
    if MODERN:
        listing.add_argument("--sha256", action="store_true")
    listing.add_argument("regex", nargs="?")

    info = command("info", "show.info")
    info.add_argument("--base", action="store_true")
    info.add_argument("-e", "--envs", action="store_true")

    cleaning = command("clean", "clean.clean")
    for option in ("-y --yes", "-a --all", "-i --index-cache", "-p --packages", "-t --tarballs"):
        cleaning.add_argument(*option.split(), action="store_true")

    config = command("config", "show.config_command")
    place = config.add_mutually_exclusive_group()
    place.add_argument("--system", action="store_true")
    place.add_argument("--file", dest="rc_file")
    for name in ("--show", "--get"):
        config.add_argument(name, nargs="*")
    config.add_argument("--show-sources", action="store_true")
    for names in (["--add", "--prepend"], ["--append"], ["--set"], ["--remove"]):
        config.add_argument(
            *names, nargs=2, action="append", default=[], dest=names[-1].strip("-"), metavar=("KEY", "VALUE")
        )
    config.add_argument("--remove-key", action="append", default=[], metavar="KEY")

    running = command("run", "shell.run", target)
    running.add_argument("--no-capture-output", "--live-stream", action="store_true")
    running.add_argument("--cwd")
    running.add_argument("command_line", nargs=argparse.REMAINDER)

    init = command("init", "shell.init")
    init.add_argument("--reverse", action="store_true")
    init.add_argument("-d", "--dry-run", action="store_true")
    init.add_argument("shells", nargs="*", metavar="SHELLS")

    env = commands.add_parser("env", help="Environments").add_subparsers(dest="env_command", required=True)
    env.add_parser("list", parents=[json]).set_defaults(run="show.env_list")
    exporting = env.add_parser("export", parents=[json, target])
    exporting.add_argument("--no-builds", action="store_true")
    exporting.add_argument("--from-history", action="store_true")
    exporting.set_defaults(run="show.env_export")
    env.add_parser("remove", parents=[json, transaction, target]).set_defaults(run="change.remove_environment")
    for name in ("create", "update"):
        from_file = env.add_parser(name, parents=[json, target])
        from_file.add_argument("-f", "--file", default="environment.yml")
        from_file.add_argument("-d", "--dry-run", action="store_true")
        from_file.add_argument("-y", "--yes", "--force", action="store_true", default=None)
        from_file.add_argument("--prune", action="store_true")
        unasked = {"offline": False, "override_channels": False, "channel": [], "freeze_installed": False}
        from_file.set_defaults(run=f"yml.{name}", new=name == "create", **unasked)
    if MODERN:
        for name in ("activate", "deactivate"):
            command(name, "shell.not_a_function").add_argument("words", nargs="*")
    return top


def _load(name: str) -> Callable[..., int | None]:
    """The function behind a command; only its module is imported, since imports are slow under emulation."""
    module, _, function = name.partition(".")
    return getattr(importlib.import_module(f".{module}", __package__), function)


def _options(*options: tuple[str, dict[str, Any]]) -> argparse.ArgumentParser:
    group = argparse.ArgumentParser(add_help=False)
    for names, settings in options:
        group.add_argument(*names.split(), **settings)
    return group


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    as_json = "--json" in argv
    try:
        if argv and argv[0].startswith("shell."):
            _load("shell.hook")(condarc.load(), argv[0].removeprefix("shell."), argv[1:])
            return 0
        args = parser().parse_args(argv)
        changes_config = args.command == "config" and args.show is None  # must work on a condarc that is not valid, too
        config = {} if changes_config else condarc.load()
        if getattr(args, "offline", False):
            config["offline"] = True
        if getattr(args, "yes", True) is None:
            args.yes = config["always_yes"] or (MODERN and args.json)
        return _load(args.run)(args, config) or 0
    except CondaError as error:
        if as_json:  # 23.10 puts the refusal of a question, alone, on standard error
            asked = isinstance(error, CondaSystemExit) and not MODERN
            output.as_json(error.as_json(), sys.stderr if asked else sys.stdout)
        else:
            text = str(error)
            name = "" if text.startswith("RuntimeError(") else f"{type(error).__name__}: "
            print(f"\n{name}{text}\n", file=sys.stderr)
        return error.return_code
    except KeyboardInterrupt:
        print("\nCondaError: KeyboardInterrupt\n", file=sys.stderr)
        return 1


def program() -> NoReturn:
    """`conda`: ends at once, since py-rattler's threads can crash an interpreter that is shutting down."""
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
