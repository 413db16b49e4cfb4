# SPDX-License-Identifier: GPL-3.0-or-later
"""The environment that conda_env makes by default, with the real Jupyter and Dask, in this machine's architecture."""

import os
import platform
import subprocess
from pathlib import Path

import pytest
import yaml

PROJECT = Path(__file__).parents[2]


def build(folder: Path) -> Path:
    """The prefix of a new environment: about 5 seconds once the channel is built."""
    channel = [PROJECT / "molecule/resources/channel/build", "--arch", "amd64"]
    done = subprocess.run(channel, stdout=subprocess.PIPE, text=True, check=True, timeout=1200)
    built = Path(done.stdout.splitlines()[-1])
    profiles = yaml.safe_load((PROJECT / "roles/conda_env/vars/main/profiles.yml").read_text())["conda_env_profiles"]
    packages = [package for package in profiles["modern"]["packages"] if not package.startswith("python")]
    (folder / ".condarc").write_text(f"channels: [{(built / 'conda-forge').as_uri()}]\n")
    environment = {**os.environ, "HOME": str(folder)}
    for command in (
        ["sh", next((built / "miniconda").glob("Miniconda3-*.sh")), "-b", "-p", folder / "conda"],
        [folder / "conda/bin/conda", "create", "-y", "-p", folder / "env", "python=3.11", *packages],
    ):
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, timeout=300)
    return folder / "env"


@pytest.fixture(scope="session")
def env(tmp_path_factory):
    if platform.machine() != "x86_64":
        pytest.skip("the channel is built natively on x86_64 alone")
    return build(tmp_path_factory.mktemp("native"))
