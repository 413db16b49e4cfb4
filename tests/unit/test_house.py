# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of the house that no linter knows."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

PROJECT = Path(__file__).parents[2]
MODULES = [path.stem for path in sorted([*PROJECT.glob("roles/*/library/*.py"), *PROJECT.glob("plugins/modules/*.py")])]
TASK_FILES = sorted(PROJECT.glob("roles/*/tasks/*.yml"))


def files(*folders):
    return [
        path
        for folder in folders
        for path in (PROJECT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    ]


def test_no_role_or_playbook_knows_a_site():
    sites = re.compile("|".join(path.name for path in (PROJECT / "inventory").iterdir()), re.IGNORECASE)
    assert [path.name for path in files("roles", "playbooks") if sites.search(path.read_text(errors="replace"))] == []


@pytest.mark.parametrize("path", TASK_FILES, ids=lambda path: f"{path.parts[-3]}/{path.name}")
def test_a_task_file_does_one_job(path):
    assert len(path.read_text().splitlines()) <= 80


def test_no_play_targets_localhost():
    """`--limit` would drop it without a word."""
    plays = [play for path in PROJECT.glob("playbooks/*.yml") for play in yaml.safe_load(path.read_text())]
    assert {play["hosts"] for play in plays if "hosts" in play} == {"all"}


def test_no_host_is_named_as_a_group():
    for path in PROJECT.glob("inventory/*/hosts.yml"):
        for group, content in yaml.safe_load(path.read_text()).items():
            assert group not in content["hosts"]


@pytest.fixture(scope="module")
def documentation():
    argv = ["ansible-doc", "-t", "module", "--json", *MODULES]
    return json.loads(subprocess.run(argv, cwd=PROJECT, capture_output=True, text=True, check=True).stdout)


@pytest.mark.parametrize("module", MODULES)
def test_ansible_doc_shows_every_module_in_full(documentation, module):
    shown = documentation[module]
    assert shown["doc"]["short_description"]
    assert shown["doc"]["attributes"].keys() >= {"check_mode", "diff_mode"}
    assert shown["examples"]
    assert shown["return"]
    assert all(option["description"] for option in shown["doc"]["options"].values())


def test_a_sites_variables_are_in_files_named_after_roles():
    """A site's variables lie in a file named after the role they belong to."""
    roles = {path.name for path in (PROJECT / "roles").iterdir()}
    for path in PROJECT.glob("inventory/*/group_vars/*/*.yml"):
        strangers = [name for name in yaml.safe_load(path.read_text()) or {} if not name.startswith(f"{path.stem}_")]
        assert path.stem == "connection" or strangers == [], path
        assert path.stem == "connection" or path.stem in roles, path
