// What wallets and scripts do with CosmJS, against the chain at RPC. Prints a line for each check, and fails at the
// first one that does not hold.
//
// usage: RPC=http://127.0.0.1:26657 node cosmjs.mjs
import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { Secp256k1HdWallet, createMultisigThresholdPubkey, encodeSecp256k1Pubkey, pubkeyToAddress } from '@cosmjs/amino';
import { toBech32 } from '@cosmjs/encoding';
import { DirectSecp256k1HdWallet, Registry, makeCosmoshubPath } from '@cosmjs/proto-signing';
import {
  AminoTypes, GasPrice, SigningStargateClient, calculateFee, coins, createDefaultAminoConverters, defaultRegistryTypes, makeMultisignedTxBytes,
} from '@cosmjs/stargate';
import { HttpBatchClient, Comet38Client } from '@cosmjs/tendermint-rpc';
import { MsgSend } from 'cosmjs-types/cosmos/bank/v1beta1/tx';
import protobuf from 'protobufjs';

const RPC = process.env.RPC ?? 'http://127.0.0.1:26657';
const MNEMONIC = 'test test test test test test test test test test test junk';
const prefix = 'capstan';
const path = index => ({ prefix, hdPaths: [makeCosmoshubPath(index)] });

// The messages of capstan.v1, from the chain's own .proto files.
const root = new protobuf.Root();
const protos = fileURLToPath(new URL('../../proto/', import.meta.url));
root.resolvePath = (_origin, target) => (target.startsWith('/') ? target : `${protos}${target}`);
await root.load(['capstan/v1/tx.proto']);
const names = ['MsgSend', 'MsgCreateVat', 'MsgAck', 'MsgInstallBundle'];
const registry = new Registry([...defaultRegistryTypes, ...names.map(name => [`/capstan.v1.${name}`, root.lookupType(`capstan.v1.${name}`)])]);
// An amino converter for messages whose fields are texts: names as in the .proto file, default values left out.
const aminoTypes = new AminoTypes({
  ...createDefaultAminoConverters(),
  '/capstan.v1.MsgSend': { aminoType: 'capstan/MsgSend', toAmino: value => value, fromAmino: value => value },
});

const options = { registry, aminoTypes, gasPrice: GasPrice.fromString('1ucap'), broadcastPollIntervalMs: 200 };
const direct = async index => DirectSecp256k1HdWallet.fromMnemonic(MNEMONIC, path(index));
const ledger = async index => Secp256k1HdWallet.fromMnemonic(MNEMONIC, path(index));
const connect = async wallet => SigningStargateClient.connectWithSigner(RPC, wallet, options);
const [aliceWallet, bobWallet] = [await direct(0), await ledger(1)];
const [alice, bob] = [(await aliceWallet.getAccounts())[0].address, (await bobWallet.getAccounts())[0].address];
const [client, ledgerClient] = [await connect(aliceWallet), await connect(bobWallet)];
const pay = (from, to, amount = 1) => ({
  typeUrl: '/cosmos.bank.v1beta1.MsgSend',
  value: MsgSend.fromPartial({ fromAddress: from, toAddress: to, amount: coins(amount, 'ucap') }),
});
const call = (sender, args) => ({ typeUrl: '/capstan.v1.MsgSend', value: { sender, target: 'factory', method: 'lookup', ...args } });
const done = result => {
  assert.equal(result.code, 0, result.rawLog);
  assert.ok(result.gasUsed > 0n && result.gasUsed <= result.gasWanted, `gas ${result.gasUsed} of ${result.gasWanted}`);
  return result;
};
const check = async (name, test) => {
  await test();
  console.log(`ok ${name}`);
};

await check('an unknown account is null, and has no coins', async () => {
  const nobody = toBech32(prefix, new Uint8Array(20).fill(7));
  assert.equal(await client.getAccount(nobody), null);
  assert.equal((await client.getBalance(nobody, 'ucap')).amount, '0');
});

await check('a fee of "auto" at the advertised price is enough, and the estimate is not below the gas', async () => {
  const estimate = await client.simulate(alice, [pay(alice, bob)], 'memo');
  const result = done(await client.signAndBroadcast(alice, [pay(alice, bob)], 'auto', 'memo'));
  assert.ok(BigInt(estimate) >= result.gasUsed, `${estimate} is below ${result.gasUsed}`);
});

