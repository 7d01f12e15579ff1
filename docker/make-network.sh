#!/usr/bin/env bash
# Makes the homes of a network's validators: DIR/node0 and so on, one for each address, with one genesis document.
# Usage: make-network.sh DIR CHAIN-ID IP...
# Each home gets a file `peers` for `capstan start --peers`. Does nothing if the network is there already.
set -euo pipefail
dir=$1
chain_id=$2
shift 2
[ ! -e "$dir/ready" ] || exit 0

number=0
for _ in "$@"; do
    rm -rf "$dir/node$number"
    capstan init --home "$dir/node$number" --chain-id "$chain_id" --validator --timer --governor alice >/dev/null
    number=$((number + 1))
done

# The validators of all homes go into one genesis document, and each node keeps connections to all others.
node - "$dir" "$@" <<'JS'
const fs = require('fs');
const [dir, ...addresses] = process.argv.slice(2);
const home = number => `${dir}/node${number}`;
const read = path => JSON.parse(fs.readFileSync(path, 'utf8'));
const homes = addresses.map((_, number) => home(number));
const genesis = read(`${homes[0]}/genesis.json`);
genesis.validators = homes.flatMap((path, number) =>
  read(`${path}/genesis.json`).validators.map(one => ({ ...one, name: `node${number}` })));
const ids = homes.map(path => read(`${path}/comet/config/node_key.json`).address.toLowerCase());
const peer = number => `${ids[number]}@${addresses[number]}:26656`;
homes.forEach((path, number) => {
  fs.writeFileSync(`${path}/genesis.json`, JSON.stringify(genesis));
  const others = addresses.map((_, other) => other).filter(other => other !== number);
  fs.writeFileSync(`${path}/peers`, others.map(peer).join(','));
});
JS
touch "$dir/ready"
