// Verifies records of the chain at RPC by their proofs, with CosmJS's implementation of ICS-23. Prints a line for each
// check, and fails at the first one that does not hold.
//
// usage: RPC=http://127.0.0.1:26657 node proofs.mjs
import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import confio from '@confio/ics23';
import { fromUtf8, toBech32, toUtf8 } from '@cosmjs/encoding';
import { DirectSecp256k1HdWallet, Registry, makeCosmoshubPath } from '@cosmjs/proto-signing';
import { GasPrice, SigningStargateClient } from '@cosmjs/stargate';
import { Comet38Client } from '@cosmjs/tendermint-rpc';
import protobuf from 'protobufjs';

const { iavlSpec, ics23, tendermintSpec, verifyExistence, verifyNonExistence } = confio;
const RPC = process.env.RPC ?? 'http://127.0.0.1:26657';
const MNEMONIC = 'test test test test test test test test test test test junk';
const STORE = 'capstan';

const protos = fileURLToPath(new URL('../../proto/', import.meta.url));
const root = new protobuf.Root();
root.resolvePath = (_origin, target) => (target.startsWith('/') ? target : `${protos}${target}`);
await root.load(['capstan/v1/tx.proto']);
const registry = new Registry([['/capstan.v1.MsgSend', root.lookupType('capstan.v1.MsgSend')]]);
const wallet = await DirectSecp256k1HdWallet.fromMnemonic(MNEMONIC, { prefix: 'capstan', hdPaths: [makeCosmoshubPath(0)] });
const alice = (await wallet.getAccounts())[0].address;
const options = { registry, gasPrice: GasPrice.fromString('1ucap'), broadcastPollIntervalMs: 200 };
const client = await SigningStargateClient.connectWithSigner(RPC, wallet, options);
const comet = await Comet38Client.connect(RPC);

const query = async (path, height, prove = false) => {
  const answer = await comet.abciQuery({ path, data: new Uint8Array(), height, prove });
  assert.equal(answer.code, 0, answer.log);
  return answer;
};
const json = async path => JSON.parse(fromUtf8((await query(path)).value));
const call = async () => {
  const value = { sender: alice, target: 'factory', method: 'lookup', args: { body: '["x"]', slots: [] } };
  const sent = await client.signAndBroadcast(alice, [{ typeUrl: '/capstan.v1.MsgSend', value }], 'auto');
  assert.equal(sent.code, 0, sent.rawLog);
  return sent;
};
/// Asks again until `test` accepts the answer.
const until = async (test, ask) => {
  for (let tries = 0; tries < 300; tries += 1) {
    const answer = await ask();
    if (test(answer)) return answer;
    await new Promise(resolve => setTimeout(resolve, 200));
  }
  return assert.fail('it did not come');
};

// What CosmJS's `queryStoreVerified` and CometBFT's light client ask.
const proved = async (key, height) => {
  const answer = await comet.abciQuery({ path: `/store/${STORE}/key`, data: toUtf8(key), height, prove: true });
  assert.equal(answer.code, 0, answer.log);
  assert.equal(answer.height, height);
  assert.deepEqual(fromUtf8(answer.key), key);
  const { header } = (await comet.block(height + 1)).block;
  assert.deepEqual(answer.proof.ops.map(op => op.type), ['ics23:iavl', 'ics23:simple']);
  const [record, store] = answer.proof.ops.map(op => ics23.CommitmentProof.decode(op.data));
  const name = toUtf8(STORE);
  verifyExistence(store.exist, tendermintSpec, header.appHash, name, store.exist.value);
  if (answer.value.length === 0) {
    verifyNonExistence(record.nonexist, iavlSpec, store.exist.value, toUtf8(key));
    return null;
  }
  verifyExistence(record.exist, iavlSpec, store.exist.value, toUtf8(key), answer.value);
  assert.throws(() => verifyExistence(record.exist, iavlSpec, store.exist.value, toUtf8(key), toUtf8('forged')));
  return JSON.parse(fromUtf8(answer.value));
};
const check = async (name, test) => {
  await test();
  console.log(`ok ${name}`);
};

const sent = await call();
const result = `txs/${sent.transactionHash}/0`;
const settled = await until(answer => answer.status !== 'pending', () => json(result));
const height = (await comet.abciInfo()).lastBlockHeight;
// The app hash of a height is in the header of the next one.
await call();
await until(status => status.syncInfo.latestBlockHeight > height, () => comet.status());

const bundle = (await json('bundles')).bundles[0].bundle_id;
const vat = (await json('vats')).vats[0].vat_id;
const nobody = toBech32('capstan', new Uint8Array(20).fill(7));
const present = {
  [`accounts/${alice}`]: value => value.address === alice,
  [`balances/${alice}`]: value => value.denom === 'ucap' && BigInt(value.amount) > 0n,
  [`outbox/${alice}/1`]: value => typeof value === 'object',
  [result]: value => value.status === settled.status && value.account === alice,
  [`bundles/${bundle}`]: value => value.bundle_id === bundle,
  [`vats/${vat}/stats`]: value => value.vat_id === vat,
  params: value => typeof value === 'object',
};
for (const [key, test] of Object.entries(present)) {
  await check(`${key.split('/')[0]}: a value`, async () => assert.ok(test(await proved(key, height)), key));
}
const absent = [
  `accounts/${nobody}`, `balances/${nobody}`, `outbox/${alice}/999`, `txs/${'0'.repeat(64)}/0`, `bundles/b1-${'00'.repeat(64)}`, 'vats/v999/stats',
];
for (const key of absent) {
  await check(`${key.split('/')[0]}: absence`, async () => assert.equal(await proved(key, height), null));
}
await check('the path of a query proves what the key proves', async () => {
  const answer = await query(`balances/${alice}`, height, true);
  assert.deepEqual(JSON.parse(fromUtf8(answer.value)), await proved(`balances/${alice}`, height));
});
await check('other queries have no proofs', async () => {
  const answer = await comet.abciQuery({ path: 'vats', data: new Uint8Array(), prove: true });
  assert.match(answer.log, /no proof/);
});

// Connections that are kept alive would hold the process.
process.exit(0);
