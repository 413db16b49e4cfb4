#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# What the controller must know about a host, asked once and without Python.
# Each answer is a line `slipway:KEY=VALUE`, so banners and chatty shell profiles around them do no harm.
#
#   probe.sh PREFIX     where conda is, or will be

say() { printf 'slipway:%s=%s\n' "$1" "$2"; }

# Ansible's modules run from Python 3.9 on. The base at the prefix comes first: it has what they import.
usable='import sys; sys.version_info >= (3, 9) and print(sys.executable)'
python=
for candidate in "$1/bin/python" python3 /usr/libexec/platform-python; do
    python=$("$candidate" -I -c "$usable" 2>/dev/null </dev/null) && [ -n "$python" ] && break
    python=
done

echo # a banner may have left its line open
say user "$(id -un)"
say home "$HOME"
say arch "$(uname -m)"
say login_host "$(uname -n)"
say python "$python"
