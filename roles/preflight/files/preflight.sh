#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Whether an account can be prepared at all. Needs a POSIX shell and coreutils; no Python.
#
#   preflight.sh HOME MB QUOTA_COMMAND CHECK PASSWORD_FILE DASK_FILE [FOLDER...]
#
# Each answer is a line `slipway:problem=WORDS`, or `slipway:done=yes` at the end, so banners around them do no harm. With CHECK=yes nothing is written.
set -u
export LC_ALL=C
home=$1 space=$2 quota=$3 check=$4 password=$5 dask=$6
shift 6
me=$(id -un)

problem() { printf 'slipway:problem=%s\n' "$1"; }

# What df says is free need not be the account's, for quotas. So where no command tells, the room is taken in earnest, and given back.
room() {
    # One of these is there where the account is prepared already. A home that has filled up since must not keep its owner from a session.
    if [ -f "$password" ] || [ -f "$dask" ]; then return; fi
    if [ -n "$quota" ]; then
        free=$(sh -c "$quota" 2>&1 </dev/null)
        case $free in '' | *[!0-9]*)
            problem "the quota command must print how many megabytes are free, as a whole number; it said: $(echo "$free" | tail -n 1)" ;;
        *)
            [ "$free" -ge "$space" ] || problem "$me has $free MB free by the quota command, and $space MB are needed. Make room, or raise the quota." ;;
        esac
        return
    fi
    [ "$check" = no ] || return 0
    trial=$home/.slipway-room.$$
    trap 'rm -f "$trial"' EXIT
    trap 'exit 1' HUP INT TERM
    (umask 077 && : >"$trial") 2>/dev/null || { problem "$me cannot write to the home $home. See who owns it, and whether it is mounted read-only."; return; }
    # Not fallocate: where it is not known, it leaves a file that looks like its size.
    dd if=/dev/zero of="$trial" bs=1048576 count="$space" 2>/dev/null ||
        problem "$home takes less than $space MB, so the quota of $me is used up or the disk is full. Make room, or raise the quota."
    rm -f "$trial"
}

folder() {
    there=$1
    until [ -e "$there" ]; do there=$(dirname "$there"); done
    [ -d "$there" ] && [ -w "$there" ] && [ -x "$there" ] && return
    if [ "$there" = "$1" ]; then
        problem "$me cannot write to $1. See who owns it."
    else
        problem "$me cannot make the folder $1, since $there is not theirs to write to. Is the project right, and is $me a member of it?"
    fi
}

echo # a banner may have left its line open
if [ ! -d "$home" ]; then
    problem "$me has no home: $home is not there. Whoever makes accounts has to make it."
elif [ ! -O "$home" ]; then
    problem "the home $home belongs to $(stat -c %U "$home"), not to $me. Whoever makes accounts has to mend it."
else
    room
fi
for each in "$@"; do folder "$each"; done
printf 'slipway:done=yes\n'
