"""The whole way, as a browser would see it; and what stops it before anything is touched."""

import os
import re
import subprocess

import pytest


def test_every_check_passes_as_a_browser_would_ask(playbook):
    """Password, kernel, LocalCluster's dashboard, an LSFCluster's worker on another node over ib0."""
    done = playbook("playbooks/doctor.yml")
    assert done.returncode == 0, done.stdout
    for evidence in (
        "the password opens JupyterLab",
        r"/proxy/\S*:8787/status",
        "an LSFCluster computes",
        r"tcp://10\.",
    ):
        assert re.search(evidence, done.stdout)


def test_a_check_run_on_a_converged_host_changes_nothing(playbook):
    done = playbook("site.yml", "--check", "--diff")
    assert done.returncode == 0, done.stdout
    assert "changed=0" in done.stdout


def test_status_tells_where_the_session_is(playbook):
    done = playbook("playbooks/status.yml")
    assert done.returncode == 0, done.stdout
    assert f"http://localhost:{os.environ['MINITRITON_LOCAL_PORT']}" in done.stdout


def test_the_environments_are_listed(playbook, home):
    done = playbook("playbooks/environments.yml")
    assert done.returncode == 0, done.stdout
    assert re.search(rf"base +3\.11\S* +\d+ +\d+ +slipway +{home}/local/miniconda3\b", done.stdout)
    assert re.search(rf"myenv +3\.11\S* +\d+ +\d+ +slipway +{home}/local/miniconda3/envs/myenv\b", done.stdout)
    assert "changed=0" in done.stdout


def test_all_bad_entries_are_in_one_message_before_anything_is_touched(playbook):
    done = playbook(
        "site.yml",
        "-e",
        "session_walltime=6:00:00",
        "-e",
        "session_local_port=80",
        "-e",
        "miniconda_distribution=anaconda",
    )
    assert done.returncode != 0
    for variable in ("session_walltime", "session_local_port", "miniconda_distribution"):
        assert variable in done.stdout
    assert "PLAY [Onboard]" not in done.stdout


def test_a_host_that_is_not_in_the_inventory_is_an_error(playbook):
    done = playbook("site.yml", "-l", "nosuch")
    assert done.returncode != 0
    assert "Could not match supplied host pattern, ignoring: nosuch" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-e", "ansible_host=nosuch.invalid"], "nosuch.invalid"),
        (["-e", "ansible_port=1"], "Connection refused"),
    ],
)
def test_a_login_node_that_cannot_be_reached_is_told_with_the_remedy(playbook, arguments, words):
    done = playbook("playbooks/onboard.yml", *arguments)
    assert done.returncode != 0
    assert words in done.stdout
    assert "ansible_host" in done.stdout


def test_an_unknown_host_key_is_refused_with_the_way_to_accept_it(playbook, tmp_path):
    done = playbook(
        "playbooks/onboard.yml",
        "-e",
        f"ansible_ssh_extra_args='-o UserKnownHostsFile={tmp_path}/none -o ControlPath=none'",
    )
    assert done.returncode != 0
    assert "Host key verification failed" in done.stdout
    assert "StrictHostKeyChecking=ask" in " ".join(done.stdout.split())


@pytest.mark.fault(33)
def test_a_host_key_that_is_not_the_known_one_is_refused_and_explained(playbook, tmp_path):
    """Somebody else's key is known by the login node's name: as after a new machine, or with one in between."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{tmp_path}/key"], check=True)
    (tmp_path / "known").write_text(f"login {(tmp_path / 'key.pub').read_text()}")
    done = playbook(
        "playbooks/session.yml",
        "-e",
        f"ansible_ssh_extra_args='-o UserKnownHostsFile={tmp_path}/known -o ControlPath=none'",
    )
    assert done.returncode != 0
    assert "REMOTE HOST IDENTIFICATION HAS CHANGED" in done.stdout
    assert "ask the site whether its keys changed" in " ".join(done.stdout.split())
