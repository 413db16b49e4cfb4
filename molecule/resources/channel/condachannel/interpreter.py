# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian's CPython and shared libraries as conda packages (the recipe and its reasons: facts/conda.md section 3)."""

import itertools
import os
import re
import stat
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from .command import run
from .debian import Debs, is_elf, needed
from .package import File, Record, write, write_empty
from .wheel import Target, compiled

GLIBC = "__glibc >=2.36"  # bookworm's

# `site` is frozen into the interpreter since 3.11, so Debian's changes to it are undone from outside.
SITECUSTOMIZE = b'''"""site-packages where upstream has it; Debian's own place is dist-packages."""

import os
import site
import sys


def _getsitepackages(prefixes=None):
    lib = "python%d.%d" % sys.version_info[:2]
    return [os.path.join(p, "lib", lib, "site-packages") for p in dict.fromkeys(prefixes or site.PREFIXES) if p]


site.getsitepackages = _getsitepackages
for _path in _getsitepackages():
    site.addsitedir(_path)
'''
# Debian installs to /usr/local unless in a virtual environment; pip in a conda prefix must see upstream's scheme.
SYSCONFIG_CONDITION = rb'sys\.base_prefix != sys\.prefix or hasattr\(sys, "real_prefix"\)'
LEFT_OUT = re.compile(r"/__pycache__/|/EXTERNALLY-MANAGED$|/sitecustomize\.py$|/config-|/dist-packages")


class Libraries:
    """Which conda packages of shared libraries are needed, and their making."""

    def __init__(self, debs: Debs, names: Mapping[str, str]) -> None:
        self.debs, self.names = debs, names

    def packages(self, sonames: Iterable[str]) -> set[str]:
        """Debian's packages of these libraries; glibc is the system's."""
        found = set()
        for soname in sonames:
            if not re.match(r"ld(64|-linux)", soname):
                if soname not in self.debs.providers:
                    raise RuntimeError(f"no Debian package here has the library {soname}")
                found.add(self.debs.providers[soname])
        return found - {"libc6"}

    def conda_names(self, packages: Iterable[str]) -> set[str]:
        """The conda packages that Debian's packages go into."""
        return {self.names.get(p, p) for p in packages}

    def write(self, channel: Path, subdir: str, sonames: Iterable[str]) -> Iterator[Record]:
        """One conda package for each name, for these libraries and all that they need in turn."""
        depends: dict[str, set[str]] = {}
        todo = self.packages(sonames)
        while todo:
            package = todo.pop()
            linked = [needed(path) for path in self.debs.shared_objects(package) if is_elf(path)]
            depends[package] = self.packages(set().union(*linked)) - {package}
            todo |= depends[package] - depends.keys()

        by_name = sorted(depends, key=lambda p: (self.names.get(p, p), p))
        for name, group in itertools.groupby(by_name, key=lambda p: self.names.get(p, p)):
            members = list(group)
            files, links = {}, {}
            for path in itertools.chain.from_iterable(map(self.debs.shared_objects, members)):
                if path.is_symlink():
                    links[f"lib/{path.name}"] = Path(os.readlink(path)).name
                elif path.is_file():
                    files[f"lib/{path.name}"] = File(path.read_bytes())
            needs = self.conda_names(set().union(*(depends[m] for m in members))) - {name}
            index = {
                "name": name,
                "version": self.debs.version(members[0]),
                "build": "deb_0",
                "depends": [GLIBC, *sorted(needs)],
                "license": "see Debian's copyright file",
                "subdir": subdir,
            }
            yield write(channel, index, files, links, about={"summary": f"from Debian: {', '.join(members)}"})


def write_python(channel: Path, target: Target, debs: Debs, libraries: Libraries) -> tuple[list[Record], set[str]]:
    """The interpreter's packages, and the libraries they are linked with."""
    version = target.python
    lib = f"lib/python{version}"
    binary = f"python{version}-minimal"
    files, links = _standard_library(debs, version)

    sysconfig = files[f"{lib}/sysconfig.py"]
    text, changes = re.subn(SYSCONFIG_CONDITION, b"True", sysconfig.data)
    if not changes:
        raise RuntimeError(f"{lib}/sysconfig.py is not as expected: Debian's condition on virtual environments is gone")
    files[f"{lib}/sysconfig.py"] = sysconfig._replace(data=text)
    files[f"{lib}/sitecustomize.py"] = File(SITECUSTOMIZE)
    files |= compiled(files, version)

    executable = debs.tree(binary) / f"usr/bin/python{version}"
    sonames = needed(executable).union(
        *(needed(p) for name in _stdlib_packages(version) for p in debs.tree(name).rglob("*.so") if is_elf(p))
    )
    # DT_RPATH (not RUNPATH) holds for every library that this process loads: one patched file, and no other
    run("patchelf", "--force-rpath", "--set-rpath", "$ORIGIN/../lib", executable)
    files[f"bin/python{version}"] = File(executable.read_bytes(), 0o755)
    links |= {"bin/python": f"python{version}", "bin/python3": f"python{version}"}

    abi = f"cp{version.replace('.', '')}"
    index = {
        "name": "python",
        "version": debs.version(binary),
        "build": "0_cpython",
        "depends": [GLIBC, *sorted(libraries.conda_names(libraries.packages(sonames))), "tzdata"],
        "constrains": [f"python_abi {version}.* *_{abi}"],
        "license": "Python-2.0",
        "subdir": target.subdir,
    }
    records = [
        write(channel, index, files, links, about={"summary": "CPython from Debian"}),
        write_empty(channel, "python_abi", version, f"0_{abi}", [f"python {version}.*"]),
        write_empty(channel, "tzdata", "2026b", "0", []),  # Python reads the system's
    ]
    return records, sonames


def wheel_sonames(wheel: Path) -> set[str]:
    """The libraries that a wheel's modules want from outside the wheel."""
    sonames: set[str] = set()
    with zipfile.ZipFile(wheel) as archive, tempfile.TemporaryDirectory() as folder:
        for name in archive.namelist():
            if ".so" in name:
                path = Path(archive.extract(name, folder))
                if is_elf(path):
                    sonames |= needed(path)
        return sonames - {Path(name).name for name in archive.namelist()}


def _stdlib_packages(version: str) -> tuple[str, str]:
    return f"libpython{version}-minimal", f"libpython{version}-stdlib"


def _standard_library(debs: Debs, version: str) -> tuple[dict[str, File], dict[str, str]]:
    files: dict[str, File] = {}
    links: dict[str, str] = {}
    for package in _stdlib_packages(version):
        usr = debs.tree(package) / "usr"
        for path in (usr / f"lib/python{version}").rglob("*"):
            name = path.relative_to(usr).as_posix()
            if LEFT_OUT.search(f"/{name}"):
                continue
            if path.is_symlink():
                if not os.readlink(path).startswith("/"):
                    links[name] = os.readlink(path)
            elif path.is_file():
                executable = path.stat().st_mode & stat.S_IXUSR
                files[name] = File(path.read_bytes(), 0o755 if executable else 0o644)
    return files, links
