# SPDX-License-Identifier: GPL-3.0-or-later
"""The conda stand-in: what can be tested without an installation."""

import argparse
import doctest
import importlib
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "molecule/resources/conda"))

from conda import condarc, environment, exceptions, shell
from conda.models.match_spec import MatchSpec


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A home and a base prefix of the test's own, and no variables of a real conda."""
    for name in ("CONDARC", "CONDA_PREFIX", "CONDA_SHLVL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    for module in (condarc, environment, shell):
        monkeypatch.setattr(module, "ROOT", tmp_path / "base")
    return tmp_path


def changes(**given):
    lists = ("prepend", "append", "set", "remove", "remove_key")
    return argparse.Namespace(**{name: given.get(name, []) for name in lists})


@pytest.mark.parametrize("module", [condarc, environment, shell])
def test_examples_in_docstrings(module):
    assert doctest.testmod(module).failed == 0


def test_files_and_variables_are_merged(home, monkeypatch):
    (home / "base").mkdir()
    (home / "base/.condarc").write_text("channels: [site, shared]\nchannel_priority: strict\n")
    (home / ".condarc").write_text("channels: [mine, shared]\nauto_activate_base: false\n")
    monkeypatch.setenv("CONDA_PKGS_DIRS", "/scratch/a,/scratch/b")
    monkeypatch.setenv("CONDA_REMOTE_MAX_RETRIES", "0")
    config = condarc.load()
    assert config["channels"] == ["mine", "shared", "site"]
    assert (config["channel_priority"], config["auto_activate_base"]) == ("strict", False)
    assert environment.pkgs_dirs(config) == [Path("/scratch/a"), Path("/scratch/b")]
    assert config["remote_max_retries"] == 0


def test_without_channels_there_is_the_implicit_one():
    assert condarc.load()["channels"] == ["defaults"]


def test_the_first_added_channel_brings_the_implicit_one_along(home):
    condarc.edit(changes(prepend=[("channels", "conda-forge")]), home / ".condarc")
    assert (home / ".condarc").read_text() == "channels:\n  - conda-forge\n  - defaults\n"


def test_a_users_first_file_starts_from_the_installations(home):
    (home / "base").mkdir()
    (home / "base/.condarc").write_text("solver: classic\n")
    condarc.edit(changes(set=[("auto_activate_base", "false")]), home / ".condarc")
    assert (home / ".condarc").read_text() == "solver: classic\nauto_activate_base: false\n"


def test_edits_keep_comments(home):
    rc = home / ".condarc"
    rc.write_text("# mine\nchannels:\n  - a  # near\n  - b\n")
    warnings = condarc.edit(changes(append=[("channels", "a")], remove=[("channels", "b")]), rc)
    assert warnings == ["Warning: 'a' already in 'channels' list, moving to the bottom"]
    assert rc.read_text().startswith("# mine\nchannels:\n")


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"set": [("nosuchkey", "1")]}, "CondaValueError", "Key 'nosuchkey' is not a known primitive parameter."),
        (
            {"set": [("auto_activate", "false")]},
            "CondaValueError",
            "Key 'auto_activate' is not a known primitive parameter.",
        ),
        ({"set": [("channel_priority", "bogus")]}, "CustomValidationError", "'bogus' is not a valid ChannelPriority"),
        ({"set": [("always_yes", "maybe")]}, "CondaValueError", "not a boolean"),
        (
            {"remove": [("channels", "x")]},
            "CondaKeyError",
            "'channels': 'x' is not in the 'channels' key of the config file",
        ),
        ({"remove_key": ["offline"]}, "CondaKeyError", "'offline': key 'offline' is not in the config file"),
    ],
)
def test_a_bad_edit_changes_nothing(home, given, error, words):
    rc = home / ".condarc"
    rc.write_text("channels: [a]\n")
    with pytest.raises(getattr(exceptions, error), match=words.replace("'", ".")):
        condarc.edit(changes(**given), rc)
    assert rc.read_text() == "channels: [a]\n"


def test_broken_yaml_is_named(home):
    (home / ".condarc").write_text("channels: [a\n")
    with pytest.raises(exceptions.CondaError, match=r"path: .*\.condarc"):
        condarc.load()


def test_a_bad_value_in_a_file_stops_every_solve(home):
    (home / ".condarc").write_text("channel_priority: bogus\n")
    config = condarc.load()  # `conda list` does not care
    with pytest.raises(exceptions.CustomValidationError, match="<<merged>>"):
        condarc.check(config)


def test_history_remembers_what_was_asked_for(home):
    prefix = home / "env"
    (prefix / "conda-meta").mkdir(parents=True)
    linked = [
        {"name": "six", "version": "1", "build": "0", "subdir": "noarch", "url": "http://m/ch/noarch/six-1-0.conda"}
    ]
    environment.write_history(prefix, [], linked, "update", ["python=3.11", "six"])
    environment.write_history(prefix, [], [], "update", ["six>=1.16"])
    environment.write_history(prefix, linked, [], "remove", ["python"])
    assert environment.requested(prefix) == {"six": "six>=1.16"}
    assert (
        "+http://m/ch/noarch::six-1-0\n# update specs: ['python=3.11', 'six']\n"
        in (prefix / "conda-meta/history").read_text()
    )


