#!/usr/bin/env bash
# Every benchmark, one table after the other.
set -euo pipefail
cd "$(dirname "$0")/.."

section() { printf '\n== %s\n' "$1"; }

cargo build -q -p capstan-bench
cargo build -q --benches -p capstan-vat-host -p capstan-store

section "kernel and vats"
"$CARGO_TARGET_DIR/debug/capstan-bench"
section "vat host"
cargo bench -q -p capstan-vat-host --bench delivery --profile dev
section "kernel: a dead vat"
cargo bench -q -p capstan-kernel --bench cleanup --profile dev
section "store"
cargo bench -q -p capstan-store --bench commit --profile dev
