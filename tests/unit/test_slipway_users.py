# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory plugin slipway_users, asked by ansible-inventory with the project's own ansible.cfg."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

PROJECT = Path(__file__).parents[2]
COHORT = """\
- {name: ada, project: ocean, overrides: {dask_walltime: 12:00}}
- {name: bob}
- {name: eve, state: absent}
"""


@pytest.fixture
def inventory(tmp_path):
    """A site whose cluster is the group `cluster`; runs ansible-inventory --list on its source of users."""
    site = tmp_path / "lake"
    (site / "group_vars/cluster").mkdir(parents=True)
    (site / "group_vars/cluster/connection.yml").write_text("ansible_host: login.example.org\nansible_user: support\n")
    (site / "hosts.yml").write_text("cluster: {hosts: {lake-login: {}}}\n")

    def run(cohort=COHORT, sources=("users.slipway.yml",), environment=None, file="users.yml", **options):
        (tmp_path / file).write_text(cohort)
        source = {"plugin": "slipway_users", "group": "cluster", "users": f"../{file}", **options}
        source = {key: value for key, value in source.items() if value is not None}
        (site / "users.slipway.yml").write_text(yaml.safe_dump(source))
        command = [Path(sys.executable).with_name("ansible-inventory"), "--list"]
        return subprocess.run(
            [*command, *(word for name in sources for word in ("-i", site / name))],
            cwd=tmp_path,
            env={**os.environ, "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"), **(environment or {})},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.fixture
def hosts(inventory):
    """The variables of each host of a source that is accepted; all are in the cluster's group."""

    def run(*arguments, **options):
        done = inventory(*arguments, **options)
        assert done.returncode == 0, done.stderr
        listed = json.loads(done.stdout)
        assert sorted(listed["cluster"]["hosts"]) == sorted(listed["_meta"]["hostvars"])
        return {name: plain(values) for name, values in listed["_meta"]["hostvars"].items()}

    return run


def plain(value):
    """ansible-inventory marks what is no template; here is the text alone."""
    if isinstance(value, dict):
        return value["__ansible_unsafe"] if "__ansible_unsafe" in value else {k: plain(v) for k, v in value.items()}
    return value


def test_each_user_is_a_host_of_the_cluster_without_a_session(hosts):
    found = hosts()
    assert list(found) == ["lake-ada", "lake-bob"]
    assert all(values["session_enabled"] is False for values in found.values())
    assert all(values["ansible_host"] == "login.example.org" for values in found.values())
    assert found["lake-ada"]["cluster_project"] == "ocean"
    assert found["lake-ada"]["dask_walltime"] == "12:00"
    assert "cluster_project" not in found["lake-bob"]


def test_a_support_account_becomes_the_users(hosts):
    values = hosts()["lake-ada"]
    assert (values["ansible_user"], values["ansible_become"], values["ansible_become_user"]) == ("support", True, "ada")


def test_each_user_may_come_by_their_own_key(hosts):
    values = hosts(access="own")["lake-ada"]
    assert (values["ansible_user"], values["ansible_become"]) == ("ada", False)


def test_those_who_leave_are_in_no_run_that_prepares_homes(hosts):
    assert list(hosts(state="absent")) == ["lake-eve"]
    assert list(hosts(environment={"SLIPWAY_USERS_STATE": "absent"})) == ["lake-eve"]


def test_a_project_has_the_variables_that_the_site_names(hosts):
    values = hosts(project_variables=["dask_project", "session_project"])["lake-ada"]
    assert (values["dask_project"], values["session_project"]) == ("ocean", "ocean")
    assert "cluster_project" not in values


