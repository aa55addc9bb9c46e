#!/usr/bin/env bash
# Builds the images of the programs from binaries of this machine, in seconds, with docker/Dockerfile but
# without its first stage. For tests: the binaries must run on the Debian release of that file.
set -euo pipefail

if [[ $# -ne 2 ]]; then
    echo "Usage: scripts/prebuilt-images.sh FOLDER TAG" >&2
    exit 2
fi
folder=$1
tag=$2
readonly folder tag
readonly PROGRAMS=(task_manager data_processor taskctl)

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
sed -n -e '/ AS runtime$/,$ s|--from=build /source/target/release/||' -e '/ AS runtime$/,$ p' \
    "$repository/docker/Dockerfile" >"$context/Dockerfile"
for program in "${PROGRAMS[@]}"; do
    strip -o "$context/$program" "$folder/$program"
done
for program in "${PROGRAMS[@]}"; do
    docker build --quiet --target "$program" --tag "task-platform/$program:$tag" "$context"
done
