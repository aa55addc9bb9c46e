#!/usr/bin/env bash
# Builds the task manager and the worker of another commit, for the test of upgrades.
set -euo pipefail

if [[ $# -ne 2 ]]; then
    echo "Usage: scripts/previous-build.sh COMMIT FOLDER; the programs are in FOLDER/target/debug" >&2
    exit 2
fi
commit=$1
folder=$2
cd "$(dirname "${BASH_SOURCE[0]}")/.."

git rev-parse --verify --quiet "$commit^{commit}" >/dev/null || {
    echo "$commit is not a commit of this repository" >&2
    exit 1
}
mkdir -p "$folder"
git worktree prune
if [[ -e $folder/sources ]]; then
    git -C "$folder/sources" checkout --quiet --detach "$commit"
else
    git worktree add --quiet --detach "$folder/sources" "$commit"
fi
cd "$folder/sources"
CARGO_TARGET_DIR=$folder/target ${CARGO:-cargo} build --locked -p task_manager -p data_processor
