#!/usr/bin/env bash
# Packages the programs that were built: the .deb, a software bill of materials (SBOM) for each program, and
# checksums.
#
#   scripts/package.sh PROFILE FOLDER [VERSION]
#
# PROFILE is the cargo profile of the programs, FOLDER the output folder. CARGO_DEB and CARGO_SBOM are the paths
# of these tools. SOURCE_DATE_EPOCH is the time of the files in the package.
set -euo pipefail

profile=${1:?}
output=${2:?}
version=${3:-}
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target=${CARGO_TARGET_DIR:-$repository/target}
staging=$repository/target/package
# The folder of a profile has its name, except for the profile `dev`.
programs=$target/${profile/#dev/debug}
readonly programs profile output version repository target staging

# A fixed folder, regardless of CARGO_TARGET_DIR, since the manifest of the package names it.
rm -rf "$staging"
PREFIX=/usr DESTDIR=$staging "$repository/scripts/install.sh" install "$programs"

mkdir -p "$output"
rm -f "$output"/*.deb "$output"/*.cdx.json "$output/SHA256SUMS"
options=(--package taskctl --no-build --profile "$profile" --output "$output")
# Unoptimised programs are large and would take minutes to compress well.
[[ $profile != dev ]] || options+=(--fast)
[[ -z $version ]] || options+=(--deb-version "$version")
(cd "$repository" && "${CARGO_DEB:-cargo-deb}" deb --quiet "${options[@]}")
for program in taskctl task_manager data_processor; do
    (cd "$repository" && "${CARGO_SBOM:-cargo-sbom}" sbom --cargo-package "$program" \
        --output-format cyclone_dx_json_1_4) >"$output/$program.cdx.json"
done
(cd "$output" && sha256sum -- *.deb *.cdx.json >SHA256SUMS)
