#!/usr/bin/env bash
# State sync over CometBFT's peer-to-peer connections: a node joins a network of one validator by a snapshot, over loopback.
# scripts/bench-sync.sh CAPSTAN [VATS [KIB]]: so many JavaScript vats, each of which keeps so many KiB.
set -euo pipefail
cd "$(dirname "$0")/.."

capstan=$1
vats=${2:-100}
kib=${3:-1024}
work=$(mktemp -d)
net() { "$capstan" localnet --home "$work/net" "$@"; }
trap 'net down >/dev/null 2>&1 || true; rm -rf "$work"' EXIT
rpc() { curl -sf --max-time 5 "$1/status" || true; }
# A number of CometBFT's status, which has no other of that name.
number() { sed -n "s/.*\"$1\": *\"\([0-9]*\)\".*/\1/p" | head -1; }
now() { date +%s.%N; }
row() { printf '%-64s %10s\n' "$1" "$2"; }

# A chain whose genesis document has the vats.
for vat in hoards hoard; do
    "$capstan" bundle "tests/bench/vats/vat-$vat.js" -o "$work/$vat.json" --json >/dev/null
done
# A subcluster has at most 32 of them.
subclusters=()
for first in $(seq 1 30 "$vats"); do
    last=$((first + 29 < vats ? first + 29 : vats))
    {
        printf '{"name":"hoards%d","config":{"bootstrap":"hoards","vats":{"hoards":{"bundle":"hoards.json",' "$first"
        printf '"parameters":{"bytes":%d,"first":%d}}' $((kib << 10)) "$first"
        for number in $(seq "$first" "$last"); do printf ',"hoard%d":{"bundle":"hoard.json"}' "$number"; done
        printf '}}}'
    } >"$work/subcluster$first.json"
    subclusters+=(--system-subcluster "$work/subcluster$first.json")
done
"$capstan" init --home "$work/genesis" "${subclusters[@]}" --validator --json >/dev/null
net up --validators 1 --genesis "$work/genesis/genesis.json" --snapshot-interval 1000000 --detach --json >/dev/null
first=$(net status --json | grep -o '"rpc":"[^"]*"' | head -1 | cut -d'"' -f4)

# Blocks go on until all vats are full.
export CAPSTAN_NODE=$first
queues=
while [[ $queues != *[{,]run_queue_length:0[,}]* || $queues != *acceptance_queue_length:0[,}]* ]]; do
    sleep 1
    queues=$("$capstan" query kernel --json | tr -d '" ')
done
net down --json >/dev/null
"$capstan" snapshot create --home "$work/net/nodes/node0" --json >"$work/snapshot"
number_of() { sed -n "s/.*\"$1\":\([0-9]*\).*/\1/p" "$work/snapshot"; }
height=$(number_of height)
net up --detach --json >/dev/null
# The light client needs two headers above the snapshot's.
while [ "$(rpc "$first" | number latest_block_height)" -lt $((height + 2)) ]; do sleep 0.5; done

began=$(now)
net add-node --state-sync --json >"$work/status"
second=$(grep -o '"rpc":"[^"]*"' "$work/status" | tail -1 | cut -d'"' -f4)
log=$work/net/nodes/node1/comet/cometbft.log
while ! rpc "$second" | grep -q '"catching_up": *false'; do
    if net status --json | grep -q '"ended: '; then
        tail -5 "$work/net/nodes/node1/node.log" >&2
        exit 1
    fi
    sleep 0.2
done
running=$(now)
"$capstan" query vats --node "$second" --json >/dev/null

# Seconds from the beginning to what the new node's CometBFT first said.
said() { date -d "$(sed -n "s/^.\[\([^|]*\)|\([^]]*\)\] $1.*/\1 \2/p" "$log" | head -1)" +%s.%N; }
after() { awk -v from="$1" -v to="$2" 'BEGIN { printf "%.1f", to - from }'; }
offered=$(said "Offering snapshot")
row vats "$vats"
row "snapshot, MB" "$(number_of bytes | awk '{ printf "%.1f", $1 / 1e6 }')"
row "snapshot: chunks of 4 MiB and the first one" "$(number_of chunks)"
row "from the node's start until it was offered the snapshot, s" "$(after "$began" "$offered")"
row "from the offer until all was checked, s" "$(after "$offered" "$(said "Snapshot restored")")"
row "from the offer until the node ran with the others, s" "$(after "$offered" "$running")"
