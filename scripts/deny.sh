#!/usr/bin/env bash
# Runs `cargo deny check` by deny.toml. Usage: deny.sh CHECK...: licenses, bans, sources, advisories.
# Installs cargo-deny once, outside the checkout. Only `advisories` needs the network.
set -euo pipefail
cd "$(dirname "$0")/.."

version=0.20.2
tools=$HOME/.cache/capstan/tools
if [ "$("$tools/bin/cargo-deny" --version 2>/dev/null)" != "cargo-deny $version" ]; then
    echo "deny: building cargo-deny $version, once"
    # Not optimized: it runs for seconds, and takes a quarter of the time to build.
    env -u CARGO_TARGET_DIR CARGO_PROFILE_DEV_DEBUG=0 \
        cargo install --quiet --locked --debug --root "$tools" --version "$version" cargo-deny || {
        echo "deny: cargo-deny $version could not be built: see above. \`cargo install --locked cargo-deny\` needs a C compiler and crates.io" >&2
        exit 1
    }
fi
offline=(--offline)
case " $* " in *" advisories "*) offline=() ;; esac
"$tools/bin/cargo-deny" --log-level error "${offline[@]}" check --hide-inclusion-graph "$@"
