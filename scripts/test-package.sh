#!/usr/bin/env bash
# Tests the package in a container that runs systemd: installation, a standalone server, a fleet, killed and
# frozen processes, upgrades during tasks, removal and purge.
#
#   scripts/test-package.sh OLD.deb NEW.deb
#
# The container has no package sources; its image contains MariaDB and RabbitMQ. It needs the capabilities with
# which systemd confines services, but not --privileged.
# shellcheck disable=SC2016 # Variables are for the shell in the container.
set -euo pipefail

old=$(realpath "$1")
new=$(realpath "$2")
scripts=$(realpath "$(dirname "$0")")
container=task-platform-test-$$
folder=$(mktemp -d)
readonly old new scripts container folder
readonly ROWS=${ROWS:-300000}
started=$SECONDS
checks=0

say() { printf '%s\n' "$*"; }

fail() {
    say "FAILED: $*" >&2
    inside journalctl --no-pager --lines 60 >&2 || true
    exit 1
}

step() { printf '\n==> %s (%d s)\n' "$*" $((SECONDS - started)); }

inside() { docker exec "$container" "$@"; }

# check WHAT COMMAND…: the command must succeed, inside the container.
check() {
    local what=$1
    shift
    inside "$@" >"$folder/output" 2>&1 || {
        cat "$folder/output" >&2
        fail "$what: $*"
    }
    checks=$((checks + 1))
    say "ok  $what"
}

refute() {
    local what=$1
    shift
    ! inside "$@" >/dev/null 2>&1 || fail "$what: $*"
    checks=$((checks + 1))
    say "ok  $what"
}

# equal WHAT EXPECTED COMMAND…: the command must print exactly that.
equal() {
    local what=$1 expected=$2 actual
    shift 2
    actual=$(inside "$@") || fail "$what: $*"
    [[ $actual == "$expected" ]] || fail "$what: expected $expected, got $actual"
    checks=$((checks + 1))
    say "ok  $what: $(head -n 1 <<<"$actual")"
}

# await SECONDS WHAT COMMAND…
await() {
    local seconds=$1 what=$2 began=$SECONDS
    shift 2
    until inside "$@" >/dev/null 2>&1; do
        ((SECONDS - began < seconds)) || fail "$what takes longer than $seconds s: $*"
        sleep 0.2
    done
    checks=$((checks + 1))
    say "ok  $what, after $((SECONDS - began)) s"
}

# Prints the id of a task that loads ROWS rows, as soon as some of them are in the database.
begin_load() {
    local answer
    answer=$(inside taskctl --json upload /root/people.csv --kind data_upload)
    task=$(sed -n 's/.*"task_id": *"\([^"]*\)".*/\1/p' <<<"$answer" | head -n 1)
    [[ -n $task ]] || fail "no task in $answer"
    await 30 "task $task has begun" sh -c \
        "taskctl --json status $task | grep -q '\"state\": *\"processing\"'"
}

end_load() {
    check "the task ends well" timeout 180 taskctl watch "$task"
    equal "every row is loaded once" "$ROWS" sh -c \
        "taskctl rows $task | tail -n +2 | sort -u | wc -l"
    equal "no row is loaded twice" "$ROWS" sh -c "taskctl rows $task | tail -n +2 | wc -l"
    check "the task is deleted" taskctl delete "$task"
}

aggregate() {
    check "a CSV file is aggregated" taskctl upload /root/songs.csv --wait --output /root/sums.csv
    check "the sums are right" cmp /root/sums.csv /root/expected.csv
    inside rm /root/sums.csv
}

trap 'docker rm --force --volumes "$container" >/dev/null 2>&1 || true; rm -rf "$folder"' EXIT

step "a machine with systemd"
image=$("$scripts/offline-images.sh" --system)
# systemd can propagate mounts for a service, such as its credentials, only if mounts are shared. They are on a
# machine, but not in a container.
docker run --detach --name "$container" --cap-add SYS_ADMIN --cap-add NET_ADMIN --cap-add SYS_PTRACE \
    --cap-add SYS_NICE --security-opt seccomp=unconfined --security-opt apparmor=unconfined \
    --cgroupns=host --volume /sys/fs/cgroup:/sys/fs/cgroup:rw --tmpfs /run --tmpfs /run/lock \
    --tmpfs /tmp --env container=docker --stop-signal SIGRTMIN+3 "$image" \
    sh -c 'mount --make-rshared / && exec /sbin/init' >/dev/null
