#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Puts conda at a prefix, or says what is there. Sent behind common.sh, which says how it answers, and obtain.sh.
#
#   install.sh --prefix=DIR --url=URL [--file=FILE|beside] --sha256=SUM|unverified [--space=MB] [--quota=COMMAND] [--timeout=SECONDS]
#              [--proxy=URL] [--init='bash zsh'] [--upgrade=yes] [--check=yes]
#
# --file=beside is a file in the hidden folder of ours beside the prefix, which is tidied away with it.
#
# Its own answers:
#   missing  the file that shall be the installer, where it is not there
#   other    version and origin of a conda of ours that is not what is asked for, and that was left as it is
#
# Killed at any point, the next run gets there, because the prefix carries our marker from before the installer runs; only a prefix that
# says "installing" is ever removed, and one that says "upgrading" is upgraded again.
# shellcheck disable=SC2015,SC2034,SC2154 # in `A && B || C` C always ends the script; common.sh sets and uses the variables

# What Ansible's modules need of a Python, and what those of Slipway import.
base_runs() { within "$prefix/bin/python" -I -c 'import sys, ruamel.yaml; sys.exit(sys.version_info < (3, 9))' >/dev/null 2>&1; }

# The pinned installer is not the one that ours was made by.
outdated() { [ "$state" = complete ] && [ -n "$sum" ] && [ "$(field sha256)" != "$sum" ]; }
distribution_of() { case ${1##*/} in Miniconda3-* | Miniforge3-*) name=${1##*/}; echo "${name%%-*}" ;; esac; }
due() { case $state in absent | interrupted | upgrading) ;; *) [ "$upgrade" = yes ] && outdated ;; esac; }

judge() {
    case $state in
        foreign)
            fail "$prefix exists and is not a conda installation; Slipway never touches what it did not make. Set target_conda_prefix to another folder, or move this one away." ;;
        complete)
            base_runs || fail "the conda that Slipway installed at $prefix is broken: its bin/python does not run on $(uname -n) ($(uname -m)), or can't import ruamel.yaml. Remove it (rm -rf $prefix) and run again; its environments go with it."
            refuse_other_distribution ;;
        adopted)
            base_runs || fail "the conda at $prefix is not Slipway's, and its Python does not run, is older than 3.9 or can't import ruamel.yaml. It is left alone: set target_conda_prefix to another folder, or update it yourself (conda install -n base ruamel.yaml)." ;;
        interrupted)
            spare_environments ;;
    esac
}

# An installer's -u renews its own packages, and those of another distribution stay among them.
refuse_other_distribution() {
    has=$(distribution_of "$(field url)") wants=$(distribution_of "$url")
    ! due || [ -z "$has" ] || [ -z "$wants" ] || [ "$has" = "$wants" ] ||
        fail "$prefix is a $has, and miniconda_upgrade can't make a $wants of it. Set target_conda_prefix to another folder, miniconda_distribution back, or miniconda_upgrade to false."
}

