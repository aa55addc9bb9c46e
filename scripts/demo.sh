#!/usr/bin/env bash
# A demonstration of the platform of compose.yaml, which must be running: a new user uploads a generated
# file, watches its task and downloads the sums. Everything runs in containers; Rust is not needed.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

random() { od -An -tx1 -N 4 /dev/urandom | tr -d ' \n'; }

# -T, since the password comes from standard input. Messages of compose about the container are hidden.
run() { scripts/compose.sh run --rm -T "$@" 2> >(grep -v '^Creating\|^ Container' >&2); }
taskctl() { run taskctl "$@"; }

name=demo$(random)
password=Pw-$(random)
printf '%s\n' "$password" | taskctl register "$name"
printf '%s\n' "$password" | taskctl login "$name"
taskctl fake-songs --rows 100000 --songs 50 --days 30 --output demo.csv
taskctl upload demo.csv --output sums.csv
echo "The first of the sums:"
run --entrypoint head taskctl -n 6 sums.csv
echo "The user $name has the password $password. The API is described at http://${API_ADDRESS:-127.0.0.1}:${API_PORT:-5000}/docs/"
