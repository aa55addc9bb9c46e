#!/usr/bin/env bash
# Installs missing programs of MariaDB and RabbitMQ for `scripts/services.sh`, from the packages of Debian and
# Ubuntu and without starting a system service. On other systems, it says what to install. It can be run
# again at any time.
#
#   scripts/install-services.sh                      for development and tests, as above
#   scripts/install-services.sh --server             for a server on Debian or Ubuntu, as root
#   scripts/install-services.sh --remove [--packages]
#
# --server installs MariaDB and RabbitMQ and starts their system services; creates a database, a virtual host,
# a user of each and a policy, all called `tasks`; and writes random secrets for task_manager and
# data_processor@ to /etc/task-platform/credentials. Existing ones are kept, so it can be run again. --remove
# deletes all of this, including the data in the database; with --packages also the packages that --server
# has installed.
set -euo pipefail

readonly POLICY=/usr/sbin/policy-rc.d
readonly POLICY_BEFORE=$POLICY.before-install-services
readonly LOCK=/run/lock/install-services.lock

say() { printf '%s\n' "$*" >&2; }

# Distributions do not add the folders of servers to the PATH of normal users.
export PATH="/usr/lib/rabbitmq/bin:$PATH:/usr/local/sbin:/usr/sbin:/sbin"

has() {
    local program
    for program in "$@"; do
        command -v "$program" >/dev/null || return 1
    done
}

missing_packages() {
    has mariadbd mariadb-install-db mariadb-admin || echo mariadb-server
    has rabbitmq-server rabbitmqctl epmd || echo rabbitmq-server
    has openssl || echo openssl
}

say_what_to_install() {
    say "MariaDB 10.11 or newer, RabbitMQ 3.10 or newer and OpenSSL are needed, with the programs mariadbd,"
    say "mariadb-install-db, mariadb-admin, rabbitmq-server, rabbitmqctl, epmd and openssl:"
    say "  Debian, Ubuntu   apt-get install mariadb-server rabbitmq-server openssl"
    say "  Fedora           dnf install mariadb-server rabbitmq-server openssl"
    say "  Arch Linux       pacman -S mariadb rabbitmq openssl"
    say "  macOS            brew install mariadb rabbitmq openssl"
    say "Their system services need not run."
}

# As root: a policy-rc.d that exits with 101 prevents packages from starting their services. An existing one is
# always restored, even if an earlier run of this script was killed.
install_as_root() {
    exec 9>"$LOCK"
    flock 9
    trap restore_policy EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    if [[ -e $POLICY || -L $POLICY ]] && [[ ! -e $POLICY_BEFORE && ! -L $POLICY_BEFORE ]]; then
        mv "$POLICY" "$POLICY_BEFORE"
    fi
    rm -f "$POLICY"
    printf '#!/bin/sh\n# Written by install-services.sh for the time of an installation.\nexit 101\n' >"$POLICY"
    chmod 755 "$POLICY"

    # Children do not inherit the lock, so that a daemon that a package starts cannot keep it.
    export DEBIAN_FRONTEND=noninteractive
    # Otherwise, Ubuntu would restart services that use a replaced library.
    export NEEDRESTART_SUSPEND=1
    apt-get -o DPkg::Lock::Timeout=300 update -qq 9>&-
    apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "$@" 9>&-
}

restore_policy() {
    rm -f "$POLICY"
    if [[ -e $POLICY_BEFORE || -L $POLICY_BEFORE ]]; then
        mv "$POLICY_BEFORE" "$POLICY"
    fi
}

# --- A server ------------------------------------------------------------------------------------

readonly NAME=tasks
readonly CREDENTIALS=/etc/task-platform/credentials
readonly INSTALLED=/var/lib/task-platform/installed-packages
# A message that is redelivered too often is dropped eventually; the task manager publishes it again.
readonly POLICY_DEFINITION='{"delivery-limit": 100, "queue-leader-locator": "balanced"}'

require_server() {
    if [[ $EUID -ne 0 ]]; then
        say "install-services: $1 must be run as root"
        exit 1
    fi
    if ! has apt-get systemctl; then
        say "install-services: $1 works on Debian and Ubuntu with systemd"
        exit 1
    fi
}

# Runs as the user of RabbitMQ, whose cookie it needs.
broker() { runuser -u rabbitmq -- env HOME=/var/lib/rabbitmq rabbitmqctl --quiet "$@"; }

random() { od -An -tx1 -N 32 /dev/urandom | tr -d ' \n'; }

# keep FILE VALUE: writes a secret unless the file exists, readable by root alone.
keep() {
    [[ -e $1 ]] || (umask 077 && printf '%s\n' "$2" >"$1.new" && mv "$1.new" "$1")
}

# The password in a URL that this script wrote; empty for a URL with another user.
password_in() {
    [[ ! -e $1 ]] || sed -n "s|^[a-z]*://$NAME:\([0-9a-f]*\)@127\.0\.0\.1[:/].*|\1|p" "$1"
}

