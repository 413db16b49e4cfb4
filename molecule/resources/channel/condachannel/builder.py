# SPDX-License-Identifier: GPL-3.0-or-later
"""From packages of others to our channel, for one architecture."""

import asyncio
import contextlib
import hashlib
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import yaml

from . import cache, debian, interpreter, package, pypi, wheel
from .installer import solution, write_installer
from .package import Record


@contextlib.contextmanager
def stage(title: str) -> Iterator[None]:
    """Say on standard error what was done and how long it took."""
    start = time.monotonic()
    yield
    print(f"{title}: {time.monotonic() - start:.1f} s", file=sys.stderr, flush=True)


class Builder:
    """Builds from the specification `spec.yml`, the locks beside it and the sources of the conda stand-in."""

    def __init__(self, spec_file: Path, conda: Path, arch: str, key: str) -> None:
        self.spec_file, self.conda, self.arch, self.key = spec_file, conda, arch, key
        self.spec: dict[str, Any] = yaml.safe_load(spec_file.read_text())
        self.kind: dict[str, str] = self.spec["arches"][arch]
        python = self.spec["python"]
        self.target = wheel.Target(python, self.kind["subdir"], self.kind["machine"], self.spec["names"])
        running = f"{sys.version_info.major}.{sys.version_info.minor}"
        if running != python:  # the .pyc files are only of use to the minor version that made them
            raise SystemExit(
                f"the channel is for Python {python}, this is {running}: run scripts/setup with Python {python}"
            )

    def make(self, folder: Path) -> None:
        """Fill the folder: conda-forge/, miniconda/, manifest.yml."""
        with stage("fetch Debian packages"):
            debs_folder = self.debs()
        with stage("fetch wheels"):
            wheels = self.wheels(self.arch)
            alternatives = self.wheels("alternatives")
        channel, subdir = folder / "conda-forge", self.target.subdir
        with tempfile.TemporaryDirectory(dir=folder) as work_folder:
            with stage("unpack Debian packages"):
                debs = debian.Debs(debs_folder, Path(work_folder) / "debs", self.kind["triplet"])
                wheels += self.debian_wheels(debs, Path(work_folder))
            with stage("make conda packages"):
                records = list(self.packages(channel, debs, wheels, alternatives))
        records += self.metapackages(channel, records)
        package.write_repodata(channel, [subdir, "noarch"], records)

        options = self.spec["installer"]
        installer = folder / "miniconda" / options["file"].format(**self.kind)
        installer.parent.mkdir()
        with stage("make the installer"):
            naming = {name: options[name] for name in ("name", "version", "specs")}
            asyncio.run(write_installer(channel, subdir, installer, **naming))
        with stage("solve the environment, as a check"):
            asyncio.run(solution(channel, subdir, [f"python={self.spec['python']}", *self.spec["environment"]]))
        sha256 = hashlib.sha256(installer.read_bytes()).hexdigest()
        about = {"file": installer.name, "sha256": sha256, "size": installer.stat().st_size}
        manifest = {"arch": self.arch, "key": self.key, "installer": about, "packages": len(records)}
        (folder / "manifest.yml").write_text(yaml.safe_dump(manifest, sort_keys=False))

    def lock(self) -> None:
        """Resolve anew and write the locks."""
        locks = self.spec_file.parent / "locks"
        with tempfile.TemporaryDirectory() as work_folder:
            work = Path(work_folder)
            closure, other, links = (work / name for name in ("closure", "other", "links"))
            for part in (closure, other, links):
                part.mkdir()
            own = self.debian_wheels(debian.Debs(self.debs(), work / "debs", self.kind["triplet"]), links)
            target = (links, self.target.python, self.target.machine)
            pypi.resolve(closure, [*self.spec["environment"], *self.spec["base"]], *target)
            pypi.resolve(other, ["--no-deps", *self.spec["alternatives"]], *target)
            (locks / f"{self.arch}.txt").write_text(
                pypi.lock_lines(closure.glob("*.whl"), {wheel.project(w) for w in own})
            )
            (locks / "alternatives.txt").write_text(pypi.lock_lines(other.glob("*.whl"), ()))

    def debs(self) -> Path:
        """Debian's packages, downloaded once."""
        python = self.spec["python"]
        packages = [
            f"python{python}-minimal",
            f"libpython{python}-minimal",
            f"libpython{python}-stdlib",
            *self.spec["debian_wheels"],
        ]
        asked = [self.spec["suite"], self.kind["debian"]]
        place = cache.root() / "downloads" / f"debs-{self.arch}-{cache.digest([*asked, *packages])}"
        return cache.folder(place, lambda folder: debian.fetch(folder, *asked, packages))

    def wheels(self, lock_name: str) -> list[Path]:
        """A lock's wheels, downloaded once."""
        lock = self.spec_file.parent / "locks" / f"{lock_name}.txt"
        python, machine = self.target.python, self.target.machine
        place = cache.root() / "downloads" / f"wheels-{lock_name}-{cache.digest([lock.read_bytes(), machine, python])}"
        return sorted(cache.folder(place, lambda folder: pypi.download(folder, lock, python, machine)).glob("*.whl"))

    def debian_wheels(self, debs: debian.Debs, folder: Path) -> list[Path]:
        """Debian's compiled Python packages as wheels."""
        tag = f"cp{self.target.python.replace('.', '')}"
        return [
            wheel.from_debian(debs.tree(name), folder, f"{tag}-{tag}-linux_{self.target.machine}", **options)
            for name, options in self.spec["debian_wheels"].items()
        ]

    def packages(
        self, channel: Path, debs: debian.Debs, wheels: Iterable[Path], alternatives: Iterable[Path]
    ) -> Iterator[Record]:
        """All packages that have files; the wheels on all cores."""
        libraries = interpreter.Libraries(debs, self.spec["libraries"])
        catalog = {wheel.project(w): wheel.metadata(w).get_all("Requires-Dist") or [] for w in wheels}
        linked = {w: interpreter.wheel_sonames(w) for w in wheels if not w.name.endswith("-any.whl")}
        with ProcessPoolExecutor() as pool:
            jobs = []
            for file in wheels:
                depends = libraries.conda_names(libraries.packages(linked.get(file, ())))
                jobs.append(pool.submit(wheel.convert, file, channel, self.target, catalog, depends))
            for file in alternatives:
                own = {wheel.project(file): wheel.metadata(file).get_all("Requires-Dist") or []}
                jobs.append(pool.submit(wheel.convert, file, channel, self.target, {**catalog, **own}))
            yield self.conda_package(channel)
            python, sonames = interpreter.write_python(channel, self.target, debs, libraries)
            yield from python
            yield from libraries.write(channel, self.target.subdir, sonames.union(*linked.values()))
            yield from (job.result() for job in jobs)

    def conda_package(self, channel: Path) -> Record:
        """The stand-in for conda; what its `root` folder holds goes to the prefix, with the placeholder in place of @PREFIX@."""
        site_packages = f"lib/python{self.target.python}/site-packages"
        files = {}
        for folder, place in ((self.conda / "conda", f"{site_packages}/conda"), (self.conda / "root", "")):
            for path in sorted(p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts):
                data = path.read_bytes().replace(b"@PREFIX@", package.PLACEHOLDER.encode())
                mode = 0o755 if data.startswith(b"#!") else 0o644
                files[f"{place}/{path.relative_to(folder)}".lstrip("/")] = package.File(data, mode)
        files |= wheel.compiled(files, self.target.python)
        version = next(s.partition("=")[2] for s in self.spec["installer"]["specs"] if s.startswith("conda="))
        index = {
            "name": "conda",
            "version": version,
            "build": f"py{self.target.python.replace('.', '')}_0",
            "depends": [*self.spec["conda_depends"], *self.target.python_depends],
            "license": "GPL-3.0-or-later",
            "subdir": self.target.subdir,
        }
        return package.write(channel, index, files, about={"summary": "Slipway's stand-in for conda"})

    def metapackages(self, channel: Path, records: Iterable[Record]) -> list[Record]:
        """Packages that only depend on others, at the versions that the channel has."""
        versions: Mapping[str, Any] = {r["name"]: r["version"] for r in records}
        return [
            package.write_empty(
                channel,
                name,
                versions[meta["version_of"]],
                "pyhd8ed1ab_0",
                [*(f"{d} =={versions[d]}" for d in meta["depends"]), *meta["also"]],
            )
            for name, meta in self.spec["metapackages"].items()
        ]
