#!/usr/bin/env bash
# Installs the programs with their units, settings, completions and manual pages, or removes them. The Debian
# package contains the same files.
#
#   scripts/install.sh install FOLDER   the programs are in FOLDER
#   scripts/install.sh uninstall        settings, secrets and data stay
#
#   PREFIX    the prefix of the files (/usr/local)
#   DESTDIR   prepended to every path, for packages; then only files are installed
#
# Settings are in /etc/task-platform and data in /var/lib/task-platform, whatever PREFIX is.
set -euo pipefail

readonly PROGRAMS=(taskctl task_manager data_processor)
readonly UNITS=(task_manager.service data_processor@.service taskctl-standalone.service)
readonly SETTINGS=(task_manager.toml data_processor.toml standalone/task_manager.toml
    standalone/data_processor.toml)

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
prefix=${PREFIX:-/usr/local}
destination=${DESTDIR:-}
readonly repository prefix destination

# The folders of completions for zsh and fish, for packages and for local installations.
if [[ $prefix == /usr ]]; then
    zsh=$prefix/share/zsh/vendor-completions
else
    zsh=$prefix/share/zsh/site-functions
fi
readonly zsh bash=$prefix/share/bash-completion/completions
readonly fish=$prefix/share/fish/vendor_completions.d man=$prefix/share/man/man1
readonly units=$prefix/lib/systemd/system
readonly sysusers=$prefix/lib/sysusers.d/task-platform.conf
readonly tmpfiles=$prefix/lib/tmpfiles.d/task-platform.conf

say() { printf '%s\n' "$*" >&2; }

fail() {
    say "install: $*"
    exit 1
}

put() { install -D -m 644 "$1" "$destination$2"; }

# The units name the programs of a package.
put_unit() {
    sed "s|^ExecStart=/usr/bin/|ExecStart=$prefix/bin/|" "$repository/systemd/$1" |
        install -D -m 644 /dev/stdin "$destination$units/$1"
}

put_documents() {
    local program=$1 page folder
    folder=$(mktemp -d)
    "$2/$program" package-files "$folder"
    put "$folder/bash/$program" "$bash/$program"
    put "$folder/zsh/_$program" "$zsh/_$program"
    put "$folder/fish/$program.fish" "$fish/$program.fish"
    for page in "$folder"/man1/*; do
        put "$page" "$man/${page##*/}"
    done
    rm -r "$folder"
}

# On a running system, like the scripts of the package.
is_live() { [[ -z $destination && -d /run/systemd/system ]]; }

# sysusers and tmpfiles search their folders for the name.
set_up() {
    systemd-sysusers task-platform.conf
    systemd-tmpfiles --create task-platform.conf
    systemctl daemon-reload
}

install_all() {
    local programs=${1:?name the folder of the programs} program file
    for program in "${PROGRAMS[@]}"; do
        [[ -x $programs/$program ]] || fail "$programs/$program is missing: run make programs"
    done
    for program in "${PROGRAMS[@]}"; do
        # Written next to the old program and then renamed over it, since it may be running.
        install -D -m 755 "$programs/$program" "$destination$prefix/bin/.$program.new"
        mv "$destination$prefix/bin/.$program.new" "$destination$prefix/bin/$program"
        put_documents "$program" "$programs"
    done
    for file in "${UNITS[@]}"; do
        put_unit "$file"
    done
    put "$repository/systemd/task-platform.sysusers" "$sysusers"
    put "$repository/systemd/task-platform.tmpfiles" "$tmpfiles"
    for file in "${SETTINGS[@]}"; do
        [[ -e $destination/etc/task-platform/$file ]] ||
            put "$repository/systemd/settings/$file" "/etc/task-platform/$file"
    done
    if is_live; then
        set_up
        say "Installed. systemctl enable --now taskctl-standalone starts a standalone server;"
        say "see docs/install.md. Restart services that already run: systemctl restart NAME"
    fi
}

uninstall_all() {
    local program
    if is_live; then
        for program in task_manager 'data_processor@*' taskctl-standalone; do
            systemctl stop "$program.service" 2>/dev/null || true
        done
        for program in task_manager data_processor@ taskctl-standalone; do
            systemctl disable --quiet "$program.service" 2>/dev/null || true
        done
    fi
    for program in "${PROGRAMS[@]}"; do
        rm -f "$destination$prefix/bin/$program" "$destination$bash/$program" \
            "$destination$zsh/_$program" "$destination$fish/$program.fish" \
            "$destination$man/$program.1" "$destination$man/$program"-*.1
    done
    for program in "${UNITS[@]}"; do
        rm -f "$destination$units/$program"
    done
    rm -f "$destination$sysusers" "$destination$tmpfiles"
    if is_live; then
        systemctl daemon-reload
        say "Removed. Settings, secrets and data stay in /etc/task-platform and /var/lib/task-platform."
    fi
}

case ${1:-} in
    install) install_all "${2:-}" ;;
    uninstall) uninstall_all ;;
    *)
        sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" >&2
        exit 2
        ;;
esac
