#!/usr/bin/env bash
# Builds stand-ins for the images that compose.yaml and docker/ use, from Debian packages, for machines with
# access to a Debian mirror but to no image registry. The one of moto also needs PyPI or a mirror of it. They
# have the tags of the real images and a label; an image without the label was pulled and is kept. Images that
# are up to date are not built again.
#
#   DEBIAN_MIRROR   the mirror of the packages (by default that of apt)
#
# Not here: what the images do at their start (docker/stand-ins).
set -euo pipefail

usage() {
    cat <<'USAGE'
Usage: scripts/offline-images.sh [NAME…]     build: debian rust mysql rabbitmq caddy moto (all by default)
       scripts/offline-images.sh --remove    remove every stand-in
       scripts/offline-images.sh --tag NAME  print the image of that name with its tag
       scripts/offline-images.sh --system    build the system that packages are tried on, and print its image
USAGE
}

readonly LABEL=task-platform.stand-in
# The runtime of docker/Dockerfile, and the newest MySQL and RabbitMQ.
readonly STABLE=trixie
readonly NEWEST=sid

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly repository

say() { printf '%s\n' "$*" >&2; }

fail() {
    say "offline-images: $*"
    exit 1
}

# --- Requirements --------------------------------------------------------------------------------

# The image of that name with the tag that the project's files use.
tag_of() {
    local tag
    tag=$(grep -hoE "([a-z]+/)?\b$1:[A-Za-z0-9._-]+" "$repository"/{compose.yaml,docker/Dockerfile} \
        "$repository"/docker/compose.*.yaml | head -n 1)
    [[ -n $tag ]] || fail "no file names an image of $1"
    echo "$tag"
}

own() { sed -n "s/^$1=//p" /etc/os-release; }

own_suite() { own VERSION_CODENAME; }

# Programs that were built on this machine need a C library that is at least as new.
suite_of() {
    case $1 in
        system) own_suite ;;
        debian | rust | moto) echo "$STABLE" ;;
        *) echo "$NEWEST" ;;
    esac
}

# The images have no package sources, so they must contain the packages that docker/Dockerfile installs.
packages_of() {
    case $1 in
        debian) echo libmariadb3 ca-certificates ;;
        rust) echo gcc libc6-dev make pkg-config libmariadb-dev ca-certificates ;;
        mysql) echo mysql-server-core mysql-client-core ;;
        rabbitmq) echo rabbitmq-server ;;
        caddy) echo caddy ca-certificates ;;
        moto) echo python3 ca-certificates ;;
        # A bootable image; its containers have no package sources either.
        system) echo systemd-sysv libmariadb3 ca-certificates curl openssl mariadb-server rabbitmq-server ;;
        *) return 1 ;;
    esac
}

label_of() { docker image inspect --format "{{index .Config.Labels \"$2\"}}" "$1" 2>/dev/null || true; }

was_pulled() {
    docker image inspect "$1" >/dev/null 2>&1 && [[ -z $(label_of "$1" "$LABEL") ]]
}

# --- Packages --------------------------------------------------------------------------------------

update_lists() { apt-get -o DPkg::Lock::Timeout=300 update -qq >&2; }

# The mirror of apt, which is known only after the package lists were downloaded.
mirror_of_apt() {
    # shellcheck disable=SC2016 # apt puts its own values in.
    apt-get indextargets --format '$(REPO_URI)' \
        'Created-By: Packages' 'Origin: Debian' 'Label: Debian' | head -n 1
}

mirror() {
    local found=${DEBIAN_MIRROR:-$(mirror_of_apt)}
    if [[ -z $found && $EUID -eq 0 ]]; then
        update_lists
        found=$(mirror_of_apt)
    fi
    [[ -n $found ]] || fail "apt has no Debian mirror; set DEBIAN_MIRROR"
    echo "$found"
}

# The package sources of a suite, one per line. For the suite of this machine, these are all sources of apt,
# including security updates.
sources() {
    if [[ $1 == "$(own_suite)" && -z ${DEBIAN_MIRROR:-} ]]; then
        # shellcheck disable=SC2016 # apt puts its own values in.
        apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' \
            'Created-By: Packages' "Origin: $(own ID | sed 's/./\u&/')"
    else
        echo "deb $(mirror) $1 main"
    fi
}

install_mmdebstrap() {
    ! command -v mmdebstrap >/dev/null || return 0
    [[ $EUID -eq 0 ]] || fail "install mmdebstrap first: apt-get install mmdebstrap"
    say "Installing mmdebstrap"
    export DEBIAN_FRONTEND=noninteractive
    update_lists
    apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends mmdebstrap >&2
}

# A Debian system with the packages of a stand-in. A snapshot of a mirror may have expired, which is ignored.
# mmdebstrap starts Python for each package; the system's Python is used, since the shim of a version manager
# takes several times as long.
make_system() {
    # shellcheck disable=SC2016 # mmdebstrap gives the folder as $1.
    PATH=/usr/sbin:/usr/bin:/sbin:/bin mmdebstrap --quiet --variant=minbase --format=tar \
        --include="$(packages_of "$1" | tr ' ' ,)" \
        --aptopt='Acquire::Languages "none"' --aptopt='Acquire::Check-Valid-Until "false"' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        --customize-hook='rm -f "$1"/etc/apt/sources.list' \
        "$(suite_of "$1")" - - < <(sources "$(suite_of "$1")")
}

