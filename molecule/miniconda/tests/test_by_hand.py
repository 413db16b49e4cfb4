"""The homes of people who did the tutorial by hand, with its own commands: what is theirs is used, and stays as it is."""

import pytest

TUTORIAL = """
    mkdir -p ~/src ~/local && cd ~/src
    wget -q -O Miniconda3-latest-Linux-ppc64le.sh {url}
    bash Miniconda3-latest-Linux-ppc64le.sh -bfp ~/local/miniconda3
    export PATH=~/local/miniconda3/bin:$PATH
    conda init
    conda config --set auto_activate_base false
    conda config --add channels conda-forge
    conda create -y -n myenv six
    conda create -y -n thesis six
"""
# The mirror stands for the internet, by the names that the tutorial uses.
INTERNET = "channel_alias: http://mirror\ndefault_channels: [http://mirror/conda-forge]\n"

# Python 3.7 can't be had for tests: this one says that it were one to whoever asks with -I, as the probe does.
OLD = """#!/bin/sh
real=$(dirname "$0")/python3.11
[ "$1" = -I ] || exec "$real" "$@"
exec "$real" -I -c 'import sys; sys.version_info = (3, 7, 16, "final", 0); exec(sys.argv[1])' "$3"
"""


def everything(account):
    """The account's files by mode, link and checksum, but for .condarc, and for what conda and Ansible cache."""
    ours = "! -path '*/__pycache__*' ! -path './.cache*' ! -path './.ansible*' ! -path './local/miniconda3-slipway*' ! -name '.condarc*'"
    return account.sh(
        f"cd ~ && find . {ours} -printf '%p %y %m %l\n' | sort"
        f" && find . -type f {ours} -print0 | sort -z | xargs -0 sha256sum | sha256sum"
    )


@pytest.fixture(scope="module")
def by_hand(new_account, cluster):
    account = new_account("t-miniconda-hand")
    account.host.check_output(f"printf %s > {account.home}/.condarc", INTERNET)
    account.sh("set -e" + TUTORIAL.format(url=f"http://mirror/miniconda/{cluster['installer']}"))
    return account


def test_all_that_is_theirs_is_adopted_and_kept(by_hand):
    before, condarc, text = everything(by_hand), by_hand.condarc(), by_hand.sh("cat ~/.condarc")
    assert condarc["channels"] == ["conda-forge", "defaults"]
    by_hand.play("-e", "miniconda_upgrade=true", "-e", "miniconda_update_conda=true")
    # The one key that was not there is added, and a copy of the file kept.
    assert by_hand.condarc() == condarc | {"channel_priority": "strict"}
    assert by_hand.sh("cat ~/.condarc.*~") == text
    assert everything(by_hand) == before


def test_a_second_run_changes_nothing(by_hand):
    assert "changed=0" in by_hand.play()


def test_removal_takes_nothing_of_theirs(by_hand):
    before, condarc = everything(by_hand), by_hand.condarc()
    said = by_hand.play(playbook="molecule/miniconda/remove.yml")
    assert everything(by_hand) == before
    assert by_hand.condarc() == condarc
    assert "Slipway may have set these keys of it: channels, channel_priority" in said


@pytest.fixture(scope="module")
def old(by_hand):
    """Years later: the same home, with a base that is too old for Ansible."""
    python = f"{by_hand.home}/local/miniconda3/bin/python"
    by_hand.host.check_output(f"rm {python} && printf %s > {python} && chmod 755 {python}", OLD)
    by_hand.before = everything(by_hand)
    by_hand.said = by_hand.play()
    return by_hand


def test_beside_a_base_that_is_too_old_stands_ours_and_the_run_says_so(old):
    assert f"has a conda at {old.home}/local/miniconda3 that Ansible can't use" in old.said
    assert f"conda activate {old.home}/local/miniconda3-slipway/envs/myenv" in old.said
    assert old.host.check_output(f"{old.home}/local/miniconda3-slipway/bin/conda --version").startswith("conda ")


def test_theirs_works_as_before(old):
    assert old.host.check_output("bash -ic 'conda info --base' 2>/dev/null").strip() == f"{old.home}/local/miniconda3"
    assert "six" in old.host.check_output("bash -ic 'conda list -n thesis' 2>/dev/null")


def test_their_conda_activates_what_is_in_ours(old):
    environment = f"{old.home}/local/miniconda3-slipway/envs/myenv"
    old.sh(f"{old.home}/local/miniconda3-slipway/bin/conda create -y -p {environment} six")
    activated = old.host.check_output(f"bash -ic 'conda activate {environment} && echo $CONDA_PREFIX' 2>/dev/null")
    assert activated.strip() == environment


def test_a_second_run_with_both_changes_nothing(old):
    assert "changed=0" in old.play()


def test_removal_takes_ours_and_leaves_theirs(old):
    old.play("-e", "miniconda_remove_environments=true", playbook="molecule/miniconda/remove.yml")
    assert old.sh("ls -A ~/local").split() == ["miniconda3"]
    assert everything(old) == old.before
