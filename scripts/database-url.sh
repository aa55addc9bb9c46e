# Sourced by backup.sh and restore.sh: options for MySQL and MariaDB clients to connect to the database of
# TASK_MANAGER_DATABASE_URL. The password is passed in a file that only its owner can read, since the
# arguments of a process are visible to every user of the machine.
# shellcheck shell=bash

fail() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

# The first of these programs that is installed.
first_of() {
    local program
    for program in "$@"; do
        if command -v "$program" >/dev/null; then
            echo "$program"
            return
        fi
    done
    fail "none of these programs is installed: $*"
}

decode() { printf '%b' "${1//%/\\x}"; }

# A value in double quotes, in the syntax of option files.
quoted() {
    local value=${1//\\/\\\\}
    printf '"%s"' "${value//\"/\\\"}"
}

# write_client_options FILE: writes an option file, and sets `database_name` of the caller.
# shellcheck disable=SC2034
write_client_options() {
    local url=${TASK_MANAGER_DATABASE_URL:?set it to the database of the fleet, as mysql://USER:PASSWORD@HOST:PORT/DATABASE}
    local pattern='^mysql://([^:@/]+)(:([^@/]*))?@([^:/@]+|\[[0-9a-fA-F:]+\])(:([0-9]+))?/([^/?]+)(\?(.*))?$'
    [[ $url =~ $pattern ]] || fail "TASK_MANAGER_DATABASE_URL is not mysql://USER:PASSWORD@HOST:PORT/DATABASE"
    local user=${BASH_REMATCH[1]} password=${BASH_REMATCH[3]} host=${BASH_REMATCH[4]} port=${BASH_REMATCH[6]}
    local parameters=${BASH_REMATCH[9]}
    database_name=$(decode "${BASH_REMATCH[7]}")
    host=${host#[}
    host=${host%]}
    {
        echo "[client]"
        echo "protocol=tcp"
        echo "host=$host"
        echo "port=${port:-3306}"
        echo "user=$(quoted "$(decode "$user")")"
        echo "password=$(quoted "$(decode "$password")")"
        [[ ! $parameters =~ (^|&)ssl_ca=([^&]+) ]] || echo "ssl-ca=$(quoted "$(decode "${BASH_REMATCH[2]}")")"
    } >"$1"
}
