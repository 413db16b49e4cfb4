# SPDX-License-Identifier: GPL-3.0-or-later
"""jupyter_info: the generation by what is installed, and the settings that a .json file takes away from a .py file."""

import json

import module_runner
import pytest

jupyter_info = module_runner.load("roles/jupyter/library/jupyter_info.py")


@pytest.fixture
def ask(tmp_path):
    def ask(packages=(), wanted=None, python=None, **files):
        site = tmp_path / "env/lib/python3.11/site-packages"
        for package, version in dict(packages).items():
            folder = site / f"{package.replace('-', '_')}-{version}.dist-info"
            folder.mkdir(parents=True)
            (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
        (tmp_path / ".jupyter").mkdir()
        for name, text in files.items():
            stem, _, suffix = name.rpartition("_")
            (tmp_path / f".jupyter/{stem}.{suffix}").write_text(text)
        arguments = {"env": str(tmp_path / "env"), "config_dir": str(tmp_path / ".jupyter")}
        result = module_runner.run(jupyter_info, {**arguments, "wanted": wanted or {}, "python": python or {}})
        assert result["changed"] is False
        return result

    ask.folder = tmp_path / ".jupyter"
    return ask


@pytest.mark.parametrize(
    ("packages", "generation"),
    [
        ({"jupyterlab": "4.6.6", "jupyter_server": "2.21.1"}, "server"),
        ({"jupyterlab": "3.6.8", "jupyter_server": "1.24.0", "notebook": "6.5.7"}, "server"),
        # The tutorial's; a newer jupyter_server may be there all the same.
        ({"jupyterlab": "2.0.0", "notebook": "6.0.3"}, "classic"),
        ({"notebook": "6.5.7", "jupyter-server": "2.21.1"}, "classic"),
        ({"notebook": "7.5.0", "jupyter_server": "2.21.1"}, "server"),
        ({"jupyter_server": "2.21.1"}, "server"),
        ({}, "server"),
    ],
)
def test_the_generation(ask, packages, generation):
    assert ask(packages)["generation"] == generation


def test_a_setting_in_both_files_is_named(ask):
    result = ask(
        jupyter_server_config_py="c.ServerApp.ip = 'x'\nc.ServerApp.port = 1\nif True:\n    c.ServerApp.allow_origin = '*'\n",
        jupyter_server_config_json=json.dumps({"ServerApp": {"port": 2}}),
        wanted={"server": {"ServerApp": {"allow_origin": "http://localhost:8890"}}},
    )
    assert result["shadowed"] == ["ServerApp.allow_origin", "ServerApp.port"]
    said = f"{ask.folder}/jupyter_server_config.py sets ServerApp.allow_origin, ServerApp.port, but Jupyter takes the value of"
    assert said in json.dumps(result["warnings"])


def test_a_password_of_the_users_in_the_py_file_is_named(ask):
    result = ask(
        {"notebook": "6.5.7"}, jupyter_notebook_config_py="c = get_config()\nc.NotebookApp.password = 'sha1:a:b'\n"
    )
    assert result["shadowed"] == ["NotebookApp.password"]


def test_the_other_generations_files_do_not_matter(ask):
    result = ask({"jupyterlab": "4.6.6"}, jupyter_notebook_config_py="c.NotebookApp.password = 'sha1:a:b'\n")
    assert result["shadowed"] == []


def test_a_file_that_python_cannot_read_is_named_with_its_line(ask):
    warnings = ask(jupyter_server_config_py="c.ServerApp.port = 1\nprint 'x'\n")["warnings"]
    assert f"{ask.folder}/jupyter_server_config.py, line 2: " in json.dumps(warnings)


def test_a_broken_json_file_is_left_to_the_module_that_names_its_line(ask):
    assert ask(jupyter_server_config_json="{,}")["shadowed"] == []


def test_a_setting_of_the_users_that_counts_more_than_our_block_is_named(ask):
    result = ask(
        jupyter_server_config_json='{"ServerProxy": {"host_allowlist": ["x"]}}',
        python={"server": ["ServerProxy.host_allowlist"]},
    )
    assert result["shadowed"] == ["ServerProxy.host_allowlist"]


@pytest.mark.parametrize("name", ["ServerApp.password", "PasswordIdentityProvider.hashed_password"])
def test_a_password_by_any_of_its_names_is_named(ask, name):
    assert ask(jupyter_server_config_py=f"c.{name} = 'argon2:x'\n")["shadowed"] == [name]


def test_what_is_the_users_own_on_labextensions_is_named(ask, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    added = tmp_path / ".local/share/jupyter/labextensions/mine"
    added.mkdir(parents=True)
    (tmp_path / ".local/etc/jupyter/labconfig").mkdir(parents=True)
    result = ask(jupyter_server_config_json="{}", jupyter_config_py="")
    assert result["own"] == [f"{ask.folder}/jupyter_config.py", str(added)]
