#!/usr/bin/env bash
# Tests the API against its OpenAPI document with schemathesis: a server that requires no login, and one that
# does. Each has its own data folder, which is deleted after the test.
#
#   scripts/test-api.sh TASKCTL SCHEMATHESIS
#
# Each of the two runs takes little more than MAX_TIME seconds.
set -euo pipefail

taskctl=$(realpath "$1")
schemathesis=$(realpath "$2")
here=$(realpath "$(dirname "$0")")/schemathesis
max_time=${MAX_TIME:-75}
folder=$(mktemp -d)
server=

stop() {
    if [[ -n $server ]]; then
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
        server=
    fi
}
trap 'stop; rm -rf "$folder"' EXIT

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# Starts a server on a data folder of this name; sets `url`.
start() {
    local data=$folder/$1 port
    mkdir "$data"
    port=$(free_port)
    url=http://127.0.0.1:$port
    # Otherwise, most logins and sign-ups would be throttled, and test nothing.
    TASK_MANAGER_TRIES_BY_NAME=1000000 TASK_MANAGER_TRIES_BY_ADDRESS=1000000 \
        "$taskctl" standalone --listen "127.0.0.1:$port" --data "$data" >"$data.log" 2>&1 &
    server=$!
    local tries
    for ((tries = 0; tries < 100; tries++)); do
        if curl -sf -o /dev/null "$url/healthz"; then
            return
        fi
        kill -0 "$server" || break
        sleep 0.2
    done
    cat "$data.log" >&2
    exit 1
}

run() {
    cd "$folder"
    SCHEMATHESIS_HOOKS=$here/hooks.py PYTHONPATH=$here \
        "$schemathesis" --config-file "$here/schemathesis.toml" --no-color \
        run "$url/openapi.json" --max-time "$max_time" "$@"
}

json() { curl -sSf -H 'Content-Type: application/json' "$@"; }

printf '\n==> without a login\n'
start alone
run
stop

printf '\n==> with a login\n'
export TASK_MANAGER_LOGIN_REQUIRED=true
start login
echo 'Pa55word!' | "$taskctl" admin create --username tester --data "$folder/login" >/dev/null
token=$(json -d '{"username": "tester", "password": "Pa55word!"}' "$url/v1/sessions" |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["token"])')
# These would end the only session.
run -H "Authorization: Bearer $token" --exclude-name 'DELETE /v1/sessions/current' \
    --exclude-name 'DELETE /v1/sessions/{id}' --exclude-name 'PUT /v1/users/{user_id}/password'
