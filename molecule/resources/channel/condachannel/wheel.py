# SPDX-License-Identifier: GPL-3.0-or-later
"""Wheels: from Debian's compiled Python packages, and into conda packages."""

import base64
import configparser
import hashlib
import importlib.util
import marshal
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from email.message import Message
from email.parser import Parser
from pathlib import Path, PurePosixPath

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name, parse_wheel_filename

from .package import PLACEHOLDER, File, Record, write


@dataclass(frozen=True)
class Target:
    """What the packages are made for."""

    python: str  # "3.11"
    subdir: str  # "linux-64"
    machine: str  # "x86_64", as uname -m says
    names: Mapping[str, str]  # PyPI name -> conda-forge name

    @property
    def markers(self) -> dict[str, str]:
        """The variables of environment markers on the target."""
        return {
            "implementation_name": "cpython",
            "os_name": "posix",
            "platform_machine": self.machine,
            "platform_python_implementation": "CPython",
            "platform_system": "Linux",
            "python_full_version": f"{self.python}.2",
            "python_version": self.python,
            "sys_platform": "linux",
        }

    @property
    def python_depends(self) -> list[str]:
        """What a package with compiled modules for this Python depends on."""
        major, minor = self.python.split(".")
        return [
            f"python >={self.python},<{major}.{int(minor) + 1}.0a0",
            f"python_abi {self.python}.* *_cp{major}{minor}",
        ]

    def conda_name(self, name: str) -> str:
        """The name that conda-forge gives to a project of PyPI."""
        name = canonicalize_name(name)
        return self.names.get(name, name)

    def conda_spec(self, requirement: Requirement) -> str:
        """A requirement in conda's words, without its marker and extras."""
        return f"{self.conda_name(requirement.name)} {conda_versions(requirement.specifier)}".strip()


def conda_versions(specifiers: SpecifierSet) -> str:
    """
    >>> conda_versions(SpecifierSet("~=1.4.2,!=1.5.*")), conda_versions(SpecifierSet("==2.1")), conda_versions(SpecifierSet(""))
    ('!=1.5.*,>=1.4.2,1.4.*', '==2.1', '')
    """
    parts: list[str] = []
    for specifier in sorted(specifiers, key=str):
        operator, version = specifier.operator, specifier.version
        if operator == "~=":
            parts += [f">={version}", version.rpartition(".")[0] + ".*"]
        elif operator.startswith("=="):
            parts.append(version if version.endswith(".*") else f"=={version}")
        else:
            parts.append(operator + version)
    return ",".join(parts)


def project(wheel: Path) -> str:
    """The project's name, from the file's."""
    return parse_wheel_filename(wheel.name)[0]


def metadata(wheel: Path) -> Message:
    """The wheel's METADATA."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(n for n in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", n))
        return Parser().parsestr(archive.read(name).decode())


def requirements(name: str, catalog: Mapping[str, Iterable[str]], markers: Mapping[str, str]) -> Iterator[Requirement]:
    """What a project needs on the target; conda has no extras, so those it asks of another project are looked up in `catalog`."""

    def active(project: str, extras: Iterable[str]) -> Iterator[Requirement]:
        for requirement in map(Requirement, catalog.get(canonicalize_name(project), ())):
            if not requirement.marker or any(
                requirement.marker.evaluate({**markers, "extra": extra}) for extra in extras
            ):
                yield requirement

    for requirement in active(name, {""}):
        yield requirement
        if requirement.extras:
            yield from active(requirement.name, requirement.extras)


def compiled(files: Mapping[str, File], python: str) -> dict[str, File]:
    """
    A .pyc for each module. Made here since rattler makes none and compiling under emulation is slow; "unchecked", so that
    Python does not compare times. Must run in the target's minor version of Python. Files that are no Python (templates)
    are passed over.
    """
    tag = "cpython-" + python.replace(".", "")
    result = {}
    for name, file in files.items():
        path = PurePosixPath(name)
        if path.suffix == ".py" and path.parts[0] in ("site-packages", "lib"):
            try:
                code = compile(file.data, name, "exec", dont_inherit=True, optimize=0)
            except (SyntaxError, ValueError):
                continue
            header = importlib.util.MAGIC_NUMBER + b"\x01\0\0\0" + importlib.util.source_hash(file.data)  # PEP 552
            result[str(path.parent / "__pycache__" / f"{path.stem}.{tag}.pyc")] = File(header + marshal.dumps(code))
    return result


def convert(
    wheel: Path, channel: Path, target: Target, catalog: Mapping[str, Iterable[str]], extra_depends: Iterable[str] = ()
) -> Record:
    """Write the conda package of a wheel. `catalog`: what each project requires; `extra_depends`: conda specs to add."""
    name, version, _, tags = parse_wheel_filename(wheel.name)
    pure = all(tag.platform == "any" for tag in tags)
    site_packages = "site-packages" if pure else f"lib/python{target.python}/site-packages"
    meta = metadata(wheel)
    files, scripts = _contents(wheel, site_packages, target.python)
    if not pure:  # of a noarch package, the installing program writes them
        files |= {f"bin/{script.partition('=')[0].strip()}": _script(script) for script in scripts}
    files |= compiled(files, target.python)
    depends = {target.conda_spec(r) for r in requirements(name, catalog, target.markers)} | set(extra_depends)
    if pure:
        # rattler takes no "!=3.0.*" for python; nothing that old is in the channel
        versions = SpecifierSet(
            ",".join(str(s) for s in SpecifierSet(meta["Requires-Python"] or "") if s.operator != "!=")
        )
        depends.add(f"python {conda_versions(versions)}".strip())
    else:
        depends |= set(target.python_depends)
    index = {
        "name": target.conda_name(name),
        "version": str(version),
        "build": "pyhd8ed1ab_0" if pure else f"py{target.python.replace('.', '')}_0",
        "depends": sorted(depends),
        "license": (meta["License-Expression"] or meta["License"] or "").partition("\n")[0][:80],
        "subdir": "noarch" if pure else target.subdir,
    }
    about = {"home": meta["Home-page"] or "", "summary": meta["Summary"] or "", "license": index["license"]}
    if not pure:
        return write(channel, index, files, about=about)
    noarch = {"type": "python", "entry_points": scripts}
    return write(channel, {**index, "noarch": "python"}, files, about=about, noarch=noarch)


def _contents(wheel: Path, site_packages: str, python: str) -> tuple[dict[str, File], list[str]]:
    """The wheel's files where a conda package has them, and its entry points ("name = module:function")."""
    pure = site_packages == "site-packages"
    files: dict[str, File] = {}
    scripts: list[str] = []
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            if member.is_dir():
                continue
            path, data = PurePosixPath(member.filename), archive.read(member)
            mode = 0o755 if member.external_attr >> 16 & 0o111 else 0o644
            if path.parts[0].endswith(".data"):
                kind, relative = path.parts[1], "/".join(path.parts[2:])
                if kind == "scripts":
                    data, mode = re.sub(rb"^#!pythonw?\b", f"#!{PLACEHOLDER}/bin/python".encode(), data), 0o755
                place = {
                    "purelib": site_packages,
                    "platlib": site_packages,
                    "data": "",
                    "scripts": "python-scripts" if pure else "bin",
                    "headers": f"include/python{python}",
                }[kind]
                name = f"{place}/{relative}".lstrip("/")
            else:
                name = f"{site_packages}/{path}"
                if path.name == "entry_points.txt" and path.parts[0].endswith(".dist-info"):
                    scripts = _entry_points(data.decode())
                if path.name == "RECORD" and path.parts[0].endswith(".dist-info"):
                    files[f"{site_packages}/{path.parts[0]}/INSTALLER"] = File(b"conda\n")
            files.setdefault(name, File(data, mode))
    return files, scripts


