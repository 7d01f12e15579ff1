#!/usr/bin/env bash
# SwingSet beside Capstan: the games of capstan-bench on both, in turn. Usage: bench-peers.sh [--json], with PEER_ROUNDS=3.
set -euo pipefail
cd "$(dirname "$0")/.."

peers=$PWD/tests/peers
fail() {
    echo "bench-peers: $1" >&2
    exit 1
}
for tool in c++ make python3; do
    command -v "$tool" >/dev/null || fail "$tool is missing, which SwingSet's packages are built with (Debian and Ubuntu: apt-get install build-essential python3)"
done

installed=$peers/node_modules/.package-lock.json
if [ ! -f "$installed" ] || [ "$peers/package-lock.json" -nt "$installed" ]; then
    echo "bench-peers: installing SwingSet" >&2
    (cd "$peers" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2) || fail "npm ci failed: see above"
    touch "$installed"
fi

# Node's headers, where they are installed with it. Otherwise node-gyp fetches them.
headers=$(dirname "$(dirname "$(readlink -f "$(command -v node)")")")
if [ ! -e "$peers/node_modules/better-sqlite3/build/Release/better_sqlite3.node" ]; then
    echo "bench-peers: building better-sqlite3" >&2
    [ ! -e "$headers/include/node/node.h" ] || export npm_config_nodedir=$headers
    # Its packages' own install script would look for a binary on the web first.
    (cd "$peers" && npm_config_build_from_source=true npm rebuild better-sqlite3 >"$peers/node_modules/.sqlite.log" 2>&1) ||
        fail "better-sqlite3 could not be built: see $peers/node_modules/.sqlite.log"
fi

xsnap=$peers/node_modules/@agoric/xsnap
if [ ! -x "$xsnap/xsnap-native/xsnap/build/bin/lin/release/xsnap-worker" ]; then
    [ "$(uname -s)" = Linux ] || fail "xsnap is built for Linux only by this script"
    echo "bench-peers: building xsnap" >&2
    # As the package's own build has it.
    make -C "$xsnap/xsnap-native/xsnap/makefiles/lin" -f xsnap-worker.mk GOAL=release MODDABLE="$xsnap/moddable" \
        XSNAP_VERSION="$(node -p "require('$xsnap/package.json').version")" 'CC=cc "-D__has_builtin(x)=1"' >"$peers/node_modules/.xsnap.log" 2>&1 ||
        fail "xsnap could not be built: see $peers/node_modules/.xsnap.log"
fi

cargo build -q --release --workspace --bin capstan-bench
exec node "$peers/compare.mjs" "$CARGO_TARGET_DIR/release/capstan-bench" "${PEER_ROUNDS:-3}" "$@"
