#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# What install.sh and remove.sh share. Sent in front of them, as one script. Needs a POSIX shell and coreutils; no Python.
#
# Each answer is a line `slipway:KEY=VALUE` (banners around them do no harm). Both answer
#   state    what was found: absent, interrupted or upgrading (ours, and not done), complete (ours), adopted (the user's own conda), foreign
#   changed  yes or no; with --check=yes: what a run would do
#   error    what is wrong and what to do about it; exit code 1
# shellcheck disable=SC2015,SC2034,SC2119,SC2120 # in `A && B || C` C always ends the script; the files that follow use what is unused here
set -u
export LC_ALL=C
unset PYTHONPATH PYTHONHOME

say() { printf 'slipway:%s=%s\n' "$1" "$2"; }
fail() { say error "$1"; exit 1; }
cannot_make() { fail "$(id -un) cannot make $prefix: $1. Mend that, or set target_conda_prefix to another folder of yours."; } # what is wrong
last_words() { tail -n "$1" "$work/log" | paste -sd ' ' -; }

prefix='' url='' sum='' file='' proxy='' space=0 quota='' limit=600 init='' upgrade=no environments=no check=no
for option in "$@"; do
    value=${option#*=}
    case $option in
        --prefix=*) prefix=$value ;;
        --url=*) url=$value ;;
        --sha256=*) sum=$value ;;
        --file=*) file=$value ;;
        --proxy=*) proxy=$value ;;
        --space=*) space=$value ;;
        --quota=*) quota=$value ;;
        --timeout=*) limit=$value ;;
        --init=*) init=$value ;;
        --upgrade=*) upgrade=$value ;;
        --environments=*) environments=$value ;;
        --check=*) check=$value ;;
        *) fail "$0 does not know the option $option" ;;
    esac
done
# A link as the prefix itself can't be made, moved or removed for what it leads to.
[ ! -L "$prefix" ] || ! linked=$(readlink -f "$prefix") || prefix=$linked
parent=$(dirname "$prefix")
# All that is temporary lies here, beside the prefix and not in /tmp (often noexec, and per node): the part of a download that is
# there already, what is being removed, and a lock that dies with its holders.
work=$parent/.$(basename "$prefix").slipway
installer=$work/installer.sh # the real installers insist on a name that ends in .sh
marker=$prefix/.slipway.json
in_progress=no
deadline=$(($(date +%s) + limit))

# Every wait ends at the one deadline.
left() { seconds=$((deadline - $(date +%s))); [ "$seconds" -gt 0 ] || seconds=1; echo "$seconds"; }
within() { timeout --foreground "$(left)" "$@" </dev/null; }

field() { sed -n "s/.*\"$1\": \"\([^\"]*\)\".*/\1/p" "$marker"; }

look() {
    if [ ! -e "$prefix" ] && [ ! -L "$prefix" ]; then state=absent
    elif [ -d "$prefix" ] && [ -r "$prefix" ] && [ -z "$(ls -A "$prefix")" ]; then state=absent
    elif grep -qs '"state": "installing"' "$marker"; then state=interrupted
    elif grep -qs '"state": "upgrading"' "$marker"; then state=upgrading
    elif [ -e "$marker" ]; then state=complete
    elif [ -e "$prefix/conda-meta/history" ] && [ -x "$prefix/bin/conda" ]; then state=adopted
    else state=foreign
    fi
}

# A ~/.tcshrc of its own keeps tcsh from reading ~/.cshrc.
tcsh_start='source ~/.cshrc'

profile_of() {
    case $1 in
        bash) echo "$HOME/.bashrc" ;;
        zsh) echo "${ZDOTDIR:-$HOME}/.zshrc" ;;
        tcsh) echo "$HOME/.tcshrc" ;;
    esac
}

lock() {
    until
        words=$(mkdir -p "$work" 2>&1) || cannot_make "$words"
        [ -w "$work" ] || cannot_make "no permission to write to $work"
        exec 9>"$work/lock"
        command -v flock >/dev/null || return
        flock -w "$(left)" 9
        # 1 is the time-out. Other codes mean a file system without locks, where one run at a time has to be enough.
        [ $? -ne 1 ] || fail "another run has been at work on $prefix for $limit s. Let it end, or look for it with: fuser $work/lock"
        # Whoever held the lock may have tidied up, and then it is that of a file which nobody else sees.
        [ "$work/lock" -ef /proc/self/fd/9 ]
    do :; done
}

discard() { # first out of the way, in one step, since a removal can be interrupted as well
    mv "$prefix" "$work/half-made.$$" && rm -rf "$work"/half-made.*
}

leave() { # a part of a download is kept for the next run; nothing else is
    [ "$in_progress" = no ] || discard
    rm -rf "$work"/half-made.* "$work/tmp"
    [ -s "$installer" ] || rm -rf "$work"
}
