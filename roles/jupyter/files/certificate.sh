#!/bin/sh
# Makes a certificate for localhost, or renews one of ours; says "made" if so.
#
#   sh -s -- CERTIFICATE KEY USER FOLDER [check]     what lies below FOLDER is ours; check: only say it
set -eu
certificate=$1 key=$2 user=$3 folder=$4

is_ours() { case $1 in "$folder"/*) ;; *) return 1 ;; esac }

if [ -e "$certificate" ]; then
    # The user's own, or good for another 30 days.
    is_ours "$certificate" || exit 0
    ! openssl x509 -checkend 2592000 -noout -in "$certificate" > /dev/null || exit 0
fi
if [ -e "$key" ] && ! is_ours "$key"; then
    printf '%s: a key of your own, without a certificate that fits\n' "$key" >&2
    printf '  rule:   what is made are both, and a key is never replaced\n' >&2
    printf '  remedy: put its certificate at %s, or name another jupyter_certificate_key\n' "$certificate" >&2
    exit 1
fi
echo made
[ "${5:-}" != check ] || exit 0

umask 077
mkdir -p "$(dirname "$certificate")" "$(dirname "$key")"
openssl req -x509 -newkey rsa:3072 -nodes -days 825 -subj "/CN=localhost/O=$user" \
    -addext "subjectAltName=DNS:localhost,IP:127.0.0.1" -keyout "$key.new" -out "$certificate.new"
# The certificate last: a run that is killed here is taken up by the next.
rm -f "$certificate"
mv "$key.new" "$key"
mv "$certificate.new" "$certificate"
