# SPDX-License-Identifier: GPL-3.0-or-later
"""What a cluster is made from: the image and the channel out of the cache, and the LSF double in the shared folder."""

import hashlib
import platform
import subprocess
import sys
from pathlib import Path

import yaml

from . import access
from .ui import Refusal

RESOURCES = Path(__file__).resolve().parents[1]
ARCHES = ("ppc64le", "amd64")
NATIVE = {"x86_64": "amd64", "ppc64le": "ppc64le"}.get(platform.machine())


def need_emulation(arch: str) -> None:
    """A reboot forgets what scripts/setup registered, and containers then fail with a mere 'exec format error'."""
    if arch == NATIVE:
        return
    try:
        command = ["arch-test", {"ppc64le": "ppc64el"}.get(arch, arch)]
        runs = subprocess.run(command, capture_output=True, check=False, timeout=30).returncode == 0
    except FileNotFoundError:
        runs = False
    if not runs:
        raise Refusal(
            f"{arch}: its programs don't run on this {platform.machine()} machine",
            "the kernel must have an emulator registered (binfmt_misc, F flag)",
            f"run scripts/setup, or use MINITRITON_ARCH={NATIVE}",
        )


def build(part: str, arch: str) -> str:
    """Run a builder; its progress goes to our stderr, and its last line of stdout says where the result is."""
    command = [str(RESOURCES / part / "build"), "--arch", arch]
    done = subprocess.run(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, check=False)
    if done.returncode or not done.stdout.strip():
        raise Refusal(
            f"{' '.join(command)}: rc {done.returncode}",
            f"the {part} of Mini-Triton must build",
            "its own words are above; run it again by hand to see them alone",
        )
    return done.stdout.strip().splitlines()[-1]


def install_lsf(state: Path, spec: dict) -> str:
    """Lay the LSF double out when its source or our specification changed. Returns the key of what is laid out."""
    source = RESOURCES / "lsf"
    config = state / "lsf.yml"
    slots = {host: {"slots": node["slots"]} for host, node in spec["hosts"].items() if "slots" in node}
    access.write(config, yaml.safe_dump(spec["lsf"] | {"hosts": slots}, sort_keys=False))
    files = [config, *sorted(path for path in source.rglob("*") if path.is_file() and path.suffix != ".pyc")]
    key = hashlib.sha256(b"".join(hashlib.sha256(file.read_bytes()).digest() for file in files)).hexdigest()[:12]
    stamp = state / "lsf.key"
    if not stamp.exists() or stamp.read_text() != key:
        command = [sys.executable, source / "install", state / "lsf", "--prefix", "/opt/lsf", "--config", config]
        subprocess.run([*command, "--python", "/opt/minitriton/python3"], check=True, stdout=sys.stderr, timeout=120)
        access.write(stamp, key)
    return key
