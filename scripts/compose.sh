#!/usr/bin/env bash
# Runs `docker compose` with its arguments, or `docker-compose` if only that is installed.
set -euo pipefail

if docker compose version >/dev/null 2>&1; then
    exec docker compose "$@"
fi
if command -v docker-compose >/dev/null; then
    exec docker-compose "$@"
fi
echo "Neither docker compose nor docker-compose is installed. Debian, Ubuntu: apt-get install docker.io docker-compose" >&2
exit 1
