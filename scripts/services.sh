#!/usr/bin/env bash
# Private instances of MariaDB and RabbitMQ for development and tests. A set of both has its own folder and
# its own ports on 127.0.0.1. It shares nothing with other services on the machine, and several sets can run
# concurrently, one per folder. For tests, a set also has a server of S3, which keeps its files in memory.
#
#   SERVICES_DIR        the folder of the set (target/services)
#   SERVICES_PORT_BASE  the first of its six ports (by default free ones, which are kept until `wipe`)
#   SERVICES_BACKEND    `docker`: containers of MySQL and of the newest RabbitMQ (services-docker.sh)
#   CARGO_TARGET_DIR    replaces target
#
# Not here: installing the programs (install-services.sh, install-s3-server.sh).
set -euo pipefail

usage() {
    cat <<'USAGE'
Usage: scripts/services.sh COMMAND

  start            Start both unless they already run, and wait until they respond
  stop             Stop both gracefully; their data stays
  wipe             Stop both and delete their data
  status           Print the state of both; the exit code is 3 unless both run
  env              Print TEST_DATABASE_URL=…, TEST_AMQP_URL=…, TEST_AMQPS_URL=… and TEST_S3_URL=…, for
                   export $(…)
  ca-file          Print the path of the CA certificate of both; both also accept TLS
  env-fleet        Print TASK_MANAGER_…=… and DATA_PROCESSOR_…=…, one per line
  run COMMAND…     Run a command with the variables of `env`. If the set does not run, it is started, and
                   stopped when the last such command has ended. The same applies to the server of S3

  start-database   stop-database   kill-database     Only MariaDB; kill is a SIGKILL
  start-broker     stop-broker     kill-broker       Only RabbitMQ
  start-s3         stop-s3         kill-s3           Only the server of S3
  mariadb ARGS…    The command line client of the database
  rabbitmqctl ARGS…
USAGE
}

# Seconds. Generous: the machine may be busy with a build.
readonly START_DEADLINE=120
readonly STOP_DEADLINE=30

# The name of user, password, database and node. Only this machine can connect.
readonly NAME=tasks
# The range of ports, in steps of ten: neither well-known nor ephemeral ones.
readonly FIRST_PORT=21000
readonly PORT_BASES=400

