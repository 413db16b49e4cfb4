# SPDX-License-Identifier: GPL-3.0-or-later
"""Mini-Triton's pure parts: what is chosen, written and asked for, without a container."""

import subprocess
import sys
import threading
import time
from http.client import IncompleteRead
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
import requests
import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "molecule/resources"))

from minitriton import access, cluster, faults, homes, network, services, users  # noqa: E402
from minitriton.ui import Refusal  # noqa: E402

IMAGE = ROOT / "molecule/resources/image"


def nets(*texts):
    return [IPv4Network(text) for text in texts]


@pytest.mark.parametrize(
    ("taken", "number"),
    [
        ([], 0),
        (nets("192.168.0.0/16", "172.17.0.0/16"), 0),
        (nets("10.213.0.0/24"), 1),
        (nets("10.214.0.128/25"), 1),  # a pair is free as a whole
        (nets("10.213.0.0/24", "10.214.1.0/24"), 2),
        (nets("10.213.0.0/17"), 128),
    ],
)
def test_subnets_overlap_nothing_that_is_taken(taken, number):
    chosen = network.choose(taken)
    assert chosen == network.Networks(*nets(f"10.213.{number}.0/24", f"10.214.{number}.0/24"))


def test_no_free_subnet_is_refused():
    with pytest.raises(Refusal, match="remedy"):
        network.choose(nets("10.0.0.0/8"))


def test_a_default_route_takes_nothing():
    listing = '[{"dst":"default","gateway":"10.0.2.2"},{"dst":"10.213.0.0/24"},{"dst":"10.9.8.7"}]'
    assert network.routes(listing) == nets("10.213.0.0/24", "10.9.8.7/32")


def test_addresses_follow_the_order_of_hosts():
    assert network.choose([]).address("ib0", 3) == IPv4Address("10.214.0.13")


def test_ssh_config_is_what_ssh_reads(tmp_path):
    config = tmp_path / "ssh_config"
    config.write_text(access.ssh_config(tmp_path, {"login": IPv4Address("10.213.0.10")}))
    shown = subprocess.run(["ssh", "-G", "-F", config, "ada@login"], capture_output=True, text=True, check=True).stdout
    options = dict(line.split(" ", 1) for line in shown.splitlines() if " " in line)
    assert options["hostname"] == "10.213.0.10"
    assert options["hostkeyalias"] == "login"
    assert options["user"] == "ada"
    assert options["stricthostkeychecking"] in ("true", "yes")
    assert options["userknownhostsfile"] == f"{tmp_path}/known_hosts"


def test_a_key_is_made_once_and_again_after_an_interruption(tmp_path):
    key = tmp_path / "keys/id"
    first = access.keypair(key, "c")
    assert access.keypair(key, "c") == first
    assert key.stat().st_mode & 0o077 == 0
    key.with_name("id.pub").unlink()
    assert access.keypair(key, "c") != first


def test_known_hosts_has_names_and_no_comments():
    assert access.known_hosts({"login": "ssh-ed25519 AAAA root@login\n"}) == "login ssh-ed25519 AAAA\n"


def test_an_equal_file_is_not_written_again(tmp_path):
    file = tmp_path / "f"
    access.write(file, "a")
    before = file.stat()
    access.write(file, "a")
    assert file.stat().st_mtime_ns == before.st_mtime_ns and file.stat().st_ino == before.st_ino


@pytest.mark.parametrize("name", ["", "Ada", "0ada", "a b", "a;b", "../x", "-rf"])
def test_bad_names_are_refused(name):
    with pytest.raises(Refusal):
        users.check_names(name)


@pytest.mark.parametrize("size", ["", "900", "900MB", "0M", "1.5G", "-1M", "5%"])
def test_a_home_has_a_size_that_can_be_mounted(size, tmp_path):
    with pytest.raises(Refusal, match="900M"):
        homes.resize(tmp_path, size, read_only=False)


@pytest.mark.parametrize(
    ("fault", "amount", "said"),
    [
        ("up", None, ""),
        ("down", None, "down"),
        ("slow", None, "slow 102400"),
        ("slow", "5k", "slow 5120"),
        ("cut", "2M", "cut 2097152"),
        ("cut", "7", "cut 7"),
    ],
)
def test_a_fault_of_the_mirror_in_the_servers_words(fault, amount, said):
    assert faults.words(fault, amount) == said


