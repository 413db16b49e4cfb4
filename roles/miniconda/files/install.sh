#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Puts conda at a prefix, or says what is there. Needs a POSIX shell, coreutils and curl or wget; no Python.
#
#   install.sh --prefix=DIR --url=URL --sha256=SUM [--space=MB] [--timeout=SECONDS] [--init='bash zsh'] [--check=yes]
#
# Each answer is a line `slipway:KEY=VALUE` (banners around them do no harm):
#   state    what was found: absent, interrupted (an install of ours that did not end), complete (ours), adopted (the user's own conda)
#   changed  yes or no; with --check=yes: what a run would do
#   error    what is wrong and what to do about it; exit code 1
#
# Killed at any point, the next run gets there, because
#   - the prefix carries our marker from before the installer runs; only a prefix that says "installing" is ever removed;
#   - all else lies in one hidden folder beside the prefix (not in /tmp: often noexec, and per node), with the part of a download
#     that is there already and a lock that dies with its holders.
# shellcheck disable=SC2015 # in `A && B || C` C always ends the script
set -u
unset PYTHONPATH PYTHONHOME

say() { printf 'slipway:%s=%s\n' "$1" "$2"; }
fail() { say error "$1"; exit 1; }
cannot_make() { fail "$(id -un) cannot make $prefix: no permission to write to ${1:-$parent}. Set target_conda_prefix to a folder of yours."; }
last_words() { tail -n "$1" "$work/log" | paste -sd ' ' -; }

prefix='' url='' sum='' space=0 limit=600 init='' check=no
for option in "$@"; do
    value=${option#*=}
    case $option in
        --prefix=*) prefix=$value ;;
        --url=*) url=$value ;;
        --sha256=*) sum=$value ;;
        --space=*) space=$value ;;
        --timeout=*) limit=$value ;;
        --init=*) init=$value ;;
        --check=*) check=$value ;;
        *) fail "install.sh does not know the option $option" ;;
    esac
done
# A link as the prefix itself can't be made, moved or removed for what it leads to.
[ ! -L "$prefix" ] || ! linked=$(readlink -f "$prefix") || prefix=$linked
parent=$(dirname "$prefix")
work=$parent/.$(basename "$prefix").slipway
installer=$work/installer.sh # the real installers insist on a name that ends in .sh
marker=$prefix/.slipway.json
in_progress=no
deadline=$(($(date +%s) + limit))

# Every wait ends at the one deadline.
left() { seconds=$((deadline - $(date +%s))); [ "$seconds" -gt 0 ] || seconds=1; echo "$seconds"; }
within() { timeout --foreground "$(left)" "$@" </dev/null; }

# --- what is there

look() {
    if [ ! -e "$prefix" ] && [ ! -L "$prefix" ]; then state=absent
    elif [ -d "$prefix" ] && [ -r "$prefix" ] && [ -z "$(ls -A "$prefix")" ]; then state=absent
    elif grep -qs '"state": "installing"' "$marker"; then state=interrupted
    elif [ -e "$marker" ]; then state=complete
    elif [ -e "$prefix/conda-meta/history" ] && [ -x "$prefix/bin/conda" ]; then state=adopted
    else state=foreign
    fi
}

# What Ansible's modules need of a Python, and what those of Slipway import.
base_runs() { within "$prefix/bin/python" -I -c 'import sys, ruamel.yaml; sys.exit(sys.version_info < (3, 9))' >/dev/null 2>&1; }

judge() {
    case $state in
        foreign)
            fail "$prefix exists and is not a conda installation; Slipway never touches what it did not make. Set target_conda_prefix to another folder, or move this one away." ;;
        complete)
            base_runs || fail "the conda that Slipway installed at $prefix is broken: its bin/python does not run on $(uname -n) ($(uname -m)), or can't import ruamel.yaml. Remove it (rm -rf $prefix) and run again; its environments go with it." ;;
        adopted)
            base_runs || fail "the conda at $prefix is not Slipway's, and its Python does not run, is older than 3.9 or can't import ruamel.yaml. It is left alone: set target_conda_prefix to another folder, or update it yourself (conda install -n base ruamel.yaml)." ;;
        interrupted)
            spare_environments; room ;;
        *)
            room ;;
    esac
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
    [ -d "$there" ] && [ -w "$there" ] || cannot_make "$there"
    free=$(df -Pk "$there" | awk 'NR == 2 { print int($4 / 1024) }')
    [ "${free:-0}" -ge "$space" ] ||
        fail "$there has $free MB free, and conda with its installer needs $space MB. Make room, or set target_conda_prefix to a folder on another disk."
}

profile_of() {
    case $1 in
        bash) echo "$HOME/.bashrc" ;;
        zsh) echo "${ZDOTDIR:-$HOME}/.zshrc" ;;
        tcsh) echo "$HOME/.tcshrc" ;;
    esac
}

# Any block counts, the user's own included. Asking conda itself would cost seconds in each run.
shells_without_block() {
    for shell in $init; do
        grep -qs '^# >>> conda initialize >>>' "$(profile_of "$shell")" || printf '%s ' "$shell"
    done
}

# --- getting the installer

