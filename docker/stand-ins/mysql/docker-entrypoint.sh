#!/usr/bin/env bash
# The part of the official entry point that the project uses: MYSQL_ROOT_PASSWORD (required),
# MYSQL_DATABASE, MYSQL_USER and MYSQL_PASSWORD are applied when the volume is empty.
set -euo pipefail

readonly DATA=/var/lib/mysql
# Exists once the volume is complete. An initialization that was interrupted is repeated.
readonly COMPLETE=$DATA/.initialized

# A string literal of SQL.
quoted() { printf "'%s'" "$(sed -e 's/\\/\\\\/g' -e "s/'/''/g" <<<"$1")"; }

initial_sql() {
    local root user
    root=$(quoted "$MYSQL_ROOT_PASSWORD")
    echo "FLUSH PRIVILEGES;"
    echo "ALTER USER 'root'@'localhost' IDENTIFIED BY $root;"
    echo "CREATE USER 'root'@'%' IDENTIFIED BY $root;"
    echo "GRANT ALL ON *.* TO 'root'@'%' WITH GRANT OPTION;"
    [[ -z ${MYSQL_DATABASE:-} ]] || echo "CREATE DATABASE \`$MYSQL_DATABASE\`;"
    [[ -n ${MYSQL_USER:-} ]] || return 0
    user=$(quoted "$MYSQL_USER")
    echo "CREATE USER $user@'%' IDENTIFIED BY $(quoted "$MYSQL_PASSWORD");"
    [[ -z ${MYSQL_DATABASE:-} ]] || echo "GRANT ALL ON \`$MYSQL_DATABASE\`.* TO $user@'%';"
}

initialize() {
    local sql
    if [[ -z ${MYSQL_ROOT_PASSWORD:-} ]]; then
        echo "MYSQL_ROOT_PASSWORD must be set" >&2
        exit 1
    fi
    find "$DATA" -mindepth 1 -delete
    sql=$(mktemp)
    initial_sql >"$sql"
    chown mysql "$sql"
    echo "Initializing the database"
    "$@" --user=mysql --initialize-insecure --init-file="$sql"
    rm "$sql"
    touch "$COMPLETE"
}

if [[ ${1:-} == -* ]]; then
    set -- mysqld "$@"
fi
if [[ ${1:-} == mysqld ]]; then
    chown mysql:mysql "$DATA"
    [[ -e $COMPLETE ]] || initialize "$@"
    set -- "$@" --user=mysql
fi
exec "$@"
