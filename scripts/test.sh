#!/usr/bin/env bash
# Every test. Prints the hash of the JavaScript worker that was built and checked.
set -euo pipefail
cd "$(dirname "$0")/.."

section() { printf '\n== %s (after %d s)\n' "$1" "$SECONDS"; }

section "build"
cargo test --workspace --no-run
# A light client and a client of the Cosmos SDK, which tests run.
command -v go > /dev/null || { echo "test: Go 1.23 or newer is missing (Debian and Ubuntu: apt-get install golang; or go.dev)" >&2; exit 1; }
(cd tests/clients/go && go build -o /dev/null . && go build -o /dev/null ./sdk)
echo "JavaScript worker: sha256 $(cat vat/js/worker.sha256)"

section "tests"
cargo test --workspace --no-fail-fast -- --test-threads=2

section "fuzzing"
scripts/fuzz.sh 10

section "lints"
scripts/lint.sh
