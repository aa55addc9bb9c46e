#!/usr/bin/env bash
# Measures data uploads, and checks that no fault loses or duplicates a row. A file of ROWS (5000000) rows is
# loaded by a fleet of one task manager and one worker, and for comparison by the database's own LOAD DATA
# LOCAL INFILE into a table with the same columns, interleaved, RUNS (5) times each; then once for each
# interrupt and fault. Prints rows per second, medians for the comparison, and the CPU time of a run.
#
# It uses the private services of `services.sh`, which must be running, with a database of its own.
#
# Not here: building the programs, starting the services (Makefile).
set -euo pipefail

if [[ $# -ne 1 ]]; then
    echo "Usage: scripts/bench-load.sh FOLDER_OF_PROGRAMS" >&2
    exit 2
fi
programs=$(cd "$1" && pwd)
rows=${ROWS:-5000000}
runs=${RUNS:-5}
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
median() { sort -n | awk '{ of[NR] = $1 } END { print (of[int((NR + 1) / 2)] + of[int(NR / 2) + 1]) / 2 }'; }
# The CPU time so far of the services, the task manager and the worker, without clients that have ended.
processor_seconds() {
    local services
    read -r -a services <<<"$("$scripts/services.sh" status | grep -o 'process [0-9]*' | tr -dc '0-9\n' | tr '\n' ' ')"
    python3 "$scripts/../benches/processor_time.py" "${services[@]}" "$manager" "$worker"
}
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
    # The log may not exist yet.
    touch "$log"
    for ((tries = 0; tries < 300; tries++)); do
        TASKCTL_SERVER=$(sed -n 's/.*listening on \(http:[^ ]*\).*/\1/p' "$log")
        [[ -z $TASKCTL_SERVER ]] || break
        sleep 0.1
    done
    [[ -n $TASKCTL_SERVER ]] || fail "the task manager does not start"
    # A restarted task manager uses the same address, so that the worker finds it.
    export TASKCTL_SERVER TASK_MANAGER_LISTEN=${TASKCTL_SERVER#http://}
    export DATA_PROCESSOR_TASK_MANAGER_URL=$TASKCTL_SERVER
}

start_worker() {
    DATA_PROCESSOR_LISTEN=127.0.0.1:0 "$scripts/fleet.sh" worker "$programs" \
        >"$folder/worker.$SECONDS.log" 2>&1 &
    worker=$!
}

# sigkill PID: kills a process, without the message of bash.
sigkill() { kill -KILL "$1" && wait "$1" 2>/dev/null || true; }

# A fleet requires a login. The token stays valid when the task manager restarts.
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

# reach ID PERCENT: waits until this part of the file is loaded.
reach() {
    local loaded
    while true; do
        loaded=$(task status "$1" 2>/dev/null | number rows_loaded) || loaded=''
        ((${loaded:-0} < rows * $2 / 100)) || return 0
        sleep 0.05
    done
}

# finish ID: waits for the end, and checks that every row was loaded once and in order.
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

# remove ID: deletes the task, and its rows immediately: deleting them in the background would slow down the next run.
remove() {
    task delete "$1" >/dev/null 2>&1 || true
    sql "$database" -e "TRUNCATE file_data"
}

# --- The benchmark -----------------------------------------------------------------------------

"$programs/taskctl" fake-people --rows "$rows" --output "$file" 2>/dev/null
sql -e "CREATE DATABASE $database"
start_manager
log_in
start_worker
say "rows" "$rows ($(stat -c %s "$file") bytes)"

load_data() {
    sql "$database" -e "CREATE TABLE compared LIKE file_data"
    local start before
    before=$(processor_seconds)
    start=$(now)
    sql --local-infile=1 "$database" -e "SET @row = 0; LOAD DATA LOCAL INFILE '$file' INTO TABLE compared
        CHARACTER SET utf8mb4 FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '\"' IGNORE 1 LINES (name, email)
        SET task_id = UNHEX('00112233445566778899aabbccddeeff'), \`row\` = (@row := @row + 1),
            created_at = NOW(6), updated_at = NOW(6)"
    since "$start" >>"$folder/compared"
    used "$before" >>"$folder/compared.used"
    sql "$database" -e "DROP TABLE compared"
}

data_upload() {
    local id before
    before=$(processor_seconds)
    id=$(upload)
    finish "$id"
    seconds_of_task >>"$folder/plain"
    used "$before" >>"$folder/plain.used"
    remove "$id"
}

# used BEFORE: the CPU time since then.
used() { awk -v before="$1" -v now="$(processor_seconds)" 'BEGIN { print now - before }'; }
with_processor() { awk -v used="$2" -v rate="$1" 'BEGIN { printf "%s, %.1f s of processors", rate, used }'; }

for ((run = 0; run < runs; run++)); do
    load_data
    data_upload
done
compared=$(median <"$folder/compared")
plain=$(median <"$folder/plain")
say "LOAD DATA LOCAL INFILE" "$(with_processor "$(rate "$rows" "$compared")" "$(median <"$folder/compared.used")")"
say "data_upload" "$(with_processor "$(rate "$rows" "$plain")" "$(median <"$folder/plain.used")")"
say "  of LOAD DATA's speed, medians of $runs" "$(awk -v a="$compared" -v b="$plain" 'BEGIN { printf "%.2f", a / b }')"

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
# Its lease expires later; a kill and a resume do not wait for that.
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
[[ $(text state <"$folder/task.json") == stopped ]] || fail "the task is not stopped"
left=$(sql "$database" -e "SELECT COUNT(*) FROM file_data WHERE task_id = UNHEX('${id//-/}')")
[[ $left == 0 ]] || fail "$left rows are left after a stop"
say "stopped at 50 %, all rows removed after" "$(awk -v s="$(since "$start")" 'BEGIN { printf "%.1f s", s }')"
