# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in as its installer leaves it, natively, against a channel on a loopback web server."""

import json
import os
import platform
import subprocess

import pytest
from conda_base import PROJECT, Home, build_channel, served

PORT_OF_NOBODY = 9  # discard; nothing listens there

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="the stand-in runs natively on x86_64 alone")


@pytest.fixture(scope="module")
def channel_folder():
    return build_channel()


@pytest.fixture(scope="module")
def mirror(channel_folder):
    """The URL of what the channel's builder made."""
    with served(channel_folder) as url:
        yield url


@pytest.fixture(scope="module")
def channel(mirror):
    return f"{mirror}/conda-forge"


def installer(channel_folder, name):
    return next((channel_folder / name).glob("*.sh"))


@pytest.fixture(scope="module")
def home(tmp_path_factory, channel_folder, channel):
    home = Home(tmp_path_factory.mktemp("home"), installer(channel_folder, "miniconda"))
    (home.path / ".condarc").write_text(f"channels: [{channel}]\n")
    return home


@pytest.fixture(scope="module")
def env(home):
    """An environment with an old six."""
    home.conda("create", "-y", "-q", "-n", "env", "python=3.11", "six=1.16")
    return "env"


def test_the_installer_says_what_the_real_one_says(home):
    said = [line for line in home.installed.stdout.splitlines() if line]
    assert said == [
        f"PREFIX={home.base}",
        "Unpacking bootstrapper...",
        "Unpacking payload...",
        "Installing base environment...",
        "installation finished.",
    ]
    assert (home.path / ".conda/environments.txt").read_text() == f"{home.base}\n"


def test_the_installer_refuses_a_prefix_that_exists(home, channel_folder):
    again = home.sh(f"sh {installer(channel_folder, 'miniconda')} -b -p {home.base}")
    assert again.returncode == 1
    assert f"ERROR: File or directory already exists: '{home.base}'" in again.stderr


def test_nothing_of_the_build_machine_is_left(home, channel_folder):
    found = home.sh(f"grep -rlIE 'slipway-prefix-placeholder|{channel_folder}' {home.base}")
    assert found.stdout == ""


def test_version_and_info(home):
    assert home.conda("--version").stdout == "conda 23.10.0\n"
    info = home.json("info")
    assert (info["conda_version"], info["root_prefix"], info["platform"]) == ("23.10.0", str(home.base), "linux-64")
    assert "stand-in" in home.conda("info").stdout


def test_an_environment_is_created_and_listed(home, env, channel):
    listed = home.json("list", "-n", env, "^six$")
    assert listed == [
        {
            "base_url": channel,
            "build_number": 0,
            "build_string": "pyhd8ed1ab_0",
            "channel": "conda-forge",
            "dist_name": "six-1.16.0-pyhd8ed1ab_0",
            "name": "six",
            "platform": "noarch",
            "version": "1.16.0",
        }
    ]
    prefix = home.base / "envs" / env
    assert home.json("env", "list") == {"envs": [str(home.base), str(prefix)]}
    assert home.conda("run", "-n", env, "python", "-c", "import six, ssl; print(six.__version__)").stdout == "1.16.0\n"
    assert "# update specs: ['python=3.11', 'six=1.16']" in (prefix / "conda-meta/history").read_text()
    assert {oct(f.stat().st_mode & 0o777) for f in (prefix / "conda-meta").glob("*.json")} == {"0o644"}


def test_nothing_to_do(home, env):
    assert home.json("install", "-y", "-n", env, "six=1.16") == {
        "message": "All requested packages already installed.",
        "success": True,
    }


def test_update_downgrade_and_remove(home, env):
    def changed(answer):
        return {
            key: [p["dist_name"].rsplit("-", 1)[0] for p in answer["actions"].get(key, [])]
            for key in ("LINK", "UNLINK")
        }

    assert home.json("update", "-y", "-n", env, "six", "--dry-run")["dry_run"]
    assert changed(home.json("update", "-y", "-n", env, "six")) == {"LINK": ["six-1.17.0"], "UNLINK": ["six-1.16.0"]}
    assert changed(home.json("install", "-y", "-n", env, "six=1.16")) == {
        "LINK": ["six-1.16.0"],
        "UNLINK": ["six-1.17.0"],
    }
    assert changed(home.json("install", "-y", "-n", env, "soupsieve")) == {"LINK": ["soupsieve-2.10"], "UNLINK": []}
    assert changed(home.json("remove", "-y", "-n", env, "soupsieve")) == {"LINK": [], "UNLINK": ["soupsieve-2.10"]}
    assert [p["version"] for p in home.json("list", "-n", env, "six")] == ["1.16.0"]


