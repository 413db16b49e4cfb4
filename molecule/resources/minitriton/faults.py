# SPDX-License-Identifier: GPL-3.0-or-later
"""Real faults: of the mirror's web server (image/overlay/opt/minitriton/mirror), which reads a file before each answer, and of nodes."""

import re
import subprocess

from .podman import Podman, as_root
from .ui import Refusal

FILE = "/run/mirror-fault"
# What a fault takes, where nothing else is said: bytes a second, and bytes of each answer.
AMOUNTS = {"up": None, "slow": "100k", "cut": "1M", "garble": None, "down": None}
# What can become of a node.
NODES = "pause", "cut", "down", "up"
UNITS = {"": 1, "k": 1 << 10, "M": 1 << 20}


def words(fault: str, amount: str | None) -> str:
    """What the file says; nothing when the mirror is well."""
    default = AMOUNTS[fault]
    if default is None:
        if amount is not None:
            raise Refusal(f"mirror {fault} {amount}", "only slow and cut have an amount", f"say `mirror {fault}`")
        return "" if fault == "up" else fault
    match = re.fullmatch(r"([1-9][0-9]*)([kM]?)", amount or default)
    if not match:
        raise Refusal(
            f"mirror {fault} {amount}", "an amount is bytes, as 5000, 500k or 20M", f"say `mirror {fault} {default}`"
        )
    return f"{fault} {int(match[1]) * UNITS[match[2]]}"


def put(podman: Podman, container: str, said: str) -> None:
    """In one step: the server may read it at any time."""
    script = """[ -z "$1" ] && rm -f "$0" || { echo "$1" > "$0.new" && mv "$0.new" "$0"; }"""
    podman.run("exec", container, "sh", "-ec", script, FILE, said)


def befall(podman: Podman, container: str, fault: str) -> None:
    """Do that to a node, whatever was done to it before."""
    state = podman.json("container", "inspect", container)[0]["State"]
    if state["Status"] == "paused":
        podman.run("unpause", container)
    if fault == "down":
        if state["Running"]:
            podman.run("kill", container)
            podman.run("wait", container)
        return
    if not state["Running"]:
        podman.run("start", container)  # with a network of its own anew
        state = podman.json("container", "inspect", container)[0]["State"]
    for chain in ("INPUT", "OUTPUT"):
        _iptables(state["Pid"], "-F", chain)
        if fault == "cut":
            # Not those to itself, which a broken cable leaves alone.
            _iptables(
                state["Pid"], "-A", chain, *(("!", "-i", "lo") if chain == "INPUT" else ("!", "-o", "lo")), "-j", "DROP"
            )
    if fault == "pause":
        podman.run("pause", container)


def _iptables(pid: int, *rule: str) -> None:
    """In a node's own network."""
    argv = as_root("nsenter", "--target", str(pid), "--net", "iptables", "--wait", *rule)
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        raise Refusal(f"{' '.join(argv)}: {done.stderr.strip()}", "iptables drops a node's packets", "install iptables")
