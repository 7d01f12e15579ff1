#!/usr/bin/env bash
# Four validators on this machine under load: of what the time of a node's blocks consists.
# scripts/bench-localnet.sh CAPSTAN [MESSAGES [ROUNDS]]: so many messages, each of which computes so many rounds.
set -euo pipefail
cd "$(dirname "$0")/.."

capstan=$1
messages=${2:-200}
rounds=${3:-40}
work=$(mktemp -d)
net() { "$capstan" localnet --home "$work/net" "$@"; }
trap 'net down >/dev/null 2>&1 || true; rm -rf "$work"' EXIT
field() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p" | head -1; }

# The metrics of a node on CometBFT have a port of their own: the nodes are started again with one each.
net up --validators 4 --detach --json >/dev/null
net down --json >/dev/null
ports=()
for config in "$work"/net/nodes/*/config.toml; do
    port=$((20000 + RANDOM % 20000))
    ports+=("$port")
    sed -i "/^\[metrics\]/,/^listen/ s/^listen = .*/listen = \"127.0.0.1:$port\"/" "$config"
done
net up --detach --json >"$work/status"
CAPSTAN_NODE=$(net status --json | field rpc)
export CAPSTAN_NODE

"$capstan" bundle tests/bench/vats/vat-thinker.js -o "$work/thinker.json" --json >"$work/bundle"
"$capstan" tx install-bundle "$work/thinker.json" --from alice --json >/dev/null
"$capstan" tx create-vat "$(tail -1 "$work/bundle" | field bundle_id)" --name thinker --from alice --json >"$work/vat"
root=$(field root <"$work/vat")
"$capstan" tx send "$root" think "$rounds" --from alice --json >/dev/null

read_metrics() { for port in "${ports[@]}"; do curl -sf "http://127.0.0.1:$port/metrics" >"$work/$1.$port"; done; }
read_metrics before
for _ in $(seq "$messages"); do
    "$capstan" tx send "$root" think "$rounds" --from alice --json >/dev/null
done
read_metrics after

# Seconds that a metric grew by on the node with this port.
grew() {
    awk -v name="$1" 'FNR == 1 { file += 1 } $1 == name { sum[file] = $2 } END { printf "%.6f", sum[2] - sum[1] }' \
        "$work/before.$2" "$work/after.$2"
}
printf '%-8s %8s %12s %10s %10s %10s %10s %8s\n' node blocks "FinalizeBlock" vats kernel root Commit "vats' %"
number=0
for port in "${ports[@]}"; do
    awk -v node="node$number" -v blocks="$(grew capstan_blocks_total "$port")" \
        -v finalize="$(grew capstan_finalize_seconds_sum "$port")" -v vats="$(grew capstan_vat_seconds_total "$port")" \
        -v root="$(grew capstan_root_seconds_sum "$port")" -v commit="$(grew capstan_commit_seconds_sum "$port")" \
        'BEGIN { printf "%-8s %8d %11.3fs %9.3fs %9.3fs %9.3fs %9.3fs %8.1f\n", node, blocks, finalize, vats,
            finalize - vats - root, root, commit, 100 * vats / (finalize + commit) }'
    number=$((number + 1))
done
