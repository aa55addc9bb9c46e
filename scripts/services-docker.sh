# The set of services.sh as containers of MySQL and RabbitMQ, with the images of compose.yaml. services.sh
# sources it if SERVICES_BACKEND is `docker`; it replaces the functions that handle processes and programs.
# The data is in two volumes, which stay until `wipe`.
# shellcheck shell=bash disable=SC2034,SC2153,SC2154

# A name that is unique for each folder.
CONTAINERS=services-$(printf '%s' "$dir" | cksum | cut -d' ' -f1)
readonly CONTAINERS

container() { echo "$CONTAINERS-$1"; }

image_of() {
    local tag
    tag=$("$repository/scripts/offline-images.sh" --tag "$1")
    docker image inspect "$tag" >/dev/null 2>&1 || docker pull --quiet "$tag" >/dev/null ||
        fail "the image $tag cannot be pulled; build a stand-in: make offline-images"
    echo "$tag"
}

pid_of() {
    local running
    running=$(docker inspect --format '{{if .State.Running}}{{.State.Pid}}{{end}}' "$(container "$1")" 2>/dev/null) ||
        return 0
    echo "$running"
}

# launch NAME PORT INNER_PORT OPTION…: starts a new container on the existing volume; the port may have changed.
launch() {
    local name=$1 port=$2 inner_port=$3
    shift 3
    docker rm --force "$(container "$name")" >/dev/null 2>&1 || true
    docker run --detach --name "$(container "$name")" --hostname "$name" \
        --publish "127.0.0.1:$port:$inner_port" "$@" >/dev/null
}

await() {
    local name=$1 deadline=$((SECONDS + START_DEADLINE))
    shift
    until "$@"; do
        if [[ -z $(pid_of "$name") ]] || ((SECONDS >= deadline)); then
            docker logs --tail 30 "$(container "$name")" >&2
            fail "the $name ended, or does not answer within $START_DEADLINE s"
        fi
        sleep 0.2
    done
}

end() { docker stop -t "$STOP_DEADLINE" "$(container "$1")" >/dev/null 2>&1 || true; }

kill_process() { docker kill "$(container "$1")" >/dev/null 2>&1 || true; }

stop_broker() { end broker; }

# client PROGRAM ARGS…: runs the client of MySQL, whatever the name of the program is.
client() {
    shift
    docker exec --interactive --env MYSQL_PWD="$NAME" "$(container database)" \
        mysql --protocol=tcp --host=127.0.0.1 --user="$NAME" "$@"
}

database_answers() { client mysql --execute 'SELECT 1' >/dev/null 2>&1; }

# The tests create their own databases.
grant_everything() {
    docker exec --env MYSQL_PWD="$NAME" "$(container database)" mysql --user=root \
        --execute "GRANT ALL ON *.* TO '$NAME'@'%' WITH GRANT OPTION"
}

# The servers in the containers run as other users.
share_certificates() {
    create_certificates
    chmod -R a+rX "$dir/tls"
}

start_database() {
    [[ -z $(pid_of database) ]] || return 0
    local port image
    port=$(database_port "$(port_base)")
    image=$(image_of mysql)
    require_free "$port"
    share_certificates
    launch database "$port" 3306 --volume "$(container database):/var/lib/mysql" \
        --volume "$dir/tls:/tls:ro" \
        --env MYSQL_ROOT_PASSWORD="$NAME" --env MYSQL_DATABASE="$NAME" \
        --env MYSQL_USER="$NAME" --env MYSQL_PASSWORD="$NAME" \
        "$image" --max-connections=300 --innodb-buffer-pool-size=128M --skip-log-bin \
        --ssl-ca=/tls/ca.pem --ssl-cert=/tls/server.pem --ssl-key=/tls/server.key
    await database database_answers
    grant_everything
}

start_broker() {
    [[ -z $(pid_of broker) ]] || return 0
    local port tls_port image
    port=$(amqp_port "$(port_base)")
    tls_port=$(amqps_port "$(port_base)")
    image=$(image_of rabbitmq)
    require_free "$port"
    require_free "$tls_port"
    share_certificates
    tls_settings 5671 /tls >"$dir/tls/rabbitmq.conf"
    chmod a+r "$dir/tls/rabbitmq.conf"
    launch broker "$port" 5672 --volume "$(container broker):/var/lib/rabbitmq" \
        --publish "127.0.0.1:$tls_port:5671" --volume "$dir/tls:/tls:ro" \
        --volume "$dir/tls/rabbitmq.conf:/etc/rabbitmq/conf.d/20-tls.conf:ro" \
        --env RABBITMQ_DEFAULT_USER="$NAME" --env RABBITMQ_DEFAULT_PASS="$NAME" "$image"
    await broker broker_answers
}

rabbitmqctl_of_set() { docker exec "$(container broker)" rabbitmqctl "$@"; }

delete_data() {
    local name
    for name in database broker; do
        docker rm --force --volumes "$(container "$name")" >/dev/null 2>&1 || true
        docker volume rm --force "$(container "$name")" >/dev/null 2>&1 || true
    done
}
