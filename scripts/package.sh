#!/usr/bin/env bash
# Makes the package of the programs that were built: the .deb, a list of what they are made of (SBOM)
# for each program, and checksums.
#
#   scripts/package.sh PROFILE FOLDER [VERSION]
#
# PROFILE is the cargo profile that they were built with, FOLDER gets the files. CARGO_DEB and
# CARGO_SBOM name these tools. SOURCE_DATE_EPOCH is the time that the files in the package get.
set -euo pipefail

profile=${1:?}
output=${2:?}
version=${3:-}
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target=${CARGO_TARGET_DIR:-$repository/target}
staging=$repository/target/package
# Cargo's name of the folder of a profile differs from that of the profile in one case.
programs=$target/${profile/#dev/debug}
readonly programs profile output version repository target staging

# Its own folder, whatever CARGO_TARGET_DIR is: the list of the package's files names it.
rm -rf "$staging"
PREFIX=/usr DESTDIR=$staging "$repository/scripts/install.sh" install "$programs"

mkdir -p "$output"
rm -f "$output"/*.deb "$output"/*.cdx.json "$output/SHA256SUMS"
options=(--package taskctl --no-build --profile "$profile" --output "$output")
# Large programs without optimisation take minutes to compress well.
[[ $profile != dev ]] || options+=(--fast)
[[ -z $version ]] || options+=(--deb-version "$version")
(cd "$repository" && "${CARGO_DEB:-cargo-deb}" deb --quiet "${options[@]}")
for program in taskctl task_manager data_processor; do
    (cd "$repository" && "${CARGO_SBOM:-cargo-sbom}" sbom --cargo-package "$program" \
        --output-format cyclone_dx_json_1_4) >"$output/$program.cdx.json"
done
(cd "$output" && sha256sum -- *.deb *.cdx.json >SHA256SUMS)