def test_an_explicit_file_makes_the_same_environment(home, env, tmp_path):
    lock = tmp_path / "explicit.txt"
    lock.write_text(home.conda("list", "-n", env, "--explicit", "--md5").stdout)
    assert home.conda("create", "-y", "-n", "twin", "--file", str(lock), "--offline", "--json").stdout == ""
    assert home.conda("list", "-n", "twin", "--explicit", "--md5").stdout == lock.read_text()
    assert "UNLINK" in home.json("remove", "-y", "-n", "twin", "--all")["actions"]
    assert not (home.base / "envs/twin").exists()


# The words: conda-transcripts/conda-23.10.0.md, sections "Errors", "install, update, remove" and "create".
@pytest.mark.parametrize(
    ("command", "rc", "name", "words"),
    [
        (
            "create -y -n e1 nosuchpkg",
            1,
            "PackagesNotFoundError",
            "not available from current channels:\n\n  - nosuchpkg\n",
        ),
        (
            "create -y -n e1 ipykernel=7.4 jupyter_client=8.6",
            1,
            "UnsatisfiableError",
            "to be incompatible with each other:",
        ),
        ("create -y -n e1 bad==spec==x", 1, "CondaValueError", "invalid package specification: bad==spec==x"),
        (
            "create -y -n e1 -c file:///nonexistent/ch --override-channels tzdata",
            1,
            "UnavailableInvalidChannel",
            "HTTP 404 UNAVAILABLE OR INVALID for channel ch <file:///nonexistent/ch>",
        ),
        (
            f"create -y -n e1 -c http://127.0.0.1:{PORT_OF_NOBODY}/ch --override-channels tzdata",
            1,
            "CondaHTTPError",
            f"HTTP 000 CONNECTION FAILED for url <http://127.0.0.1:{PORT_OF_NOBODY}/ch/",
        ),
        ("create -y -n e1 --override-channels tzdata", 2, "ArgumentError", "At least one -c / --channel flag"),
        ("create -y -n base tzdata", 1, "CondaValueError", "The target prefix is the base prefix. Aborting."),
        (
            "create -n env tzdata --dry-run",
            1,
            "CondaValueError",
            "Cannot `create --dry-run` with an existing conda environment",
        ),
        ("list -n nope", 1, "EnvironmentLocationNotFound", "Not a conda environment: "),
        ("install -y -n nope tzdata", 1, "EnvironmentLocationNotFound", "Not a conda environment: "),
        ("run -n nope true", 1, "EnvironmentLocationNotFound", "Not a conda environment: "),
        (
            "install -y -n env",
            1,
            "CondaValueError",
            "too few arguments, must supply command line package specs or --file",
        ),
        ("update -y -n env nosuchpkg", 1, "PackageNotInstalledError", "Package is not installed in prefix."),
        (
            "remove -y -n env nosuchpkg",
            1,
            "PackagesNotFoundError",
            "are missing from the target environment:\n  - nosuchpkg",
        ),
        ("remove -y -n base --all", 1, "CondaEnvironmentError", "cannot remove current environment."),
        (
            "create -y -n e1 --file /nonexistent.txt",
            1,
            "CondaFileIOError",
            "No such file or directory: '/nonexistent.txt'",
        ),
        ("config --show auto_activate", 2, "ArgumentError", "Invalid configuration parameters:\n  - auto_activate"),
    ],
)
def test_errors(home, env, command, rc, name, words):
    done = home.conda(*command.split(), rc=rc)
    assert f"\n{name}: " in f"\n{done.stderr}" and words in done.stderr
    if "run" not in command.split():
        error = home.json(*command.split(), rc=rc)
        assert error["exception_name"] == name and words in error["message"]
    assert not (home.base / "envs/e1").exists()


