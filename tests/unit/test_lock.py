# SPDX-License-Identifier: GPL-3.0-or-later
"""scripts/lock, and what validate.yml says of its locks: a site made for the test, real solves of Mini-Triton's channel."""

import hashlib
import os
import platform
import re
import subprocess
from pathlib import Path

import pytest
import yaml

PROJECT = Path(__file__).parents[2]
MIRROR = "http://mirror/conda-forge"
LINE = re.compile(rf"({MIRROR}/\S+)#([0-9a-f]{{32}})")

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="the channel is built for x86_64 here")


@pytest.fixture(scope="module")
def channel():
    """The channel's folder on this machine."""
    build = [PROJECT / "molecule/resources/channel/build", "--arch", "amd64"]
    done = subprocess.run(build, stdout=subprocess.PIPE, text=True, check=True, timeout=600)
    return Path(done.stdout.splitlines()[-1], "conda-forge")


class Site:
    """An inventory of one host that nobody can reach, and what the tools say of it."""

    def __init__(self, folder, variables):
        self.folder, self.variables = folder, variables
        self.lock = folder / "locks/jupyter-linux-64.txt"
        (folder / "group_vars/fleet").mkdir(parents=True)
        (folder / "hosts.yml").write_text("fleet: {hosts: {one: {ansible_host: one.invalid, ansible_user: ada}}}\n")
        self.set()

    def set(self, **changes):
        self.variables |= changes
        (self.folder / "group_vars/fleet/conda_env.yml").write_text(yaml.safe_dump(self.variables))

    def make_lock(self, *arguments):
        return self._run(PROJECT / "scripts/lock", self.folder, *arguments)

    def validate(self):
        """The problems by their variables."""
        judge = self.folder.parent / "validate.yml"
        play = {"hosts": "all", "gather_facts": False, "vars": {"target_home": "/home/ada", "target_user": "ada"}}
        judge.write_text(
            yaml.safe_dump([{**play, "tasks": [{"validate_roles": {"roles": ["target", "miniconda", "conda_env"]}}]}])
        )
        done = self._run("ansible-playbook", "-i", self.folder, judge)
        return dict(re.findall(r"(?m)^ +(\w+): .*\n +rule: (.*)$", done.stdout))

    @staticmethod
    def _run(*argv):
        env = {**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg")}
        return subprocess.run(
            list(map(str, argv)), cwd=PROJECT, env=env, capture_output=True, text=True, check=False, timeout=300
        )


@pytest.fixture
def site(tmp_path, channel):
    return Site(
        tmp_path / "harbour",
        {
            "target_env_name": "jupyter",
            "conda_env_packages": ["python=3.11", "numpy"],
            "conda_env_channels": [MIRROR],
            "conda_env_platform": "linux-64",
            "conda_env_virtual_packages": ["__glibc=2.36", "__linux=5.10", "__unix=0"],
            "conda_env_lock_sources": {MIRROR: str(channel)},
        },
    )


def test_a_lock_names_each_file_as_the_cluster_finds_it_with_its_true_hash(site, channel):
    done = site.make_lock()
    assert done.returncode == 0, done.stderr
    header, _, files = site.lock.read_text().partition("@EXPLICIT\n")
    found = [LINE.fullmatch(line).groups() for line in files.splitlines()]
    names = [Path(url).name.rsplit("-", 2)[0] for url, _ in found]
    assert {"python", "numpy", "openssl"} <= set(names)
    # conda links them in this order
    assert names.index("openssl") < names.index("python") < names.index("numpy")
    for url, md5 in found:
        assert hashlib.md5((channel / url[len(MIRROR) + 1 :]).read_bytes()).hexdigest() == md5
    assert "# platform: linux-64\n" in header
    # Debian 12's, which each package of this channel is built on
    assert "# glibc: 2.36\n" in header
    assert f"{len(found)} packages, written" in done.stdout


def test_a_lock_is_current_until_what_it_was_made_of_changes(site):
    site.set(conda_env_lock="locks/jupyter-linux-64.txt")
    assert "scripts/lock harbour makes it" in site.validate()["conda_env_lock"]
    assert "written" in site.make_lock().stdout
    before = site.lock.read_bytes()
    assert "nothing to do" in site.make_lock().stdout
    assert site.lock.read_bytes() == before
    # one user's additions are no part of it
    site.set(conda_env_extra_packages=["six"], conda_env_pip=["attrs"])
    assert site.validate() == {}

    site.set(conda_env_packages=["python=3.11", "numpy", "six"])
    assert site.validate()["conda_env_lock"].endswith("scripts/lock harbour makes it anew")
    assert "written" in site.make_lock().stdout
    assert site.validate() == {}
    assert "/six-" in site.lock.read_text()


def test_what_an_environment_yml_lists_is_in_the_lock(site):
    (site.folder / "files").mkdir()
    (site.folder / "files/environment.yml").write_text(
        f"channels: [{MIRROR}, nodefaults]\ndependencies: [six=1.16, {{pip: [attrs]}}]\n"
    )
    site.set(
        conda_env_environment_yml="files/environment.yml", conda_env_channels=[], conda_env_packages=["python=3.11"]
    )
    done = site.make_lock()
    assert done.returncode == 0, done.stderr
    assert "/six-1.16.0-" in site.lock.read_text()
    assert "attrs" not in site.lock.read_text()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"conda_env_virtual_packages": ["__glibc=2.28", "__linux=5.10", "__unix=0"]}, "__glibc >=2.36"),
        ({"conda_env_packages": ["no-such-package"]}, "no-such-package"),
        ({"conda_env_lock_sources": {MIRROR: "http://127.0.0.1:9/conda-forge"}}, "conda_env_lock_sources"),
        ({"conda_env_platform": ""}, "conda_env_platform is not set"),
    ],
    ids=["glibc", "package", "channel", "platform"],
)
def test_what_can_not_be_solved_leaves_the_lock_as_it_was(site, changes, words):
    site.lock.parent.mkdir()
    site.lock.write_text("the old one\n")
    site.set(conda_env_lock="locks/jupyter-linux-64.txt", **changes)
    done = site.make_lock()
    assert done.returncode == 1
    assert words in done.stderr
    assert "remedy:" in done.stderr
    assert [file.read_text() for file in site.lock.parent.iterdir()] == ["the old one\n"]


