#!/usr/bin/env bash
# Makes sure that the programs exist which the commands of the documents call: curl, jq, sqlite3, aiosmtpd, Python with
# venv, and Node.js 18 or newer. Installs what is missing on Debian and Ubuntu; elsewhere says what to install. The
# Makefile installs packages from PyPI.
set -euo pipefail

readonly NODE_AT_LEAST=18

say() { printf '%s\n' "$*" >&2; }

missing_packages() {
    command -v curl >/dev/null || echo curl
    command -v jq >/dev/null || echo jq
    command -v sqlite3 >/dev/null || echo sqlite3
    command -v aiosmtpd >/dev/null || echo python3-aiosmtpd
    # Debian's `venv` alone cannot install pip into the environment; it needs `ensurepip`.
    python3 -c 'import ensurepip, venv' 2>/dev/null || printf '%s\n' python3 python3-venv
    command -v node >/dev/null || echo nodejs
}

read -r -a missing <<<"$(missing_packages | tr '\n' ' ')"
if [[ ${#missing[@]} -gt 0 ]]; then
    if ! command -v apt-get >/dev/null || [[ $EUID -ne 0 ]]; then
        say "The documentation is tested with these programs, which are missing: ${missing[*]}"
        say "Install them; on Debian and Ubuntu: sudo apt-get install ${missing[*]}"
        exit 1
    fi
    say "Installing ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${missing[@]}"
fi
version=$(node --version)
if [[ $(tr -dc '0-9.' <<<"$version" | cut -d. -f1) -lt $NODE_AT_LEAST ]]; then
    say "Node.js $version is too old: examples/aggregate.mjs needs $NODE_AT_LEAST or newer"
    exit 1
fi
