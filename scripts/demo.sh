#!/usr/bin/env bash
# The story, start to end: a chain, a bundle, a vat, messages, statistics. Usage: demo.sh PATH-TO-CAPSTAN
# Works on a fresh home and a free port, and leaves nothing running.
set -euo pipefail
cd "$(dirname "$0")/.."
capstan=$1

work=$(mktemp -d)
chain=
clean_up() {
    if [ -n "$chain" ] && kill "$chain" 2>/dev/null; then
        wait "$chain" 2>/dev/null || true
    fi
    rm -rf "$work"
}
trap clean_up EXIT
export CAPSTAN_HOME="$work/home"

# Shows a command as one would type it, then runs it.
run() {
    printf '\n$ capstan %s\n' "$*"
    "$capstan" "$@"
}
# A field of a command's JSON.
field() { node -e 'console.log(JSON.parse(require("fs").readFileSync(0, "utf8"))[process.argv[1]])' "$1"; }

echo '$ capstan dev --rpc 127.0.0.1:0 --json &'
"$capstan" dev --rpc 127.0.0.1:0 --json >"$work/ready" &
chain=$!
deadline=$((SECONDS + 240))
until [ -s "$work/ready" ]; do
    kill -0 "$chain" 2>/dev/null || { echo "demo: the chain ended before it was ready" >&2; exit 1; }
    [ "$SECONDS" -lt "$deadline" ] || { echo "demo: the chain was not ready within 240 seconds" >&2; exit 1; }
    read -r -t 0.2 <> <(:) || true
done
cat "$work/ready"
CAPSTAN_NODE=$(field rpc <"$work/ready")
export CAPSTAN_NODE

run bundle examples/counter/vat-counter.js -o "$work/counter.json" --json | tee "$work/bundle"
bundle=$(tail -1 "$work/bundle" | field bundle_id)
run tx install-bundle "$work/counter.json" --from alice --json

printf '\n$ capstan tx create-vat %s --name counter --params '\''{"start":5}'\'' --from alice --json\n' "$bundle"
"$capstan" tx create-vat "$bundle" --name counter --params '{"start":5}' --from alice --json | tee "$work/vat"
vat=$(field vat_id <"$work/vat")
root=$(field root <"$work/vat")

run tx send "$root" increment 37 --from alice --json
run tx send "$root" read --from alice
run query vats
run query vat-stats "$vat"
