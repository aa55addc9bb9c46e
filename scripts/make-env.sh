#!/usr/bin/env bash
# Prepares compose.yaml: creates a file of settings that only its owner can read, with random secrets, and the
# folder of the bucket, which is owned by the user of the containers. Existing settings are kept; missing
# ones are added.
set -euo pipefail

if [[ $# -lt 1 || $# -gt 2 ]]; then
    echo "Usage: scripts/make-env.sh FILE [BUCKET]" >&2
    exit 2
fi
file=$1
bucket=${2:-$(dirname "${BASH_SOURCE[0]}")/../local_storage/compose}
readonly file bucket
readonly SECRETS=(DATABASE_ROOT_PASSWORD DATABASE_PASSWORD BROKER_PASSWORD BROKER_COOKIE
    SERVICE_TOKEN JWT_KEY)
# The user of docker/Dockerfile.
readonly IMAGE_USER=10001

random() { od -An -tx1 -N 32 /dev/urandom | tr -d ' \n'; }

has() { grep -qs "^$1=" "$file"; }

# The user and group of a file, as numbers.
owner_of() {
    local owner group
    read -r _ _ owner group _ < <(ls -nd "$1")
    echo "$owner:$group"
}

# The containers do not run as root, but as the owner of the repository, even if this runs under sudo.
bucket_user() {
    local owner
    owner=$(owner_of "$(dirname "$bucket")")
    [[ $owner != 0:* ]] || owner=$IMAGE_USER:$IMAGE_USER
    echo "$owner"
}

missing_settings() {
    local name
    for name in "${SECRETS[@]}"; do
        has "$name" || echo "$name=$(random)"
    done
    has BUCKET_USER || echo "BUCKET_USER=$(bucket_user)"
}

mkdir -p "$bucket"
umask 077
draft=$(mktemp "$file.XXXXXX")
trap 'rm -f "$draft"' EXIT
{
    echo "# Settings of compose.yaml. The passwords are random, and set when the volumes are made: a new"
    echo "# one here does not change them there. BUCKET_USER owns the folder of the bucket."
    missing_settings
} >"$draft"
# Unlike mv, it never replaces a file that a concurrent run has created.
if ! ln "$draft" "$file" 2>/dev/null; then
    missing=$(missing_settings)
    [[ -z $missing ]] || printf '\n%s\n' "$missing" >>"$file"
fi
if [[ $EUID -eq 0 ]]; then
    chown "$(sed -n 's/^BUCKET_USER=//p' "$file" | tail -n 1)" "$bucket"
fi
