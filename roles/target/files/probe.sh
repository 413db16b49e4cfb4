#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# What the controller must know about a host, asked once and without Python.
# Each answer is a line `slipway:KEY=VALUE`, so banners and chatty shell profiles around them do no harm.
#
#   probe.sh PREFIX ENV     where conda and the environment are, or will be
#
# The account may have a conda of its own at PREFIX, and one that is no use to Ansible: it is left alone, and ours is beside it, at
# PREFIX-slipway. Once it is there it stays in use, whatever becomes of the other one. An environment at ENV is treated likewise.

say() { printf 'slipway:%s=%s\n' "$1" "$2"; }
ours() { [ -e "$1/.slipway.json" ]; }

# Ansible's modules run from Python 3.9 on.
usable='import sys; sys.version_info >= (3, 9) and print(sys.executable)'
python=
python_of() {
    python=$("$1" -I -c "${2:-}$usable" 2>/dev/null </dev/null) || python=
    [ -n "$python" ]
}

conda=$1
if ours "$1"; then python_of "$conda/bin/python"
elif ours "$1-slipway"; then conda=$1-slipway; python_of "$conda/bin/python"
# Slipway's own modules import ruamel.yaml as well: each base has had it for years, and only that of an old one is missing.
elif [ -e "$1/conda-meta/history" ]; then python_of "$conda/bin/python" 'import ruamel.yaml; ' || conda=$1-slipway
fi
# What the host has does for asking questions, and for the modules that need the standard library alone.
[ -n "$python" ] || python_of python3 || python_of /usr/libexec/platform-python

env=$2
case $env in "$1"/*) env=$conda${env#"$1"} ;; esac
! ours "$env-slipway" || env=$env-slipway

libc=$(getconf GNU_LIBC_VERSION 2>/dev/null)

echo # a banner may have left its line open
say user "$(id -un)"
say home "$HOME"
say arch "$(uname -m)"
say glibc "${libc#glibc }"
say login_host "$(uname -n)"
say conda "$conda"
say env "$env"
say python "$python"
