#!/usr/bin/env bash
# Checks that a version can be released, and tags it. Nothing is pushed. docs/release.md describes the
# steps before and after.
set -euo pipefail

usage() {
    cat <<'USAGE'
Usage: scripts/release.sh [--dry-run] VERSION

  --dry-run   Check everything but the tests, show the notes, and tag nothing
USAGE
}

fail() {
    echo "release: $*" >&2
    exit 1
}

cd "$(dirname "${BASH_SOURCE[0]}")/.."

dry_run=
if [[ ${1:-} == --dry-run ]]; then
    dry_run=1
    shift
fi
if [[ $# -ne 1 ]]; then
    usage >&2
    exit 2
fi
version=$1
tag=v$version

[[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$ ]] || fail "$version is not a version such as 1.2.3"
[[ -z $(git status --porcelain) ]] || fail "the work tree has changes that are not committed"
! git rev-parse --verify --quiet "refs/tags/$tag" >/dev/null || fail "the tag $tag exists"

# The section of Cargo.toml with the version of all crates.
in_manifest=$(sed -n '/^\[workspace\.package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' Cargo.toml)
[[ $in_manifest == "$version" ]] || fail "Cargo.toml has the version $in_manifest"
"${CARGO:-cargo}" metadata --locked --format-version 1 >/dev/null || fail "Cargo.lock is not up to date: cargo check"

# From the heading of the version to the next one.
notes=$(awk -v heading="## [$version] - " '
    index($0, heading) == 1 { found = 1; next }
    found && /^## \[/ { exit }
    found' CHANGELOG.md | sed '/./,$!d')
heading=$(grep -F "## [$version] - " CHANGELOG.md || true)
[[ $heading =~ \ -\ [0-9]{4}-[0-9]{2}-[0-9]{2}$ ]] ||
    fail "CHANGELOG.md has no heading '## [$version] - YYYY-MM-DD'"
[[ -n ${notes//[[:space:]]/} ]] || fail "CHANGELOG.md has no entries under '$heading'"

# The data that this version stores must be readable for ever.
[[ -e common/tests/stored/$version.json ]] || fail "common/tests/stored/$version.json is missing"

if [[ -n $dry_run ]]; then
    echo "$tag could be tagged at $(git rev-parse --short HEAD), after .ci/run has passed. Its notes:"
    echo "$notes"
    exit
fi
.ci/run
[[ -z $(git status --porcelain) ]] || fail "the checks changed files"
git tag --annotate "$tag" --cleanup=verbatim --message "$tag"$'\n\n'"$notes"
echo "Tagged $tag. Publish it with: git push origin $tag"
