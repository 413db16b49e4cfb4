# SPDX-License-Identifier: GPL-3.0-or-later
"""Two networks a cluster: eth0, where names resolve, and ib0, where they don't. No cluster's clash with anything else's."""

import ipaddress
import json
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from .podman import Podman
from .ui import Refusal

POOLS = {"eth0": "10.213.{}.0/24", "ib0": "10.214.{}.0/24"}
FIRST_HOST = 10


@dataclass(frozen=True)
class Networks:
    eth0: IPv4Network
    ib0: IPv4Network

    def address(self, interface: str, index: int) -> IPv4Address:
        return getattr(self, interface)[FIRST_HOST + index]


def choose(taken: Iterable[IPv4Network]) -> Networks:
    """The first pair of subnets that overlaps nothing that is taken."""
    taken = list(taken)
    for number in range(256):
        pair = [IPv4Network(pool.format(number)) for pool in POOLS.values()]
        if not any(net.overlaps(other) for net in pair for other in taken):
            return Networks(*pair)
    raise Refusal(
        "no free subnet in " + " and ".join(pool.format("0-255") for pool in POOLS.values()),
        "a cluster needs a pair of them that overlaps no route and no podman network of this machine",
        "end clusters that nobody uses: scripts/minitriton down",
    )


def routes(ip_json: str) -> list[IPv4Network]:
    """The subnets in `ip -json route`; the default route covers everything and takes nothing."""
    return [ipaddress.ip_network(route["dst"]) for route in json.loads(ip_json) if route["dst"] != "default"]


def ensure(podman: Podman, prefix: str, label: str) -> Networks:
    """The cluster's networks, made where missing."""
    subnets = {
        net["name"]: [IPv4Network(entry["subnet"]) for entry in net.get("subnets") or [] if ":" not in entry["subnet"]]
        for net in podman.json("network", "ls")
    }
    names = {interface: f"{prefix}-{interface}" for interface in POOLS}
    if all(name in subnets for name in names.values()):
        return Networks(*(subnets[name][0] for name in names.values()))

    # Half a pair is left from an interruption: no container of ours was complete then.
    remove(podman, [name for name in names.values() if name in subnets])
    listing = subprocess.run(
        ["ip", "-4", "-json", "route"], capture_output=True, text=True, check=True, timeout=10
    ).stdout
    networks = choose([net for group in subnets.values() for net in group] + routes(listing))
    for interface, name in names.items():
        # Internal: a node reaches its cluster and this machine, and never the internet.
        options = ["--disable-dns"] if interface == "ib0" else []
        subnet = str(getattr(networks, interface))
        podman.run("network", "create", "--internal", "--label", label, "--subnet", subnet, *options, name)
    return networks


def remove(podman: Podman, names: Iterable[str]) -> None:
    for name in names:
        podman.run("network", "rm", "--force", name)
