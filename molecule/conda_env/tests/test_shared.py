"""The alternative case: a group's environment from a lock, as its owner keeps it and as somebody else uses it."""

import json
import re

import pytest
import testinfra

ENV = "/scratch/demo/shared/envs/analysis"


@pytest.fixture(scope="module")
def guest(state, user):
    """An interactive shell of the one who uses it."""
    host = testinfra.get_host(f"ssh://{user}-guest@login", ssh_config=str(state / "ssh_config"))
    return lambda line: host.run("bash -ic %s", line)


@pytest.fixture(scope="module")
def installed(host):
    """Name and version of what conda lists."""
    said = host.check_output(f"bash -ic 'conda list -p {ENV} --json' 2>/dev/null")
    return {package["name"]: package for package in json.loads(said)}


def test_it_is_the_lock_to_the_bit(state, host):
    locked = re.findall(r"(?m)^(http\S+)#([0-9a-f]{32})$", (state / "locks/analysis.txt").read_text())
    records = [
        json.loads(text)
        for text in host.check_output(
            f"cat {ENV}/conda-meta/*.json | tr -d '\\n' | sed 's/}}{{/}}\\n{{/g'"
        ).splitlines()
    ]
    assert locked
    assert set(locked) <= {(record["url"], record["md5"]) for record in records}


def test_the_extra_package_and_pips_are_on_top(installed):
    assert installed["six"]["version"] == "1.16.0"
    assert (installed["python-slugify"]["version"], installed["python-slugify"]["channel"]) == ("8.0.4", "pypi")


def test_what_the_environment_yml_lists_is_there(installed):
    assert "pyyaml" in installed


def test_nothing_else_is_there(installed):
    """prepare.yml has put toolz in; jupyterlab is in the profile, of which the list of packages is not."""
    assert {"toolz", "jupyterlab", "dask", "bokeh"}.isdisjoint(installed)


def test_the_outdated_one_is_gone_with_all_that_belonged_to_it(host):
    assert host.check_output("ls -A /scratch/demo/shared/envs").split() == [".analysis.slipway", "analysis"]


def test_others_activate_it_by_its_name(guest):
    done = guest(
        "conda activate analysis && python -c 'import sys, numpy, slugify; print(sys.prefix, slugify.slugify(\"A b\"))'"
    )
    assert done.rc == 0, done.stderr
    assert re.fullmatch(rf"({ENV}|/scratch/demo/shared/envs/[.]analysis[.]slipway/\d+) a-b", done.stdout.strip())


def test_others_can_not_change_it(guest):
    assert guest("conda activate analysis && conda install -y 'six=1.17'").rc != 0
    assert guest(f"touch {ENV}/bin/mine").rc != 0
    assert guest("conda list -n analysis six").stdout.split()[-3] == "1.16.0"


def test_the_build_ran_in_a_job(login):
    assert "conda_env" in login("bjobs -a -o 'job_name' -noheader")
