#!/usr/bin/env bash
# Installs the server of S3 that tests use (moto, from PyPI) into the target folder, unless it is there.
#
#   scripts/install-s3-server.sh           install
#   scripts/install-s3-server.sh --python  print the path of its Python; fail if it is not installed
#
#   CARGO_TARGET_DIR    replaces target
set -euo pipefail

readonly VERSION=5.2.5

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
folder=${CARGO_TARGET_DIR:-$repository/target}
[[ $folder == /* ]] || folder=$PWD/$folder
folder=$folder/tools/moto-$VERSION
# The last to be installed: an interrupted installation is repeated.
is_installed() { [[ -x $folder/bin/moto_server ]]; }

if [[ ${1:-} == --python ]]; then
    is_installed || exit 1
    echo "$folder/bin/python"
    exit
fi
if is_installed; then
    exit
fi
printf 'Installing the server of S3 for tests into %s\n' "$folder" >&2
rm -rf "$folder"
install() { "$folder/bin/pip" install --quiet --disable-pip-version-check "$@"; }
if ! python3 -m venv "$folder" || ! install flask flask-cors || ! install "moto[s3]==$VERSION"; then
    rm -rf "$folder"
    printf 'Python 3.10 or newer with venv, and PyPI or a mirror of it, are needed.\n' >&2
    exit 1
fi