@pytest.mark.parametrize(
    ("fault", "amount"), [("up", "5k"), ("down", "1"), ("slow", "0"), ("cut", "fast"), ("cut", "5%")]
)
def test_an_amount_without_a_meaning_is_refused(fault, amount):
    with pytest.raises(Refusal, match=f"mirror {fault} {amount}"):
        faults.words(fault, amount)


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """The mirror's own server over `tmp_path/srv`; returns its module and its address."""
    loader = SourceFileLoader("mirror_server", str(IMAGE / "overlay/opt/minitriton/mirror"))
    module = module_from_spec(spec_from_loader(loader.name, loader))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # what lies in the image's folder is part of its key
    loader.exec_module(module)
    (tmp_path / "srv").mkdir()
    monkeypatch.setattr(module, "ROOT", str(tmp_path / "srv"))
    monkeypatch.setattr(module, "FAULT", tmp_path / "fault")
    server = module.Server(("127.0.0.1", 0), module.Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join(10)


@pytest.mark.parametrize(
    ("asked", "status", "said"),
    [(None, 200, b"0123456789"), ("bytes=4-", 206, b"456789"), ("bytes=9-", 206, b"9"), ("bytes=10-", 416, None)],
)
def test_the_mirror_continues_a_download(mirror, tmp_path, asked, status, said):
    (tmp_path / "srv/file").write_bytes(b"0123456789")
    answer = requests.get(f"{mirror}/file", headers={"Range": asked}, timeout=10)
    assert answer.status_code == status
    assert said is None or answer.content == said


def test_the_mirrors_faults_are_what_they_say(mirror, tmp_path):
    payload = bytes(range(256)) * 400
    (tmp_path / "srv/package.conda").write_bytes(payload)
    (tmp_path / "srv/repodata.json").write_text("{}")
    fault = tmp_path / "fault"

    def get(name="package.conda", **headers):
        with urlopen(Request(f"{mirror}/{name}", headers=headers), timeout=10) as answer:
            try:
                return answer.read()
            except IncompleteRead as cut:
                return cut.partial

    fault.write_text("cut 1000\n")
    assert get() == payload[:1000]
    assert get(Range="bytes=500-") == payload[500:1500]
    fault.write_text("garble\n")
    assert len(get()) == len(payload) and get() != payload
    assert get("repodata.json") == b"{}"
    fault.write_text("slow 200000\n")
    started = time.monotonic()
    assert get() == payload
    assert time.monotonic() - started > len(payload) / 200000 - 0.05
    fault.unlink()
    assert get() == payload


@pytest.fixture
def environ(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    return {"HOME": str(tmp_path)}


def test_names_keep_clusters_apart(environ):
    demo, test = cluster.Cluster(environ), cluster.Cluster(environ | {"MINITRITON_NAME": "test"})
    assert (demo.name, demo.arch) == ("demo", "ppc64le")
    assert demo.state == Path(environ["HOME"], ".local/state/slipway/minitriton/demo")
    assert demo.state != test.state and demo.container("t001") != test.container("t001") and demo.label != test.label


@pytest.mark.parametrize("given", [{"MINITRITON_ARCH": "arm"}, {"MINITRITON_NAME": "my cluster"}])
def test_bad_settings_are_refused(environ, given):
    with pytest.raises(Refusal, match=next(iter(given.values()))):
        cluster.Cluster(environ | given)


def test_a_node_is_made_anew_when_what_it_is_made_of_changed(environ):
    mini = cluster.Cluster(environ)
    nets = network.choose([])

    def argv(host, **change):
        made_of = {"image": "i:1", "channel": Path("/c/1"), "lsf_key": "k1", "networks": nets} | change
        return mini._run_argv(0, host, mini.hosts[host], **made_of)

    assert argv("login") == argv("login")
    assert argv("login") == argv("login", lsf_key="k2") == argv("login", channel=Path("/c/2"))
    assert argv("login") != argv("login", image="i:2")
    assert argv("t001") != argv("t001", lsf_key="k2")
    assert argv("mirror") != argv("mirror", channel=Path("/c/2"))
    assert not any("ib0" in word for word in argv("mirror"))
    assert any("interface_name=ib0" in word for word in argv("t001"))


def test_up_heals_the_nodes_that_were_cut_off_and_no_others(environ, monkeypatch):
    mini, befallen = cluster.Cluster(environ), []
    mini.state.mkdir(parents=True)
    monkeypatch.setattr(faults, "befall", lambda podman, container, fault: befallen.append((container, fault)))
    for host, fault in (("t001", "cut"), ("t002", "cut"), ("t002", "pause"), ("t037", "down")):
        mini.node(host, fault)
    befallen.clear()
    assert mini._heal() is True
    assert befallen == [(mini.container("t001"), "up")]
    assert mini._heal() is False


def test_the_specification_fits_together():
    spec = yaml.safe_load(cluster.SPEC.read_text())
    services_used = {service for node in spec["hosts"].values() for service in node["services"]}
    assert services_used == {"sshd", "lsf-master", "mirror", "lsf-server", "sshd-jobs"}
    assert set(services.PORTS) <= services_used
    init = (IMAGE / "overlay/opt/minitriton/init").read_text()
    assert all(f"{service})" in init for service in services_used)
    assert spec["lsf"]["master"] in spec["hosts"]
    for queue in spec["lsf"]["queues"].values():
        assert all("slots" in spec["hosts"][host] for host in queue["hosts"])


def test_the_image_has_no_python_for_users():
    packages = [line for line in (IMAGE / "packages.txt").read_text().splitlines() if not line.startswith("#")]
    assert packages == sorted(packages)
    assert "python3" not in packages and "python3.11" in packages  # the latter's binary is moved off PATH by `build`
    assert "acl" not in packages  # no setfacl


def test_no_podman_says_the_remedy(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "minitriton", "status"],
        env={"PATH": str(tmp_path), "HOME": str(tmp_path), "PYTHONPATH": str(ROOT / "molecule/resources")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "podman: not found" in done.stderr and "rule:" in done.stderr and "scripts/setup" in done.stderr
