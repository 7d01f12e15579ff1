#!/usr/bin/env bash
# Fuzzes everything that reads bytes from strangers, under libFuzzer, and compares the JavaScript engine with Node on random
# programs (target `programs`). Usage: fuzz.sh [SECONDS-PER-TARGET [TARGET...]]
# FUZZ_SEED=N begins with the program of that seed; otherwise each run takes other programs.
# What was found and what was learnt is kept in $CARGO_TARGET_DIR/fuzz.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
shift || true
targets=("$@")
[ "${#targets[@]}" -gt 0 ] || targets=(tx capdata abi wasm programs)

work=$CARGO_TARGET_DIR/fuzz
bin=$CARGO_TARGET_DIR/debug

cargo build -q --workspace --bin fuzz_seeds
"$bin/fuzz_seeds" "$work/seeds"
compare_programs=
for target in "${targets[@]}"; do [ "$target" != programs ] || compare_programs=yes; done
if [ "$compare_programs" ]; then
    kept=()
    for target in "${targets[@]}"; do [ "$target" = programs ] || kept+=("$target"); done
    targets=("${kept[@]}")
    seed=${FUZZ_SEED:-$(date +%s)}
    mkdir -p "$work/found"
    if said=$(timeout $((seconds + 120)) node tests/fuzz/programs/compare.mjs "$work/seeds/worker.wasm" --seconds "$seconds" \
        --seed "$seed" --note "$work/found/programs-running"); then
        echo "fuzz programs: $said, nothing found"
    else
        echo "fuzz programs: found something; run it again with: FUZZ_SEED=SEED scripts/fuzz.sh $seconds programs" >&2
        echo "(a program that does not end is one of the seeds in $work/found/programs-running)" >&2
        exit 1
    fi
    [ "${#targets[@]}" -gt 0 ] || exit 0
fi

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
