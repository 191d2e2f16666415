#!/usr/bin/env bash
# Tries the containers as a user would: build, start, reconstruct docs/sample.png, see the request in Prometheus, remove everything.
#   docker/smoke.sh cpu|gpu
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

service=http://127.0.0.1:8000
prometheus=http://127.0.0.1:9090
mesh=$(mktemp --suffix=.glb)

case ${1:-} in
  cpu) compose=(docker compose -p monotwin-smoke -f docker-compose.yml -f docker-compose.cpu.yml) ;;
  gpu) compose=(docker compose -p monotwin-smoke -f docker-compose.yml) ;;
  *) echo "usage: docker/smoke.sh cpu|gpu" >&2; exit 2 ;;
esac

finish() {
  local status=$?
  ((status == 0)) || "${compose[@]}" logs --tail 50 >&2 || true
  "${compose[@]}" down --volumes --timeout 75
  rm -f "$mesh"
  exit "$status"
}
trap finish EXIT

# get URL: its body, from this machine whatever proxy the environment names
get() { curl --noproxy '*' --fail --silent --show-error "$@"; }

# reconstructions_seen: how many requests Prometheus has scraped
reconstructions_seen() {
  get --get "$prometheus/api/v1/query" --data-urlencode 'query=sum(monotwin_request_seconds_count)' |
    python3 -c 'import json, sys; rows = json.load(sys.stdin)["data"]["result"]; print(int(float(rows[0]["value"][1])) if rows else 0)'
}

"${compose[@]}" build
"${compose[@]}" up --detach --wait

get "$service/health/ready" && echo
get "$service/reconstruct" --form image=@docs/sample.png --output "$mesh"
[[ $(head -c 4 "$mesh") == glTF ]] || { echo "expected a GLB from /reconstruct" >&2; exit 1; }
echo "mesh: $(stat --format %s "$mesh") bytes"

for _ in {1..30}; do
  (($(reconstructions_seen) >= 1)) && break
  sleep 1
done
seen=$(reconstructions_seen)
((seen >= 1)) || { echo "Prometheus: expected at least 1 request within 30 s, found $seen" >&2; exit 1; }
echo "Prometheus has seen $seen request(s)"

get "$prometheus/api/v1/rules" | grep -q ReconstructionsAreSlow || { echo "Prometheus: the alert rule is not loaded" >&2; exit 1; }
echo "smoke test passed"
