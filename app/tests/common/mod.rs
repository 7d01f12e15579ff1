//! A chain under test: the application, driven directly, and clients that sign for it.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]

pub mod host;

use std::sync::{Arc, Mutex};

use capstan_app::{App, AppOptions, FatalHandler, FatalReport, proto};
use capstan_genesis::{Address, Genesis, GenesisBundle, Params};
use capstan_kernel::NodeOptions;
use capstan_kernel_ports::host::VatHost;
use capstan_store::Store;
use cosmrs::{
    Any,
    crypto::{PublicKey, secp256k1::SigningKey},
    proto::cosmos::{
        bank::v1beta1::MsgSend as MsgBankSend,
        base::abci::v1beta1::TxMsgData,
        base::v1beta1::Coin,
        tx::v1beta1::{
            AuthInfo, Fee, ModeInfo, SignDoc, SignerInfo, TxBody, TxRaw,
            mode_info::{Single, Sum},
        },
    },
};
use prost::{Message, Name};
use sha2::{Digest, Sha256};
use tendermint_abci::Application;
use tendermint_proto::google::protobuf::Timestamp;
use tendermint_proto::v0_38::abci::{
    ExecTxResult, RequestCheckTx, RequestFinalizeBlock, RequestInitChain, RequestQuery,
    ResponseCheckTx, ResponseFinalizeBlock, ResponseQuery,
};
use tendermint_proto::v0_38::types::{BlockParams, ConsensusParams};

use host::FakeHost;

/// Gas limit of all transactions here: enough for any of them.
pub const GAS_LIMIT: u64 = 100_000_000;

pub const CHAIN_ID: &str = "capstan-test-1";

/// A wasm module to install.
pub const MODULE: &[u8] = b"some module";

/// Someone with a key, who remembers their sequence.
pub struct Client {
    pub key: SigningKey,
    pub account_number: u64,
    pub sequence: u64,
    pub chain_id: String,
}

/// A transaction before it is signed: tests spoil any part of it.
#[derive(Clone)]
pub struct Draft {
    pub body: TxBody,
    pub auth: AuthInfo,
}

impl Client {
    pub fn new(seed: u8, account_number: u64) -> Self {
        let key = SigningKey::from_slice(&[seed; 32]).unwrap();
        Self { key, account_number, sequence: 0, chain_id: CHAIN_ID.to_owned() }
    }

    pub fn address(&self) -> Address {
        Address::from_public_key(&self.key.public_key()).unwrap()
    }

    pub fn public_key(&self) -> PublicKey {
        self.key.public_key()
    }

    pub fn draft(&self, messages: Vec<Any>) -> Draft {
        let single = Sum::Single(Single { mode: 1 });
        let signer = SignerInfo {
            public_key: Some(self.key.public_key().to_any().unwrap()),
            mode_info: Some(ModeInfo { sum: Some(single) }),
            sequence: self.sequence,
        };
        let amount = vec![Coin { denom: "ucap".into(), amount: "10000000".into() }];
        let fee =
            Fee { amount, gas_limit: GAS_LIMIT, payer: String::new(), granter: String::new() };
        let body = TxBody { messages, ..TxBody::default() };
        Draft {
            body,
            auth: AuthInfo { signer_infos: vec![signer], fee: Some(fee), ..AuthInfo::default() },
        }
    }

    pub fn sign(&self, draft: &Draft) -> Vec<u8> {
        self.sign_raw(draft.body.encode_to_vec(), draft.auth.encode_to_vec()).encode_to_vec()
    }

    pub fn sign_raw(&self, body_bytes: Vec<u8>, auth_info_bytes: Vec<u8>) -> TxRaw {
        let document = SignDoc {
            body_bytes: body_bytes.clone(),
            auth_info_bytes: auth_info_bytes.clone(),
            chain_id: self.chain_id.clone(),
            account_number: self.account_number,
        };
        let signature = self.key.sign(&document.encode_to_vec()).unwrap().to_vec();
        TxRaw { body_bytes, auth_info_bytes, signatures: vec![signature] }
    }

    /// Signs these messages and moves the sequence on.
    pub fn tx(&mut self, messages: Vec<Any>) -> Vec<u8> {
        let tx = self.sign(&self.draft(messages));
        self.sequence += 1;
        tx
    }

    pub fn send(&self, target: &str, method: &str, args: &str, slots: &[&str]) -> Any {
        any(&proto::MsgSend {
            sender: self.address().to_string(),
            target: target.to_owned(),
            method: method.to_owned(),
            args: Some(capdata(args, slots)),
        })
    }

    pub fn pay(&self, to: Address, amount: u128) -> Any {
        any(&MsgBankSend {
            from_address: self.address().to_string(),
            to_address: to.to_string(),
            amount: vec![Coin { denom: "ucap".into(), amount: amount.to_string() }],
        })
    }

