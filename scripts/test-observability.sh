#!/usr/bin/env bash
# Checks docker/observability: the configuration and the alerts of Prometheus with promtool, the unit tests of the
# alerts, and the queries of the dashboard. If promtool is missing, Debian's or Ubuntu's package of Prometheus is
# unpacked into FOLDER; nothing is installed or started.
set -euo pipefail

if [[ $# -ne 1 ]]; then
    echo "Usage: scripts/test-observability.sh FOLDER" >&2
    exit 2
fi
folder=$1
cd "$(dirname "$0")/.."
readonly folder DASHBOARD=docker/observability/grafana/dashboards/task-platform.json

say() { printf '%s\n' "$*" >&2; }

unpack_promtool() {
    if ! command -v apt-get >/dev/null; then
        say "promtool is missing. It is a part of Prometheus: https://prometheus.io/download/"
        exit 1
    fi
    say "Unpacking promtool into $folder"
    mkdir -p "$folder"
    (cd "$folder" && apt-get download -qq prometheus && dpkg-deb --extract prometheus_*.deb . && rm prometheus_*.deb)
}

promtool=$(command -v promtool || true)
if [[ -z $promtool ]]; then
    promtool=$folder/usr/bin/promtool
    [[ -x $promtool ]] || unpack_promtool
fi

"$promtool" check config docker/observability/prometheus.yml
"$promtool" test rules docker/observability/alerts.test.yml

# A rule file of the dashboard's queries, since promtool checks the syntax of rules only.
queries=$(mktemp --suffix=.yml)
trap 'rm -f "$queries"' EXIT
python3 - "$DASHBOARD" >"$queries" <<'PYTHON'
import json
import sys

with open(sys.argv[1], encoding="utf-8") as file:
    panels = json.load(file)["panels"]
queries = [target["expr"] for panel in panels for target in panel["targets"]]
rules = [{"record": f"query:{n}", "expr": expr.replace("$__rate_interval", "1m")} for n, expr in enumerate(queries)]
print(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
PYTHON
"$promtool" check rules "$queries"
