"""The environment as the tutorial's user meets it: by name, complete, and its own."""

import json

import pytest


@pytest.fixture(scope="module")
def conda(host):
    """Runs a line in an interactive shell, where `conda init` has its effect."""
    return lambda line: host.check_output("bash -ic %s 2>/dev/null", line)


def test_the_environment_has_its_name(conda):
    assert any(path.endswith("/envs/myenv") for path in json.loads(conda("conda env list --json"))["envs"])


def test_python_is_the_environments_own(conda, home):
    assert conda("conda activate myenv && which python").strip() == f"{home}/local/miniconda3/envs/myenv/bin/python"


@pytest.mark.parametrize(
    "package",
    [
        "jupyterlab",
        "jupyter-server-proxy",
        "ipywidgets",
        "dask",
        "distributed",
        "dask-jobqueue",
        "dask-labextension",
        "numpy",
        "bokeh",
    ],
)
def test_the_tutorials_packages_are_there(host, home, package):
    assert host.run(f"ls {home}/local/miniconda3/envs/myenv/conda-meta/{package}-*.json").rc == 0


def test_it_computes(conda):
    line = "conda activate myenv && python -c 'import numpy, dask.array as da; print(int(da.ones(1000, chunks=100).sum().compute()))'"
    assert conda(line).strip() == "1000"


def test_an_environment_made_by_hand_is_left_alone_and_ours_is_beside_it(conda):
    version = {
        name: json.loads(conda(f"conda list -n {name} six --json"))[0]["version"]
        for name in ("byhand", "byhand-slipway")
    }
    assert version == {"byhand": "1.16.0", "byhand-slipway": "1.17.0"}


def test_mamba_made_it_where_it_is_the_command(host, home):
    history = host.file(f"{home}/local/miniconda3/envs/byhand-slipway/conda-meta/history").content_string
    assert f"# cmd: {home}/local/miniconda3/bin/mamba create" in history


def test_an_unsolvable_list_says_what_and_leaves_the_environment_as_it_was(playbook, conda):
    before = conda("conda list -n myenv --json")
    done = playbook(
        "playbooks/onboard.yml", "-e", '{"conda_env_packages": ["python=3.11", "no-such-package-anywhere"]}'
    )
    assert done.returncode != 0
    assert "no-such-package-anywhere" in done.stdout
    assert conda("conda list -n myenv --json") == before
