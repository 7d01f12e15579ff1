#!/usr/bin/env bash
# How long `capstan dev` takes to its first answered query: on a new home, and started again on the same home (five times,
# the median). Usage: bench-start.sh PATH-TO-CAPSTAN
set -euo pipefail
capstan=$1

work=$(mktemp -d)
chain=
stop() {
    [ -z "$chain" ] || { kill "$chain" 2>/dev/null && wait "$chain" 2>/dev/null || true; }
    chain=
}
trap 'stop; rm -rf "$work"' EXIT
export CAPSTAN_HOME="$work/home"

# Milliseconds from the start to the first answer of `query vats`.
start() {
    local began ready
    began=$(date +%s%N)
    rm -f "$work/ready"
    mkfifo "$work/ready"
    "$capstan" dev --rpc 127.0.0.1:0 --json >"$work/ready" &
    chain=$!
    read -r ready <"$work/ready"
    CAPSTAN_NODE=$(sed 's/.*"rpc":"\([^"]*\)".*/\1/' <<<"$ready") "$capstan" query vats --json >/dev/null
    took=$((($(date +%s%N) - began) / 1000000))
    stop
}

# The engine is compiled and booted once; that is not what is measured.
start
rm -rf "$CAPSTAN_HOME"
start
echo "a new home                 $took ms"
times=()
for _ in 1 2 3 4 5; do
    start
    times+=("$took")
done
echo "the same home again        $(printf '%s\n' "${times[@]}" | sort -n | sed -n 3p) ms (median of ${times[*]})"
