#!/usr/bin/env bash
# Makes sure that Chromium and its WebDriver exist, in which the page is tested. Installs them on Debian and
# Ubuntu; elsewhere says what to install. It can be run again at any time.
set -euo pipefail

say() { printf '%s\n' "$*" >&2; }

missing_packages() {
    command -v chromium >/dev/null || command -v google-chrome >/dev/null || echo chromium
    command -v chromedriver >/dev/null || echo chromium-driver
}

mapfile -t missing < <(missing_packages)
if [[ ${#missing[@]} -eq 0 ]]; then
    exit 0
fi
sudo=()
if [[ $EUID -ne 0 ]]; then
    sudo=(sudo)
fi
if ! command -v apt-get >/dev/null || { [[ $EUID -ne 0 ]] && ! command -v sudo >/dev/null; }; then
    say "The page is tested in Chromium or Chrome, by chromedriver of the same version. Missing: ${missing[*]}"
    say "  Debian           apt-get install chromium chromium-driver"
    say "  Fedora           dnf install chromium chromedriver"
    say "  Arch Linux       pacman -S chromium"
    say "  macOS            brew install --cask google-chrome chromedriver"
    exit 1
fi
say "Installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
"${sudo[@]}" apt-get update -qq
"${sudo[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}"