matches() { [ -s "$installer" ] && got=$(sha256sum "$installer") && got=${got%% *} && [ "$got" = "$sum" ]; }

# One try, which continues what is there. A transfer that stands still for a minute counts as broken.
fetch() {
    case $tool in
        curl)
            set -- --fail --location --silent --show-error --connect-timeout 20 --speed-limit 1024 --speed-time 60 \
                --continue-at - --output "$installer" ;;
        wget)
            set -- --no-verbose --tries=1 --timeout=60 --continue --output-document="$installer" ;;
    esac
    within "$tool" "$@" "$url" >"$work/log" 2>&1
}

download() {
    tool=curl
    command -v curl >/dev/null || tool=wget
    command -v "$tool" >/dev/null || fail "neither curl nor wget is on the PATH of $(uname -n): nothing can be downloaded there."
    for pause in 1 3 0; do
        resumed=no; [ ! -s "$installer" ] || resumed=yes
        fetch
        outcome=$tool$?
        matches && return
        # Whole, from its first byte to its last, and yet another file, or refused by the server (404): it will not get better.
        case $resumed$outcome in nocurl0 | nowget0 | nocurl22 | nowget8) break ;; esac
        # Not every server can continue, and the part may be of another file: then begin anew. A new transfer that broke is continued.
        [ "$resumed" = no ] || rm -f "$installer"
        sleep "$pause"
    done
    [ "${outcome#"$tool"}" -eq 0 ] ||
        fail "$url could not be downloaded: $(last_words 1). Check miniconda_base_url or miniconda_installer_url, and the proxy of $(uname -n)."
    rm -f "$installer"
    fail "$url has sha256 ${got:-of an empty file}, but $sum is expected; it was not run. If the file is the right one, set miniconda_installer_sha256."
}

# --- installing

mark() { # the marker is replaced in one step, so that it is never half written
    printf '{"state": "%s", "version": "%s", "url": "%s", "sha256": "%s"}\n' "$1" "$2" "$url" "$sum" >"$work/marker" &&
        mv "$work/marker" "$marker"
}

discard() { # first out of the way, in one step, since a removal can be interrupted as well
    mv "$prefix" "$work/half-made.$$" && rm -rf "$work"/half-made.*
}

lock() {
    until
        mkdir -p "$work" && [ -w "$work" ] || cannot_make
        exec 9>"$work/lock"
        command -v flock >/dev/null || return
        flock -w "$(left)" 9
        # 1 is the time-out. Other codes mean a file system without locks, where one run at a time has to be enough.
        [ $? -ne 1 ] || fail "another run has been installing at $prefix for $limit s. Let it end, or look for it with: fuser $work/lock"
        # Whoever held the lock may have tidied up, and then it is that of a file which nobody else sees.
        [ "$work/lock" -ef /proc/self/fd/9 ]
    do :; done
}

leave() { # a part of a download is kept for the next run; nothing else is
    [ "$in_progress" = no ] || discard
    rm -rf "$work"/half-made.* "$work/tmp"
    [ -s "$installer" ] || rm -rf "$work"
}

install() {
    if [ "$state" = interrupted ]; then
        discard || fail "the interrupted installation at $prefix cannot be moved away. Remove it (rm -rf $prefix) and run again."
    fi
    matches || download

    # An empty folder may stay from a run killed right here; whatever else has come up during the download makes mkdir fail.
    rmdir "$prefix" 2>/dev/null
    mkdir "$prefix" || cannot_make
    in_progress=yes
    mark installing '' && mkdir -p "$work/tmp" || cannot_make
    # Without --foreground a time-out ends the installer's children too, so that none goes on writing to the prefix.
    TMPDIR=$work/tmp timeout "$(left)" bash "$installer" -b -f -p "$prefix" </dev/null >"$work/log" 2>&1 ||
        fail "the installer from $url failed: $(last_words 3)"
    version=$(within "$prefix/bin/conda" --version 2>"$work/log") ||
        fail "what $url installed does not run on $(uname -n) ($(uname -m)): $(last_words 1). Is it for this architecture?"
    mark complete "${version#conda }" || cannot_make
    in_progress=no
}

initialise() {
    # shellcheck disable=SC2086 # a list of words
    words=$(within "$prefix/bin/conda" init $1 2>&1) ||
        fail "conda init ${1% } failed: $(printf '%s' "$words" | tail -n 1). Set miniconda_init_shells to [] to leave the shells alone."
}

# A folder of ours beside the prefix: another run is at it, or one was killed when all but the tidying was done.
settled() { case $state in complete | adopted) [ ! -e "$work" ] ;; *) false ;; esac; }

act() {
    if ! settled; then
        lock
        trap leave EXIT
        trap 'exit 1' HUP INT TERM
        look # again: the other run may have ended meanwhile
        judge
        case $state in absent | interrupted) install ;; esac
        rm -f "$installer"
    fi
    missing=$(shells_without_block)
    [ -z "$missing" ] || initialise "$missing"
}

echo # a banner may have left its line open
look
say state "$state"
judge
changed=yes
if settled && [ -z "$(shells_without_block)" ]; then changed=no; fi
[ "$changed$check" != yesno ] || act
say changed "$changed"
