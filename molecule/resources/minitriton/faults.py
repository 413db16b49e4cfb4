# SPDX-License-Identifier: GPL-3.0-or-later
"""Real faults of the mirror's web server (image/overlay/opt/minitriton/mirror), which reads a file before each answer."""

import re

from .podman import Podman
from .ui import Refusal

FILE = "/run/mirror-fault"
# What a fault takes, where nothing else is said: bytes a second, and bytes of each answer.
AMOUNTS = {"up": None, "slow": "100k", "cut": "1M", "garble": None, "down": None}
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
