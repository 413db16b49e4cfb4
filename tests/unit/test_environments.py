# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role conda_env refuses, lists and takes away, around the module that makes environments."""

import json
import os
from pathlib import Path

import module_runner
import pytest
import role_play

conda_env_info = module_runner.load("roles/conda_env/library/conda_env_info.py")

LOCK = "@EXPLICIT\nhttp://mirror/conda-forge/noarch/six-1.16.0-0.conda#" + "0" * 32 + "\n"


@pytest.fixture
def home(tmp_path):
    path = tmp_path / "home"
    return role_play.Home(
        tmp_path,
        "target",
        target_user="ada",
        target_arch="x86_64",
        target_python="/usr/bin/python3",
        target_conda_prefix=f"{path}/conda",
        target_conda=f"{path}/conda",
        target_env_name="myenv",
        target_env_prefix=f"{path}/conda/envs/myenv",
        target_env=f"{path}/conda/envs/myenv",
    )


def play(home, tasks, **variables):
    """A finished run of tasks, and all that it said as one line of words."""
    book = [{"hosts": "home", "gather_facts": False, "tasks": tasks}]
    (home.folder / "play.yml").write_text(json.dumps(book))
    done = home.ansible(**variables)
    return done.returncode, " ".join((done.stdout + done.stderr).split())


def part(home, name, **variables):
    return play(home, [{"include_role": {"name": "conda_env", "tasks_from": name}}], **variables)


def refused(home, **variables):
    code, said = play(home, [{"validate_roles": {"roles": ["target", "miniconda", "conda_env"]}}], **variables)
    assert (code == 0) == ("1 problem with" not in said), said
    return said if code else ""


def environment(path: Path):
    """One of Slipway's, with nothing in it."""
    revision = path.parent / f".{path.name}.slipway/1"
    (revision / "conda-meta").mkdir(parents=True)
    (revision / "conda-meta/history").touch()
    (revision / ".slipway.json").write_text("{}")
    path.symlink_to(f".{path.name}.slipway/1")
    return path


@pytest.mark.parametrize(
    ("variables", "rule"),
    [
        ({"conda_env_channels": ["https://ada:sesame@mirror.org/main"]}, "['https:(hidden)mirror.org/main']"),
        ({"conda_env_channels": ["https://mirror.org/t/sesame/main"]}, "['https://mirror.org(hidden)/main']"),
        # another rule's message doesn't show it either
        ({"conda_env_channels": ["bad name", "https://ada:sesame@mirror.org/main"]}, "~/.netrc may have the password"),
        ({"conda_env_absent": ["myenv-slipway"]}, "the one that is made beside it"),
        ({"conda_env_build": "job", "conda_env_timeout": 3599}, "3600 seconds by conda_env_build_walltime (1:00)"),
        ({"conda_env_build": "job", "conda_env_build_walltime": "121"}, "7260 seconds by conda_env_build_walltime"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_refused(home, variables, rule):
    said = refused(home, **variables)
    assert rule in said
    assert "sesame" not in said


@pytest.mark.parametrize(
    "variables",
    [
        {"conda_env_channels": ["https://mirror.org/conda-forge", "bioconda"], "conda_env_absent": ["old"]},
        {"conda_env_build": "job"},
        {"conda_env_build": "job", "conda_env_build_walltime": "15", "conda_env_timeout": 900},
        {"conda_env_timeout": 60},
    ],
    ids=str,
)
def test_fine(home, variables):
    assert refused(home, **variables) == ""


def test_a_password_in_an_environment_yml_is_refused_unseen(home):
    file = home.folder / "environment.yml"
    file.write_text("channels: ['https://ada:sesame@mirror.org/main']\ndependencies: [six]\n")
    said = refused(home, conda_env_environment_yml=str(file))
    assert "~/.netrc may have the password" in said
    assert "sesame" not in said


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("# platform: linux-64\n# request: of-last-year\n", "make it anew with scripts/lock"),
        ("", "is for a platform that it does not name"),
        ("# platform: linux-ppc64le\n", "is for linux-ppc64le, and home is x86_64"),
    ],
    ids=["stale", "no platform", "another platform"],
)
def test_a_lock_that_nobody_validated_is_judged_all_the_same(home, header, words):
    file = home.folder / "lock.txt"
    file.write_text(header + LOCK)
    code, said = part(home, "lock", conda_env_lock=str(file))
    assert code != 0
    assert words in said


def test_a_lock_of_this_platform_is_taken(home):
    file = home.folder / "lock.txt"
    file.write_text("# platform: linux-64\n" + LOCK)
    code, said = part(home, "lock", conda_env_lock=str(file))
    assert code == 0, said


def test_the_environment_in_use_is_never_an_absent_one(home):
    used = environment(home.path / "conda/envs/myenv-slipway")
    code, said = part(home, "absent", conda_env_absent=["old", "myenv-slipway"], target_env=str(used))
    assert code != 0
    assert "is the environment in use" in said
    assert used.exists()


def test_offboarding_removes_the_environment_below_the_home(home):
    ours = environment(home.path / "conda/envs/myenv")
    code, said = part(home, "remove")
    assert code == 0, said
    assert os.listdir(ours.parent) == []


def test_offboarding_removes_the_environment_of_a_base_outside_the_home(home, tmp_path):
    ours = environment(tmp_path / "scratch/ada/conda/envs/myenv")
    code, said = part(home, "remove", target_conda=str(ours.parents[1]), target_env=str(ours))
    assert code == 0, said
    assert not ours.exists()


def test_offboarding_leaves_a_groups_environment_until_that_is_asked_for(home, tmp_path):
    groups = environment(tmp_path / "home-of-the-group/envs/shared")
    code, said = part(home, "remove", target_env=str(groups))
    assert code == 0, said
    assert "so it stays" in said
    assert "conda_env_remove_outside=true" in said
    assert groups.exists()
    code, said = part(home, "remove", target_env=str(groups), conda_env_remove_outside=True)
    assert code == 0, said
    assert not groups.exists()


def test_a_host_without_python_is_told_so_where_it_would_be_listed(home):
    code, said = part(home, "list", target_python="", ansible_python_interpreter="/nonexistent/python")
    assert code == 0, said
    assert "home has no conda of ada's" in said


def test_the_list_shows_them(home):
    environment(home.path / "conda/envs/myenv")
    code, said = part(home, "list")
    assert code == 0, said
    assert f"{home.path}/conda/envs/myenv" in said


def test_a_file_that_goes_while_its_environment_is_measured_is_no_error(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    ours = environment(tmp_path / "conda/envs/myenv")
    (ours / "short-lived").touch()
    walk = os.walk

    def walk_while_others_work(folder):
        for step in walk(folder):
            if "short-lived" in step[2]:
                (ours / "short-lived").unlink()
            yield step

    monkeypatch.setattr(os, "walk", walk_while_others_work)
    result = module_runner.run(conda_env_info, {"base": str(tmp_path / "conda")})
    assert not (ours / "short-lived").exists()
    assert [found["name"] for found in result.get("environments", [])] == ["myenv"], result
