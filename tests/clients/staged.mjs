// What CosmJS does with the files of `capstan tx --generate-only` and `capstan tx sign`: it signs as a key of a multisig,
// and joins signatures. The multisig is that of two of the three development keys.
//
// usage: node staged.mjs sign TX KEY_INDEX CHAIN_ID ACCOUNT_NUMBER SEQUENCE  prints a file as `capstan tx sign` does
//        node staged.mjs join TX SIGNATURE…                                  prints the bytes of the transaction in base64
//        node staged.mjs make TO AMOUNT                                      prints a transaction that nobody has signed
import { readFileSync } from 'node:fs';
import { Secp256k1HdWallet, createMultisigThresholdPubkey, encodeSecp256k1Pubkey, makeSignDoc, pubkeyToAddress } from '@cosmjs/amino';
import { fromBase64, toBase64 } from '@cosmjs/encoding';
import { Registry, makeCosmoshubPath } from '@cosmjs/proto-signing';
import { AminoTypes, createDefaultAminoConverters, defaultRegistryTypes, makeMultisignedTxBytes } from '@cosmjs/stargate';
import { MsgSend } from 'cosmjs-types/cosmos/bank/v1beta1/tx';

const MNEMONIC = 'test test test test test test test test test test test junk';
const prefix = 'capstan';
const wallet = await Secp256k1HdWallet.fromMnemonic(MNEMONIC, { prefix, hdPaths: [0, 1, 2].map(makeCosmoshubPath) });
const accounts = await wallet.getAccounts();
const multisig = createMultisigThresholdPubkey(accounts.map(account => encodeSecp256k1Pubkey(account.pubkey)), 2);
const read = file => JSON.parse(readFileSync(file, 'utf8'));
const messages = tx => tx.body.messages.map(message => {
  if (message['@type'] !== '/cosmos.bank.v1beta1.MsgSend') throw new Error(`unexpected ${message['@type']}`);
  const { from_address: fromAddress, to_address: toAddress, amount } = message;
  return { typeUrl: message['@type'], value: MsgSend.fromPartial({ fromAddress, toAddress, amount }) };
});
const feeOf = ({ auth_info: { fee } }) => ({ amount: fee.amount, gas: fee.gas_limit });

const sign = async (file, index, chainId, number, sequence) => {
  const tx = read(file);
  const aminoTypes = new AminoTypes(createDefaultAminoConverters());
  const document = makeSignDoc(messages(tx).map(m => aminoTypes.toAmino(m)), feeOf(tx), chainId, tx.body.memo, number, sequence);
  const { signature } = await wallet.signAmino(accounts[index].address, document);
  return JSON.stringify({
    signatures: [{
      public_key: { '@type': '/cosmos.crypto.secp256k1.PubKey', key: toBase64(accounts[index].pubkey) },
      data: { single: { mode: 'SIGN_MODE_LEGACY_AMINO_JSON', signature: signature.signature } },
      sequence,
    }],
  });
};

const join = (file, ...files) => {
  const tx = read(file);
  const bodyBytes = new Registry(defaultRegistryTypes).encodeTxBody({ messages: messages(tx), memo: tx.body.memo });
  const signed = files.flatMap(name => read(name).signatures);
  const address = ({ public_key: { key } }) => pubkeyToAddress({ type: 'tendermint/PubKeySecp256k1', value: key }, prefix);
  const signatures = new Map(signed.map(one => [address(one), fromBase64(one.data.single.signature)]));
  return toBase64(makeMultisignedTxBytes(multisig, Number(signed[0].sequence), feeOf(tx), bodyBytes, signatures));
};

const make = (to, amount) => JSON.stringify({
  body: {
    messages: [{ '@type': '/cosmos.bank.v1beta1.MsgSend', from_address: accounts[0].address, to_address: to, amount: [{ denom: 'ucap', amount }] }],
    memo: 'made by CosmJS',
  },
  auth_info: { fee: { amount: [{ denom: 'ucap', amount: '20000' }], gas_limit: '20000' } },
  signatures: [],
});

const [command, ...args] = process.argv.slice(2);
console.log(await { sign, join, make }[command](...args));
