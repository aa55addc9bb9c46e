#!/usr/bin/env bash
# Installs missing programs that the benchmarks use: GNU coreutils (cat, dd, sha256sum, wc), curl, and Python
# with venv. On systems other than Debian and Ubuntu, it says what to install. The Makefile installs packages
# from PyPI.
set -euo pipefail

say() { printf '%s\n' "$*" >&2; }

has() {
    local program
    for program in "$@"; do
        command -v "$program" >/dev/null || return 1
    done
}

missing_packages() {
    has cat dd sha256sum wc || echo coreutils
    has curl || echo curl
    # Debian's `venv` alone cannot install pip into the environment; it needs `ensurepip`.
    python3 -c 'import ensurepip, venv' 2>/dev/null || echo python3 python3-venv
}

say_what_to_install() {
    say "The benchmarks need GNU coreutils, curl, and Python 3.11 or newer with venv and pip."
    say "  Debian, Ubuntu   apt-get install ${missing[*]}"
}

read -r -a missing <<<"$(missing_packages | tr '\n' ' ')"
if [[ ${#missing[@]} -eq 0 ]]; then
    exit
fi
sudo=()
if [[ $EUID -ne 0 ]]; then
    sudo=(sudo)
fi
if ! has apt-get "${sudo[@]}"; then
    say_what_to_install
    exit 1
fi
say "Installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
"${sudo[@]}" apt-get update -qq
"${sudo[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}"
if [[ -n $(missing_packages) ]]; then
    say_what_to_install
    exit 1
fi
