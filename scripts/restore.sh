#!/usr/bin/env bash
# Restores a backup of backup.sh to an empty database and an empty folder. No task manager may use them
# meanwhile: it would create tables, and delete files that belong to no task.
#
# Tasks that were running are queued again when their lease has expired. Tasks that were queued are
# dispatched again within about a minute, since the new broker has no messages of them.
set -euo pipefail

usage() {
    cat <<'USAGE'
Usage: scripts/restore.sh fleet BACKUP
       scripts/restore.sh compose BACKUP
       scripts/restore.sh standalone BACKUP DATA

  fleet        Into the empty database TASK_MANAGER_DATABASE_URL and the new or empty folder
               TASK_MANAGER_STORAGE. Start the task managers then, with an empty broker or another
               TASK_MANAGER_QUEUE_PREFIX, and the JWT key of before if sessions are to stay valid.
  compose      Into the volumes of compose.yaml, which must not exist or be empty, with the same .env.
               Starts the database, and nothing else.
  standalone   Into the new or empty folder DATA, for `taskctl standalone --data DATA`

A restored schedule sends the e-mail that was due meanwhile. For a copy beside the original, set
TASK_MANAGER_RUN_SCHEDULES=false.
USAGE
}

# How long a new database may take to start, in seconds.
readonly START_DEADLINE=180

umask 077
# shellcheck source=scripts/database-url.sh
source "$(dirname "${BASH_SOURCE[0]}")/database-url.sh"

say() { printf 'restore: %s\n' "$*"; }

require_empty() {
    [[ ! -e $1 || -d $1 && -z $(find "$1" -mindepth 1 ! -type d -print -quit) ]] || fail "$1 is not empty"
}

fleet() {
    local backup=$1 bucket=${TASK_MANAGER_STORAGE:?set it to the folder for raw_data and processed_data}
    [[ -e $backup/database.sql.gz ]] || fail "$backup has no database.sql.gz"
    [[ $bucket == *://* ]] || require_empty "$bucket"
    local database_name client tables
    options=$(mktemp)
    trap 'rm -f "$options"' EXIT
    client=$(first_of mariadb mysql)
    write_client_options "$options"
    client() { "$client" --defaults-extra-file="$options" --default-character-set=utf8mb4 "$@" "$database_name"; }
    tables=$(client --batch --skip-column-names --execute="SHOW TABLES")
    [[ -z $tables ]] || fail "the database $database_name is not empty"
    if [[ $bucket == *://* ]]; then
        say "the files in $bucket stay as they are"
    else
        mkdir -p "$bucket"
        cp -a "$backup/local_storage/." "$bucket"
        sync -f "$bucket"
    fi
    say "loading $database_name by $client"
    gzip -cd "$backup/database.sql.gz" | client
}

# Like `fleet`, with the programs in the containers.
compose() {
    local backup=$1 compose tables
    compose=$(dirname "${BASH_SOURCE[0]}")/compose.sh
    [[ -e $backup/database.sql.gz ]] || fail "$backup has no database.sql.gz"
    [[ -z $("$compose" ps --quiet task_manager) ]] || fail "the task manager is running"
    "$compose" up --detach database
    # shellcheck disable=SC2016
    client() { "$compose" exec -T database sh -c 'MYSQL_PWD=$MYSQL_PASSWORD exec mysql --protocol=tcp --host=127.0.0.1 --default-character-set=utf8mb4 --user=tasks "$@" tasks' mysql "$@"; }
    # It listens on TCP when its first start is complete.
    until tables=$(client --batch --skip-column-names --execute="SHOW TABLES" </dev/null 2>/dev/null); do
        ((SECONDS < START_DEADLINE)) || fail "the database does not answer after $START_DEADLINE s"
        sleep 1
    done
    [[ -z $tables ]] || fail "the database has tables"
    tar --create --file=- --directory="$backup/local_storage" . |
        "$compose" run --rm -T --no-deps --entrypoint tar task_manager \
            --extract --file=- --directory=/data --no-same-owner --keep-old-files
    gzip -cd "$backup/database.sql.gz" | client
}

standalone() {
    local backup=$1 data=$2
    [[ -e $backup/tasks.sqlite ]] || fail "$backup has no tasks.sqlite"
    require_empty "$data"
    mkdir -p "$data"
    cp -a "$backup/." "$data"
    sync -f "$data"
}

case ${1:-}:$# in
    fleet:2 | compose:2 | standalone:3) ;;
    *)
        usage >&2
        exit 2
        ;;
esac
"$@"
say "done"
