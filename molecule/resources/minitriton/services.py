# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting until the nodes' services answer, as their users would ask them."""

import socket
import time
from collections.abc import Callable, Mapping

from .podman import Podman
from .ui import Refusal

PORTS = {"sshd": 22, "sshd-jobs": 22, "mirror": 80}
DEADLINE = 90


def wait(
    podman: Podman, hosts: Mapping[str, dict], address: Mapping[str, object], container: Callable[[str], str]
) -> None:
    deadline = time.monotonic() + DEADLINE

    def until(answers: Callable[[], bool], host: str, what: str) -> None:
        while not answers():
            if time.monotonic() > deadline:
                raise Refusal(
                    f"{host}: {what}",
                    f"a node's services answer within {DEADLINE} s",
                    "see what it says: " + " ".join(podman.argv("logs", container(host))),
                )
            time.sleep(0.3)

    for host, node in hosts.items():
        for port in (PORTS[service] for service in node["services"] if service in PORTS):
            until(
                lambda at=(str(address[host]), port): _listens(at), host, f"nothing listens on {address[host]}:{port}"
            )
    for host, node in hosts.items():
        if "lsf-server" in node["services"]:
            until(lambda host=host: host in _lsf_hosts(podman, container("login")), host, "not `ok` in bhosts on login")


def wait_mirror(address: str, listens: bool) -> None:
    """Until a fault of the mirror has come true, or is mended."""
    deadline = time.monotonic() + 30
    while _listens((address, PORTS["mirror"])) != listens:
        if time.monotonic() > deadline:
            raise Refusal(
                f"mirror: {'does not listen' if listens else 'still listens'} on {address}",
                "its server follows `scripts/minitriton mirror` within 30 s",
                "scripts/minitriton up makes it anew after `scripts/minitriton down`",
            )
        time.sleep(0.2)


def _listens(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=5).close()
    except OSError:
        return False
    return True


def _lsf_hosts(podman: Podman, login: str) -> set[str]:
    """The hosts that LSF calls ok. The inner time limit ends a bhosts that waits for its master."""
    try:
        lines = podman.run("exec", login, "timeout", "20", "bash", "-lc", "bhosts -w").splitlines()
    except Refusal:
        return set()
    return {words[0] for words in map(str.split, lines) if words[1:2] == ["ok"]}