# Distributions do not add the folders of servers to the PATH of normal users, and the rabbitmq-server on
# Debian's PATH can be run only by root or the user rabbitmq.
export PATH="/usr/lib/rabbitmq/bin:$PATH:/usr/local/sbin:/usr/sbin:/sbin"

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
dir=${SERVICES_DIR:-${CARGO_TARGET_DIR:-$repository/target}/services}
[[ $dir == /* ]] || dir=$PWD/$dir
readonly repository dir

say() { printf '%s\n' "$*" >&2; }

fail() {
    say "services: $*"
    exit 1
}

# --- Ports -------------------------------------------------------------------------------------

database_port() { echo "$1"; }
amqp_port() { echo $(($1 + 1)); }
# For other nodes, and for the tools that connect to the node.
node_port() { echo $(($1 + 2)); }
epmd_port() { echo $(($1 + 3)); }
amqps_port() { echo $(($1 + 4)); }
s3_port() { echo $(($1 + 5)); }

# The first port of the set, which is assigned at its first start.
port_base() {
    cat "$dir/port_base" 2>/dev/null || fail "not started yet: scripts/services.sh start"
}

listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

all_free() {
    local port
    for port in "$1" $(($1 + 1)) $(($1 + 2)) $(($1 + 3)) $(($1 + 4)) $(($1 + 5)); do
        ! listens "$port" || return 1
    done
}

# Keeps the ports while services use them. By default, the search for free ports starts at a hash of the
# folder, so that sets that are started concurrently do not conflict.
choose_ports() {
    if [[ -n $(pid_of database)$(pid_of broker)$(pid_of epmd)$(process_of s3) ]]; then
        return
    fi
    if [[ -n ${SERVICES_PORT_BASE:-} ]]; then
        echo "$SERVICES_PORT_BASE" >"$dir/port_base"
        return
    fi
    if [[ -e $dir/port_base ]] && all_free "$(port_base)"; then
        return
    fi
    local start try base
    start=$(printf '%s' "$dir" | cksum | cut -d' ' -f1)
    for ((try = 0; try < PORT_BASES; try++)); do
        base=$((FIRST_PORT + (start + try) % PORT_BASES * 10))
        if all_free "$base"; then
            echo "$base" >"$dir/port_base"
            return
        fi
    done
    fail "no six consecutive free ports; set SERVICES_PORT_BASE to the first one"
}

require_free() {
    ! listens "$1" || fail "another program listens on 127.0.0.1:$1; set SERVICES_PORT_BASE"
}

# --- Processes ---------------------------------------------------------------------------------

# A part of the command line that identifies a process of this set, since the pid in a file may belong to
# another process by now.
mark_of() {
    case $1 in
        database) echo "--datadir=$dir/database " ;;
        broker) echo "-home $dir/home " ;;
        epmd) echo "epmd -port $(epmd_port "$(port_base)") " ;;
        s3) echo "s3-server.py $(s3_port "$(port_base)") " ;;
    esac
}

# The pid of `database`, `broker`, `epmd` or `s3`, or nothing.
pid_of() { process_of "$1"; }

process_of() {
    local pid command
    pid=$(cat "$dir/$1.pid" 2>/dev/null) || return 0
    command=$(ps -ww -o command= -p "$pid" 2>/dev/null) || return 0
    if [[ "$command " == *"$(mark_of "$1")"* ]]; then
        echo "$pid"
    fi
}

# become [VARIABLE=VALUE…] COMMAND…: executes a command in the set's folder, with its variables instead of the
# caller's. MariaDB servers must not share a TMPDIR, since each deletes files that it considers its leftovers.
become() {
    cd "$dir"
    exec env -i PATH="$PATH" HOME="$dir/home" TMPDIR="$dir/tmp" LANG=C.UTF-8 LC_ALL=C.UTF-8 "$@" \
        8>&- 9>&-
}

# launch NAME [VARIABLE=VALUE…] COMMAND…: starts a server in the background, in its own process group so that
# Ctrl-C does not reach it. The pid is that of the server, since the command does not fork.
launch() { launch_process "$@"; }

launch_process() {
    local name=$1
    shift
    set -m
    (become "$@") >>"$dir/$name.log" 2>&1 </dev/null &
    echo $! >"$dir/$name.pid"
    set +m
}

# await NAME CHECK…: waits until the check succeeds. If the server ends or does not respond, prints the end of
# its log.
await() { await_process "$@"; }

await_process() {
    local name=$1 pid deadline=$((SECONDS + START_DEADLINE))
    shift
    pid=$(cat "$dir/$name.pid")
    until "$@"; do
        if gone "$pid" 0; then
            tail -n 30 "$dir/$name.log" >&2
            fail "the $name ended during its start; its log is $dir/$name.log"
        fi
        if ((SECONDS >= deadline)); then
            tail -n 30 "$dir/$name.log" >&2
            kill -KILL "$pid" 2>/dev/null || true
            fail "the $name does not answer after $START_DEADLINE s; its log is $dir/$name.log"
        fi
        sleep 0.1
    done
}

# end NAME: sends SIGTERM, and SIGKILL after the deadline.
end() { end_process "$1"; }

end_process() {
    local pid
    pid=$(process_of "$1")
    if [[ -n $pid ]]; then
        kill -TERM "$pid" 2>/dev/null || true
        if ! gone "$pid" "$STOP_DEADLINE"; then
            say "services: the $1 does not end within $STOP_DEADLINE s and is killed"
            force_process "$1"
        fi
    fi
    rm -f "$dir/$1.pid"
}

kill_process() { force_process "$1"; }

force_process() {
    local pid
    pid=$(process_of "$1")
    if [[ -n $pid ]]; then
        kill -KILL "$pid" 2>/dev/null || true
        gone "$pid" "$STOP_DEADLINE" || fail "the $1 (process $pid) still exists after a SIGKILL"
    fi
    rm -f "$dir/$1.pid"
}

# Whether the process ends within this many seconds. A zombie has ended, unless it has threads (l) that are
# still ending: until then, its ports are in use.
gone() {
    local deadline=$((SECONDS + $2)) state
    while state=$(ps -o stat= -p "$1" 2>/dev/null) && [[ -n $state && ! $state =~ ^Z[^l]*$ ]]; do
        ((SECONDS < deadline)) || return 1
        sleep 0.05
    done
}

# --- Certificates ------------------------------------------------------------------------------

# A CA, and a certificate for both servers. If the folder exists, it is complete.
create_certificates() {
    [[ ! -d $dir/tls ]] || return 0
    command -v openssl >/dev/null || fail "openssl is missing; it creates the certificates of the services"
    local new=$dir/tls.new key=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes)
    rm -rf "$new"
    mkdir "$new"
    printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n' >"$new/names"
    if ! {
        openssl req -x509 "${key[@]}" -days 3650 -subj "/CN=Services of $NAME" -keyout "$new/ca.key" \
            -out "$new/ca.pem" -addext "keyUsage=critical,keyCertSign,cRLSign" &&
            openssl req "${key[@]}" -subj "/CN=localhost" -keyout "$new/server.key" \
                -out "$new/server.csr" &&
            openssl x509 -req -in "$new/server.csr" -CA "$new/ca.pem" -CAkey "$new/ca.key" \
                -CAcreateserial -days 3650 -extfile "$new/names" -out "$new/server.pem"
    } >"$dir/tls.log" 2>&1; then
        cat "$dir/tls.log" >&2
        fail "openssl could not create the certificates"
    fi
    mv "$new" "$dir/tls"
}

# --- MariaDB -----------------------------------------------------------------------------------

database_answers() {
    client mariadb-admin --connect-timeout=5 ping >/dev/null 2>&1
}

client() {
    local program=$1
    shift
    "$program" --no-defaults --protocol=tcp --host=127.0.0.1 --port="$(database_port "$(port_base)")" \
        --user="$NAME" --password="$NAME" "$@"
}

# As durable as in production, but small. The path of the socket is relative to the data folder, since the length
# of a socket's path is limited.
database_options() {
    echo --no-defaults
    echo --datadir="$dir/database"
    echo --bind-address=127.0.0.1
    echo --port="$(database_port "$(port_base)")"
    echo --socket=database.sock
    echo --pid-file="$dir/database/mariadbd.pid"
    echo --init-file="$dir/database.sql"
    echo --character-set-server=utf8mb4
    echo --skip-name-resolve
    echo --max-connections=300
    echo --innodb-flush-log-at-trx-commit=1
    echo --innodb-buffer-pool-size=128M
    echo --innodb-log-file-size=48M
    echo --performance-schema=OFF
    echo --skip-log-bin
    echo --ssl-ca="$dir/tls/ca.pem"
    echo --ssl-cert="$dir/tls/server.pem"
    echo --ssl-key="$dir/tls/server.key"
    if [[ $EUID -eq 0 ]]; then
        echo --user=root
    fi
}

# If the folder exists, it is complete. The path is relative, since mariadb-install-db fails if a path contains
# spaces.
create_database() {
    local user
    user=$(id -un)
    rm -rf "$dir/database.new"
    if ! (
        become mariadb-install-db --no-defaults --datadir=./database.new --user="$user" --skip-test-db --skip-name-resolve \
            --auth-root-authentication-method=socket --auth-root-socket-user="$user" \
            --innodb-log-file-size=48M
    ) >"$dir/database.log" 2>&1; then
        tail -n 60 "$dir/database.log" >&2
        fail "mariadb-install-db failed; its log is $dir/database.log"
    fi
    mv "$dir/database.new" "$dir/database"
}

start_database() {
    [[ -z $(pid_of database) ]] || return 0
    create_certificates
    require_free "$(database_port "$(port_base)")"
    [[ -d $dir/database ]] || create_database
    # The server executes this before it accepts connections. One statement per line.
    cat >"$dir/database.sql" <<SQL
CREATE USER IF NOT EXISTS '$NAME'@'127.0.0.1' IDENTIFIED BY '$NAME';
GRANT ALL PRIVILEGES ON *.* TO '$NAME'@'127.0.0.1' WITH GRANT OPTION;
CREATE DATABASE IF NOT EXISTS $NAME;
SQL
    local options=() option
    while IFS= read -r option; do
        options+=("$option")
    done < <(database_options)
    launch database mariadbd "${options[@]}"
    await database database_answers
}

# --- RabbitMQ ----------------------------------------------------------------------------------

# The variables for the server and its tools. They replace those of the caller.
broker_variables() {
    local base
    base=$(port_base)
    echo RABBITMQ_NODENAME="$NAME@localhost"
    echo RABBITMQ_DIST_PORT="$(node_port "$base")"
    echo ERL_EPMD_PORT="$(epmd_port "$base")"
    echo ERL_EPMD_ADDRESS=127.0.0.1
    echo RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1}"
    # These replace the settings of the machine.
    echo RABBITMQ_CONF_ENV_FILE="$dir/broker.env"
    echo RABBITMQ_ADVANCED_CONFIG_FILE="$dir/broker.config"
    echo RABBITMQ_CONFIG_FILE="$dir/broker.conf"
    echo RABBITMQ_ENABLED_PLUGINS_FILE="$dir/broker.plugins"
    echo RABBITMQ_MNESIA_BASE="$dir/broker"
    echo RABBITMQ_GENERATED_CONFIG_DIR="$dir/broker/config"
    echo RABBITMQ_SCHEMA_DIR="$dir/broker/schema"
    echo RABBITMQ_LOG_BASE="$dir/broker/log"
    echo RABBITMQ_LOGS=-
    # Makes the script exec the server instead of waiting for it.
    echo RUNNING_UNDER_SYSTEMD=true
}

# tls_settings ADDRESS FOLDER: TLS with the certificates in the folder.
tls_settings() {
    cat <<CONF
listeners.ssl.1 = $1
ssl_options.cacertfile = $2/ca.pem
ssl_options.certfile = $2/server.pem
ssl_options.keyfile = $2/server.key
ssl_options.verify = verify_none
ssl_options.fail_if_no_peer_cert = false
CONF
}

write_broker_settings() {
    cat >"$dir/broker.conf" <<CONF
listeners.tcp.1 = 127.0.0.1:$(amqp_port "$(port_base)")
$(tls_settings "127.0.0.1:$(amqps_port "$(port_base)")" "$dir/tls")
default_user = $NAME
default_pass = $NAME
loopback_users = none
disk_free_limit.absolute = 50MB
vm_memory_high_watermark.relative = 0.6
collect_statistics = none
CONF
    echo "[]." >"$dir/broker.config"
    echo "[]." >"$dir/broker.plugins"
    : >"$dir/broker.env"
}

# Fills the array `variables` of the caller.
read_broker_variables() {
    variables=()
    local variable
    while IFS= read -r variable; do
        variables+=("$variable")
    done < <(broker_variables)
}

# Listeners open at the end of the start. The broker then answers the first eight bytes of a client.
broker_answers() {
    local first
    (
        exec 3<>"/dev/tcp/127.0.0.1/$(amqp_port "$(port_base)")"
        printf 'AMQP\0\0\11\1' >&3
        IFS= read -r -t 5 -n 1 first <&3
        [[ $first == $'\1' ]]
    ) 2>/dev/null
}

start_broker() {
    [[ -z $(pid_of broker) ]] || return 0
    local base variables
    base=$(port_base)
    require_free "$(amqp_port "$base")"
    require_free "$(amqps_port "$base")"
    create_certificates
    require_free "$(node_port "$base")"
    # Erlang's name server. Without it, the first Erlang program would start one that keeps running.
    if [[ -z $(pid_of epmd) ]]; then
        require_free "$(epmd_port "$base")"
        launch epmd epmd -port "$(epmd_port "$base")" -address 127.0.0.1
        await epmd listens "$(epmd_port "$base")"
    fi
    write_broker_settings
    read_broker_variables
    launch broker "${variables[@]}" rabbitmq-server
    await broker broker_answers
}

stop_broker() {
    end broker
    end epmd
}

rabbitmqctl_of_set() {
    local variables
    read_broker_variables
    (become "${variables[@]}" rabbitmqctl "$@")
}

# --- S3 ----------------------------------------------------------------------------------------

s3_answers() {
    local status
    (
        exec 3<>"/dev/tcp/127.0.0.1/$(s3_port "$(port_base)")"
        printf 'HEAD /%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' "$NAME" >&3
        IFS= read -r -t 10 status <&3
        [[ $status == HTTP/1.?\ 200* ]]
    ) 2>/dev/null
}

start_s3() {
    [[ -z $(process_of s3) ]] || return 0
    local port python
    port=$(s3_port "$(port_base)")
    if ! python=$("$repository/scripts/install-s3-server.sh" --python); then
        say "services: without a server of S3, tests of buckets fail; scripts/install-s3-server.sh installs it"
        return 0
    fi
    require_free "$port"
    launch_process s3 "$python" "$repository/scripts/s3-server.py" "$port" "$NAME"
    await_process s3 s3_answers
}

# --- All ---------------------------------------------------------------------------------------

# One command at a time changes the set, if flock is installed.
lock() {
    mkdir -p "$dir/home" "$dir/tmp"
    exec 9>"$dir/lock"
    ! command -v flock >/dev/null || flock 9
}

unlock() { exec 9>&-; }

running() { [[ -n $(pid_of database) && -n $(pid_of broker) ]]; }

start() {
    local database broker failed=0
    choose_ports
    # Before both servers are started concurrently.
    create_certificates
    start_database &
    database=$!
    start_broker &
    broker=$!
    wait "$database" || failed=1
    wait "$broker" || failed=1
    return "$failed"
}

stop() {
    local database
    end database &
    database=$!
    end_process s3
    stop_broker
    wait "$database"
}

delete_data() { rm -rf "${dir:?}"/{database,database.new,broker}; }

# Deletes the files of the set, but no other files in the folder.
wipe() {
    stop
    delete_data
    rm -rf "${dir:?}"/{fleet,home,tls,tls.new,tmp}
    rm -f "$dir"/{database,broker,epmd,s3,tls}.{log,pid} "$dir"/broker.{conf,config,env,plugins} \
        "$dir"/{database.sql,port_base,users,started_by_run,s3_started_by_run,lock}
    rmdir "$dir" 2>/dev/null || true
}

status() {
    local name pid
    for name in database broker; do
        pid=$(pid_of "$name")
        echo "$name: $(if [[ -n $pid ]]; then echo "running, process $pid"; else echo stopped; fi)"
    done
    pid=$(process_of s3)
    echo "s3: $(if [[ -n $pid ]]; then echo "running, process $pid"; else echo stopped; fi)"
    echo "folder: $dir"
    running || return 3
}

print_env() {
    local base
    base=$(port_base)
    echo "TEST_DATABASE_URL=mysql://$NAME:$NAME@127.0.0.1:$(database_port "$base")"
    echo "TEST_AMQP_URL=amqp://$NAME:$NAME@127.0.0.1:$(amqp_port "$base")/%2f"
    echo "TEST_AMQPS_URL=amqps://$NAME:$NAME@localhost:$(amqps_port "$base")/%2f"
    # http://KEY:SECRET@HOST:PORT/BUCKET; this server accepts any key.
    echo "TEST_S3_URL=http://$NAME:$NAME@127.0.0.1:$(s3_port "$base")/$NAME"
}

# An address of the API that the caller has set takes precedence.
print_fleet_env() {
    local base queue listen=${TASK_MANAGER_LISTEN:-127.0.0.1:5000}
    base=$(port_base)
    queue="amqp://$NAME:$NAME@127.0.0.1:$(amqp_port "$base")/%2f"
    echo "TASK_MANAGER_LISTEN=$listen"
    echo "TASK_MANAGER_DATABASE_URL=mysql://$NAME:$NAME@127.0.0.1:$(database_port "$base")/$NAME"
    echo "TASK_MANAGER_QUEUE_URL=$queue"
    echo "TASK_MANAGER_SERVICE_TOKEN=for-development-on-this-machine"
    echo "TASK_MANAGER_JWT_KEY=signs-tokens-in-development-on-this-machine"
    echo "TASK_MANAGER_STORAGE=$dir/fleet/local_storage"
    echo "DATA_PROCESSOR_TASK_MANAGER_URL=http://$listen"
    echo "DATA_PROCESSOR_QUEUE_URL=$queue"
    echo "DATA_PROCESSOR_SERVICE_TOKEN=for-development-on-this-machine"
    echo "DATA_PROCESSOR_STORAGE=$dir/fleet/local_storage"
}

# Each such command holds a shared lock on `users` while it runs. The last one to end gets an exclusive lock, and
# stops the services that one of them has started.
run() {
    lock
    exec 8>"$dir/users"
    ! command -v flock >/dev/null || flock -s 8
    trap leave EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    if ! running; then
        touch "$dir/started_by_run"
        start
    fi
    if [[ -z $(process_of s3) ]]; then
        touch "$dir/s3_started_by_run"
        start_s3
    fi
    unlock
    local line
    while IFS= read -r line; do
        export "${line?}"
    done < <(print_env)
    # The command may start its own sets, which must not use the ports of this one.
    unset SERVICES_PORT_BASE
    run_to_its_end "$@" 8>&-
}

# Forwards signals to the command, which runs in the background: a shell that waits for a command in the
# foreground handles signals only after it has ended.
run_to_its_end() {
    local child status=0 signal
    set -m
    "$@" &
    child=$!
    set +m
    for signal in INT TERM HUP; do
        # shellcheck disable=SC2064
        trap "kill -$signal -- -$child 2>/dev/null || true" "$signal"
    done
    while wait "$child" && status=0 || status=$?; kill -0 "$child" 2>/dev/null; do :; done
    return "$status"
}

leave() {
    trap '' INT TERM HUP
    lock
    if command -v flock >/dev/null; then
        flock -n 8 || return 0
    fi
    if [[ -e $dir/s3_started_by_run ]]; then
        rm -f "$dir/s3_started_by_run"
        end_process s3
    fi
    if [[ -e $dir/started_by_run ]]; then
        rm -f "$dir/started_by_run"
        stop
    fi
}

if [[ ${SERVICES_BACKEND:-} == docker ]]; then
    # shellcheck source=scripts/services-docker.sh
    source "$repository/scripts/services-docker.sh"
fi

umask 077
command=${1:-}
[[ $# -eq 0 ]] || shift
case $command in
    start)
        lock
        # Services that were started explicitly are not stopped by `run`.
        rm -f "$dir/started_by_run"
        start
        ;;
    stop | wipe)
        [[ -d $dir ]] || exit 0
        lock
        "$command"
        ;;
    start-database | start-broker | start-s3)
        lock
        [[ -e $dir/port_base ]] || choose_ports
        "${command/-/_}"
        ;;
    stop-database | stop-broker | stop-s3 | kill-database | kill-broker | kill-s3)
        [[ -d $dir ]] || exit 0
        lock
        case $command in
            stop-database) end database ;;
            stop-broker) stop_broker ;;
            stop-s3) end_process s3 ;;
            kill-s3) force_process s3 ;;
            kill-*) kill_process "${command#kill-}" ;;
        esac
        ;;
    status) status ;;
    env) print_env ;;
    ca-file)
        port_base >/dev/null
        echo "$dir/tls/ca.pem"
        ;;
    env-fleet) print_fleet_env ;;
    run) run "$@" ;;
    mariadb | rabbitmqctl)
        port_base >/dev/null
        if [[ $command == mariadb ]]; then
            client mariadb "$@"
        else
            rabbitmqctl_of_set "$@"
        fi
        ;;
    help | -h | --help) usage ;;
    *)
        usage >&2
        exit 2
        ;;
esac
