#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Takes away what install.sh made, and nothing else. Sent behind common.sh, which says how it answers.
#
#   remove.sh --prefix=DIR [--environments=yes] [--timeout=SECONDS] [--check=yes]
#
# Each step can be interrupted and is then done by the next run. A conda of the user's own stays, with its block in the shell profiles.
# shellcheck disable=SC2015,SC2154 # in `A && B || C` C always ends the script; common.sh sets the variables

# One that is shared is its owner's to remove.
removable() { case $state in complete | interrupted | upgrading) [ -O "$prefix" ] ;; *) false ;; esac; }

# What somebody else made in it, in our conda or not, would be lost with it.
spare_environments() {
    for environment in "$prefix"/envs/*/conda-meta; do
        environment=${environment%/conda-meta}
        [ ! -e "$environment/conda-meta" ] || [ -e "$environment/.slipway.json" ] ||
            fail "there is an environment in $prefix that Slipway did not make, $environment. Keep what you need of it (conda env export), then remove it, or set miniconda_remove_environments to true."
    done
}

blocks() { # the profiles with a block that names this prefix
    for shell in bash zsh tcsh; do
        profile=$(profile_of "$shell")
        [ ! -f "$profile" ] || [ "$(without_block "$profile")" = "$(cat "$profile")" ] || printf '%s\n' "$profile"
    done
}

# Not by `conda init --reverse`: it takes every block, and needs a conda that works. The empty lines around it are conda's as well.
without_block() {
    awk -v prefix="$prefix/" '
        # A block that was never closed ends where the next one begins: what is below it is no block of ours.
        /^# >>> conda initialize >>>/ { if (inside) { printf "%s%s", empty, block; empty = "" } inside = 1; block = ""; ours = 0 }
        inside {
            block = block $0 "\n"
            if (index($0, prefix)) ours = 1
            if (!/^# <<< conda initialize <<</) next
            if (!ours) printf "%s%s", empty, block
            inside = 0; empty = ""; below = ours
            next
        }
        below { below = 0; if ($0 == "") next }
        $0 == "" { printf "%s", empty; empty = "\n"; next }
        { printf "%s%s\n", empty, $0; empty = "" }
        END { printf "%s", empty; if (inside) printf "%s", block }' "$1"
}

# FILE FILTER: what the filter makes of it takes its place. It keeps its mode, and a link stays one.
rewrite() {
    real=$(readlink -f "$1")
    new=$real.slipway
    (umask 077 && "$2" "$real" >"$new") && chmod --reference="$real" "$new" && keep_copy && mv -f "$new" "$real" ||
        { rm -f "$new"; fail "$real could not be changed; see that $(id -un) can write to $(dirname "$real"), and run again."; }
    # What has nothing in it any more was made by conda, or by install.sh for it.
    case $(cat "$real") in '' | "$tcsh_start") rm -f "$real" ;; esac
}

keep_copy() { # named as those of Ansible's modules; what is only ours, or conda's list, needs none
    case $(cat "$new") in '' | "$tcsh_start") return ;; esac
    [ "$real" -ef "$list" ] || cp -p "$real" "$real.$$.$(date +%Y-%m-%d@%H:%M:%S)~"
}

list=$HOME/.conda/environments.txt # where conda remembers what it made
others() { awk -v prefix="$prefix" '$0 != prefix && index($0, prefix "/") != 1' "$1"; }
registered() { [ -f "$list" ] && [ "$(others "$list")" != "$(cat "$list")" ]; }

act() {
    if removable || [ -e "$work" ]; then
        lock
        trap leave EXIT
        trap 'exit 1' HUP INT TERM
    fi
    # A pipe's end is a shell of its own, and its failure must be ours.
    blocks | while read -r profile; do rewrite "$profile" without_block; done || exit 1
    ! registered || rewrite "$list" others
    ! removable || discard || fail "$prefix could not be moved away; see that $(id -un) can write to $parent, and run again."
    rm -f "$installer"
}

echo # a banner may have left its line open
look
say state "$state"
changed=no
case $state in complete | interrupted | upgrading | absent)
    ! removable || [ "$environments" = yes ] || spare_environments
    if removable || [ -e "$work" ] || registered || [ -n "$(blocks)" ]; then changed=yes; fi ;;
esac
[ "$changed$check" != yesno ] || act
say changed "$changed"
