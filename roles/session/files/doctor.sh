#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# What a session needs on the cluster, looked at without Python, which may be what is broken.
# Each finding is a line `slipway:ok|WHAT|WORDS|` or `slipway:bad|WHAT|WORDS|REMEDY`; banners around them do no harm.
#
#   doctor.sh PROFILE QUEUE FOLDER CONDA ENV SCRATCH

profile=$1 queue=$2 folder=$3 conda=$4 env=$5 scratch=$6

line() { printf 'slipway:%s|%s|%s|%s\n' "$1" "$2" "$(printf '%s' "$3" | tr '\n|' '  ' | cut -c1-300)" "$4"; }
ok() { line ok "$1" "$2" ''; }
bad() { line bad "$1" "$2" "$3"; }

# As session_job finds LSF: the site's profile, else what is on PATH, else a login shell's.
if [ -n "$profile" ]; then
    # A `.` of a file that is not there ends the shell.
    # shellcheck disable=SC1090
    if [ -r "$profile" ]; then . "$profile" > /dev/null 2>&1
    else bad 'profile.lsf' "$profile can't be read" 'correct session_lsf_profile'; fi
elif ! command -v bsub > /dev/null; then
    PATH=$(bash -lc 'printf "\nslipway:%s" "$PATH"' 2> /dev/null < /dev/null | sed -n 's/^slipway://p' | tail -n 1)
    eval "$(bash -lc 'export -p | grep -E "^declare -x (LSF|LSB|XLSF)_"' 2> /dev/null < /dev/null | sed 's/^declare -x/export/')"
fi
LC_ALL=C
export LC_ALL

if command -v bsub > /dev/null; then
    ok LSF "$(command -v bsub)"
    # The commands wait for ever while a daemon is away.
    if said=$(timeout 20 lsid 2>&1); then ok 'LSF daemons' "$(echo "$said" | grep -i 'cluster name')"
    else bad 'LSF daemons' "$said" "LSF's own trouble: wait, or tell the site's staff"; fi
    said=$(timeout 20 bqueues -w "$queue" 2>&1)
    case $said in
        *Open:Active*) ok queue "$queue is Open:Active" ;;
        *Open:*) bad queue "$queue is open, but starts no job now" 'wait until its window opens, or another session_queue' ;;
        *Closed:*) bad queue "$queue is closed" 'another session_queue, or wait until it opens' ;;
        *) bad queue "$said" 'change session_queue; bqueues lists them' ;;
    esac
    policy=$(timeout 20 bqueues -l "$queue" 2> /dev/null | grep 'SCHEDULING POLICIES')
    case $policy in
        *ONLY_INTERACTIVE*) ok 'queue policy' "$queue takes interactive jobs only: the session is bsub -Is, and ends with this login node" ;;
        *) ok 'queue policy' "${policy:-no policy that hinders}" ;;
    esac
    jobs=$(timeout 20 bjobs -w -q "$queue" 2> /dev/null | sed 1d)
    ok 'jobs in the queue' "${jobs:-none of yours}"
else
    bad LSF 'there is no bsub on PATH' "set session_lsf_profile to the site's profile.lsf, or check the login host"
fi

# A quota shows in a write alone, and a full file system hangs no test: it refuses.
room() {
    what=$1 place=$2 needed=$3 remedy=$4
    free=$(df -Pk "$place" 2> /dev/null | awk 'NR == 2 { print int($4 / 1024) }')
    probe=$place/.slipway-doctor.$$
    # shellcheck disable=SC2086 # a number or nothing
    if [ -z "$free" ]; then bad "$what" "$place is not there" "$remedy"
    elif ! said=$( (head -c 1048576 /dev/zero > "$probe") 2>&1); then bad "$what" "$place: ${said:-cannot be written}" "$remedy"
    elif [ $free -lt $needed ]; then bad "$what" "$place has $free MB free" "$remedy"
    else ok "$what" "$place has $free MB free and takes a file"; fi
    rm -f "$probe"
}
room home "$HOME" 100 'free some space, look at your quota: a full home makes a submission or a start fail'
while [ ! -d "$folder" ] && [ "$folder" != / ]; do folder=$(dirname "$folder"); done
[ "$folder" = "$HOME" ] || room 'session folder' "$folder" 10 'see that it is yours and has space (session_folder)'
# A scratch folder is made by who uses it first; what must be there is what it lies in.
if [ -n "$scratch" ]; then
    while [ ! -d "$scratch" ] && [ "$(dirname "$scratch")" != / ]; do scratch=$(dirname "$scratch"); done
    room scratch "$scratch" 100 'dask_local_directory: ask the site what became of it, or name another'
fi

if said=$(timeout 60 "$conda/bin/python" -I -c 'import ssl, sqlite3, sys; print(sys.version.split()[0])' 2>&1 < /dev/null); then
    ok 'base Python' "$conda has Python $said"
else
    bad 'base Python' "$conda: $said" "run playbooks/onboard.yml; where it can't mend $conda, move that away first"
fi
if said=$(timeout 60 "$env/bin/jupyter-lab" --version 2>&1 < /dev/null); then ok environment "$env has JupyterLab $said"
else bad environment "$env: $said" 'run playbooks/onboard.yml'; fi