    pub fn install(&self, module: &[u8]) -> Any {
        any(&proto::MsgInstallBundle {
            submitter: self.address().to_string(),
            bundle: module.to_vec(),
            bundle_id: wasm_id(module),
            ..Default::default()
        })
    }

    pub fn create_vat(&self, bundle_id: &str, name: &str) -> Any {
        any(&proto::MsgCreateVat {
            owner: self.address().to_string(),
            bundle_id: bundle_id.to_owned(),
            name: name.to_owned(),
            parameters: Some(capdata("{\"start\":\"$5\"}", &[])),
            computrons: 5_000_000,
        })
    }
}

pub fn any<M: Message + Name>(message: &M) -> Any {
    Any { type_url: M::type_url(), value: message.encode_to_vec() }
}

pub fn capdata(body: &str, slots: &[&str]) -> proto::CapData {
    proto::CapData { body: body.to_owned(), slots: slots.iter().map(|s| (*s).to_owned()).collect() }
}

/// The application with a store in memory, and the reports of its end.
pub struct Chain<H = FakeHost> {
    pub app: App<H>,
    pub height: i64,
    /// The time of the next block, in seconds since 1970; 0: none is given.
    pub time: i64,
    pub fatal: Arc<Mutex<Vec<FatalReport>>>,
    pub deliveries: Arc<Mutex<u64>>,
}

pub fn genesis(change: impl FnOnce(&mut Genesis)) -> Genesis {
    let clients = [Client::new(1, 0), Client::new(2, 1), Client::new(3, 2)];
    let accounts = ["alice", "bob", "carol"];
    let accounts: Vec<_> = accounts.into_iter().zip(clients.iter().map(Client::address)).collect();
    let mut genesis = Genesis::dev(CHAIN_ID, "2026-01-01T00:00:00Z", &accounts);
    let bundle = |bytes: &[u8]| GenesisBundle::new(wasm_id(bytes).parse().unwrap(), None, bytes);
    genesis.app_state.params.block_computrons = 100_000_000;
    change(&mut genesis);
    genesis.add_system_vats(bundle(b"admin"), bundle(b"provisioner"));
    genesis
}

pub fn alice() -> Client {
    Client::new(1, 0)
}

pub fn bob() -> Client {
    Client::new(2, 1)
}

impl Chain {
    /// A new chain after its first block.
    pub fn new() -> Self {
        Self::with_params(|_| {})
    }

    pub fn with_params(change: impl FnOnce(&mut Params)) -> Self {
        Self::start(Store::in_memory().unwrap(), &genesis(|g| change(&mut g.app_state.params)))
    }

    pub fn start(store: Store, genesis: &Genesis) -> Self {
        let mut chain = Self::open(store);
        chain.init(genesis);
        chain.block(&[]);
        chain
    }

    /// The application over a store, as a restarted node opens it.
    pub fn open(store: Store) -> Self {
        Self::open_with(store, NodeOptions::default())
    }

    pub fn open_with(store: Store, kernel: NodeOptions) -> Self {
        Self::open_options(store, AppOptions { kernel, ..AppOptions::default() })
    }

    pub fn open_options(store: Store, options: AppOptions) -> Self {
        let fatal = Arc::new(Mutex::new(Vec::new()));
        let reports = fatal.clone();
        let on_fatal =
            FatalHandler::call_back(move |report| reports.lock().unwrap().push(report.clone()));
        let height = store.height() as i64;
        let host = FakeHost::default();
        let deliveries = host.deliveries.clone();
        let app = App::new(store, host, AppOptions { on_fatal, ..options }).unwrap();
        Self { app, height, time: 0, fatal, deliveries }
    }
}