def test_a_damaged_package_is_noticed(home, channel_folder, tmp_path):
    for subdir in ("linux-64", "noarch"):
        (tmp_path / subdir).mkdir()
        repodata = json.loads((channel_folder / "conda-forge" / subdir / "repodata.json").read_text())
        tzdata = {fn: record for fn, record in repodata["packages.conda"].items() if record["name"] == "tzdata"}
        (tmp_path / subdir / "repodata.json").write_text(json.dumps(repodata | {"packages.conda": tzdata}))
        for name in tzdata:
            (tmp_path / subdir / name).write_bytes(b"PK not what was announced")
    with served(tmp_path) as url:
        home.environ["CONDA_PKGS_DIRS"] = str(tmp_path / "pkgs")
        error = home.json("create", "-y", "-n", "e1", "-c", url, "--override-channels", "tzdata", rc=1)
        del home.environ["CONDA_PKGS_DIRS"]
    assert error["error"] == "Multiple Errors Encountered."
    assert error["errors"][0]["exception_name"] == "ChecksumMismatchError"
    assert not (home.base / "envs/e1").exists()


def test_what_conda_takes_without_a_word(home, env):
    """Differences 5 and 8 of the recording: exit 0 and nothing done."""
    assert home.conda("remove", "-y", "-n", "nope", "--all", "--json").stdout == ""
    marker = home.base / "envs" / env / "MARK"
    marker.touch()
    refused = home.conda("create", "-n", env, "six")
    assert "CondaSystemExit: Exiting." in refused.stderr and marker.exists()
    assert home.conda("nosuchcommand", rc=2).stderr.startswith("usage: conda ")
    assert home.conda("activate", env, rc=2).stderr.startswith("usage: conda ")


def test_a_commands_exit_code_is_passed_on(home, env):
    done = home.conda("run", "-n", env, "sh", "-c", "exit 7", rc=7)
    assert "`conda run sh -c exit 7` failed. (See above for error)" in done.stderr


def test_init_and_activation_in_bash(home, env):
    (home.path / ".bashrc").write_text("# mine\n")
    assert "modified      " in home.conda("init").stdout
    assert "No action taken." in home.conda("init", "bash").stdout
    script = 'eval "$(cat ~/.bashrc)"; echo $CONDA_DEFAULT_ENV; conda activate env; echo $CONDA_PREFIX $CONDA_SHLVL; which python; '
    script += "conda deactivate; conda deactivate; echo $CONDA_SHLVL; conda activate absent; echo rc=$?"
    done = home.sh(script)
    prefix = home.base / "envs" / env
    assert done.stdout.split("\n")[:-1] == ["base", f"{prefix} 2", f"{prefix}/bin/python", "0", "rc=1"]
    assert "EnvironmentNameNotFound: Could not find conda environment: absent" in done.stderr
    home.conda("init", "bash", "--reverse")
    assert (home.path / ".bashrc").read_text() == "# mine\n\n"


def test_match_spec_is_importable_from_the_base(home):
    program = "from conda.models.match_spec import MatchSpec; print(MatchSpec('six=1').match({'name': 'six', 'version': '1.17'}))"
    done = subprocess.run(
        [home.base / "bin/python", "-I", "-c", program], capture_output=True, text=True, env={**os.environ}, timeout=60
    )
    assert done.stdout == "True\n", done.stderr


def test_an_explicit_file_is_checked_by_its_digests(home, env, tmp_path):
    lines = home.conda("list", "-n", env, "--explicit", "--md5").stdout.splitlines()
    lock = tmp_path / "lock.txt"
    lock.write_text("\n".join([*lines[:-1], lines[-1].partition("#")[0] + "#" + "0" * 32]))
    error = home.json("create", "-y", "-n", "e1", "--file", str(lock), rc=1)
    assert error["errors"][0]["exception_name"] == "ChecksumMismatchError"
    lock.write_text("\n".join([*lines[:-1], lines[-1].partition("#")[0] + "#" + "0" * 64]))
    error = home.json("create", "-y", "-n", "e1", "--file", str(lock), rc=1)
    assert error["exception_name"] == "ParseError", "conda learned sha256 in 24.9"
    assert not (home.base / "envs/e1").exists()


def test_an_explicit_file_links_anew_what_is_damaged(home, env, tmp_path):
    lock = tmp_path / "lock.txt"
    lock.write_text(home.conda("list", "-n", env, "--explicit", "--md5").stdout)
    home.conda("create", "-y", "-q", "-n", "broken", "--file", str(lock))
    module = home.base / "envs/broken/lib/python3.11/site-packages/six.py"
    assert module.stat().st_nlink > 1, "files are hard links to the package cache"
    module.unlink()
    home.conda("install", "-y", "-q", "-n", "broken", "--file", str(lock))
    assert module.is_file()
    next((home.base / "envs/broken/conda-meta").glob("six-*.json")).write_text("{")
    error = home.json("install", "-y", "-n", "broken", "attrs", rc=1)
    assert error["exception_name"] == "CorruptedEnvironmentError"


