#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Gets the installer, from its URL or from a file on the cluster, to a place of our own, where nobody can exchange it once it is verified.
# Sent between common.sh and install.sh.
# shellcheck disable=SC2154 # common.sh sets the variables

# Prints nothing, and sets $got for the marker and the messages.
measure() { got=$(sha256sum "$installer") && got=${got%% *}; }
matches() { [ -s "$installer" ] && measure && [ "$got" = "$sum" ]; }
# Nothing to compare with (miniconda_verify: false): then a transfer that ended well has to be enough.
arrived() { if [ -n "$sum" ]; then matches; else [ "$outcome" = "${tool}0" ] && [ -s "$installer" ] && measure; fi; }

# One try, which continues what is there. A transfer that stands still for a minute counts as broken.
fetch() {
    case $tool in
        curl)
            set -- --fail --location --silent --show-error --netrc-optional --retry 3 --connect-timeout 20 --speed-limit 1024 --speed-time 60 \
                --continue-at - --output "$installer" ;;
        wget)
            set -- --no-verbose --tries=1 --timeout=60 --continue --output-document="$installer" ;;
    esac
    within "$tool" "$@" "$url" >"$work/log" 2>&1
}

download() {
    tool=curl
    command -v curl >/dev/null || tool=wget
    command -v "$tool" >/dev/null || fail "neither curl nor wget is on the PATH of $(uname -n): nothing can be downloaded there. Set miniconda_source to controller or file."
    # Else curl and wget go by what the account's own environment says.
    [ -z "$proxy" ] || export http_proxy="$proxy" https_proxy="$proxy"
    for pause in 1 3 0; do
        # What can't be verified can't be continued either: the part may be of another file.
        [ -n "$sum" ] || rm -f "$installer"
        resumed=no; [ ! -s "$installer" ] || resumed=yes
        fetch
        outcome=$tool$?
        arrived && return
        [ "$outcome" != "${tool}124" ] ||
            fail "$url did not arrive within $limit s; the part that is there is kept, and the next run goes on from it. Raise miniconda_timeout, or look for what is slow between $(uname -n) and the server."
        # Whole, from its first byte to its last, and yet another file, or refused by the server (404): it will not get better. One that is
        # busy (429, 503) might; curl has seen to that by --retry, and wget has one code for both.
        case $resumed$outcome in
            nocurl0 | nowget0 | nocurl22) break ;;
            nowget8) ! grep -q ' 40[0-9]' "$work/log" || break ;;
        esac
        # Not every server can continue, and the part may be of another file: then begin anew. A new transfer that broke is continued.
        [ "$resumed" = no ] || rm -f "$installer"
        sleep "$pause"
    done
    [ "${outcome#"$tool"}" -eq 0 ] ||
        fail "$url could not be downloaded: $(last_words 1). Check miniconda_base_url or miniconda_installer_url, and the proxy of $(uname -n) (miniconda_proxy); where it has no way out, set miniconda_source to controller."
    rm -f "$installer"
    fail "$url has sha256 ${got:-of an empty file}, but $sum is expected; it was not run. If the file is the right one, set miniconda_installer_sha256."
}

take() {
    if [ ! -r "$file" ]; then
        say missing "$file"
        fail "there is no installer at $file on $(uname -n) that $(id -un) can read. Put it there, or correct miniconda_installer_file or miniconda_staging."
    fi
    within cp "$file" "$installer" || fail "$file could not be copied to $work."
    [ -n "$sum" ] || { measure; return; }
    matches && return
    rm -f "$installer"
    fail "$file has sha256 ${got:-of an empty file}, but $sum is expected; it was not run. Remove it, or correct miniconda_installer_sha256 if it is the right one."
}

obtain() {
    matches && return
    if [ -n "$file" ]; then take; else download; fi
}
