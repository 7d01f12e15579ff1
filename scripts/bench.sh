#!/usr/bin/env bash
# Every benchmark, one table after the other.
set -euo pipefail
cd "$(dirname "$0")/.."

section() { printf '\n== %s\n' "$1"; }

# The whole workspace is selected each time: then features, and with them what is built already, stay the same.
cargo build -q --release --workspace --bin capstan --bin capstan-bench --benches

section "kernel and vats"
"$CARGO_TARGET_DIR/release/capstan-bench"
section "what a million computrons take"
"$CARGO_TARGET_DIR/release/capstan-bench" cost
section "smallcaps"
"$CARGO_TARGET_DIR/release/capstan-bench" smallcaps
section "blocks"
"$CARGO_TARGET_DIR/release/capstan-bench" blocks
section "vats on two threads"
"$CARGO_TARGET_DIR/release/capstan-bench" parallel
section "a thousand vats"
"$CARGO_TARGET_DIR/release/capstan-bench" fleet
section "snapshots of the state: a hundred vats of a MiB"
"$CARGO_TARGET_DIR/release/capstan-bench" sync --vats 100
section "state sync over peer-to-peer connections: a hundred vats of a MiB"
scripts/bench-sync.sh "$CARGO_TARGET_DIR/release/capstan" 100
section "growth"
"$CARGO_TARGET_DIR/release/capstan-bench" growth
section "starting a node"
scripts/bench-start.sh "$CARGO_TARGET_DIR/release/capstan"
section "vat host"
cargo bench -q --workspace --bench delivery --profile release
section "kernel: a dead vat"
cargo bench -q --workspace --bench cleanup --profile release
section "store"
cargo bench -q --workspace --bench commit --profile release
cargo bench -q --workspace --bench proven --profile release
section "localnet of four: small blocks, and blocks four times as large"
scripts/bench-localnet.sh "$CARGO_TARGET_DIR/release/capstan" 60 100
scripts/bench-localnet.sh "$CARGO_TARGET_DIR/release/capstan" 20 400