install_server_packages() {
    local missing=()
    read -r -a missing <<<"$(missing_packages | tr '\n' ' ')"
    if [[ ${#missing[@]} -gt 0 ]]; then
        say "Installing ${missing[*]}"
        export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
        apt-get -o DPkg::Lock::Timeout=300 update -qq
        apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "${missing[@]}"
        mkdir -p "${INSTALLED%/*}"
        printf '%s\n' "${missing[@]}" >>"$INSTALLED"
    fi
    systemctl enable --quiet --now mariadb.service rabbitmq-server.service
    broker await_startup
}

set_up_database() {
    local password host
    password=$(password_in "$CREDENTIALS/task_manager/database_url")
    if [[ -z $password ]]; then
        say "database_url names another database, which is not changed"
        return
    fi
    {
        echo "CREATE DATABASE IF NOT EXISTS $NAME CHARACTER SET utf8mb4;"
        for host in localhost 127.0.0.1; do
            echo "CREATE USER IF NOT EXISTS '$NAME'@'$host';"
            echo "ALTER USER '$NAME'@'$host' IDENTIFIED BY '$password';"
            echo "GRANT ALL PRIVILEGES ON $NAME.* TO '$NAME'@'$host';"
        done
    } | mariadb
}

set_up_broker() {
    local password
    password=$(password_in "$CREDENTIALS/task_manager/queue_url")
    if [[ -z $password ]]; then
        say "queue_url names another broker, which is not changed"
        return
    fi
    broker list_vhosts name | grep -qx "$NAME" || broker add_vhost "$NAME"
    # The password is read from the standard input, since arguments are visible to every user.
    if broker list_users | cut -f1 | grep -qx "$NAME"; then
        broker change_password "$NAME" <<<"$password"
    else
        broker add_user "$NAME" <<<"$password"
    fi
    broker set_permissions --vhost "$NAME" "$NAME" '.*' '.*' '.*'
    broker set_policy --vhost "$NAME" --apply-to queues "$NAME" '.*' "$POLICY_DEFINITION"
}

install_server() {
    require_server --server
    install_server_packages
    local folder manager=$CREDENTIALS/task_manager worker=$CREDENTIALS/data_processor name
    for folder in "$CREDENTIALS" "$manager" "$worker"; do
        install -d -m 700 "$folder"
    done
    keep "$manager/database_url" "mysql://$NAME:$(random)@127.0.0.1/$NAME"
    keep "$manager/queue_url" "amqp://$NAME:$(random)@127.0.0.1:5672/$NAME"
    keep "$manager/jwt_key" "$(random)"
    keep "$manager/service_token" "$(random)"
    for name in queue_url service_token; do
        keep "$worker/$name" "$(cat "$manager/$name")"
    done
    set_up_database
    set_up_broker
    say "MariaDB and RabbitMQ are set up, their secrets are in $CREDENTIALS."
    say "Start: systemctl enable --now task_manager data_processor@1"
}

remove_server() {
    require_server --remove
    local folder packages host
    if systemctl is-active --quiet task_manager.service 'data_processor@*.service'; then
        say "install-services: stop them first: systemctl stop task_manager 'data_processor@*'"
        exit 1
    fi
    if [[ -n $(password_in "$CREDENTIALS/task_manager/database_url") ]] && has mariadb; then
        {
            echo "DROP DATABASE IF EXISTS $NAME;"
            for host in localhost 127.0.0.1; do
                echo "DROP USER IF EXISTS '$NAME'@'$host';"
            done
        } | mariadb
    fi
    if [[ -n $(password_in "$CREDENTIALS/task_manager/queue_url") ]] && has rabbitmqctl; then
        ! broker list_vhosts name | grep -qx "$NAME" || broker delete_vhost "$NAME"
        ! broker list_users | cut -f1 | grep -qx "$NAME" || broker delete_user "$NAME"
    fi
    for folder in task_manager data_processor; do
        rm -f "$CREDENTIALS/$folder"/{database_url,queue_url,jwt_key,service_token}
    done
    if [[ ${1:-} == --packages && -e $INSTALLED ]]; then
        mapfile -t packages <"$INSTALLED"
        DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 remove -y -qq "${packages[@]}"
        rm -f "$INSTALLED"
    fi
    say "Removed the database, the virtual host, their users and their secrets."
}

case ${1:-} in
    '') ;;
    --as-root)
        shift
        install_as_root "$@"
        exit
        ;;
    --server)
        install_server
        exit
        ;;
    --remove)
        remove_server "${2:-}"
        exit
        ;;
    *)
        sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" >&2
        exit 2
        ;;
esac

# --- Development ---------------------------------------------------------------------------------

read -r -a missing <<<"$(missing_packages | tr '\n' ' ')"
if [[ ${#missing[@]} -eq 0 ]]; then
    exit
fi
if ! has apt-get flock; then
    say_what_to_install
    exit 1
fi
say "Installing ${missing[*]}"
if [[ $EUID -eq 0 ]]; then
    "${BASH_SOURCE[0]}" --as-root "${missing[@]}"
elif has sudo; then
    sudo "${BASH_SOURCE[0]}" --as-root "${missing[@]}"
else
    say "Install these packages as root: apt-get install ${missing[*]}"
    exit 1
fi
if [[ -n $(missing_packages) ]]; then
    say_what_to_install
    exit 1
fi
