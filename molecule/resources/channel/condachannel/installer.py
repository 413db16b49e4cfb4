# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in installer: a shell header and a tar of a base prefix, linked by py-rattler on this machine."""

import hashlib
import json
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from rattler import Channel, Gateway, RepoDataRecord, install, solve
from rattler.package.build_string import BuildString
from rattler.package.package_name import PackageName
from rattler.platform import Platform
from rattler.version import Version
from rattler.virtual_package import GenericVirtualPackage

from .package import TIMESTAMP

PLACEHOLDER = "/opt/slipway-prefix-placeholder-1f0e"


async def solution(channel: Path, subdir: str, specs: Sequence[str]) -> list[RepoDataRecord]:
    """The packages that conda would take on a node of this kind."""
    virtual = {"__unix": "0", "__linux": "4.18", "__glibc": "2.36"}
    return await solve(
        [Channel(channel.as_uri())],
        specs,
        gateway=Gateway(),
        platforms=[subdir, "noarch"],
        virtual_packages=[
            GenericVirtualPackage(PackageName(n), Version(v), BuildString("0")) for n, v in virtual.items()
        ],
        add_pip_as_python_dependency=True,
    )


async def write_installer(
    channel: Path,
    subdir: str,
    installer: Path,
    *,
    name: str,
    version: str,
    specs: Sequence[str],
    condarc: Mapping[str, Any] | None = None,
) -> None:
    """Write the installer of a base environment with these specs, and with a PREFIX/.condarc if the distribution has one."""
    records = await solution(channel, subdir, specs)
    with tempfile.TemporaryDirectory() as folder:
        prefix, payload = Path(folder) / "prefix", Path(folder) / "payload.tar.gz"
        await install(
            records,
            target_prefix=prefix,
            cache_dir=Path(folder) / "pkgs",
            platform=Platform(subdir),
            show_progress=False,
            alternative_target_prefix=PLACEHOLDER,
        )
        _tidy(prefix, subdir, specs)
        if condarc:
            (prefix / ".condarc").write_text(yaml.safe_dump(condarc, indent=2))
        tar = [
            "tar",
            "-C",
            prefix,
            "--sort=name",
            f"--mtime=@{TIMESTAMP}",
            "--owner=0",
            "--group=0",
            "--numeric-owner",
            "--mode=u+w,a+rX",
        ]
        with payload.open("wb") as stream:
            archive = subprocess.Popen([*tar, "-cf", "-", "."], stdout=subprocess.PIPE)
            subprocess.run(["gzip", "-n", "-4"], stdin=archive.stdout, stdout=stream, check=True)
            if archive.wait():
                raise RuntimeError(f"tar: exit {archive.returncode}")
        data = payload.read_bytes()
        size = sum(f.lstat().st_size for f in prefix.rglob("*"))
    values = {
        "NAME": name,
        "HOME": name.lower(),
        "VERSION": version,
        "SUBDIR": subdir,
        "MD5": hashlib.md5(data).hexdigest(),
        "MEGABYTES": str(size // 1_000_000 + 1),
        "PLACEHOLDER": PLACEHOLDER,
    }
    header = Path(__file__).with_name("installer.sh").read_text()
    for key, value in values.items():
        header = header.replace(f"@{key}@", value)
    installer.write_bytes(header.encode() + data)
    installer.chmod(0o755)


def _tidy(prefix: Path, subdir: str, specs: Sequence[str]) -> None:
    """What the real installer leaves in conda-meta, and nothing that points to this machine."""
    (prefix / "CACHEDIR.TAG").unlink(missing_ok=True)
    meta = prefix / "conda-meta"
    records = []
    for file in sorted(meta.glob("*.json")):
        record = json.loads(file.read_text())
        name = record["fn"].removesuffix(".conda")
        base = f"https://conda.anaconda.org/conda-forge/{record['subdir']}"
        record |= {"channel": "https://conda.anaconda.org/conda-forge", "url": f"{base}/{record['fn']}"}
        record["link"] = {"source": f"{PLACEHOLDER}/pkgs/{name}", "type": 1}
        record |= {
            "extracted_package_dir": f"{PLACEHOLDER}/pkgs/{name}",
            "package_tarball_full_path": f"{PLACEHOLDER}/pkgs/{record['fn']}",
        }
        file.write_text(json.dumps(record, indent=2))
        records.append(record)
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(TIMESTAMP))
    linked = "".join(f"+{r['channel']}/{r['subdir']}::{r['fn'].removesuffix('.conda')}\n" for r in records)
    (meta / "history").write_text(f"==> {when} <==\n# cmd: constructor\n{linked}# update specs: {list(specs)!r}\n")
    explicit = "".join(f"{r['url']}#{r['md5']}\n" for r in records)
    (meta / "initial-state.explicit.txt").write_text(
        "# This file may be used to create an environment using:\n"
        f"# $ conda create --name <env> --file <this file>\n# platform: {subdir}\n@EXPLICIT\n{explicit}"
    )
    found = subprocess.run(["grep", "-rlI", PLACEHOLDER, "."], cwd=prefix, capture_output=True, text=True, check=True)
    (prefix / ".relocate").write_text(found.stdout)
