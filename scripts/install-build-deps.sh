#!/usr/bin/env bash
# Installs missing dependencies of `cargo build`: Rust, a C compiler and linker, make, pkg-config and the headers of
# a MySQL client library. On systems other than Debian and Ubuntu, it says what to install. It can be run
# again at any time.
set -euo pipefail

readonly RUST_AT_LEAST=1.95

say() { printf '%s\n' "$*" >&2; }

has_compiler() { command -v cc >/dev/null; }

# The allocator is built with it.
has_make() { command -v make >/dev/null; }

# The names that the build passes to pkg-config, in its order.
has_mysql_client() {
    pkg-config --exists mysqlclient 2>/dev/null || pkg-config --exists libmariadb 2>/dev/null
}

missing_packages() {
    has_compiler || echo gcc libc6-dev
    has_make || echo make
    command -v pkg-config >/dev/null || echo pkg-config
    has_mysql_client || echo libmariadb-dev
}

install_with_apt() {
    local sudo=()
    if [[ $EUID -ne 0 ]]; then
        if ! command -v sudo >/dev/null; then
            say "These packages are missing: $*"
            say "Install them as root: apt-get install $*"
            exit 1
        fi
        sudo=(sudo)
    fi
    say "Installing $*"
    export DEBIAN_FRONTEND=noninteractive
    "${sudo[@]}" apt-get update -qq
    "${sudo[@]}" apt-get install -y -qq --no-install-recommends "$@"
}

say_what_to_install() {
    say "The build needs a C compiler, make, pkg-config and the headers of a MySQL client library:"
    say "  Debian, Ubuntu   apt-get install gcc libc6-dev make pkg-config libmariadb-dev"
    say "  Fedora           dnf install gcc make pkgconf-pkg-config mariadb-connector-c-devel"
    say "  Arch Linux       pacman -S base-devel mariadb-libs"
    say "  macOS            xcode-select --install; brew install pkgconf mariadb-connector-c"
    say "pkg-config must then find libmariadb or mysqlclient. If the library is in another folder,"
    say "PKG_CONFIG_PATH must name the folder of its .pc file; Homebrew prints it."
}

check_rust() {
    local version
    if ! version=$(cargo --version 2>/dev/null); then
        say "Rust is missing: install it with rustup, then run this again."
        exit 1
    fi
    version=$(cut -d' ' -f2 <<<"$version")
    if [[ $(printf '%s\n' "$RUST_AT_LEAST" "$version" | sort -V | head -n1) != "$RUST_AT_LEAST" ]]; then
        say "Rust $version is too old, $RUST_AT_LEAST or newer is needed: run rustup update stable"
        exit 1
    fi
}

check_rust
read -r -a missing <<<"$(missing_packages | tr '\n' ' ')"
if [[ ${#missing[@]} -gt 0 ]]; then
    if ! command -v apt-get >/dev/null; then
        say_what_to_install
        exit 1
    fi
    install_with_apt "${missing[@]}"
fi
if ! has_compiler || ! has_mysql_client; then
    say_what_to_install
    exit 1
fi
