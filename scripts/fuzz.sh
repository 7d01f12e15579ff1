#!/usr/bin/env bash
# Fuzzes everything that reads bytes from strangers, under libFuzzer. Usage: fuzz.sh [SECONDS-PER-TARGET [TARGET...]]
# What was found and what was learnt is kept in $CARGO_TARGET_DIR/fuzz.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
shift || true
targets=("$@")
[ "${#targets[@]}" -gt 0 ] || targets=(tx capdata abi wasm)

work=$CARGO_TARGET_DIR/fuzz
bin=$CARGO_TARGET_DIR/debug

cargo build -q --workspace --bin fuzz_seeds
"$bin/fuzz_seeds" "$work/seeds"
# Only the project's own packages are instrumented, not their dependencies.
RUSTC_WORKSPACE_WRAPPER=$PWD/scripts/rustc-for-fuzzing cargo build -q --workspace \
    --features capstan-fuzz/fuzzing "${targets[@]/#/--bin=fuzz_}"
mkdir -p "$work/found"
for target in "${targets[@]}"; do
    mkdir -p "$work/corpus/$target"
    log=$work/$target.log
    if "$bin/fuzz_$target" -max_total_time="$seconds" -max_len=4096 -timeout=20 -rss_limit_mb=4096 -print_final_stats=1 \
        -artifact_prefix="$work/found/$target-" "$work/corpus/$target" "$work/seeds/$target" >"$log" 2>&1; then
        runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
        covered=$(grep -o 'cov: [0-9]*' "$log" | tail -1)
        echo "fuzz $target: $runs inputs in $seconds s, $covered, nothing found"
    else
        tail -40 "$log" >&2
        echo "fuzz $target: found something; run it again with: $bin/fuzz_$target $work/found/$target-…" >&2
        exit 1
    fi
done
