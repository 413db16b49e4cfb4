"""A conda that its owner can use after the next login, as the tutorial leaves it."""

import re

import yaml


def test_conda_works_in_a_new_interactive_shell(host):
    assert re.fullmatch(r"conda \d+\.\d+\.\d+", host.check_output("bash -ic 'conda --version' 2>/dev/null").strip())


def test_a_new_shell_is_not_in_base(host):
    assert host.check_output("bash -ic 'echo \"[$CONDA_DEFAULT_ENV]\"' 2>/dev/null").strip() == "[]"


def test_bashrc_has_one_block(host, home):
    assert host.file(f"{home}/.bashrc").content_string.count("# >>> conda initialize >>>") == 1


def test_condarc_has_the_sites_channels_and_no_other(host, home):
    condarc = yaml.safe_load(host.file(f"{home}/.condarc").content_string)
    assert condarc == {"channels": ["http://mirror/conda-forge"], "channel_priority": "strict"}


def test_the_base_says_itself_that_it_stays_inactive(host, home):
    """Beside a user's own `auto_activate` in ~/.condarc, conda 26 would refuse the file."""
    file = host.file(f"{home}/local/miniconda3/.condarc")
    assert yaml.safe_load(file.content_string)["auto_activate_base"] is False
    assert file.mode == 0o644  # for all who share the base


def test_no_installer_is_left_behind(host, home):
    assert host.check_output(f"ls -A {home}/local") == "miniconda3"


def test_a_run_with_nothing_to_do_makes_three_remote_calls(playbook):
    """The probe, the script, and one module."""
    done = playbook("molecule/miniconda/converge.yml", "-vvv")
    assert "changed=0" in done.stdout
    assert done.stdout.count("SSH: EXEC") == 3


def test_a_wrong_checksum_is_refused_and_leaves_nothing(playbook, host, home):
    done = playbook(
        "playbooks/onboard.yml",
        "-e", f"target_conda_prefix={home}/other/conda",
        "-e", "miniconda_installer_sha256=" + "0" * 64,
    )  # fmt: skip
    assert done.returncode != 0
    assert "0" * 64 in done.stdout
    assert "miniconda_installer_sha256" in done.stdout
    assert host.check_output(f"ls -A {home}/other") == ""


def test_a_missing_installer_is_told_with_its_address(playbook, home):
    done = playbook(
        "playbooks/onboard.yml",
        "-e", f"target_conda_prefix={home}/other/conda",
        "-e", "miniconda_base_url=http://mirror/nosuch",
    )  # fmt: skip
    assert done.returncode != 0
    assert "http://mirror/nosuch/" in done.stdout
    assert "404" in done.stdout


def test_a_prefix_that_cannot_be_written_is_refused(playbook):
    done = playbook("playbooks/onboard.yml", "-e", "target_conda_prefix=/opt/conda")
    assert done.returncode != 0
    said = " ".join(done.stdout.split())  # as one line: Ansible wraps it
    assert "cannot make /opt/conda: mkdir: cannot create directory" in said
    assert "Permission denied. Mend that, or set target_conda_prefix" in said


def test_a_foreign_folder_at_the_prefix_is_not_touched(playbook, host, home):
    host.check_output(f"mkdir -p {home}/precious && echo thesis > {home}/precious/thesis.txt")
    done = playbook("playbooks/onboard.yml", "-e", f"target_conda_prefix={home}/precious")
    assert done.returncode != 0
    assert f"{home}/precious exists and is not a conda installation" in " ".join(done.stdout.split())
    assert host.check_output(f"ls -A {home}/precious") == "thesis.txt"
