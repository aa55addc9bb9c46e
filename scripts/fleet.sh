#!/usr/bin/env bash
# Runs the programs of the fleet in the foreground, on the private services of `services.sh`, which must be
# running. Variables TASK_MANAGER_… and DATA_PROCESSOR_… of the caller take precedence over those set here.
#
# Not here: building the programs, starting the services (Makefile).
set -euo pipefail

usage() {
    cat <<'USAGE'
Usage: scripts/fleet.sh all|manager|worker FOLDER_OF_PROGRAMS

  all       One task manager and WORKERS (2) workers with prefixed log lines, until Ctrl-C. A
            program that ends or is killed meanwhile is restarted.
  manager   One task manager
  worker    One worker
USAGE
}

# How long the programs may take to end before they are killed, in seconds. Workers drain for 5 s by default.
readonly END_DEADLINE=30
# A program that ends within this many seconds after its start is not restarted: it would fail again.
readonly STAYS_UP=3

scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

say() { printf 'fleet    | %s\n' "$*"; }

export_settings() {
    local settings line name
    settings=$("$scripts/services.sh" env-fleet)
    while IFS= read -r line; do
        name=${line%%=*}
        [[ -n ${!name:-} ]] || export "${line?}"
    done <<<"$settings"
    # Any free port, so that workers do not conflict. Each logs its own.
    export DATA_PROCESSOR_LISTEN=${DATA_PROCESSOR_LISTEN:-127.0.0.1:0}
}

# A fleet requires a login, and has no users at first.
say_how_to_log_in() {
    local api=http://$TASK_MANAGER_LISTEN
    say "every request needs a token; sign up once, then log in:"
    say "  curl $api/v1/users -H 'Content-Type: application/json' -d '{\"username\":\"alice\",\"password\":\"Pa55word!\"}'"
    say "  TOKEN=\$(curl -s $api/v1/sessions -H 'Content-Type: application/json' -d '{\"username\":\"alice\",\"password\":\"Pa55word!\"}' | sed -n 's/.*\"token\":\"\([^\"]*\)\".*/\1/p')"
    say "  curl -H \"Authorization: Bearer \$TOKEN\" $api/v1/tasks"
    say "or: taskctl --server $api register alice, and taskctl --server $api login alice"
}

# --- All of them: index 0 is the manager, the others are workers ---------------------------------

pids=()
started=()

name_of() { if (($1 == 0)); then echo "manager "; else echo "worker $1"; fi; }

prefix() {
    local line
    while IFS= read -r line || [[ -n $line ]]; do
        printf '%s | %s\n' "$1" "$line"
    done
}

# Each program has its own process group, so that Ctrl-C reaches only this script, which ends them in order.
launch() {
    local command=("$programs/task_manager" serve)
    if (($1 > 0)); then
        command=(env DATA_PROCESSOR_WORKER_NAME="worker-$1" "$programs/data_processor")
    fi
    set -m
    "${command[@]}" </dev/null > >(prefix "$(name_of "$1")") 2>&1 &
    pids[$1]=$!
    set +m
    started[$1]=$SECONDS
}

runs() { [[ -n ${pids[$1]:-} ]] && kill -0 "${pids[$1]}" 2>/dev/null; }

# end INDEX…: ends these programs at the same time.
end() {
    local i deadline=$((SECONDS + END_DEADLINE))
    for i in "$@"; do
        ! runs "$i" || kill -TERM "${pids[$i]}" 2>/dev/null || true
    done
    for i in "$@"; do
        while runs "$i" && ((SECONDS < deadline)); do
            sleep 0.1
        done
        if runs "$i"; then
            say "$(name_of "$i") does not end within $END_DEADLINE s and is killed"
            kill -KILL "${pids[$i]}" 2>/dev/null || true
        fi
        wait "${pids[$i]:-}" 2>/dev/null || true
    done
}

end_all() {
    trap '' INT TERM HUP
    say "ending"
    end "${workers[@]}"
    end 0
}

watch() {
    local i status
    # The message of bash about a killed child is replaced by the one below.
    while { sleep 0.5; } 2>/dev/null; do
        for i in 0 "${workers[@]}"; do
            ! runs "$i" || continue
            status=0
            wait "${pids[$i]}" 2>/dev/null || status=$?
            say "$(name_of "$i") ended with status $status"
            if ((SECONDS - started[i] < STAYS_UP)); then
                exit 1
            fi
            launch "$i"
        done
    done
}

run_all() {
    workers=()
    local i
    for ((i = 1; i <= ${WORKERS:-2}; i++)); do
        workers+=("$i")
    done
    trap end_all EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    for i in 0 "${workers[@]}"; do
        launch "$i"
    done
    say_how_to_log_in
    watch
}

if [[ $# -ne 2 ]]; then
    usage >&2
    exit 2
fi
programs=$2
export_settings
case $1 in
    all) run_all ;;
    manager) exec "$programs/task_manager" serve ;;
    worker) exec "$programs/data_processor" ;;
    *)
        usage >&2
        exit 2
        ;;
esac
