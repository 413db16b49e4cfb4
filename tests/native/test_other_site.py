# SPDX-License-Identifier: GPL-3.0-or-later
"""inventory/example-x86 on a cluster like it: other names, queues, units and conda, no fast network, and the same roles."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

pytest_plugins = ["native_site"]

PROJECT = Path(__file__).parents[2]
PORT = "8894"


class Site:
    """The cluster, and the playbooks run on it with the example's inventory."""

    def __init__(self, state):
        spec = PROJECT / "molecule/resources/minitriton/x86.yml"
        self.environment = {**os.environ, "MINITRITON_NAME": state.name, "MINITRITON_STATE": str(state)}
        self.environment |= {"MINITRITON_SPEC": str(spec), "ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0"}
        self.state = state

    def minitriton(self, *arguments):
        argv = [PROJECT / "scripts/minitriton", *arguments]
        return subprocess.run(
            argv, env=self.environment, capture_output=True, text=True, timeout=300, check=True
        ).stdout

    def playbook(self, name, **variables):
        """What is real at such a site, the way in and the internet, is this cluster's."""
        mirror = yaml.safe_load((Path(self.facts["channel"]) / "manifest.yml").read_text())
        world = {
            "ansible_host": "login",
            "ansible_user": "grace",
            "ansible_ssh_common_args": f"-F {self.state}/ssh_config",
            "ansible_control_path_dir": f"{self.state}/control",
            "miniconda_base_url": "http://mirror/miniforge",
            "miniconda_installer_sha256": mirror["installers"]["miniforge"]["sha256"],
            "miniconda_condarc": {"channel_alias": "http://mirror"},
            "session_local_port": PORT,
        }
        argv = ["ansible-playbook", "-i", "inventory/example-x86", name, "-l", "campus"]
        done = subprocess.run(
            [*argv, "-e", json.dumps({**world, **variables})],
            cwd=PROJECT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    @property
    def facts(self):
        return yaml.safe_load((self.state / "facts.yml").read_text())

    def login(self, command):
        argv = ["ssh", "-F", self.state / "ssh_config", "grace@login", command]
        return subprocess.run(argv, capture_output=True, text=True, timeout=120, check=True).stdout


@pytest.fixture(scope="module")
def other(state):
    site = Site(state.with_name(f"{state.name}-x86"))
    site.minitriton("down")
    site.minitriton("up")
    try:
        yield site
        site.playbook("playbooks/stop.yml")
    finally:
        site.minitriton("down")


@pytest.fixture(scope="module")
def said(other):
    """The whole way, with every check."""
    return other.playbook("site.yml", session_checks="full")


def test_every_check_passes(said):
    for evidence in ("the password opens JupyterLab", "a LocalCluster computes", "an LSFCluster computes"):
        assert evidence in said
    assert f"http://localhost:{PORT}" in said


def test_a_second_run_changes_nothing(other, said):
    assert re.search(r"changed=0 ", other.playbook("site.yml"))


def test_lsf_understands_the_sites_units(other, said):
    """4 GB in 8 slots: the limit counts GB here, the reservation MB of each slot."""
    script = other.login(
        "~/miniforge3/envs/myenv/bin/python -c 'from dask_jobqueue import LSFCluster; print(LSFCluster().job_script())'"
    )
    assert "#BSUB -M 4\n" in script
    assert '#BSUB -R "rusage[mem=500]"\n' in script
    assert "--nthreads 4 --memory-limit 1.86GiB --nworkers 2" in script
    assert "--interface" not in script
    profile = ". /opt/lsf/conf/profile.lsf"
    job = other.login(f"{profile}; echo sleep 60 | bsub -q short -M 4 | sed 's/[^<]*<//; s/>.*//'").strip()
    assert other.login(f"{profile}; bjobs -noheader -o memlimit {job}").strip() == "4 Gbytes"
    other.login(f"{profile}; bkill {job}")