def test_what_is_shared_is_used_where_it_will_do(hosts):
    users = """\
- {name: ada}
- {name: bob, profile: modern, overrides: {dask_cores: 8}}
- {name: eve, overrides: {conda_env_extra_packages: [six]}}
- {name: kim, profile: tutorial}
- {name: lee, overrides: {target_conda_prefix: /scratch/lee/miniconda3}}
- {name: max, overrides: {miniconda_channels: [max]}}
- {name: ned, overrides: {dask_cores: 8}}
- {name: pia, overrides: {jupyter_server_extensions: [jupyter_server_proxy]}}
"""
    found = hosts(users, builder="slipway", prefix="/software/miniconda3")
    assert sorted(found) == [
        f"lake-{name}" for name in ("ada", "bob", "eve", "kim", "lee", "max", "ned", "pia", "slipway")
    ]
    sharing = {name for name, values in found.items() if values.get("shared_builder") == "lake-slipway"}
    assert sharing == found.keys() - {"lake-lee"}
    own = "{{ target_home }}/.conda/envs/{{ target_env_name }}"
    assert {name for name, values in found.items() if values.get("target_env_prefix") == own} == {
        "lake-eve",
        "lake-kim",
    }
    # So that their builds don't take the whole login node.
    throttled = {name: values["conda_env_throttle"] for name, values in found.items() if "conda_env_throttle" in values}
    assert throttled == dict.fromkeys(["lake-eve", "lake-kim", "lake-lee"], 2)
    # Those whose variables are the group's in all that is built.
    assert {name for name, values in found.items() if values.get("shared_stand_in")} == {"lake-ada", "lake-ned"}
    assert found["lake-kim"]["conda_env_profile"] == "tutorial"
    prefixes = {name: values["target_conda_prefix"] for name, values in found.items()}
    assert prefixes.pop("lake-lee") == "/scratch/lee/miniconda3"
    assert set(prefixes.values()) == {"/software/miniconda3"}
    # For work that is delegated to it, which knows nothing of the facts that the role target sets.
    assert found["lake-slipway"]["ansible_python_interpreter"] == "/software/miniconda3/bin/python"


def test_without_a_builder_all_build_their_own_as_many_at_once_as_the_source_says(hosts):
    assert {values["conda_env_throttle"] for values in hosts(own_at_once=3).values()} == {3}


def test_the_environment_names_the_file_where_the_source_does_not(hosts):
    """Relative to the current folder, the inventory's parent here."""
    assert list(hosts(users=None, environment={"SLIPWAY_USERS": "users.yml"})) == ["lake-ada", "lake-bob"]


def test_a_folder_as_the_inventory_meets_no_cohort(hosts):
    assert list(hosts(sources=["."])) == ["lake-login"]


@pytest.mark.parametrize(
    ("users", "options", "said"),
    [
        ("- {name: Ada L}\n- {nam: bob}\n", {}, "line 1: name 'Ada L'"),
        ("- {name: Ada L}\n- {nam: bob}\n", {}, "line 2: 'nam' is not known"),
        ("- {name: login}\n", {"sources": ["hosts.yml", "users.slipway.yml"]}, "line 1: user login would be host lake-login"),
        ("- {name: slipway}\n", {"builder": "slipway", "prefix": "/software"}, "user slipway would be host lake-slipway"),
        (COHORT, {"file": "lake/cohort.yml"}, "where it would be taken for an inventory. Move it out of there"),
        (COHORT, {"builder": "slipway"}, "builder and prefix come together"),
        (COHORT, {"access": "root"}, "root"),
        (COHORT, {"group": None}, "group"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_and_ends_the_run(inventory, users, options, said):
    done = inventory(users, **options)
    assert done.returncode != 0
    assert said in done.stderr


def test_a_builder_without_a_project_is_in_order_and_a_user_without_one_is_not(inventory, tmp_path):
    """Where projects are the users' own, and no group variable."""
    assert inventory(builder="slipway", prefix="/software/miniconda3").returncode == 0
    variables = "dask_project: '{{ cluster_project }}'\nsession_project: '{{ cluster_project }}'\n"
    (tmp_path / "lake/group_vars/cluster/jobs.yml").write_text(variables)
    done = subprocess.run(
        [
            Path(sys.executable).with_name("ansible-playbook"),
            "-i",
            tmp_path / "lake/users.slipway.yml",
            PROJECT / "playbooks/validate.yml",
        ],
        cwd=tmp_path,
        env={**os.environ, "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    recap = {line.split()[0]: "failed=0" in line for line in done.stdout.splitlines() if "failed=" in line}
    assert recap == {"lake-ada": True, "lake-bob": False, "lake-slipway": True}, done.stdout
    assert "cluster_project" in done.stdout


def test_ansible_doc_shows_it_in_full():
    argv = ["ansible-doc", "-t", "inventory", "--json", "slipway_users"]
    done = subprocess.run(argv, cwd=PROJECT, capture_output=True, text=True, timeout=60, check=True)
    shown = json.loads(done.stdout)["slipway_users"]
    assert shown["doc"]["short_description"]
    assert shown["examples"]
    assert all(option["description"] for option in shown["doc"]["options"].values())
