#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# A stand-in for the installer that `constructor` makes: same options, words and exit codes (facts/conda.md section 6).
#
# NAME:  @NAME@
# VER:   @VERSION@
# PLAT:  @SUBDIR@
# MD5:   @MD5@
set -eu
export LC_ALL=C
unset LD_LIBRARY_PATH LD_PRELOAD LD_AUDIT CONDARC MAMBARC

if ! echo "$0" | grep '\.sh$' >/dev/null; then
    printf 'Please run using "bash"/"dash"/"sh"/"zsh", but not "." or "source".\n' >&2
    exit 1
fi
THIS=$(cd "$(dirname "$0")" && pwd)/$(basename "$0")
PREFIX=${HOME:-/opt}/@HOME@
BATCH=0
FORCE=0
while getopts "bifhkp:smutc" option; do
    case $option in
    h)
        printf 'usage: %s [options]\n\nInstalls %s %s\n\n' "$0" '@NAME@' '@VERSION@'
        printf -- '-b           run install in batch mode (without manual intervention)\n'
        printf -- '-f           no error if install prefix already exists\n'
        printf -- '-h           print this help message and exit\n'
        printf -- '-p PREFIX    install prefix, defaults to %s\n' "$PREFIX"
        printf -- '-u           update an existing installation\n'
        exit 2
        ;;
    b) BATCH=1 ;;
    i) BATCH=0 ;;
    f | u) FORCE=1 ;;
    p) PREFIX=$OPTARG ;;
    k | s | m | t | c) ;;
    ?)
        printf "ERROR: did not recognize option '%s', please try -h\n" "$option"
        exit 1
        ;;
    esac
done

if [ "$BATCH" = 0 ]; then
    printf '\nWelcome to %s %s\n' '@NAME@' '@VERSION@'
    printf 'This stand-in has no interactive mode: use -b\n' >&2
    exit 2
fi
case $PREFIX in
*\ *)
    printf 'ERROR: Cannot install into directories with spaces\n' >&2
    exit 1
    ;;
esac
if [ "$FORCE" = 0 ] && [ -e "$PREFIX" ]; then
    printf "ERROR: File or directory already exists: '%s'\n" "$PREFIX" >&2
    printf 'If you want to update an existing installation, use the -u option.\n' >&2
    exit 1
fi
if ! mkdir -p "$PREFIX"; then
    printf "ERROR: Could not create directory: '%s'.\n" "$PREFIX" >&2
    printf 'Check permissions and available disk space (%s MB needed).\n' '@MEGABYTES@' >&2
    exit 1
fi
PREFIX=$(cd "$PREFIX" && pwd | sed 's@//@/@')
printf 'PREFIX=%s\n' "$PREFIX"
needed='@MEGABYTES@'
free=$(df -Pk "$PREFIX" | awk 'NR == 2 {print int($4 / 1024)}')
if [ "$free" -lt "$needed" ]; then
    printf 'ERROR: Not enough free disk space. Only %s MB are available, but %s MB are required (leaving a safety margin).\n' "$free" "$needed" >&2
    exit 1
fi

first=$(($(grep -anm 1 '^@@END_HEADER@@' "$THIS" | sed 's/:.*//') + 1))
md5=$(tail -n "+$first" "$THIS" | md5sum | cut -d ' ' -f 1)
if [ "$md5" != '@MD5@' ]; then
    printf 'WARNING: md5sum mismatch of tar archive\nexpected: %s\n     got: %s\n' '@MD5@' "$md5" >&2
fi
printf 'Unpacking bootstrapper...\nUnpacking payload...\n'
tail -n "+$first" "$THIS" | tar -xzf - --no-same-owner -C "$PREFIX"

printf '\nInstalling base environment...\n\n'
cd "$PREFIX"
xargs sed -i "s#@PLACEHOLDER@#$PREFIX#g" <.relocate
rm -f .relocate
mkdir -p envs pkgs
[ "$(id -u)" = 0 ] || touch .nonadmin
mkdir -p ~/.conda 2>/dev/null || :
[ ! -d ~/.conda ] || grep -qsx "$PREFIX" ~/.conda/environments.txt || echo "$PREFIX" >>~/.conda/environments.txt

printf 'installation finished.\n'
if [ -n "${PYTHONPATH:-}" ]; then
    printf 'WARNING:\n    You currently have a PYTHONPATH environment variable set. This may cause\n'
    printf '    unexpected behavior when running the Python interpreter in %s.\n' '@NAME@'
    printf '    For best results, please verify that your PYTHONPATH only points to\n'
    printf '    directories of packages that are compatible with the Python interpreter\n    in %s: %s\n' '@NAME@' "$PREFIX"
fi
exit 0
# shellcheck disable=SC2317 # the archive follows this line
@@END_HEADER@@