await check('the steps of the price that wallets offer are enough', async () => {
  const gas = Math.ceil((await client.simulate(alice, [pay(alice, bob)], '')) * 1.3);
  for (const step of ['1ucap', '1.2ucap', '2ucap']) {
    done(await client.signAndBroadcast(alice, [pay(alice, bob)], calculateFee(gas, GasPrice.fromString(step))));
  }
});

await check('a gas limit below the gas is refused with the gas that is needed', async () => {
  await assert.rejects(
    client.signAndBroadcast(alice, [pay(alice, bob)], { amount: coins(500_000, 'ucap'), gas: '10' }),
    /out of gas: the gas limit is 10, but this transaction needs \d+/,
  );
});

await check('protobufjs 7 writes fields that have their default values', async () => {
  const create = { owner: alice, bundleId: `b1-${'00'.repeat(64)}`, name: '', computrons: 0 };
  const result = await client.signAndBroadcast(alice, [{ typeUrl: '/capstan.v1.MsgCreateVat', value: create }], 'auto');
  assert.match(result.rawLog, /no bundle b1-0+ is installed/);
  done(await client.signAndBroadcast(alice, [call(alice, { args: { body: '["x"]', slots: [] } })], 'auto'));
});

await check('a Ledger signs payments and messages of the chain', async () => {
  done(await ledgerClient.signAndBroadcast(bob, [pay(bob, alice)], 'auto', 'from <Tom & Jerry>'));
  done(await ledgerClient.signAndBroadcast(bob, [call(bob, { args: { body: '["x"]' } })], 'auto'));
  const height = BigInt(await client.getHeight());
  done(await ledgerClient.signAndBroadcast(bob, [pay(bob, alice)], 'auto', '', height + 50n));
});

await check('two of three keys of a multisig pay', async () => {
  const wallets = await Promise.all([10, 11, 12].map(ledger));
  const members = (await Promise.all(wallets.map(wallet => wallet.getAccounts()))).map(([account]) => account);
  const key = createMultisigThresholdPubkey(members.map(member => encodeSecp256k1Pubkey(member.pubkey)), 2);
  const address = pubkeyToAddress(key, prefix);
  done(await client.sendTokens(alice, address, coins(3_000_000, 'ucap'), 'auto'));
  const fee = { amount: coins(20_000, 'ucap'), gas: '20000' };
  for (const signers of [[0, 2], [1, 2]]) {
    const { accountNumber, sequence } = await client.getSequence(address);
    const data = { accountNumber, sequence, chainId: await client.getChainId() };
    const signatures = new Map();
    let bodyBytes;
    for (const index of signers) {
      const offline = await SigningStargateClient.offline(wallets[index]);
      const signed = await offline.sign(members[index].address, [pay(address, bob)], fee, '', data);
      signatures.set(members[index].address, signed.signatures[0]);
      bodyBytes = signed.bodyBytes;
    }
    done(await client.broadcastTx(makeMultisignedTxBytes(key, sequence, fee, bodyBytes, signatures), 20_000, 200));
  }
  const account = await client.getAccount(address);
  assert.equal(account.pubkey.type, 'tendermint/PubKeyMultisigThreshold');
  assert.equal(account.sequence, 2);
});

await check('what the chain does not have is refused by name', async () => {
  const delegate = { typeUrl: '/cosmos.staking.v1beta1.MsgDelegate', value: { delegatorAddress: alice, validatorAddress: 'x', amount: coins(1, 'ucap')[0] } };
  const fee = { amount: coins(500_000, 'ucap'), gas: '200000' };
  await assert.rejects(client.signAndBroadcast(alice, [delegate], fee), /MsgDelegate/);
  await assert.rejects(client.signAndBroadcast(alice, [pay(alice, bob)], { ...fee, granter: bob }), /fee granter/);
});

await check('batches of 20 are answered', async () => {
  const comet = await Comet38Client.create(new HttpBatchClient(RPC, { batchSizeLimit: 20 }));
  const heights = await Promise.all(Array.from({ length: 20 }, async () => (await comet.status()).syncInfo.latestBlockHeight));
  assert.equal(heights.length, 20);
  comet.disconnect();
});

// Connections that are kept alive would hold the process.
process.exit(0);
