# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may come in, and how to know the hosts: keys made here, on the controller, and given to the nodes.

The host keys never travel over an unverified connection, so known_hosts is true by construction, and they outlive containers.
"""

import subprocess
from collections.abc import Mapping
from pathlib import Path

SSH_CONFIG = """\
Host {name}
    HostName {address}
    HostKeyAlias {name}
    IdentityFile {state}/id_ed25519
    IdentitiesOnly yes
    UserKnownHostsFile {state}/known_hosts
    GlobalKnownHostsFile none
    StrictHostKeyChecking yes
    ConnectTimeout 15
"""

# What lies behind a door is reached through it, with the same key.
INSIDE = """\
Host *
    IdentityFile {state}/id_ed25519
    IdentitiesOnly yes
"""


def ssh_config(state: Path, addresses: Mapping[str, object]) -> str:
    """No User line: whose account it is says the caller, as on a real site."""
    doors = [SSH_CONFIG.format(name=name, address=address, state=state) for name, address in addresses.items()]
    return "\n".join([*doors, INSIDE.format(state=state)])


def known_hosts(public_keys: Mapping[str, str]) -> str:
    """Keys by name alone: HostKeyAlias makes addresses irrelevant."""
    return "".join(f"{name} {' '.join(key.split()[:2])}\n" for name, key in public_keys.items())


def keypair(path: Path, comment: str) -> str:
    """The public key at `path`, made where missing."""
    public = path.with_name(path.name + ".pub")
    if not public.exists():
        path.unlink(missing_ok=True)  # ssh-keygen writes the public half last: a lone private key is an interruption's
        path.parent.mkdir(parents=True, exist_ok=True)
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, timeout=30)
    return public.read_text()


def write(path: Path, text: str) -> None:
    """Only where it differs: `up` changes nothing when there is nothing to change."""
    if not path.exists() or path.read_text() != text:
        fresh = path.with_name(path.name + ".new")
        fresh.write_text(text)
        fresh.replace(path)
