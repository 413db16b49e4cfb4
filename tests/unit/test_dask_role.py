# SPDX-License-Identifier: GPL-3.0-or-later
"""The role dask by ansible-playbook, on a folder that stands for a home: what Dask would read, and how often it's written."""

import pytest
import yaml
from role_play import PROJECT, Home

# The tutorial's first LSFCluster.
TUTORIAL = {
    "dask_queue": "normal",
    "dask_cores": 40,
    "dask_memory": "20GB",
    "dask_walltime": "00:10",
    "dask_interface": "ib0",
}


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path, "dask")


def lsf(home, section="lsf"):
    return yaml.safe_load((home / ".config/dask/jobqueue.yaml").read_text())["jobqueue"][section]


def test_the_tutorials_profile_is_written_once(home):
    scratch = home / "scratch/ada/tmp"
    variables = {**TUTORIAL, "dask_local_directory": str(scratch), "dask_examples_dir": ""}
    assert home.play("--check", **variables) == 1
    assert list(home.path.iterdir()) == []
    assert home.play(**variables) == 1
    assert home.play(**variables) == 0

    read = {path.stem: yaml.safe_load(path.read_text()) for path in (home / ".config/dask").iterdir()}
    logs = home / ".local/state/slipway/dask-logs"
    assert read == {
        "distributed": {"distributed": {"dashboard": {"link": "/proxy/{host}:{port}/status"}}},
        "labextension": {"labextension": {"factory": {"module": "dask_jobqueue", "class": "LSFCluster"}}},
        "jobqueue": {
            "jobqueue": {
                "lsf": {
                    "name": "dask-worker",
                    "queue": "normal",
                    "cores": 40,
                    "processes": 1,
                    "memory": "20GB",
                    "walltime": "00:10",
                    "lsf-units": "mb",
                    "use-stdin": True,
                    "interface": "ib0",
                    "death-timeout": 60,
                    "local-directory": str(scratch),
                    "log-directory": str(logs),
                    "worker-extra-args": ["--lifetime", "480s", "--lifetime-stagger", "60s"],
                    "job-extra-directives": ['-R "rusage[mem=20000]"'],
                }
            }
        },
    }
    assert [oct(path.stat().st_mode & 0o777) for path in (scratch, logs)] == ["0o700", "0o700"]


def test_nobody_else_reads_what_dask_wrote_for_all(home):
    """dask_labextension writes this file when it is first imported, with the umask of the moment."""
    file = home / ".config/dask/labextension.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("# labextension:\n")
    file.chmod(0o644)
    home.play()
    assert {path.stat().st_mode & 0o777 for path in file.parent.iterdir()} == {0o600}


def test_a_site_without_ib0_scratch_and_projects(home):
    home.play(dask_log_directory="")
    assert not lsf(home).keys() & {"queue", "project", "interface", "local-directory", "log-directory"}
    assert not (home / ".local").exists()


def test_what_the_user_keeps(home):
    mine = home / ".config/dask/jobqueue.yaml"
    mine.parent.mkdir(parents=True)
    mine.write_text("jobqueue:\n  lsf:\n    walltime: 02:00  # long jobs\n    project: thesis\n")
    home.play(**TUTORIAL, dask_keep=["jobqueue.lsf.walltime"])
    after = lsf(home)
    # Kept by its name, kept since the site says nothing, replaced.
    assert (after["walltime"], after["project"], after["cores"]) == ("02:00", "thesis", 40)
    assert "# long jobs" in mine.read_text()


def test_values_of_the_command_line_keep_their_types(home):
    home.play("-e", "dask_cores=40 dask_use_stdin=false dask_lifetime_margin=0")
    assert (lsf(home)["cores"], lsf(home)["use-stdin"]) == (40, False)
    assert "worker-extra-args" not in lsf(home)


def test_a_preset_says_what_is_different(home):
    home.play(**TUTORIAL, dask_presets={"ten-jobs": {"cores": 4, "memory": "2GB", "walltime": "02:00"}})
    preset = lsf(home, "ten-jobs")
    assert (preset["cores"], preset["memory"], preset["walltime"]) == (4, "2GB", "02:00")
    assert (preset["queue"], preset["interface"]) == ("normal", "ib0")
    assert preset["job-extra-directives"] == ['-R "rusage[mem=2000]"']
    assert preset["worker-extra-args"][:2] == ["--lifetime", "7080s"]


def test_the_new_button_makes_what_is_chosen(home):
    def factory():
        return yaml.safe_load((home / ".config/dask/labextension.yaml").read_text())["labextension"]["factory"]

    home.play()
    assert factory() == {"module": "dask_jobqueue", "class": "LSFCluster"}
    home.play(dask_new_cluster="LocalCluster")
    assert factory() == {"module": "dask.distributed", "class": "LocalCluster"}


def test_a_broken_file_of_the_users_is_named_with_its_line(home):
    mine = home / ".config/dask/jobqueue.yaml"
    mine.parent.mkdir(parents=True)
    mine.write_text("jobqueue:\n  lsf: {queue: short\n  local: 1\n")
    said = home.ansible()
    assert said.returncode != 0
    assert f"{mine}: line " in said.stdout
    assert mine.read_text().startswith("jobqueue:\n  lsf: {queue: short\n")


def test_the_tutorials_profile_has_the_tutorials_link(home):
    home.play(conda_env_profile="tutorial", dask_labextensions={})
    link = yaml.safe_load((home / ".config/dask/distributed.yaml").read_text())["distributed"]["dashboard"]["link"]
    assert link == "/proxy/{port}/status"


def test_the_tutorials_profile_is_what_the_browser_sees():
    """What keeps those old packages together in tests/browser keeps them together in a home."""
    profiles = yaml.safe_load((PROJECT / "roles/conda_env/vars/main/profiles.yml").read_text())["conda_env_profiles"]
    lines = (PROJECT / "tests/tutorial/requirements.in").read_text().splitlines()
    tools = ("setuptools", "jupyter-packaging")  # of the test alone
    bounds = {line.replace("-", "_") for line in lines if "<" in line and not line.startswith(("#", *tools))}
    assert bounds
    assert bounds <= {package.replace("-", "_") for package in profiles["tutorial"]["packages"]}
