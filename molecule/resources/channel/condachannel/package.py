# SPDX-License-Identifier: GPL-3.0-or-later
"""Write `.conda` files and repodata (what they must hold: facts/conda.md section 1)."""

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from conda_package_streaming.create import conda_builder

# Replaced by the real prefix when a file is installed; as long as conda-build's, though ours is only ever in text.
PLACEHOLDER = "/opt/anaconda1anaconda2anaconda3/" + "placehold_" * 22
TIMESTAMP = 1_760_000_000  # fixed, so that the same inputs give the same package

Record = dict[str, Any]


class File(NamedTuple):
    """One file of a package."""

    data: bytes
    mode: int = 0o644


def write(
    channel: Path,
    index: Mapping[str, Any],
    files: Mapping[str, File],
    links: Mapping[str, str] | None = None,
    *,
    about: Mapping[str, str] | None = None,
    noarch: Mapping[str, Any] | None = None,
) -> Record:
    """Write one package into its subdir of the channel and return its line for the repodata."""
    links = links or {}
    index = {"build_number": 0, "timestamp": TIMESTAMP * 1000, **index}
    paths = [_path_entry(name, files, links) for name in sorted([*files, *links])]
    info: dict[str, Any] = {"index": index, "paths": {"paths": paths, "paths_version": 1}, "about": about or {}}
    if noarch:
        info["link"] = {"noarch": noarch, "package_metadata_version": 1}
    members = {f"info/{k}.json": File(json.dumps(v, indent=2, sort_keys=True).encode()) for k, v in info.items()}
    members["info/files"] = File("".join(f"{p['_path']}\n" for p in paths).encode())

    stem = "{name}-{version}-{build}".format(**index)
    subdir = channel / index["subdir"]
    subdir.mkdir(parents=True, exist_ok=True)
    with conda_builder(stem, subdir, compression_level=3) as tar:
        for name, file in [*members.items(), *sorted(files.items())]:
            entry = _tar_entry(name)
            entry.size, entry.mode = len(file.data), file.mode
            tar.addfile(entry, io.BytesIO(file.data))
        for name, target in sorted(links.items()):
            entry = _tar_entry(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            tar.addfile(entry)
    archive = subdir / f"{stem}.conda"
    data = archive.read_bytes()
    return {
        **index,
        "fn": archive.name,
        "size": len(data),
        "md5": hashlib.md5(data).hexdigest(),
        "sha256": hashlib.sha256(data).hexdigest(),
    }


def write_empty(channel: Path, name: str, version: str, build: str, depends: Iterable[str]) -> Record:
    """A package without files: it only says what belongs together."""
    index = {
        "name": name,
        "version": version,
        "build": build,
        "depends": list(depends),
        "subdir": "noarch",
        "noarch": "generic",
    }
    return write(channel, index, {})


def write_repodata(channel: Path, subdirs: Iterable[str], records: Iterable[Record]) -> None:
    """The index of each subdir. Ours, since py-rattler's can crash the interpreter at exit (facts/conda.md section 1)."""
    records = list(records)
    for subdir in subdirs:
        packages = {r["fn"]: {k: v for k, v in r.items() if k != "fn"} for r in records if r["subdir"] == subdir}
        repodata = {
            "info": {"subdir": subdir},
            "packages": {},
            "packages.conda": packages,
            "removed": [],
            "repodata_version": 1,
        }
        (channel / subdir).mkdir(parents=True, exist_ok=True)
        (channel / subdir / "repodata.json").write_text(json.dumps(repodata, indent=1, sort_keys=True))


def _path_entry(name: str, files: Mapping[str, File], links: Mapping[str, str]) -> Record:
    target = name
    while target in links:
        target = os.path.normpath(os.path.join(os.path.dirname(target), links[target]))
    data = files[target].data if target in files else b""  # for a link, conda-build records its target's digest
    entry: Record = {
        "_path": name,
        "path_type": "softlink" if name in links else "hardlink",
        "sha256": hashlib.sha256(data).hexdigest(),
        "size_in_bytes": len(data),
    }
    if name in files and PLACEHOLDER.encode() in data:
        entry |= {"file_mode": "text", "prefix_placeholder": PLACEHOLDER}
    return entry


def _tar_entry(name: str) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.mtime = TIMESTAMP
    return entry
