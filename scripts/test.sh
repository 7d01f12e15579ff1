#!/usr/bin/env bash
# Every test. Prints the hash of the JavaScript worker that was built and checked.
set -euo pipefail
cd "$(dirname "$0")/.."

section() { printf '\n== %s\n' "$1"; }

section "build"
cargo build --workspace --all-targets
echo "JavaScript worker: sha256 $(cat vat/js/worker.sha256)"

section "tests"
cargo test --workspace --no-fail-fast -- --test-threads=2

section "fuzzing"
scripts/fuzz.sh 10

section "lints"
scripts/lint.sh
