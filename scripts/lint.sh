#!/usr/bin/env bash
# The gate: format, clippy, documentation, and the packages that the project is built from. A warning fails it.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo fmt --all --check
cargo clippy --quiet --workspace --all-targets -- -D warnings
RUSTDOCFLAGS="-D warnings" cargo doc --quiet --workspace --no-deps
scripts/deny.sh licenses bans sources
echo "lint: nothing found"
