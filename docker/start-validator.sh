#!/usr/bin/env bash
# Runs one validator of a network that make-network.sh made. Usage: start-validator.sh HOME IP
set -euo pipefail
exec capstan start --home "$1" --moniker "$(basename "$1")" --rpc "$2:26657" --p2p "$2:26656" --peers "$(cat "$1/peers")"
