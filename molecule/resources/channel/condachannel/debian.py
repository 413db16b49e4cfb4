# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian packages of any architecture, fetched and unpacked without touching the host's own apt and dpkg."""

import functools
import re
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .command import run

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def own_mirror() -> str:
    """URI of the Debian archive that this machine's own apt uses (so no mirror is named in the project)."""
    for uri in run("apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages").split():
        if re.search(r"/debian/?$", uri):
            return uri
    raise RuntimeError("apt has no source ending in /debian: add Debian's archive to /etc/apt/sources.list.d")


def fetch(folder: Path, suite: str, architecture: str, packages: Iterable[str]) -> None:
    """Download the packages and all that they depend on, with an apt state of our own (empty, so nothing counts as installed)."""
    with tempfile.TemporaryDirectory() as state_folder:
        state = Path(state_folder)
        for part in ("lists/partial", "cache/archives/partial", "etc"):
            (state / part).mkdir(parents=True)
        (state / "status").touch()
        (state / "etc/sources.list").write_text(f"deb [signed-by={KEYRING}] {own_mirror()} {suite} main\n")
        (folder / "partial").mkdir()
        options = {
            "APT::Architecture": architecture,
            "APT::Architectures": architecture,
            "APT::Sandbox::User": "root",
            "Acquire::Retries": "3",
            "Dir::Etc": state / "etc",
            "Dir::Etc::sourcelist": state / "etc/sources.list",
            "Dir::Etc::sourceparts": "/nonexistent",
            "Dir::State::lists": state / "lists",
            "Dir::State::status": state / "status",
            "Dir::Cache": state / "cache",
            "Dir::Cache::archives": folder,
        }
        apt = ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in options.items())]
        run(*apt, "update")
        run(*apt, "install", "--download-only", "--yes", "--no-install-recommends", *packages)
        (folder / "partial").rmdir()
        (folder / "lock").unlink(missing_ok=True)


class Debs:
    """A folder of `.deb` files, unpacked below `work`."""

    def __init__(self, folder: Path, work: Path, triplet: str) -> None:
        self.files = {f.name.split("_")[0]: f for f in sorted(folder.glob("*.deb"))}
        self.work, self.triplet = work, triplet
        work.mkdir()
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda name: run("dpkg-deb", "-x", self.files[name], self.tree(name)), self.files))

    def tree(self, name: str) -> Path:
        """The unpacked package."""
        return self.work / name

    def version(self, name: str) -> str:
        """Upstream's version in a form that conda can compare."""
        return upstream_version(run("dpkg-deb", "-f", self.files[name], "Version").strip())

    def shared_objects(self, name: str) -> Iterator[Path]:
        """The package's libraries, links among them, without plugins that nothing here loads."""
        plugins = {"gconv", "engines-3", "ossl-modules"}
        for path in self.tree(name).rglob("*.so*"):
            if self.triplet in path.parts and plugins.isdisjoint(path.parts):
                yield path

    @functools.cached_property
    def providers(self) -> dict[str, str]:
        """Which package provides a library file name."""
        return {path.name: name for name in sorted(self.files, reverse=True) for path in self.shared_objects(name)}


def upstream_version(version: str) -> str:
    """
    >>> upstream_version("2:8.2-1.3"), upstream_version("3.11.2-6+deb12u6"), upstream_version("1.2.13.dfsg-1")
    ('8.2', '3.11.2', '1.2.13')
    """
    return re.split(r"[-+]|\.dfsg", version.partition(":")[2] or version)[0].replace("~", ".")


def needed(path: Path) -> set[str]:
    """The libraries that an ELF file is linked with."""
    return set(re.findall(r"\(NEEDED\).*\[(.*?)\]", run("readelf", "-dW", path)))


def is_elf(path: Path) -> bool:
    """Whether this is a binary and no link, script or linker script."""
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(4) == b"\x7fELF"