# Whoever got an interrupted installation to work may have environments in it by now.
spare_environments() {
    for environment in "$prefix"/envs/*/conda-meta; do
        [ ! -e "$environment" ] ||
            fail "the installation at $prefix was interrupted, and yet there is an environment, ${environment%/conda-meta}. To keep it all as your own conda, remove $marker; to have it made anew, remove the environment."
    done
}

room() {
    there=$parent
    until [ -e "$there" ]; do there=$(dirname "$there"); done
    [ -d "$there" ] && [ -w "$there" ] || cannot_make "no permission to write to $there"
    enough "$(df -Pk "$there" | awk 'NR == 2 { print int($4 / 1024) }')" "$there has"
    [ -n "$quota" ] || return 0
    free=$(within sh -c "$quota" 2>&1)
    case $free in '' | *[!0-9]*)
        fail "the command of miniconda_quota_command must print how many megabytes are free, as a whole number; on $(uname -n) it said: $(echo "$free" | tail -n 1)" ;;
    esac
    enough "$free" "by miniconda_quota_command, $(id -un) has"
}

enough() { # MB, who has them
    [ "${1:-0}" -ge "$space" ] ||
        fail "$2 $1 MB free, and conda with its installer needs $space MB. Make room, or set target_conda_prefix to a folder on another disk."
}

# What df says is free need not be the account's, for quotas. So where no command tells, the room is taken in earnest, and given back.
reserve() {
    [ -z "$quota" ] || return 0
    fallocate -l "$((space + 1))M" "$work/tmp/room" 2>/dev/null || within dd if=/dev/zero of="$work/tmp/room" bs=1048576 count="$space" 2>/dev/null
    case $? in
        0) ;;
        124) fail "$parent took less than $space MB in $limit s. Raise miniconda_timeout, set miniconda_quota_command, or set target_conda_prefix to a folder on a faster disk." ;;
        *) fail "$parent takes less than the $space MB that conda with its installer needs, whatever df says: $(id -un)'s quota there is used up. Make room, or set target_conda_prefix to a folder on another disk." ;;
    esac
    rm -f "$work/tmp/room"
}

# Any block counts, the user's own included. Asking conda itself would cost seconds in each run. Whether their own conda has one is theirs
# to say.
shells_without_block() {
    [ "$state" != adopted ] || return 0
    for shell in $init; do
        grep -qs '^# >>> conda initialize >>>' "$(profile_of "$shell")" || printf '%s ' "$shell"
    done
}

mark() { # the marker is replaced in one step, so that it is never half written
    words=$({
        printf '{"state": "%s", "version": "%s", "url": "%s", "sha256": "%s"}\n' "$1" "$2" "$url" "$got" >"$work/marker" &&
            mv "$work/marker" "$marker"
    } 2>&1) || cannot_make "$words"
}

run_installer() { # -f: install, -u: update
    # Without --foreground a time-out ends the installer's children too, so that none goes on writing to the prefix.
    TMPDIR=$work/tmp timeout "$(left)" bash "$installer" -b "$1" -p "$prefix" </dev/null >"$work/log" 2>&1 ||
        fail "the installer from ${file:-$url} failed: $(last_words 3)"
    version=$(within "$prefix/bin/conda" --version 2>"$work/log") ||
        fail "what ${file:-$url} installed does not run on $(uname -n) ($(uname -m)): $(last_words 1). Is it for this architecture?"
}

install() {
    if [ "$state" = interrupted ]; then
        discard || fail "the interrupted installation at $prefix cannot be moved away. Remove it (rm -rf $prefix) and run again."
    fi
    # An empty folder may stay from a run killed right here; whatever else has come up during the download makes mkdir fail.
    rmdir "$prefix" 2>/dev/null
    words=$(mkdir "$prefix" 2>&1) || cannot_make "$words"
    in_progress=yes
    mark installing ''
    run_installer -f
    # In the base's own file, readable for all who share it: conda 26 renamed the key, and refuses a file that has it under both names, as
    # the user's ~/.condarc then might.
    grep -qs '^auto_activate' "$prefix/.condarc" || echo 'auto_activate_base: false' >>"$prefix/.condarc"
    chmod 644 "$prefix/.condarc"
    mark complete "${version#conda }"
    in_progress=no
}

upgrade() { # in place: the environments below the prefix are kept
    mark upgrading "$(field version)"
    run_installer -u
    mark complete "${version#conda }"
}

initialise() {
    case $1 in *tcsh*) [ ! -e ~/.cshrc ] || [ -e ~/.tcshrc ] || echo "$tcsh_start" >~/.tcshrc ;; esac
    # shellcheck disable=SC2086 # a list of words
    words=$(within "$prefix/bin/conda" init $1 2>&1) ||
        fail "conda init ${1% } failed: $(printf '%s' "$words" | tail -n 1). Set miniconda_init_shells to [] to leave the shells alone."
}

# A folder of ours beside the prefix: another run is at it, or one was killed when all but the tidying was done.
settled() { ! due && [ ! -e "$work" ]; }

act() {
    if ! settled; then
        lock
        trap leave EXIT
        trap 'exit 1' HUP INT TERM
        look # again: the other run may have ended meanwhile
        judge
        if due; then
            room # not before: another run's installer and reserve would count as ours
            words=$(mkdir -p "$work/tmp" 2>&1) || cannot_make "$words"
            reserve
            obtain
            case $state in absent | interrupted) install ;; *) upgrade ;; esac
        fi
        rm -f "$installer"
    fi
    missing=$(shells_without_block)
    [ -z "$missing" ] || initialise "$missing"
}

echo # a banner may have left its line open
[ "$file" != beside ] || file=$work/staged.sh
case $sum in
    '') fail "install.sh does not run an installer without its sha256. Set miniconda_installer_sha256." ;;
    unverified) sum='' ;;
esac
look
say state "$state"
judge
[ "$check" = no ] || ! due || room
changed=yes
if settled && [ -z "$(shells_without_block)" ]; then changed=no; fi
[ "$changed$check" != yesno ] || act
due || ! outdated || say other "conda $(field version) of $(field url)"
say changed "$changed"
