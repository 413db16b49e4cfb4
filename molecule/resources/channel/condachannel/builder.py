# SPDX-License-Identifier: GPL-3.0-or-later
"""From packages of others to our channel, for one architecture."""

import asyncio
import contextlib
import hashlib
import re
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import yaml

from . import cache, debian, interpreter, package, pypi, simple, wheel
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
        """Fill the folder: conda-forge/, an installer in each of miniconda/ and miniforge/, simple/, manifest.yml."""
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

        with stage("make the installers"):
            installers = {
                name: self.installer(channel, folder / name, **o) for name, o in self.spec["installers"].items()
            }
        simple.write(folder / "simple", self.wheels("index"))
        with stage("solve the environment, as a check"):
            asyncio.run(solution(channel, subdir, [f"python={self.spec['python']}", *self.spec["environment"]]))
        manifest = {"arch": self.arch, "key": self.key, "packages": len(records)}
        manifest |= {"installer": dict(installers["miniconda"]), "installers": installers, "index": "simple"}
        (folder / "manifest.yml").write_text(yaml.safe_dump(manifest, sort_keys=False))

    def installer(self, channel: Path, folder: Path, file: str, **options: Any) -> dict[str, Any]:
        """Write an installer; returns what one must know to use it."""
        folder.mkdir()
        path = folder / file.format(**self.kind)
        asyncio.run(write_installer(channel, self.target.subdir, path, **options))
        return {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "size": path.stat().st_size}

    def lock(self) -> None:
        """Resolve anew and write the locks."""
        locks = self.spec_file.parent / "locks"
        with tempfile.TemporaryDirectory() as work_folder:
            work = Path(work_folder)
            closure, links = work / "closure", work / "links"
            for part in (closure, links):
                part.mkdir()
            own = self.debian_wheels(debian.Debs(self.debs(), work / "debs", self.kind["triplet"]), links)
            target = (links, self.target.python, self.target.machine)
            pypi.resolve(closure, [*self.spec["environment"], *self.spec["base"]], *target)
            (locks / f"{self.arch}.txt").write_text(
                pypi.lock_lines(closure.glob("*.whl"), {wheel.project(w) for w in own})
            )
            for name in ("alternatives", "index"):
                pins = work / name
                pins.mkdir()
                pypi.resolve(pins, ["--no-deps", *self.spec[name]], *target)
                (locks / f"{name}.txt").write_text(pypi.lock_lines(pins.glob("*.whl"), ()))

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
            yield from self.conda_packages(channel)
            python, sonames = interpreter.write_python(channel, self.target, debs, libraries)
            yield from python
            yield from libraries.write(channel, self.target.subdir, sonames.union(*linked.values()))
            yield from (job.result() for job in jobs)

    def conda_packages(self, channel: Path) -> Iterator[Record]:
        """The stand-in for conda in its versions, and mamba on top of it."""
        code_folder = f"lib/python{self.target.python}/site-packages/conda"
        code = self.files(self.conda / "conda", code_folder)
        about = {"summary": "Slipway's stand-in for conda"}
        build = f"py{self.target.python.replace('.', '')}_0"
        common = {"build": build, "license": "GPL-3.0-or-later", "subdir": self.target.subdir}
        for version in self.spec["conda_versions"]:
            main = f"{code_folder}/__init__.py"
            text = re.sub(rb'(?m)^__version__ = ".*?"', f'__version__ = "{version}"'.encode(), code[main].data)
            files = {**code, main: package.File(text)}
            files |= wheel.compiled(files, self.target.python) | self.files(self.conda / "root")
            depends = [*self.spec["conda_depends"], *self.target.python_depends]
            index = {"name": "conda", "version": version, "depends": depends, **common}
            yield package.write(channel, index, files, about=about)
        index = {"name": "mamba", "version": self.spec["mamba_version"], "depends": ["conda"], **common}
        yield package.write(channel, index, self.files(self.conda / "mamba"), about=about)

    @staticmethod
    def files(folder: Path, place: str = "") -> dict[str, package.File]:
        """What lies in a folder of the stand-in, with conda's placeholder for @PREFIX@."""
        files = {}
        for path in sorted(p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts):
            data = path.read_bytes().replace(b"@PREFIX@", package.PLACEHOLDER.encode())
            mode = 0o755 if data.startswith(b"#!") else 0o644
            files[f"{place}/{path.relative_to(folder)}".lstrip("/")] = package.File(data, mode)
        return files

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