impl<H: VatHost + Send + 'static> Chain<H> {
    /// A new application, whatever its host.
    pub fn of(app: App<H>) -> Self {
        Self { app, height: 0, time: 0, fatal: Arc::default(), deliveries: Arc::default() }
    }

    pub fn init(&self, genesis: &Genesis) -> Vec<u8> {
        let request = RequestInitChain {
            chain_id: genesis.chain_id.clone(),
            initial_height: 1,
            app_state_bytes: serde_json::to_vec(&genesis.app_state).unwrap().into(),
            time: self.timestamp(),
            consensus_params: Some(ConsensusParams {
                block: Some(BlockParams {
                    max_bytes: genesis.consensus_params.block.max_bytes,
                    max_gas: genesis.consensus_params.block.max_gas,
                }),
                ..ConsensusParams::default()
            }),
            ..Default::default()
        };
        self.app.init_chain(request).app_hash.to_vec()
    }

    pub fn finalize(&self, txs: &[Vec<u8>]) -> ResponseFinalizeBlock {
        self.app.finalize_block(RequestFinalizeBlock {
            txs: txs.iter().cloned().map(Into::into).collect(),
            height: self.height + 1,
            time: self.timestamp(),
            ..Default::default()
        })
    }

    fn timestamp(&self) -> Option<Timestamp> {
        (self.time > 0).then_some(Timestamp { seconds: self.time, nanos: 999_999_999 })
    }

    /// Executes and commits a block.
    pub fn block(&mut self, txs: &[Vec<u8>]) -> ResponseFinalizeBlock {
        let response = self.finalize(txs);
        self.app.commit();
        self.height += 1;
        response
    }

    /// A block with one transaction that must succeed: its result.
    pub fn ok(&mut self, tx: Vec<u8>) -> ExecTxResult {
        let result = self.block(&[tx]).tx_results.remove(0);
        assert_eq!(result.code, 0, "{}", result.log);
        result
    }

    /// CheckTx and a block with this transaction: both must refuse it with this code.
    pub fn refused(&mut self, tx: &[u8], code: u32, part: &str) {
        let checked = self.check(tx);
        assert_eq!(
            (checked.code, checked.codespace.as_str()),
            (code, "capstan"),
            "{}",
            checked.log
        );
        assert!(checked.log.contains(part), "{}", checked.log);
        let before = self.hash();
        let result = self.block(&[tx.to_vec()]).tx_results.remove(0);
        assert_eq!((result.code, result.codespace.as_str()), (code, "capstan"), "{}", result.log);
        assert_eq!(result.log, checked.log);
        assert_eq!(self.hash(), before, "a refused transaction left a trace");
    }

    pub fn check(&self, tx: &[u8]) -> ResponseCheckTx {
        self.app.check_tx(RequestCheckTx { tx: tx.to_vec().into(), r#type: 0 })
    }

    pub fn hash(&self) -> Vec<u8> {
        self.app.info(Default::default()).last_block_app_hash.to_vec()
    }

    pub fn query(&self, path: &str, data: &[u8]) -> ResponseQuery {
        let request = RequestQuery {
            path: path.to_owned(),
            data: data.to_vec().into(),
            height: 0,
            prove: false,
        };
        self.app.query(request)
    }

    /// A JSON answer.
    pub fn json(&self, path: &str) -> serde_json::Value {
        let response = self.query(path, &[]);
        assert_eq!(response.code, 0, "{path}: {}", response.log);
        serde_json::from_slice(&response.value).unwrap()
    }

    pub fn balance(&self, address: Address) -> u128 {
        let account = self.json(&format!("accounts/{address}"));
        account["balance"].as_str().unwrap().parse().unwrap()
    }

    /// Blocks until the message's result is settled; the result.
    pub fn settled(&mut self, tx: &[u8], index: u32) -> serde_json::Value {
        let hash = hex::encode_upper(Sha256::digest(tx));
        for _ in 0..20 {
            let result = self.json(&format!("txs/{hash}/{index}"));
            if result["status"] != "pending" {
                return result;
            }
            self.block(&[]);
        }
        panic!("message {hash}/{index} was not settled within 20 blocks");
    }
}

/// The first message's answer.
pub fn response<M: Message + Default>(result: &ExecTxResult) -> M {
    let data = TxMsgData::decode(result.data.as_ref()).unwrap();
    M::decode(data.msg_responses[0].value.as_slice()).unwrap()
}

/// The attributes `name` of all events of that type.
pub fn attributes(
    events: &[tendermint_proto::v0_38::abci::Event],
    kind: &str,
    name: &str,
) -> Vec<String> {
    let of_kind = events.iter().filter(|event| event.r#type == kind);
    let all = of_kind.flat_map(|event| &event.attributes).filter(|attribute| attribute.key == name);
    all.map(|attribute| attribute.value.clone()).collect()
}

/// Has alice install the module and gives her factory object's reference.
pub fn provisioned(chain: &mut Chain, client: &mut Client) -> String {
    let tx = client.tx(vec![client.install(MODULE)]);
    chain.ok(tx);
    let outbox = chain.json(&format!("accounts/{}/outbox", client.address()));
    let delivery = outbox["entries"][0]["delivery_json"].as_str().unwrap();
    let delivery: serde_json::Value = serde_json::from_str(delivery).unwrap();
    assert_eq!(delivery[0], "notify");
    delivery[1][0][2]["slots"][0].as_str().unwrap().to_owned()
}

pub fn alice_address() -> String {
    alice().address().to_string()
}

pub fn hex_hash(tx: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    hex::encode_upper(Sha256::digest(tx))
}

/// A chain whose provisioner is a vat of a user's, which can end.
pub fn mortal(critical: bool) -> capstan_genesis::Genesis {
    let mut genesis = genesis(|_| {});
    let provisioner = genesis.app_state.kernel.vats.get_mut("provisioner").unwrap();
    (provisioner.critical, provisioner.system) = (critical, false);
    genesis
}

/// Returns the id of a WebAssembly module as the text that messages carry.
pub fn wasm_id(module: &[u8]) -> String {
    capstan_bundle::wasm_id(module).into()
}
