#!/usr/bin/env bash
# Checks that every program is built with the same features of its dependencies, whichever packages are
# selected; otherwise `make fleet` after `make run` would compile them again. If they differ, add the
# feature to `workspace.dependencies` in Cargo.toml, so that all members have it.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

# features SELECTION…: each dependency with the features that `cargo build` of that selection enables.
features() {
    "${CARGO:-cargo}" tree --locked --edges normal,build --prefix none --format '{p} [{f}]' "$@" |
        sed -E 's/ \((\*|proc-macro)\)//g' | sort -u
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
features --workspace >"$scratch/all"
failed=0
# The selections of the Makefile.
for selection in "-p taskctl" "-p task_manager -p data_processor" "-p taskctl -p text_count" "-p taskctl -p task_load"; do
    # shellcheck disable=SC2086
    features $selection >"$scratch/selected"
    if [[ -n $(comm -13 "$scratch/all" "$scratch/selected") ]]; then
        echo "cargo build $selection compiles other features than cargo build --workspace:" >&2
        comm -13 "$scratch/all" "$scratch/selected" >&2
        failed=1
    fi
done
exit "$failed"
