#!/usr/bin/env bash
# Writes the secrets of compose.yaml into a file that only its owner can read, unless the file exists.
set -euo pipefail

if [[ $# -ne 1 ]]; then
    echo "Usage: scripts/make-env.sh FILE" >&2
    exit 2
fi
file=$1
[[ ! -e $file ]] || exit 0

random() { od -An -tx1 -N 32 /dev/urandom | tr -d ' \n'; }

umask 077
draft=$(mktemp "$file.XXXXXX")
trap 'rm -f "$draft"' EXIT
{
    echo "# Secrets of compose.yaml, made at random. The passwords are set when the volumes are made:"
    echo "# a new one here does not change them there."
    for name in DATABASE_ROOT_PASSWORD DATABASE_PASSWORD BROKER_PASSWORD BROKER_COOKIE SERVICE_TOKEN \
        JWT_KEY; do
        echo "$name=$(random)"
    done
} >"$draft"
# Unlike mv, it never replaces a file that another run has made meanwhile.
ln "$draft" "$file" 2>/dev/null || [[ -e $file ]]