def _entry_points(text: str) -> list[str]:
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(text)
    sections = [s for s in ("console_scripts", "gui_scripts") if parser.has_section(s)]
    return [f"{name} = {value.partition('[')[0].strip()}" for s in sections for name, value in parser.items(s)]


def _script(entry_point: str) -> File:
    module, _, function = entry_point.partition("=")[2].strip().partition(":")
    text = f"""#!{PLACEHOLDER}/bin/python
import sys

from {module} import {function.partition(".")[0]}

if __name__ == "__main__":
    sys.exit({function}())
"""
    return File(text.encode(), 0o755)


def from_debian(tree: Path, folder: Path, tag: str, *, skip: Iterable[str] = (), requires: Iterable[str] = ()) -> Path:
    """
    The wheel of an unpacked Debian package of Python modules: in this form pip's resolver can see it, and one way leads to conda.
    Debian still writes egg-info for some; its requires.txt becomes Requires-Dist.
    """
    root = tree / "usr/lib/python3/dist-packages"
    info = next(p for p in root.iterdir() if p.suffix in (".egg-info", ".dist-info"))
    text = _egg_metadata(info) if info.suffix == ".egg-info" else (info / "METADATA").read_text()
    head, _, body = text.partition("\n\n")
    text = "\n".join([head, *(f"Requires-Dist: {requirement}" for requirement in requires)]) + f"\n\n{body}"
    meta = Parser().parsestr(text, headersonly=True)
    name = re.sub(r"[-_.]+", "_", meta["Name"]).lower()
    dist_info = f"{name}-{meta['Version']}.dist-info"
    wheel = folder / f"{name}-{meta['Version']}-{tag}.whl"
    files = {
        relative: path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.is_relative_to(info)
        for relative in [path.relative_to(root).as_posix()]
        if not any(part in f"/{relative}" for part in skip)
    }
    files[f"{dist_info}/METADATA"] = text.encode()
    files[f"{dist_info}/WHEEL"] = (
        f"Wheel-Version: 1.0\nGenerator: slipway\nRoot-Is-Purelib: false\nTag: {tag}\n".encode()
    )
    if (info / "entry_points.txt").is_file():
        files[f"{dist_info}/entry_points.txt"] = (info / "entry_points.txt").read_bytes()
    digests = {n: base64.urlsafe_b64encode(hashlib.sha256(d).digest()).rstrip(b"=").decode() for n, d in files.items()}
    record = "".join(f"{n},sha256={digests[n]},{len(d)}\n" for n, d in files.items()) + f"{dist_info}/RECORD,,\n"
    with zipfile.ZipFile(wheel, "w") as archive:  # stored: it is read again in a moment
        for member, data in {**files, f"{dist_info}/RECORD": record.encode()}.items():
            archive.writestr(member, data)
    return wheel


def _egg_metadata(info: Path) -> str:
    """PKG-INFO with the requirements of requires.txt (sections: none, [extra], [:marker])."""
    if info.is_file():
        return info.read_text()
    head, _, body = (info / "PKG-INFO").read_text().partition("\n\n")
    if "Requires-Dist:" not in head and (info / "requires.txt").is_file():
        marker = ""
        for line in (info / "requires.txt").read_text().split("\n"):
            if section := re.fullmatch(r"\[(.*)\]", line):
                extra, _, condition = section[1].partition(":")
                marker = condition if not extra else None
            elif line and marker is not None:
                head += f"\nRequires-Dist: {line}" + (f" ; {marker}" if marker else "")
    return f"{head}\n\n{body}"
