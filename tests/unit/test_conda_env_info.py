# SPDX-License-Identifier: GPL-3.0-or-later
"""conda_env_info on folders as conda and the module conda_env leave them."""

import os
import pwd

import module_runner
import pytest

conda_env_info = module_runner.load("roles/conda_env/library/conda_env_info.py")


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def environment(path, *packages):
    (path / "conda-meta").mkdir(parents=True)
    (path / "conda-meta/history").touch()
    for package in packages:
        (path / f"conda-meta/{package}.json").write_text("{}")
    return path


def listed(home, *prefixes):
    result = module_runner.run(conda_env_info, {"base": str(home / "conda"), "prefixes": list(map(str, prefixes))})
    assert result["changed"] is False
    return {found["path"].removeprefix(f"{home}/"): found for found in result["environments"]}


def test_what_is_in_an_environment_is_told(home):
    base = environment(home / "conda", "python-3.11.2-0_cpython", "pip-23.0-pyhd8ed1ab_0")
    (base / ".slipway.json").write_text("{}")
    environment(base / "envs/mine", "r-base-4.3.1-h1_0")
    me = pwd.getpwuid(os.getuid()).pw_name
    found = listed(home)
    assert list(found) == ["conda", "conda/envs/mine"]
    first, second = found.values()
    assert [first[key] for key in ("name", "python", "packages", "ours", "owner")] == ["base", "3.11.2", 2, True, me]
    assert [second[key] for key in ("name", "python", "packages", "ours", "owner")] == ["mine", "", 1, False, me]


def test_a_revision_is_its_links_and_listed_once(home):
    environment(home / "conda")
    envs = home / "conda/envs"
    environment(envs / ".myenv.slipway/1")
    new = environment(envs / ".myenv.slipway/2", "python-3.12.1-0")
    (envs / "myenv").symlink_to(".myenv.slipway/2")
    (home / ".conda").mkdir()
    (home / ".conda/environments.txt").write_text(f"{new}\n{home}/gone\n")
    found = listed(home, envs / "myenv")
    assert list(found) == ["conda", "conda/envs/myenv"]
    assert [found["conda/envs/myenv"][key] for key in ("name", "python", "ours")] == ["myenv", "3.12.1", True]
    assert found["conda"]["ours"] is False


def test_environments_outside_the_base_are_found_as_conda_finds_them(home):
    environment(home / "conda")
    for place in ("scratch/one", "group/shared", "noted"):
        environment(home / place)
    (home / ".condarc").write_text("envs_dirs: [~/scratch]\n")
    (home / ".conda").mkdir()
    (home / ".conda/environments.txt").write_text(f"{home}/noted\n")
    names = {path: found["name"] for path, found in listed(home, home / "group/shared", home / "nosuch").items()}
    assert names == {
        "conda": "base",
        "scratch/one": "one",
        "group/shared": f"{home}/group/shared",
        "noted": f"{home}/noted",
    }


def test_size_counts_each_file_once_and_the_base_without_what_is_below_it(home):
    base = environment(home / "conda")
    mine = environment(base / "envs/mine")
    (mine / "big").write_bytes(os.urandom(3 * 2**20))
    os.link(mine / "big", mine / "again")
    found = listed(home)
    assert (found["conda"]["size"], found["conda/envs/mine"]["size"]) == (0, 3)


def test_a_condarc_that_nobody_can_read_hides_nothing_else(home):
    environment(home / "conda/envs/mine")
    (home / ".condarc").write_text("envs_dirs: [\n")
    assert list(listed(home)) == ["conda/envs/mine"]
