#!/usr/bin/env bash
# Installs what the build needs and is missing. Says what to install where it cannot do so itself.
set -euo pipefail
cd "$(dirname "$0")/.."

LLVM=22
PACKAGES=("clang-$LLVM" "lld-$LLVM" "libclang-rt-$LLVM-dev-wasm32")

missing_tool() { ! command -v "$1" >/dev/null 2>&1; }

fail() {
    echo "setup: $1" >&2
    exit 1
}

missing_tool cargo && fail "Rust is missing: install rustup from your system's packages or rust-lang.org, then run this again"
# rust-toolchain.toml names an exact release. Where the installed stable toolchain is that release, it gets this name too,
# so that rustup has nothing to download.
name_toolchain() {
    local wanted host home stable
    wanted=$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)
    home=${RUSTUP_HOME:-$HOME/.rustup}
    stable=$(RUSTUP_TOOLCHAIN=stable rustc --print sysroot 2>/dev/null) || return 0
    host=$(RUSTUP_TOOLCHAIN=stable rustc -vV | sed -n 's/^host: //p')
    [ "$(RUSTUP_TOOLCHAIN=stable rustc -vV | sed -n 's/^release: //p')" = "$wanted" ] || return 0
    [ -e "$home/toolchains/$wanted-$host" ] || ln -s "$stable" "$home/toolchains/$wanted-$host"
}
if ! missing_tool rustup; then
    name_toolchain
fi

missing_tool node && fail "Node.js 20 or newer is missing (Debian and Ubuntu: apt-get install nodejs npm)"
missing_tool npm && fail "npm is missing (Debian and Ubuntu: apt-get install npm)"
[ "$(node -p 'process.versions.node.split(".")[0]')" -ge 20 ] || fail "Node.js $(node --version) is too old: 20 or newer is needed"

wasm_builtins() {
    local path
    path=$("clang-$LLVM" --target=wasm32-unknown-unknown -print-libgcc-file-name 2>/dev/null) && [ -f "$path" ] && return
    path=$("clang-$LLVM" --target=wasm32-unknown-wasi -print-libgcc-file-name 2>/dev/null) && [ -f "$path" ]
}

if missing_tool "clang-$LLVM" || missing_tool "wasm-ld-$LLVM" || ! wasm_builtins; then
    if command -v apt-get >/dev/null 2>&1; then
        as_root=()
        [ "$(id -u)" -eq 0 ] || as_root=(sudo)
        echo "setup: installing ${PACKAGES[*]}"
        "${as_root[@]}" apt-get update -qq || fail "apt-get update failed: see above"
        DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${PACKAGES[@]}" >/dev/null ||
            fail "could not install ${PACKAGES[*]}: add your distribution's LLVM $LLVM packages and run this again"
    else
        fail "clang $LLVM with the wasm32 target, wasm-ld $LLVM and compiler-rt for wasm32 are missing.
Install them (Fedora: clang lld compiler-rt; Arch: clang lld wasm-compiler-rt; macOS: brew install llvm@$LLVM lld),
with the commands clang-$LLVM and wasm-ld-$LLVM on the path, and run this again"
    fi
fi

# CometBFT, for networks of several validators: where `capstan` looks first.
comet=$(cat consensus/cometbft.version)
comet_dir=$HOME/.cache/capstan/cometbft/$comet
if [ ! -x "$comet_dir/cometbft" ]; then
    missing_tool go && fail "Go is missing, which CometBFT $comet is built with (Debian and Ubuntu: apt-get install golang; or go.dev)"
    echo "setup: building CometBFT $comet"
    GOBIN=$comet_dir go install "github.com/cometbft/cometbft/cmd/cometbft@$comet" || fail "CometBFT could not be built: see above"
fi

# The libraries that vats import, the bundler, and Agoric's worker bundles; and the clients of the tests. Exactly the locked ones.
for folder in vat/js tests/clients; do
    installed=$folder/node_modules/.package-lock.json
    if [ ! -f "$installed" ] || [ "$folder/package-lock.json" -nt "$installed" ]; then
        echo "setup: installing npm packages of $folder"
        (cd "$folder" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error) || fail "npm ci failed: see above"
        touch "$installed"
    fi
done