await 60 "it has started" systemctl is-system-running
# The broker is stopped before the name server, which it needs to stop.
inside systemctl disable --quiet --now mariadb rabbitmq-server 2>/dev/null
inside systemctl disable --quiet --now epmd.service epmd.socket 2>/dev/null || true
docker cp "$old" "$container:/root/old.deb"
docker cp "$new" "$container:/root/new.deb"
cat >"$folder/songs.csv" <<'CSV'
Song,Date,Number of Plays
Umbrella,2020-01-02,200
Umbrella,2020-01-01,100
In The End,2020-01-01,500
Umbrella,2020-01-01,50
In The End,2020-01-01,1000
Umbrella,2020-01-02,50
In The End,2020-01-02,500
CSV
cat >"$folder/expected.csv" <<'CSV'
Song,Date,Number of Plays
In The End,2020-01-01,1500
In The End,2020-01-02,500
Umbrella,2020-01-01,150
Umbrella,2020-01-02,250
CSV
docker cp "$folder/songs.csv" "$container:/root/songs.csv"
docker cp "$folder/expected.csv" "$container:/root/expected.csv"

step "installation"
check "the package installs" dpkg --install /root/old.deb
for unit in task_manager data_processor@1 taskctl-standalone; do
    refute "$unit is not enabled" systemctl --quiet is-enabled "$unit"
    refute "$unit does not run" systemctl --quiet is-active "$unit"
    check "the unit of $unit is valid" systemd-analyze verify --man=no "$unit.service"
    exposure=$(inside systemd-analyze security --no-pager "$unit.service" | sed -n 's/.*level for.*: \([0-9.]*\) .*/\1/p')
    awk -v exposure="$exposure" 'BEGIN { exit !(exposure > 0 && exposure < 2) }' || fail "the exposure of $unit is $exposure"
    say "ok  the exposure of $unit is $exposure"
done
for user in task-manager data-processor task-standalone; do
    check "user $user exists" id "$user"
done
equal "credentials are for root alone" "700 root" stat --format '%a %U' /etc/task-platform/credentials
check "the version names a commit" sh -c "taskctl --version | grep -q '('"
check "completions load" bash -c 'source /usr/share/bash-completion/completions/taskctl; complete -p taskctl'
check "the units' manual pages are in the package" sh -c \
    'dpkg -L task-platform | grep -q man1/taskctl-standalone.1 && dpkg -L task-platform | grep -q man1/task_manager.1'
check "people are made up" taskctl fake-people --rows "$ROWS" --bad 0 --output /root/people.csv

step "a standalone server"
check "it is started as documented" systemctl enable --now taskctl-standalone
equal "it is ready when the start returns" ok sh -c 'curl -fs http://127.0.0.1:5000/readyz >/dev/null && echo ok'
equal "its state is shown" "listening on http://127.0.0.1:5000" \
    systemctl show --property StatusText --value taskctl-standalone
aggregate
refute "the journal has no time twice" sh -c \
    "journalctl --unit taskctl-standalone --output cat | grep -qE '^[^ ]*[0-9]{4}-[0-9]{2}-[0-9]{2}T'"
check "priorities reach the journal" sh -c \
    "journalctl --unit taskctl-standalone --output json --lines 20 | grep -q '\"PRIORITY\":\"6\".*listening on'"
equal "its data is its own" "700 task-standalone" stat --format '%a %U' /var/lib/task-platform/standalone

step "killed in mid-task"
begin_load
inside systemctl kill --signal KILL taskctl-standalone
await 30 "it runs again" curl -fs http://127.0.0.1:5000/readyz
equal "systemd has restarted it" 1 systemctl show --property NRestarts --value taskctl-standalone
end_load

step "frozen"
inside systemctl kill --signal STOP taskctl-standalone
await 60 "the watchdog ends it" sh -c "journalctl --unit taskctl-standalone | grep -q 'Watchdog timeout'"
await 30 "it runs again" curl -fs http://127.0.0.1:5000/readyz

step "stopped in mid-task"
begin_load
before=$SECONDS
check "it stops" systemctl stop taskctl-standalone
say "    in $((SECONDS - before)) s"
equal "nothing has failed" success systemctl show --property Result --value taskctl-standalone
check "it starts" systemctl start taskctl-standalone
end_load

step "upgraded in mid-task"
version=$(inside taskctl --version)
begin_load
check "the new package installs" dpkg --install /root/new.deb
await 60 "the new program runs" sh -c \
    'readlink /proc/$(systemctl show --property MainPID --value taskctl-standalone)/exe | grep -qx /usr/bin/taskctl'
await 30 "it is ready" curl -fs http://127.0.0.1:5000/readyz
[[ $version != "$(inside taskctl --version)" ]] || fail "the version is still $version"
say "    $version -> $(inside taskctl --version)"
end_load
aggregate
check "an administrator is made" sh -c "echo 'Pa55word!' | runuser -u task-standalone -- taskctl admin create \
    --username boss1 --data /var/lib/task-platform/standalone --settings /etc/task-platform/standalone"
check "it is stopped for good" systemctl disable --now taskctl-standalone