def test_a_site_that_is_not_there_is_named_with_those_that_are():
    done = subprocess.run(
        [PROJECT / "scripts/lock", "atlantis"], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert "no site 'atlantis'" in done.stderr
    assert "minitriton, triton" in done.stderr


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("# platform: linux-64\n@EXPLICIT\nhttp://m/c/linux-64/a-1-0.conda#" + "0" * 32, None),
        ("# platform: linux-64\n@EXPLICIT\nhttp://m/c/linux-64/a-1-0.conda#" + "0" * 64, None),
        ("# platform: linux-64\n@EXPLICIT\nhttp://m/c/linux-64/a-1-0.conda", "URLs with hashes"),
        ("# platform: linux-64\nhttp://m/c/linux-64/a-1-0.conda#" + "0" * 32, "a line @EXPLICIT"),
        ("# platform: linux-64\n@EXPLICIT\n", "URLs with hashes"),
        ("@EXPLICIT\nhttp://m/c/linux-64/a-1-0.conda#" + "0" * 32, "a comment `# platform:`"),
    ],
    ids=["made by conda list", "sha256", "without a hash", "not explicit", "empty", "without a platform"],
)
def test_a_lock_made_by_other_means_is_taken_if_it_is_one(site, text, rule):
    site.lock.parent.mkdir()
    site.lock.write_text(text)
    site.set(conda_env_lock=str(site.lock))
    problems = site.validate()
    assert list(problems) == (["conda_env_lock"] if rule else [])
    assert (rule or "") in problems.get("conda_env_lock", "")
