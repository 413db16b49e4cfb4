"""Every choice of the role made the other way (vars/alternative.yml): Miniforge on scratch, brought by the controller, for zsh and tcsh."""

import hashlib
import re

import pytest


@pytest.fixture(scope="module")
def choices(web, channel):
    installer = next(channel.rglob("Miniforge3-*.sh"))
    return [
        "-e", "@molecule/miniconda/vars/alternative.yml",
        "-e", f"miniconda_base_url=http://127.0.0.1:{web.server_port}/{installer.parent.name}",
        "-e", f"miniconda_installer_sha256={hashlib.sha256(installer.read_bytes()).hexdigest()}",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def account(new_account, choices):
    account = new_account("t-miniconda-alt")
    account.sh("printf 'show_channel_urls: true\n' > ~/.condarc")
    account.play(*choices)
    return account


@pytest.fixture(scope="module")
def prefix(account):
    return f"/scratch/demo/{account.name}/conda/miniforge3"


def test_conda_works_in_the_shells_that_were_asked_for(account):
    for shell in ("zsh", "tcsh"):
        assert re.search(r"conda 2[67]\.\d+\.\d+", account.host.check_output(f"{shell} -ic 'conda --version'"))
    assert not account.host.file(f"{account.home}/.bashrc").contains("conda initialize")


def test_no_shell_starts_in_base(account):
    assert "[]" in account.host.check_output("zsh -ic 'echo \"[$CONDA_DEFAULT_ENV]\"' 2>/dev/null")


def test_the_installer_was_downloaded_by_the_controller_alone_and_once(account, web):
    assert len([path for path in web.asked if "Miniforge3" in path]) == 1


def test_the_staged_installer_stays_and_all_can_read_it(account):
    folder = f"/scratch/demo/{account.name}/staging"
    (staged,) = account.host.check_output(f"ls {folder}").split()
    assert account.host.file(f"{folder}/{staged}").mode == 0o644


def test_condarc_has_the_sites_keys_and_the_users(account):
    scratch = f"/scratch/demo/{account.name}"
    assert account.condarc() == {
        "show_channel_urls": True,
        "channels": ["conda-forge"],
        "channel_priority": "flexible",
        "channel_alias": "http://mirror",
        "pkgs_dirs": [f"{scratch}/pkgs"],
        "envs_dirs": [f"{scratch}/envs"],
        "remote_read_timeout_secs": 90.0,
        "auto_activate": False,
        "plugins": {"auto_accept_tos": True},
    }


def test_conda_reads_it_and_keeps_to_scratch(account, prefix):
    account.sh(f"{prefix}/bin/conda create -y -n small six")
    assert account.sh(f"ls /scratch/demo/{account.name}/envs").split() == ["small"]
    assert "six" in account.sh(f"ls /scratch/demo/{account.name}/pkgs")
    assert account.sh("ls -A ~/local 2>/dev/null || true") == ""


def test_a_second_run_changes_nothing_and_downloads_nothing(account, choices, web):
    before = len(web.asked)
    assert re.search(r"changed=0 .*failed=0", account.play(*choices))
    assert len(web.asked) == before


def test_removal_leaves_what_is_the_users(account, choices, prefix):
    account.sh("mkdir -p ~/notebooks && echo thesis > ~/notebooks/thesis.ipynb")
    said = account.play(*choices, playbook="molecule/miniconda/remove.yml")
    assert "changed=2" in said
    assert not account.host.file(prefix).exists
    assert account.condarc() == {"show_channel_urls": True}
    assert account.sh("cat ~/.zshrc ~/.tcshrc 2>/dev/null || true") == ""
    assert account.sh("cat ~/notebooks/thesis.ipynb").strip() == "thesis"
    assert account.sh(f"ls /scratch/demo/{account.name}/envs").split() == ["small"]
    assert "changed=0" in account.play(*choices, playbook="molecule/miniconda/remove.yml")