step "database and broker"
check "they are set up" /usr/share/task-platform/install-services.sh --server
inside sh -c 'cat /etc/task-platform/credentials/*/* | sha256sum' >"$folder/secrets"
check "they are set up again" /usr/share/task-platform/install-services.sh --server
equal "the secrets are the same" "$(cat "$folder/secrets")" sh -c 'cat /etc/task-platform/credentials/*/* | sha256sum'
equal "the credentials are for root alone" "600 root" stat --format '%a %U' \
    /etc/task-platform/credentials/task_manager/jwt_key

step "a fleet"
check "it is started as documented" systemctl enable --now task_manager data_processor@1 data_processor@2
check "it is ready when the start returns" curl -fs http://127.0.0.1:5000/readyz
await 30 "the first worker is ready" curl -fs http://127.0.0.1:5001/readyz
await 30 "the second worker is ready" curl -fs http://127.0.0.2:5001/readyz
refute "no secret is in the environment" sh -c \
    'tr "\0" "\n" </proc/$(systemctl show --property MainPID --value task_manager)/environ | grep -qE "JWT|TOKEN|URL"'
check "a user signs up" sh -c "echo 'Pa55word!' | taskctl register alice"
check "and logs in" sh -c "echo 'Pa55word!' | taskctl login alice"
aggregate
equal "results belong to the workers, in the common group" "data-processor task-platform" sh -c \
    "find /var/lib/task-platform/storage/processed_data -type f -printf '%u %g\n' | sort -u"

step "workers killed in mid-task"
begin_load
inside systemctl kill --signal KILL data_processor@1 data_processor@2
end_load

step "the fleet upgraded in mid-task"
begin_load
check "the package installs" dpkg --install /root/new.deb
await 60 "the task manager runs again" curl -fs http://127.0.0.1:5000/readyz
end_load

step "the database away"
check "it stops" systemctl stop task_manager mariadb
inside systemctl --no-block start task_manager
await 30 "the task manager waits" sh -c \
    "systemctl show --property StatusText --value task_manager | grep -q 'waiting for the database'"
equal "and is not ready" activating systemctl show --property ActiveState --value task_manager
check "the database starts" systemctl start mariadb
await 30 "the task manager is ready" systemctl --quiet is-active task_manager

step "removal"
refute "services in use are not removed" /usr/share/task-platform/install-services.sh --remove
check "the fleet stops" systemctl stop task_manager 'data_processor@*'
check "database and broker are cleared" /usr/share/task-platform/install-services.sh --remove
refute "no database is left" sh -c 'mariadb --execute "SHOW DATABASES" | grep -qx tasks'
refute "no user of the broker is left" sh -c 'rabbitmqctl --quiet list_users | grep -q tasks'
refute "no secret is left" sh -c 'ls /etc/task-platform/credentials/*/* 2>/dev/null | grep -q .'
check "the standalone server runs" systemctl enable --now taskctl-standalone
check "the package is removed" dpkg --remove task-platform
refute "no service runs" systemctl --quiet is-active taskctl-standalone
refute "no program is left" test -e /usr/bin/taskctl
check "the data is left" test -e /var/lib/task-platform/standalone/tasks.sqlite
check "it is installed again" dpkg --install /root/new.deb
check "it starts on its data" systemctl start taskctl-standalone
inside sh -c 'mkdir -p /root/source/programs && cp /usr/bin/taskctl /usr/bin/task_manager /usr/bin/data_processor /root/source/programs'
check "the package is purged" dpkg --purge task-platform
equal "no file is left" "" find / -xdev -not -path '/proc/*' -not -path '/root/*' '(' -path '*task-platform*' \
    -o -name 'taskctl*' -o -name 'task_manager*' -o -name 'data_processor*' ')' -not -path '/var/log/journal/*'
equal "no unit is broken" "0" sh -c "systemctl --failed --no-legend | wc -l"

step "without a package"
docker cp "$scripts" "$container:/root/source/scripts"
docker cp "$scripts/../systemd" "$container:/root/source/systemd"
check "make install installs" /root/source/scripts/install.sh install /root/source/programs
check "the unit starts the program below /usr/local" systemctl enable --now taskctl-standalone
check "it runs from there" sh -c \
    'readlink /proc/$(systemctl show --property MainPID --value taskctl-standalone)/exe | grep -qx /usr/local/bin/taskctl'
# The token is that of the fleet, which had the same address.
check "the token is forgotten" taskctl logout
aggregate
check "make uninstall removes it" /root/source/scripts/install.sh uninstall
refute "no service runs" systemctl --quiet is-active taskctl-standalone
equal "no file is left but settings and data" "" find /usr/local '(' -path '*task-platform*' -o -name 'taskctl*' \
    -o -name '_taskctl' -o -name 'task_manager*' -o -name 'data_processor*' ')'
check "the data is left" test -e /var/lib/task-platform/standalone/tasks.sqlite

printf '\n%d checks passed in %d s.\n' "$checks" $((SECONDS - started))
