#!/usr/bin/env bash
# Makes sure that `scripts/services.sh` finds the programs of MariaDB and RabbitMQ. Installs what is
# missing on Debian and Ubuntu, from the distribution's packages and without starting any system
# service; elsewhere says what to install. Does nothing where nothing is missing; may be run again at
# any time.
set -euo pipefail

readonly POLICY=/usr/sbin/policy-rc.d
readonly POLICY_BEFORE=$POLICY.before-install-services
readonly LOCK=/run/lock/install-services.lock

say() { printf '%s\n' "$*" >&2; }

# Distributions keep servers off the PATH of normal users.
export PATH="/usr/lib/rabbitmq/bin:$PATH:/usr/local/sbin:/usr/sbin:/sbin"

has() {
    local program
    for program in "$@"; do
        command -v "$program" >/dev/null || return 1
    done
}

missing_packages() {
    has mariadbd mariadb-install-db mariadb-admin || echo mariadb-server
    has rabbitmq-server rabbitmqctl epmd || echo rabbitmq-server
    has openssl || echo openssl
}

say_what_to_install() {
    say "MariaDB 10.11 or newer, RabbitMQ 3.10 or newer and OpenSSL are needed, with the programs mariadbd,"
    say "mariadb-install-db, mariadb-admin, rabbitmq-server, rabbitmqctl, epmd and openssl:"
    say "  Debian, Ubuntu   apt-get install mariadb-server rabbitmq-server openssl"
    say "  Fedora           dnf install mariadb-server rabbitmq-server openssl"
    say "  Arch Linux       pacman -S mariadb rabbitmq openssl"
    say "  macOS            brew install mariadb rabbitmq openssl"
    say "No system service of them needs to run."
}

# As root: a policy-rc.d that answers 101 keeps packages from starting their services. One that was
# there before is put back whatever happens, also one that a killed run of this script left aside.
install_as_root() {
    exec 9>"$LOCK"
    flock 9
    trap restore_policy EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    if [[ -e $POLICY || -L $POLICY ]] && [[ ! -e $POLICY_BEFORE && ! -L $POLICY_BEFORE ]]; then
        mv "$POLICY" "$POLICY_BEFORE"
    fi
    rm -f "$POLICY"
    printf '#!/bin/sh\n# Written by install-services.sh for the time of an installation.\nexit 101\n' >"$POLICY"
    chmod 755 "$POLICY"

    # Children do not hold the lock: what a package leaves running must not keep it.
    export DEBIAN_FRONTEND=noninteractive
    # Ubuntu would otherwise restart what uses a library that was replaced.
    export NEEDRESTART_SUSPEND=1
    apt-get -o DPkg::Lock::Timeout=300 update -qq 9>&-
    apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "$@" 9>&-
}

restore_policy() {
    rm -f "$POLICY"
    if [[ -e $POLICY_BEFORE || -L $POLICY_BEFORE ]]; then
        mv "$POLICY_BEFORE" "$POLICY"
    fi
}

if [[ ${1:-} == --as-root ]]; then
    shift
    install_as_root "$@"
    exit
fi

read -r -a missing <<<"$(missing_packages | tr '\n' ' ')"
if [[ ${#missing[@]} -eq 0 ]]; then
    exit
fi
if ! has apt-get flock; then
    say_what_to_install
    exit 1
fi
say "Installing ${missing[*]}"
if [[ $EUID -eq 0 ]]; then
    "${BASH_SOURCE[0]}" --as-root "${missing[@]}"
elif has sudo; then
    sudo "${BASH_SOURCE[0]}" --as-root "${missing[@]}"
else
    say "Install these packages as root: apt-get install ${missing[*]}"
    exit 1
fi
if [[ -n $(missing_packages) ]]; then
    say_what_to_install
    exit 1
fi
