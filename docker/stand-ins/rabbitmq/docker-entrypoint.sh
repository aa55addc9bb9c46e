#!/bin/sh
# Like the official entry point: the server and its tools run as the user rabbitmq, who owns the volume.
set -eu

if [ "$(id -u)" = 0 ] && [ "${1#rabbitmq}" != "$1" ]; then
    chown rabbitmq:rabbitmq /var/lib/rabbitmq
    exec setpriv --reuid=rabbitmq --regid=rabbitmq --init-groups "$@"
fi
exec "$@"
