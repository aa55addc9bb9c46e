#!/usr/bin/env bash
# How fast a data upload is, and that no fault costs or doubles a row: a file of ROWS (5000000) rows is
# loaded by a fleet of one task manager and one worker, once for each verb, and for comparison by the
# database's own LOAD DATA LOCAL INFILE into a table of the same shape. Prints rows per second.
#
# It runs on the private services of `services.sh`, which must run, in a database of its own there.
#
# Not here: building the programs, starting the services (Makefile).
set -euo pipefail

if [[ $# -ne 1 ]]; then
    echo "Usage: scripts/bench-load.sh FOLDER_OF_PROGRAMS" >&2
    exit 2
fi
programs=$(cd "$1" && pwd)
rows=${ROWS:-5000000}
scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=$(mktemp -d)
database=bench_load_$$
file=$folder/people.csv
manager='' worker=''

say() { printf '%-44s %s\n' "$1" "$2"; }
fail() { echo "bench-load: $*; the logs are in $folder" >&2 && trap end EXIT && exit 1; }
sql() { "$scripts/services.sh" mariadb --batch --skip-column-names "$@"; }
rate() { awk -v rows="$1" -v seconds="$2" 'BEGIN { printf "%.1f s, %d rows/s", seconds, rows / seconds }'; }
now() { date +%s.%N; }
since() { awk -v start="$1" -v now="$(now)" 'BEGIN { print now - start }'; }

end() {
    [[ -z $worker ]] || kill -KILL "$worker" 2>/dev/null || true
    [[ -z $manager ]] || kill -KILL "$manager" 2>/dev/null || true
    wait 2>/dev/null || true
    sql -e "DROP DATABASE IF EXISTS $database"
}
trap 'end; rm -rf "$folder"' EXIT

# --- The fleet ---------------------------------------------------------------------------------

url=$("$scripts/services.sh" env-fleet | sed -n 's/^TASK_MANAGER_DATABASE_URL=//p')
export TASK_MANAGER_DATABASE_URL=${url%/*}/$database
export TASK_MANAGER_LISTEN=127.0.0.1:0
export TASK_MANAGER_STORAGE=$folder/bucket DATA_PROCESSOR_STORAGE=$folder/bucket
export TASK_MANAGER_QUEUE_PREFIX=$database DATA_PROCESSOR_QUEUE_PREFIX=$database

start_manager() {
    local log=$folder/manager.$SECONDS.log tries
    "$scripts/fleet.sh" manager "$programs" >"$log" 2>&1 &
    manager=$!
    # It is read before the program has made it.
    touch "$log"
    for ((tries = 0; tries < 300; tries++)); do
        TASKCTL_SERVER=$(sed -n 's/.*listening on \(http:[^ ]*\).*/\1/p' "$log")
        [[ -z $TASKCTL_SERVER ]] || break
        sleep 0.1
    done
    [[ -n $TASKCTL_SERVER ]] || fail "the task manager does not start"
    # The next one listens there too, so that the worker finds it.
    export TASKCTL_SERVER TASK_MANAGER_LISTEN=${TASKCTL_SERVER#http://}
    export DATA_PROCESSOR_TASK_MANAGER_URL=$TASKCTL_SERVER
}

start_worker() {
    DATA_PROCESSOR_LISTEN=127.0.0.1:0 "$scripts/fleet.sh" worker "$programs" \
        >"$folder/worker.$SECONDS.log" 2>&1 &
    worker=$!
}

# sigkill PID: at once, and without bash's words on it.
sigkill() { kill -KILL "$1" && wait "$1" 2>/dev/null || true; }

# A fleet asks for a login; the token outlives a restart of the manager.
log_in() {
    local user='{"username":"benchmark","password":"Pa55word!"}' as_json='Content-Type: application/json'
    curl -fsS -o /dev/null -H "$as_json" -d "$user" "$TASKCTL_SERVER/v1/users"
    TASKCTL_TOKEN=$(curl -fsS -H "$as_json" -d "$user" "$TASKCTL_SERVER/v1/sessions" |
        sed -n 's/.*"token":"\([^"]*\)".*/\1/p')
    export TASKCTL_TOKEN
}

# --- Tasks -------------------------------------------------------------------------------------

task() { "$programs/taskctl" --json "$@"; }
number() { sed -n "s/.*\"$1\": \([0-9][0-9]*\).*/\1/p" | head -n 1; }
text() { sed -n "s/.*\"$1\": \"\([^\"]*\)\".*/\1/p" | head -n 1; }

upload() { task upload --kind data_upload "$file" 2>/dev/null | text task_id; }

# reach ID PERCENT: waits until so much of the file is loaded.
reach() {
    local loaded
    while true; do
        loaded=$(task status "$1" 2>/dev/null | number rows_loaded) || loaded=''
        ((${loaded:-0} < rows * $2 / 100)) || return 0
        sleep 0.05
    done
}

# finish ID: waits for the end, and sees that every row is there once and in order.
finish() {
    task watch "$1" >"$folder/task.json" 2>/dev/null || fail "$(<"$folder/task.json")"
    local found hex=${1//-/}
    found=$(sql "$database" -e "SELECT COUNT(*), MIN(\`row\`), MAX(\`row\`), SUM(is_wrong) FROM (
        SELECT \`row\`, SUBSTRING_INDEX(SUBSTRING_INDEX(email, '@', 1), '.', -1) <> \`row\` AS is_wrong
        FROM file_data WHERE task_id = UNHEX('$hex')) AS loaded")
    [[ $found == "$rows"$'\t1\t'"$rows"$'\t0' ]] || fail "rows are missing or wrong: $found"
}

seconds_of_task() {
    local start end
    start=$(date -d "$(text started_at <"$folder/task.json")" +%s.%N)
    end=$(date -d "$(text finished_at <"$folder/task.json")" +%s.%N)
    awk -v start="$start" -v end="$end" 'BEGIN { print end - start }'
}

remove() { task delete "$1" >/dev/null 2>&1 || true; }

# --- The benchmark -----------------------------------------------------------------------------

"$programs/taskctl" fake-people --rows "$rows" --output "$file" 2>/dev/null
sql -e "CREATE DATABASE $database"
start_manager
log_in
start_worker
say "rows" "$rows ($(stat -c %s "$file") bytes)"

sql "$database" -e "CREATE TABLE compared LIKE file_data"
start=$(now)
sql --local-infile=1 "$database" -e "SET @row = 0; LOAD DATA LOCAL INFILE '$file' INTO TABLE compared
    CHARACTER SET utf8mb4 FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '\"' IGNORE 1 LINES (name, email)
    SET task_id = UNHEX('00112233445566778899aabbccddeeff'), \`row\` = (@row := @row + 1),
        created_at = NOW(6), updated_at = NOW(6)"
compared=$(since "$start")
say "LOAD DATA LOCAL INFILE" "$(rate "$rows" "$compared")"
sql "$database" -e "DROP TABLE compared"

id=$(upload)
finish "$id"
plain=$(seconds_of_task)
say "data_upload" "$(rate "$rows" "$plain")"
say "  of LOAD DATA's speed" "$(awk -v a="$compared" -v b="$plain" 'BEGIN { printf "%.2f", a / b }')"
remove "$id"

id=$(upload)
reach "$id" 40
task kill "$id" >/dev/null
task resume "$id" >/dev/null
finish "$id"
say "killed at 40 % and resumed" "$(rate "$rows" "$(seconds_of_task)")"
remove "$id"

id=$(upload)
reach "$id" 30
sigkill "$manager"
start_manager
reach "$id" 60
sigkill "$worker"
start_worker
# Its lease would end in a while; a kill and a resume do not wait for that.
task kill "$id" >/dev/null
task resume "$id" >/dev/null
finish "$id"
say "manager, then worker killed by SIGKILL" "$(rate "$rows" "$(seconds_of_task)")"
remove "$id"

id=$(upload)
reach "$id" 50
start=$(now)
task stop "$id" >/dev/null
task watch "$id" >"$folder/task.json" 2>/dev/null || true
[[ $(text state <"$folder/task.json") == stopped ]] || fail "it is not stopped"
left=$(sql "$database" -e "SELECT COUNT(*) FROM file_data WHERE task_id = UNHEX('${id//-/}')")
[[ $left == 0 ]] || fail "$left rows are left after a stop"
say "stopped at 50 %, all rows removed after" "$(awk -v s="$(since "$start")" 'BEGIN { printf "%.1f s", s }')"