def test_frozen_packages_do_not_move(home, env):
    error = home.json("install", "-y", "-n", env, "--freeze-installed", "--dry-run", "pip<26", rc=1)
    assert error["exception_name"] in ("PackagesNotFoundError", "UnsatisfiableError")
    planned = home.json("install", "-y", "-n", env, "--freeze-installed", "--dry-run", "attrs")
    assert [p["name"] for p in planned["actions"]["LINK"]] == ["attrs"]


def test_environments_need_not_be_registered(home, tmp_path):
    home.environ["CONDA_REGISTER_ENVS"] = "false"
    home.conda("create", "-y", "-q", "-p", str(tmp_path / "hidden"), "tzdata")
    del home.environ["CONDA_REGISTER_ENVS"]
    assert str(tmp_path) not in (home.path / ".conda/environments.txt").read_text()


def test_pip_installs_from_the_mirrors_index(home, env, mirror):
    pip = ["run", "-n", env, "pip", "install", "-q", "--index-url", f"{mirror}/simple"]
    home.conda(*pip, "python-slugify")
    assert [p["channel"] for p in home.json("list", "-n", env, "slugify|unidecode")] == ["pypi", "pypi"]
    home.conda("run", "-n", env, "pip", "uninstall", "-q", "-y", "python-slugify", "text-unidecode")


@pytest.fixture(scope="module")
def newer(tmp_path_factory, channel_folder, mirror):
    """A home with the newer conda."""
    home = Home(tmp_path_factory.mktemp("newer"), installer(channel_folder, "miniforge"), "miniforge3")
    home.conda("config", "--set", "channel_alias", mirror)  # its PREFIX/.condarc names conda-forge
    home.conda("config", "--set", "auto_activate_base", "false")
    return home


def test_the_other_distribution_has_the_newer_conda_and_mamba(newer):
    assert newer.conda("--version").stdout == "conda 26.7.1\n"
    assert "conda-forge" in (newer.base / ".condarc").read_text()
    assert "auto_activate: false" in (newer.path / ".condarc").read_text()
    assert newer.sh(f"{newer.base}/bin/mamba env list --json").returncode == 0


def test_newer_conda_takes_sha256(newer, tmp_path):
    newer.conda("create", "-y", "-q", "-n", "one", "six")
    lock = tmp_path / "lock.txt"
    lock.write_text(newer.conda("list", "-n", "one", "--explicit", "--sha256").stdout)
    newer.conda("create", "-y", "-q", "-n", "two", "--file", str(lock))
    lock.write_text(lock.read_text().rstrip()[:-64] + "0" * 64)
    error = newer.json("create", "-y", "-n", "three", "--file", str(lock), rc=1)
    assert error["errors"][0]["checksum_type"] == "sha256"
    details = newer.json("env", "list")["envs_details"]
    assert [facts["name"] for facts in details.values()] == ["base", "one", "two"]


def test_conda_updates_itself(tmp_path, channel_folder, channel):
    home = Home(tmp_path, installer(channel_folder, "miniconda"))
    (home.path / ".condarc").write_text(f"channels: [{channel}]\n")
    planned = home.conda("update", "-y", "-n", "base", "conda", "--dry-run")
    assert "==> WARNING: A newer version of conda exists. <==" in planned.stderr
    home.conda("update", "-y", "-n", "base", "conda")
    assert home.conda("--version").stdout == "conda 26.7.1\n"
    assert home.json("update", "-y", "-n", "base", "conda")["message"] == "All requested packages already installed."


def test_an_old_base(tmp_path, channel_folder):
    home = Home(tmp_path, installer(channel_folder, "miniconda"))
    aged = home.run(["sh", PROJECT / "molecule/resources/conda/age", home.base])
    assert aged.returncode == 0, aged.stderr
    assert home.sh(f"{home.base}/bin/python -V").stdout == "Python 3.7.4\n"
    assert home.sh(f"{home.base}/bin/python3 -I -c 'import sys; print(sys.version_info >= (3, 9))'").stdout == "False\n"
    assert home.conda("--version").stdout == "conda 4.7.12\n"
