# SPDX-License-Identifier: GPL-3.0-or-later
"""The cluster: what cluster.yml describes, made equal to it."""

import fcntl
import hashlib
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import yaml

from . import access, faults, homes, network, parts, services, users
from .podman import Podman, as_root
from .ui import Refusal, stage

SPEC = Path(__file__).with_name("cluster.yml")
SHARED = {"home": "/home:rslave", "scratch": "/scratch", "lsf": "/opt/lsf", "accounts": "/var/lib/extrausers"}


class Cluster:
    def __init__(self, environ=os.environ):
        home = Path(environ.get("HOME", "~")).expanduser()
        self.name = environ.get("MINITRITON_NAME") or "demo"
        self.arch = environ.get("MINITRITON_ARCH") or "ppc64le"
        users.check_names(self.name)
        if self.arch not in parts.ARCHES:
            raise Refusal(
                f"MINITRITON_ARCH={self.arch}", f"must be one of {', '.join(parts.ARCHES)}", "unset it for ppc64le"
            )
        state_home = Path(environ.get("XDG_STATE_HOME") or home / ".local/state")
        self.state = Path(environ.get("MINITRITON_STATE") or state_home / "slipway/minitriton" / self.name).absolute()
        cache_home = Path(environ.get("XDG_CACHE_HOME") or home / ".cache")
        self.cache = Path(environ.get("SLIPWAY_CACHE") or cache_home / "slipway").absolute()
        self.spec_file = Path(environ.get("MINITRITON_SPEC") or SPEC)
        self.spec = yaml.safe_load(self.spec_file.read_text())
        self.hosts: dict[str, dict] = self.spec["hosts"]
        self.prefix = f"minitriton-{self.name}"
        self.label = f"slipway.minitriton={self.name}"
        self.podman = Podman(self.state / "containers.conf")

    def container(self, host: str) -> str:
        return f"{self.prefix}-{host}"

    @contextmanager
    def _lock(self, name: str):
        """In the cache, since `down` removes the state."""
        self.cache.mkdir(parents=True, exist_ok=True)
        with (self.cache / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _locked(self):
        """One command at a time changes a cluster."""
        return self._lock(self.prefix)

    # -- the commands --------------------------------------------------------------------------------------------------

    def up(self) -> None:
        with self._locked():
            self._keep_arch()
            with stage("image"):
                parts.need_emulation(self.arch)
                image = parts.build("image", self.arch)
            with stage("channel"):
                channel = Path(parts.build("channel", self.arch))
            self._folders()
            with stage("lsf"):
                lsf_key = parts.install_lsf(self.state, self.spec)
            with stage("nodes"):
                if not self._present():
                    self.podman.probe(image)
                with self._lock("minitriton-networks"):  # two clusters that come up at once must not choose the same
                    networks = network.ensure(self.podman, self.prefix, self.label)
                changed = self._converge(image, channel, lsf_key, networks)
                changed |= self._heal()
                address = {host: networks.address("eth0", index) for index, host in enumerate(self.hosts)}
                self._write_access(address, networks, channel)
                faults.put(self.podman, self.container("mirror"), faults.words("up", None))
                services.wait_mirror(str(address["mirror"]), listens=True)
            if changed:
                with stage("services"):
                    services.wait(self.podman, self.hosts, address, self.container)
            accounts = [self.spec["demo"], self.spec["support"]]
            if missing := [account for account in accounts if not (self.state / "home" / account["user"]).exists()]:
                changed = True
                with stage("accounts"):
                    for account in missing:
                        users.make(
                            self.podman, self.container("login"), self.state, account["user"], account["project"]
                        )
            print(f"{self.name} ({self.arch}): {'up' if changed else 'nothing to do'}")

    def down(self) -> None:
        with self._locked(), stage("down"):
            for host in self._present():
                self._remove(host)
            for connection in (self.state / "control").glob("*"):  # Ansible's, to what is gone now
                hang_up = ["ssh", "-o", f"ControlPath={connection}", "-O", "exit", "login"]
                subprocess.run(hang_up, capture_output=True, check=False, timeout=15)
            ours = [net["name"] for net in self.podman.json("network", "ls", "--filter", f"label={self.label}")]
            network.remove(self.podman, ours)
            homes.unshare(self.state / "home")
            subprocess.run(as_root("rm", "-rf", "--", str(self.state)), check=True, timeout=300)

    def status(self) -> bool:
        """Print a line a node. True when all run."""
        present = self._present()
        states = {host: present[host]["State"] if host in present else "missing" for host in self.hosts}
        for host, node in self.hosts.items():
            print(f"{host:<8} {states[host]:<10} {' '.join(node['services'])}")
        if facts := self.facts():
            print(
                f"{facts['name']} ({facts['arch']}): ssh -F {self.state}/ssh_config {self.spec['demo']['user']}@login"
            )
        return set(states.values()) == {"running"}

    def user(self, name: str, project: str, fresh: bool, home_size: str | None, read_only: bool) -> None:
        users.check_names(name, project)
        home = self.state / "home" / name
        if read_only and not home_size:
            raise Refusal(
                "--read-only", "only a home with a size can be made read-only", "add --home-size, such as 900M"
            )
        with self._locked(), stage(f"user {name}"):
            self._need_nodes()
            if fresh:
                nodes = {
                    host: self.container(host) for host, node in self.hosts.items() if "mirror" not in node["services"]
                }
                homes.release(home)
                users.wipe(self.podman, nodes, name)
            users.make(self.podman, self.container("login"), self.state, name, project)
            if home_size:
                homes.resize(home, home_size, read_only)

    def mirror(self, fault: str, amount: str | None) -> None:
        said = faults.words(fault, amount)
        with self._locked():
            self._need_nodes()
            faults.put(self.podman, self.container("mirror"), said)
            services.wait_mirror(self.facts()["mirror_address"], listens=fault != "down")

    def node(self, host: str, fault: str) -> None:
        self._need_node(host)
        with self._locked():
            cut = self.state / "cut" / host
            if fault == "cut":
                cut.parent.mkdir(exist_ok=True)
                cut.touch()
            faults.befall(self.podman, self.container(host), fault)
            if fault != "cut":
                cut.unlink(missing_ok=True)
            if fault == "up":
                facts = self.facts()
                eth0 = network.ensure(self.podman, self.prefix, self.label)
                address = {host: eth0.address("eth0", facts["nodes"].index(host))}
                services.wait(self.podman, {host: self.hosts[host]}, address, self.container)

    def exec_argv(self, node: str, command: list[str]) -> list[str]:
        self._need_node(node)
        self._need_nodes(node)
        terminal = ["-it"] if sys.stdin.isatty() and sys.stdout.isatty() else ["-i"]
        return self.podman.argv("exec", *terminal, self.container(node), *command)

    def facts(self) -> dict:
        file = self.state / "facts.yml"
        return yaml.safe_load(file.read_text()) if file.exists() else {}

    # -- their parts ---------------------------------------------------------------------------------------------------

    def _keep_arch(self) -> None:
        arch = self.facts().get("arch", self.arch)
        if arch != self.arch:
            raise Refusal(
                f"MINITRITON_ARCH={self.arch}, but the cluster '{self.name}' is {arch}",
                "a cluster keeps its architecture: its homes hold programs for it",
                f"end it with `scripts/minitriton down`, or set MINITRITON_ARCH={arch} or another MINITRITON_NAME",
            )

    def _folders(self) -> None:
        for folder in SHARED:
            (self.state / folder).mkdir(parents=True, exist_ok=True)
        homes.share(self.state / "home")
        for file in ("passwd", "group", "shadow"):
            (self.state / "accounts" / file).touch()

    def _present(self) -> dict[str, dict]:
        """Our containers, by host name."""
        listed = self.podman.json("ps", "--all", "--filter", f"label={self.label}")
        return {entry["Labels"]["slipway.host"]: entry for entry in listed}

    def _need_node(self, host: str) -> None:
        if host not in self.hosts:
            raise Refusal(f"node {host!r}", f"must be one of {', '.join(self.hosts)}", f"see {self.spec_file}")

    def _need_nodes(self, *hosts: str) -> None:
        """All of them, unless some are named."""
        present, wanted = self._present(), hosts or self.hosts
        if missing := [host for host in wanted if host not in present or present[host]["State"] != "running"]:
            raise Refusal(
                f"not running: {', '.join(missing)}",
                f"{'it' if hosts else 'the whole cluster'} must be up",
                "scripts/minitriton up",
            )

    def _remove(self, host: str) -> None:
        self.podman.run("rm", "--force", "--ignore", "--time", "2", self.container(host))

    def _converge(self, image: str, channel: Path, lsf_key: str, networks: network.Networks) -> bool:
        """Nodes that are missing, stopped or made of other things than now: made, started, made anew. True for any."""
        present = self._present()
        changed = False
        for stranger in present.keys() - self.hosts.keys():
            self._remove(stranger)
        for index, (host, node) in enumerate(self.hosts.items()):
            argv = self._run_argv(index, host, node, image, channel, lsf_key, networks)
            key = hashlib.sha256("\0".join(argv).encode()).hexdigest()[:12]
            now = present.get(host)
            if now and now["Labels"]["slipway.key"] == key:
                if now["State"] == "running":
                    continue
                changed = True
                try:
                    self.podman.run("start", self.container(host))
                    continue
                except Refusal as refusal:
                    print(f"minitriton: {host} does not start again, made anew: {refusal}", file=sys.stderr)
            changed = True
            self._remove(host)
            self.podman.run("run", "--detach", "--label", f"slipway.key={key}", *argv)
        return changed

    def _heal(self) -> bool:
        """Nodes that were cut off run all the while. True for any."""
        cut = list((self.state / "cut").glob("*"))
        for mark in cut:
            if mark.name in self.hosts:
                faults.befall(self.podman, self.container(mark.name), "up")
            mark.unlink()
        return bool(cut)

    def _run_argv(self, index, host, node, image, channel, lsf_key, networks) -> list[str]:
        """All that makes this node what it is: the key over it tells whether a container is still the right one."""
        if "mirror" in node["services"]:
            mounts = {channel: "/srv/mirror:ro"}
        else:
            key = "ssh_host_ed25519_key"
            access.keypair(self.state / "hostkeys" / host / key, host)
            mounts = {self.state / folder: path for folder, path in SHARED.items()}
            mounts |= {self.state / "hostkeys" / host / file: f"/etc/ssh/{file}:ro" for file in (key, f"{key}.pub")}
        networked = []
        for interface in ["eth0", "ib0"] if node.get("ib0", True) else ["eth0"]:
            alias = f",alias={host}" if interface == "eth0" else ""
            address = networks.address(interface, index)
            # A machine keeps its own through a restart: its neighbours remember it.
            hardware = ":".join(f"{byte:02x}" for byte in (2, 0, *address.packed))
            options = f"interface_name={interface},ip={address},mac={hardware}{alias}"
            networked += ["--network", f"{self.prefix}-{interface}:{options}"]
        lsf = ["--label", f"slipway.lsf={lsf_key}"] if any(name.startswith("lsf") for name in node["services"]) else []
        return [
            "--name", self.container(host), "--hostname", host, "--label", self.label, "--label", f"slipway.host={host}",
            *lsf, "--arch", self.arch, "--shm-size", "1g", "--env", f"MINITRITON_SERVICES={' '.join(node['services'])}",
            *networked,
            *(word for source, target in mounts.items() for word in ("--volume", f"{source}:{target}")),
            image,
        ]  # fmt: skip

    def _write_access(self, address: dict, networks: network.Networks, channel: Path) -> None:
        doors = [host for host, node in self.hosts.items() if "sshd" in node["services"]]
        access.keypair(self.state / "id_ed25519", "minitriton")
        access.write(self.state / "ssh_config", access.ssh_config(self.state, {host: address[host] for host in doors}))
        keys = {host: (self.state / f"hostkeys/{host}/ssh_host_ed25519_key.pub").read_text() for host in doors}
        access.write(self.state / "known_hosts", access.known_hosts(keys))
        installer = yaml.safe_load((channel / "manifest.yml").read_text())["installer"]
        facts = {
            "name": self.name,
            "arch": self.arch,
            "nodes": list(self.hosts),
            "login_address": str(address["login"]),
            "mirror_address": str(address["mirror"]),
            "ib0_subnet": str(networks.ib0),
            "channel": str(channel),
            "installer": installer["file"],
            "installer_sha256": installer["sha256"],
        }
        access.write(self.state / "facts.yml", yaml.safe_dump(facts, sort_keys=False))
