# SPDX-License-Identifier: GPL-3.0-or-later
"""Role shared, with what it includes replaced by roles that only say that they were there: who builds, for whom, and how often."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
SAYS = "- {name: built, ansible.builtin.command: 'sh -c \"echo {{ note }}; exit {{ code | default(0) }}\"'}\n"


@pytest.fixture
def play(tmp_path):
    """Plays the role and then a task; returns who built what as (host, builder) pairs, which hosts went on, and all that was said."""
    for role, tasks in {"target": "main", "miniconda": "main", "conda_env": "prove", "jupyter": "prove"}.items():
        (tmp_path / f"roles/{role}/tasks").mkdir(parents=True)
        (tmp_path / f"roles/{role}/tasks/{tasks}.yml").write_text("" if role == "target" else SAYS)
    (tmp_path / "roles/shared").symlink_to(PROJECT / "roles/shared")
    (tmp_path / "play.yml").write_text(
        "- {hosts: all, gather_facts: false, roles: [shared], post_tasks: [{name: went, ansible.builtin.debug: {msg: went}}]}\n"
    )

    def run(hosts, *arguments):
        own = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        listed = {
            name: {
                **own,
                "note": name,
                "target_python": "",
                "target_conda": "/c",
                "target_conda_prefix": "/c",
                "target_user": "builder",
                **more,
            }
            for name, more in hosts.items()
        }
        (tmp_path / "hosts.yml").write_text(json.dumps({"all": {"hosts": listed}}))
        done = subprocess.run(
            [Path(sys.executable).with_name("ansible-playbook"), "-i", "hosts.yml", "play.yml", *arguments],
            cwd=tmp_path,
            env={**os.environ, "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"), "ANSIBLE_ROLES_PATH": str(tmp_path / "roles")},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )  # fmt: skip
        built, went, task = [], [], ""
        for line in done.stdout.splitlines():
            task = line if line.startswith("TASK") else task
            if ": built]" in task and (found := re.match(r"changed: \[(\S+?)(?: -> (\S+))?\]", line)):
                built.append((found[1], found[2] or found[1]))
            elif task.startswith("TASK [went]") and (found := re.match(r"ok: \[(\S+)\]", line)):
                went.append(found[1])
        return built, sorted(went), done.stdout + done.stderr

    return run


SHARE = {"shared_builder": "slipway"}
COHORT = {
    "own": {},
    "extra": SHARE,
    "ada": {**SHARE, "shared_stand_in": True},
    "bob": {**SHARE, "shared_stand_in": True},
    "slipway": SHARE,
}


def test_its_owner_builds_it_once_for_all(play):
    assert play(COHORT)[:2] == ([("slipway", "slipway")] * 3, sorted(COHORT))


def test_each_builder_builds_its_own(play):
    other = {**SHARE, "shared_builder": "other"}
    hosts = {**COHORT, "eve": {**other, "shared_stand_in": True}, "other": other}
    assert sorted(play(hosts, "--limit", "extra:bob:eve")[0]) == [("bob", "slipway")] * 3 + [("eve", "other")] * 3


def test_it_is_built_by_its_owner_also_where_the_run_leaves_that_one_out(play):
    assert play(COHORT, "--limit", "bob")[:2] == ([("bob", "slipway")] * 3, ["bob"])
    assert play(COHORT, "--limit", "own:extra:ada:bob")[0] == [("ada", "slipway")] * 3


def test_nobody_shares_anything_in_a_run_of_ones_own(play):
    assert play({"own": {}})[:2] == ([], ["own"])


def test_where_it_fails_those_who_share_stop_and_others_go_on(play):
    built, went, said = play({**COHORT, "slipway": {**SHARE, "code": 3}})
    assert (built, went) == ([], ["own"])
    for name in ("ada", "bob", "extra"):
        assert f"What {name} shares with others could not be built by slipway" in " ".join(said.split())


def test_one_whose_variables_are_others_does_not_stand_for_the_owner(play):
    built, went, said = play(COHORT, "--limit", "own:extra")
    assert (built, went) == ([], ["own"])
    assert "Add it to the run: --limit '...,slipway'" in " ".join(said.split())


def test_a_dry_run_tells_and_builds_nothing(play):
    built, went, said = play(COHORT, "--check")
    assert (built, went) == ([], sorted(COHORT))
    assert "slipway (builder) would install conda" in " ".join(said.split())
