# SPDX-License-Identifier: GPL-3.0-or-later
"""clean: empty the package cache."""

import argparse
import shutil
from pathlib import Path

from . import environment, output
from .condarc import Config


def clean(args: argparse.Namespace, config: Config) -> None:
    """Remove what environments do not need to run (their files are hard links)."""
    kinds = {"tarball": args.tarballs, "index cache": args.index_cache, "package": args.packages}
    found = {kind: _found(config, kind) if wanted or args.all else [] for kind, wanted in kinds.items()}
    for kind, paths in found.items():
        if not args.json and (kinds[kind] or args.all):
            which = "index" if kind == "index cache" else "unused"
            name = kind.removeprefix("index ")
            size = sum(file.lstat().st_size for path in paths for file in path.rglob("*"))
            told = f"Will remove {len(paths)} ({output.size(size)}) {kind}(s)." if kind != "index cache" else ""
            told = told or f"Will remove {len(paths)} {kind}(s)."
            print(told if paths else f"There are no {which} {name}(s) to remove.")
        for path in paths:
            shutil.rmtree(path)
    if args.json:
        output.as_json({"success": True, **{kind: [str(path) for path in paths] for kind, paths in found.items()}})
    elif args.all:
        print("There are no tempfile(s) to remove.\nThere are no logfile(s) to remove.")


def _found(config: Config, kind: str) -> list[Path]:
    folders = [folder for folder in environment.pkgs_dirs(config) if folder.is_dir()]
    if kind == "index cache":
        return [folder / "cache" for folder in folders if (folder / "cache").is_dir()]
    if kind == "package":
        return [path for folder in folders for path in folder.iterdir() if (path / "info").is_dir()]
    return []  # rattler keeps none