# The base image of a stand-in, with a label of its contents.
make_packages() {
    local image=task-platform/stand-in-packages:$1 wanted complete
    wanted="$(suite_of "$1") $(packages_of "$1")"
    if [[ $(label_of "$image" "$LABEL") != "$wanted" ]]; then
        install_mmdebstrap
        say "Installing $(packages_of "$1") of Debian $(suite_of "$1") into an image"
        # It has no name until it is complete.
        complete=$(make_system "$1" | docker import --change "LABEL $LABEL=\"$wanted\"" -)
        docker tag "$complete" "$image"
    fi
    echo "$image"
}

# --- Rust ------------------------------------------------------------------------------------------

# The toolchain of this machine and the crates of Cargo.lock, in the layout of the stand-in.
rust_context() {
    local sysroot registry=${CARGO_HOME:-$HOME/.cargo}/registry folder=$1 name version crate index
    sysroot=$(rustc --print sysroot)
    cargo fetch --quiet --locked --manifest-path "$repository/Cargo.toml"
    cp "$repository/docker/stand-ins/rust/Dockerfile" "$folder/"
    mkdir -p "$folder/toolchain"
    cp -a "$sysroot/bin" "$sysroot/lib" "$folder/toolchain/"
    index=$(cd "$registry/index" && find . -maxdepth 1 -name 'index.crates.io-*' -printf '%f\n' | head -n 1)
    mkdir -p "$folder/cargo/registry/cache/$index" "$folder/cargo/registry/index"
    cp -a "$registry/index/$index" "$folder/cargo/registry/index/"
    while read -r name version; do
        crate=$registry/cache/$index/$name-$version.crate
        [[ ! -e $crate ]] || cp "$crate" "$folder/cargo/registry/cache/$index/"
    done < <(awk -F'"' '/^name = /{ name = $2 } /^version = /{ print name, $2 }' "$repository/Cargo.lock")
    printf '[net]\noffline = true\n' >"$folder/cargo/config.toml"
}

# --- moto ------------------------------------------------------------------------------------------

# The server and what it needs, for the Python of the image.
moto_context() {
    local folder=$1 python machine
    python=$(docker run --rm "$2" python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    machine=$(uname -m)
    cp "$repository/docker/stand-ins/moto/Dockerfile" "$folder/"
    python3 -m venv "$scratch.venv"
    "$scratch.venv/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: \
        --python-version "$python" --platform "manylinux2014_$machine" --platform "manylinux_2_28_$machine" \
        --target "$folder/site-packages" flask flask-cors "moto[s3]==$(tag_of moto | cut -d: -f2)"
    rm -rf "$scratch.venv"
}

# --- Images ----------------------------------------------------------------------------------------

# A hash of the inputs of a stand-in, which is built again when it changes.
contents_of() {
    local parts
    parts=$(
        suite_of "$1"
        packages_of "$1"
        cd "$repository/docker/stand-ins/$1"
        find . -type f -exec sha256sum {} + | sort
        if [[ $1 == rust ]]; then
            rustc --version --verbose
            cat "$repository/Cargo.lock"
        fi
    )
    sha256sum <<<"$parts" | cut -d' ' -f1
}

make_stand_in() {
    local name=$1 tag contents packages context
    packages_of "$name" >/dev/null || fail "there is no stand-in for $name"
    tag=$(tag_of "$name")
    contents=$(contents_of "$name")
    if was_pulled "$tag"; then
        say "$tag was pulled and is kept"
        return
    fi
    if [[ $(label_of "$tag" "$LABEL") == "$contents" ]]; then
        say "$tag is up to date"
        return
    fi
    packages=$(make_packages "$name")
    context=$repository/docker/stand-ins/$name
    case $name in
        rust)
            context=$scratch
            rust_context "$context"
            ;;
        moto)
            context=$scratch.moto
            mkdir "$context"
            moto_context "$context" "$packages"
            ;;
    esac
    say "Building $tag"
    if ! docker build --build-arg PACKAGES="$packages" --label "$LABEL=$contents" --tag "$tag" \
        "$context" >"$scratch.log" 2>&1; then
        cat "$scratch.log" >&2
        fail "$tag could not be built"
    fi
}

remove_all() {
    local images
    images=$(docker image ls --filter "label=$LABEL" --format '{{.Repository}}:{{.Tag}}')
    # shellcheck disable=SC2086
    [[ -z $images ]] || docker image rm $images >/dev/null
}

if [[ ${1:-} == --tag ]]; then
    tag_of "$2"
    exit
fi
command -v docker >/dev/null || fail "docker is missing"
docker info >/dev/null 2>&1 || fail "no Docker engine responds"
case ${1:-} in
    -h | --help) usage ;;
    --remove) remove_all ;;
    --system) make_packages system ;;
    *)
        scratch=$(mktemp -d)
        trap 'rm -rf "$scratch" "$scratch".*' EXIT
        [[ $# -gt 0 ]] || set -- debian rust mysql rabbitmq caddy moto
        for name in "$@"; do
            make_stand_in "$name"
        done
        ;;
esac
