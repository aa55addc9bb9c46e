#!/usr/bin/env bash
# Backs up all data of the platform to a new folder, while it runs. restore.sh restores it.
#
# Each task in the database must have its files in the backup. A file without a task does no harm, since
# the sweep deletes it. Files are complete before their task is committed, and never change. The order is:
#   1. files        most of them, and those that may be deleted during the backup
#   2. database     one consistent snapshot
#   3. files again  those that are new since step 1
# Unfinished files (name#N) belong to no committed task and are left out. The broker is not backed up: the
# restored task manager dispatches its messages again.
set -euo pipefail

usage() {
    cat <<'USAGE'
Usage: scripts/backup.sh fleet BACKUP
       scripts/backup.sh compose BACKUP
       scripts/backup.sh standalone DATA BACKUP

  fleet        The database TASK_MANAGER_DATABASE_URL and the folder TASK_MANAGER_STORAGE, with
               mariadb-dump or mysqldump
  compose      The volumes of compose.yaml, whose database and task manager must run
  standalone   The data folder of `taskctl standalone`, with sqlite3; without sqlite3, the server must
               be stopped

BACKUP is a new folder that only its owner can read. It contains password hashes, and for a standalone
server the key that signs tokens. It appears when it is complete. Do not upgrade during a backup: the
schema of the database must not change.
USAGE
}

umask 077
# shellcheck source=scripts/database-url.sh
source "$(dirname "${BASH_SOURCE[0]}")/database-url.sh"

# One snapshot, without locks, and with binary columns in hexadecimal.
options=(--single-transaction --quick --skip-lock-tables --hex-blob --no-tablespaces --default-character-set=utf8mb4)

say() { printf 'backup: %s\n' "$*"; }

# copy_files FOLDER [COMMAND…]: all files of the folder that the copy does not have yet, by a tar that COMMAND
# starts. Status 1 of tar says that files went away while it read: their tasks were deleted. Files in `uploads`
# still grow; unfinished uploads are started again after a restore.
copy_files() {
    local folder=$1 copy=$draft/local_storage status=(0 0 0)
    shift
    mkdir -p "$copy"
    (cd "$copy" && find . -type f) |
        "${@:-tar}" --create --file=- --directory="$folder" --exclude='*#*' --anchored --exclude=./uploads --no-wildcards \
            --exclude-from=- --warning=no-file-removed --warning=no-file-changed . |
        tar --extract --file=- --directory="$copy" --preserve-permissions || status=("${PIPESTATUS[@]}")
    ((status[1] <= 1 && status[2] == 0)) || fail "cannot copy the files of $folder"
}

# for_mysql DUMP --help: what the releases of MySQL need. The numbers of transactions are of no use elsewhere;
# masking policies are not the platform's, and its user may not read them.
for_mysql() {
    local help
    help=$("$@")
    [[ $help != *--set-gtid-purged* ]] || options+=(--set-gtid-purged=OFF)
    [[ $help != *--masking-policies* ]] || options+=(--skip-masking-policies)
}

# Some releases of mariadb-dump write a first line that other clients refuse.
write_dump() {
    sed '1{/enable the sandbox mode/d}' | gzip -1 >"$draft/database.sql.gz"
}

require_complete_dump() {
    gzip -cd "$draft/database.sql.gz" | tail -n 1 | grep -q '^-- Dump completed' || fail "the dump is incomplete"
}

fleet() {
    local bucket=${TASK_MANAGER_STORAGE:?set it to the folder with raw_data and processed_data}
    if [[ $bucket == *://* ]]; then
        say "the files in $bucket are not copied; keep their versions for as long as the backup"
        copy_files() { mkdir -p "$draft/local_storage"; }
    fi
    [[ $bucket == *://* || -d $bucket ]] || fail "$bucket is not a folder"
    local dump database_name
    dump=$(first_of mariadb-dump mysqldump)
    for_mysql "$dump" --help
    write_client_options "$draft/client.cnf"
    copy_files "$bucket"
    say "dumping $database_name by $dump"
    "$dump" --defaults-extra-file="$draft/client.cnf" "${options[@]}" "$database_name" | write_dump
    rm "$draft/client.cnf"
    require_complete_dump
    copy_files "$bucket"
}

# Like `fleet`, with the programs in the containers.
compose() {
    local compose in_bucket
    compose=$(dirname "${BASH_SOURCE[0]}")/compose.sh
    in_bucket=("$compose" exec -T task_manager tar)
    copy_files /data "${in_bucket[@]}"
    for_mysql "$compose" exec -T database mysqldump --help
    # shellcheck disable=SC2016
    "$compose" exec -T database sh -c 'MYSQL_PWD=$MYSQL_PASSWORD exec mysqldump "$@" --user=tasks tasks' mysqldump \
        "${options[@]}" </dev/null | write_dump
    require_complete_dump
    copy_files /data "${in_bucket[@]}"
}

standalone() {
    local data=$1 name
    [[ -e $data/tasks.sqlite ]] || fail "$data has no tasks.sqlite"
    [[ ! -d $data/local_storage ]] || copy_files "$data/local_storage"
    if command -v sqlite3 >/dev/null; then
        sqlite3 "$data/tasks.sqlite" ".timeout 10000" ".backup '${draft//\'/\'\'}/tasks.sqlite'"
    else
        # The lock that a running server holds.
        exec 9>>"$data/tasks.lock"
        flock --nonblock 9 || fail "the server is running: install sqlite3, or stop the server"
        for name in tasks.sqlite tasks.sqlite-wal; do
            [[ ! -e $data/$name ]] || cp -p "$data/$name" "$draft"
        done
    fi
    [[ ! -d $data/local_storage ]] || copy_files "$data/local_storage"
    for name in jwt.key task_manager.toml data_processor.toml; do
        [[ ! -e $data/$name ]] || cp -p "$data/$name" "$draft"
    done
}

case ${1:-}:$# in
    fleet:2 | compose:2 | standalone:3) backup=${*: -1} ;;
    *)
        usage >&2
        exit 2
        ;;
esac
[[ ! -e $backup ]] || fail "$backup exists"
mkdir -p "$(dirname "$backup")"
draft=$(mktemp -d "$backup.XXXXXX")
trap 'rm -rf "$draft"' EXIT
"$1" "${@:2:$#-2}"
sync -f "$draft"
mv -T "$draft" "$backup"
say "$(du -sh "$backup" | cut -f1) in $backup"