def test_where_environments_are(home):
    config = condarc.load()
    (home / ".conda/envs/there/conda-meta").mkdir(parents=True)
    (home / ".conda/envs/there/conda-meta/history").touch()
    assert environment.locate(config, "there", None) == home / ".conda/envs/there"
    assert environment.locate(config, "base", None) == home / "base"
    assert environment.locate(config, None, "~/x") == home / "x"
    with pytest.raises(exceptions.CondaValueError, match="Invalid environment name: 'a/b'"):
        environment.locate(config, "a/b", None)


def test_create_refuses_a_folder_with_a_conda_meta_of_somebody_else(home):
    change = importlib.import_module("conda.change")
    (home / "x/conda-meta").mkdir(parents=True)
    arguments = argparse.Namespace(name=None, prefix=str(home / "x"), dry_run=False, yes=True, json=True)
    with pytest.raises(exceptions.CondaValueError, match=f"prefix already exists: {home}/x"):
        change.create(arguments, condarc.load())


def test_activation_can_be_undone(home):
    config = condarc.load()
    start = {"PATH": "/usr/bin:/bin", "PS1": "$ "}
    variables, _ = shell.activation(config, home / "base", start)
    first = start | variables
    variables, _ = shell.activation(config, home / "x", first)
    second = first | variables
    assert (second["CONDA_SHLVL"], second["CONDA_PREFIX_1"]) == ("2", str(home / "base"))
    assert second["PATH"] == f"{home}/x/bin:/usr/bin:/bin"
    assert second["PS1"] == f"({home}/x) $ "
    back = second | shell.deactivation(config, second)[0]
    assert (back["CONDA_PREFIX"], back["PATH"], back["PS1"]) == (first["CONDA_PREFIX"], first["PATH"], first["PS1"])
    out = back | shell.deactivation(config, back)[0]
    assert (out["PATH"], out["PS1"], out["CONDA_SHLVL"]) == ("/usr/bin:/bin", "$ ", "0")


def test_shells_get_quoted_words():
    variables = {"CONDA_PREFIX": "/a b/c", "GONE": None}
    assert shell.posix(variables, []) == "export CONDA_PREFIX='/a b/c'\nunset GONE"
    assert shell.csh(variables, []) == "setenv CONDA_PREFIX '/a b/c';\nunsetenv GONE"


@pytest.mark.parametrize(
    ("spec", "record", "expected"),
    [
        ("python=3.11", {"name": "python", "version": "3.11.2", "build": "0_cpython"}, True),
        ("python=3.11", {"name": "python", "version": "3.12.0"}, False),
        ("numpy>=1.24,<2", {"name": "numpy", "version": "1.24.2", "build_string": "py311_0"}, True),
        ("numpy", {"name": "dask", "version": "1"}, False),
        ("six=1.16=pyhd8ed1ab_0", {"name": "six", "version": "1.16.0", "build": "other_0"}, False),
    ],
)
def test_match_spec(spec, record, expected):
    assert MatchSpec(spec).match(record) is expected
    assert MatchSpec(spec).match(argparse.Namespace(**record)) is expected


def test_match_spec_has_a_plain_name():
    assert MatchSpec("conda-forge::numpy >=1").name == "numpy"


def test_errors_have_condas_json_form():
    error = exceptions.EnvironmentLocationNotFound(Path("/x/envs/nope"))
    assert error.as_json() == {
        "caused_by": "None",
        "error": "EnvironmentLocationNotFound: Not a conda environment: /x/envs/nope",
        "exception_name": "EnvironmentLocationNotFound",
        "exception_type": "<class 'conda.exceptions.EnvironmentLocationNotFound'>",
        "location": "/x/envs/nope",
        "message": "Not a conda environment: /x/envs/nope",
    }
    several = exceptions.EnvironmentNotWritableError("no").as_json()
    assert set(several) == {"error", "errors", "exception_name", "exception_type"}


def test_the_lists_of_a_spec_file_are_exact(tmp_path):
    change = importlib.import_module("conda.change")
    (tmp_path / "reqs.txt").write_text("# what I need\npython=3.11\nnumpy=1.24.*\nsix >=1\ndask\n")
    (tmp_path / "explicit.txt").write_text("# platform\n@EXPLICIT\nhttp://m/ch/noarch/six-1-0.conda#abc\n")
    read = change._asked_for(argparse.Namespace(packages=[], file=[tmp_path / "reqs.txt"]))
    assert read == (["python==3.11", "numpy=1.24.*", "six >=1", "dask"], [])
    read = change._asked_for(argparse.Namespace(packages=[], file=[tmp_path / "explicit.txt"]))
    assert read == ([], ["http://m/ch/noarch/six-1-0.conda#abc"])
