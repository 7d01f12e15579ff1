//! Transactions of the adversary's accounts: every kind of message, with fields that are right, at the edge or wrong.

use capstan_client::TxBuilder;
use capstan_client::proto::{
    CapData, ChunkInfo, Compression, MsgAck, MsgAckChannel, MsgBeginUpload, MsgCreateVat, MsgDrop,
    MsgFundMeter, MsgInstallBundle, MsgResolve, MsgSend, MsgTerminateVat, MsgUpgradeVat,
    MsgUploadChunk, MsgWriteChannel, Resolution,
};

use super::program::{METHODS, Sizes, data, js_steps, wasm_program};
use super::vats::wasm_vat;
use crate::sim::hostile_transaction;
use crate::{Account, CHAIN_ID, Random, wasm_id};

/// One of the adversary's accounts, and what it can reach.
#[derive(Debug)]
pub struct Attacker {
    pub(super) account: Account,
    /// References in its c-list.
    pub(super) held: Vec<String>,
    /// Roots of vats of `adversary.c`.
    pub(super) wasm: Vec<String>,
    /// Roots of vats of `adversary.js`.
    pub(super) js: Vec<String>,
}

/// The attackers' knowledge of their chain.
#[derive(Debug)]
pub(super) struct World {
    /// Ids of bundles, those that are installed and work first.
    pub(super) bundles: Vec<String>,
    pub(super) sizes: Sizes,
    /// The most bytes of a message that the chain takes.
    pub(super) message_bytes: u64,
}

/// A transaction and what it does, for people.
pub(super) struct Attack {
    pub(super) tx: Vec<u8>,
    pub(super) about: String,
    /// The bundle that it installs if it succeeds.
    pub(super) bundle: Option<String>,
}

impl Attacker {
    pub(super) fn new(account: Account) -> Self {
        Self { account, held: vec![], wasm: vec![], js: vec![] }
    }

    /// A transaction that makes a vat to be told what to do.
    pub(super) fn new_vat(&mut self, bundle: &str) -> Vec<u8> {
        let message = MsgCreateVat {
            owner: self.account.address(),
            bundle_id: bundle.to_owned(),
            computrons: 1 << 42,
            ..MsgCreateVat::default()
        };
        self.account.tx(TxBuilder::new().message(&message))
    }

    /// A vat was made; of each kind the last few are known.
    pub(super) fn has_vat(&mut self, wasm: bool, root: &str) {
        let vats = if wasm { &mut self.wasm } else { &mut self.js };
        vats.insert(0, root.to_owned());
        vats.truncate(3);
    }

    /// A random transaction.
    pub(super) fn attack(&mut self, world: &World, random: &mut Random) -> Attack {
        if random.one_in(40) {
            let (tx, about) = hostile_transaction(&self.account, CHAIN_ID, random);
            return Attack { tx, about: about.to_owned(), bundle: None };
        }
        if random.one_in(20) {
            return self.mutant(random);
        }
        let mut tx = TxBuilder::new();
        let mut about = Vec::new();
        for _ in 0..if random.one_in(3) { 1 + random.below(5) } else { 1 } {
            let (with, what) = self.message(tx, world, random);
            tx = with;
            about.push(short(&what));
        }
        if random.one_in(100) {
            tx = tx.memo("m".repeat(world.sizes.pick(random).min(1_000) as usize));
        }
        Attack { tx: self.account.tx(tx), about: about.join("; "), bundle: None }
    }

    /// A module that works, with a few bytes changed: it may be refused, or be a vat of its own kind.
    fn mutant(&mut self, random: &mut Random) -> Attack {
        let mut module = wasm_vat().to_vec();
        for _ in 0..1 + random.below(3) {
            let at = random.below(module.len() as u64) as usize;
            module[at] = match random.one_in(2) {
                true => random.below(256) as u8,
                false => module[at] ^ (1 << random.below(8)),
            };
        }
        let install = self.account.install(&module);
        let id = wasm_id(&module).to_string();
        Attack {
            tx: self.account.tx(install),
            about: format!("a mutant, {id:.12}"),
            bundle: Some(id),
        }
    }

    fn message(&self, tx: TxBuilder, world: &World, random: &mut Random) -> (TxBuilder, String) {
        match random.below(100) {
            0..36 => self.run_wasm(tx, world, random),
            36..62 => self.run_js(tx, world, random),
            62..78 => self.call(tx, world, random),
            78..84 => self.create(tx, world, random),
            84..88 => self.upgrade(tx, world, random),
            88..90 => self.terminate(tx, world, random),
            90..94 => self.keep_house(tx, random),
            94..96 => self.channels(tx, world, random),
            _ => self.publish_code(tx, world, random),
        }
    }

    fn any(&self, random: &mut Random) -> String {
        let odd =
            ["factory", "ro-1", "ro-999999", "rp-1", "ro+0", "", "ko20", "ro-18446744073709551616"];
        match random.one_in(12) {
            true => random.pick(&odd).unwrap_or("factory").to_owned(),
            false => random.pick(&self.held).unwrap_or_else(|| "factory".to_owned()),
        }
    }

    /// Slots: what the account holds, new objects and promises.
    fn slots(&self, random: &mut Random) -> Vec<String> {
        let count = if random.one_in(30) { random.below(1_026) } else { random.below(4) };
        let slot = |random: &mut Random| match random.below(6) {
            0 => format!("ro+{}", 1 + random.below(50)),
            1 => format!("rp+{}", 1 + random.below(2_000)),
            _ => random.pick(&self.held).unwrap_or_else(|| "ro+1".to_owned()),
        };
        (0..count).map(|_| slot(random)).collect()
    }

    fn send(&self, target: &str, method: &str, body: String, slots: Vec<String>) -> MsgSend {
        MsgSend {
            sender: self.account.address(),
            target: target.to_owned(),
            method: method.to_owned(),
            args: Some(CapData { body, slots }),
        }
    }

    fn run_wasm(&self, tx: TxBuilder, world: &World, random: &mut Random) -> (TxBuilder, String) {
        let Some(root) = random.pick(&self.wasm) else { return self.create(tx, world, random) };
        let program = wasm_program(random, world.sizes);
        let slots = self.slots(random);
        let about = format!("{root} run {program} with {} slots", slots.len());
        (tx.message(&self.send(&root, "run", format!("#[\"x!{program}\"]"), slots)), about)
    }

    fn run_js(&self, tx: TxBuilder, world: &World, random: &mut Random) -> (TxBuilder, String) {
        let Some(root) = random.pick(&self.js) else { return self.create(tx, world, random) };
        let mut slots: Vec<_> = (0..1 + random.below(3))
            .map(|_| self.any(random))
            .filter(|slot| slot.starts_with("ro-"))
            .collect();
        slots.dedup();
        let bundle = random.pick(&world.bundles).unwrap_or_default();
        let steps = js_steps(random, world.sizes, slots.len(), &bundle);
        let about = format!("{root} js {steps} {slots:?}");
        (tx.message(&self.send(&root, "run", format!("#{steps}"), slots)), about)
    }

    /// A method of the system's, of any object, with any data.
    fn call(&self, tx: TxBuilder, world: &World, random: &mut Random) -> (TxBuilder, String) {
        let target = if random.one_in(3) { "factory".to_owned() } else { self.any(random) };
        let method = match random.below(30) {
            0 => "x".repeat(world.sizes.pick(random).min(300_000) as usize),
            1 => "\\ud800\u{0}\"".to_owned(),
            _ => random.pick(&METHODS).unwrap_or("lookup").to_owned(),
        };
        let slots = self.slots(random);
        let mut args = Vec::new();
        if random.one_in(3) {
            args.push(format!("\"{}\"", random.pick(&world.bundles).unwrap_or_default()));
        } else if random.one_in(4) {
            args.push(format!("\"+{}\"", 1_767_225_600 + random.below(900)));
        }
        for _ in 0..random.below(3) {
            // Mostly what just fits a message.
            let size = world.sizes.pick(random).min(world.message_bytes / 4);
            args.push(data(random, size, slots.len()));
        }
        let body = match random.below(12) {
            0 => args.first().cloned().unwrap_or_default(),
            1 => format!("[{}]", args.join(",")),
            _ => format!("#[{}]", args.join(",")),
        };
        let about = format!("{target}.{method}({body}) with {} slots", slots.len());
        (tx.message(&self.send(&target, &method, body, slots)), about)
    }

    fn create(&self, tx: TxBuilder, world: &World, random: &mut Random) -> (TxBuilder, String) {
        let bundle_id = random.pick(&world.bundles).unwrap_or_default();
        let size = world.sizes.pick(random).min(50_000);
        let body = match random.below(4) {
            0 => data(random, size, 0),
            1 => format!("#{{\"x\":\"!{}\"}}", wasm_program(random, world.sizes)),
            2 => format!("#{{\"atStart\":{}}}", js_step_alone(random, world.sizes)),
            _ => "#{}".to_owned(),
        };
        let computrons =
            random.pick(&[0, 1, 999, 1_000_000, 30_000_000, 1 << 40, u64::MAX]).unwrap_or(0);
        let about = format!("create {bundle_id:.12} with {body}, {computrons} computrons");
        let name = "n".repeat(random.pick(&[0, 1, 127, 128, 129, 199, 200]).unwrap_or(1));
        let message = MsgCreateVat {
            owner: self.account.address(),
            bundle_id,
            name,
            parameters: Some(CapData { body, slots: vec![] }),
            computrons,
        };
        (tx.message(&message), about)
    }

    fn upgrade(&self, tx: TxBuilder, world: &World, random: &mut Random) -> (TxBuilder, String) {
        let (admin, bundle_id) =
            (self.any(random), random.pick(&world.bundles).unwrap_or_default());
        let size = world.sizes.pick(random).min(200_000);
        let about = format!("upgrade {admin} to {bundle_id:.12} with {size}");
        let message = MsgUpgradeVat {
            sender: self.account.address(),
            admin,
            bundle_id,
            parameters: Some(CapData { body: data(random, size / 2, 0), slots: vec![] }),
            upgrade_message: "u".repeat(if random.one_in(2) { size as usize } else { 0 }),
        };
        (tx.message(&message), about)
    }

    fn terminate(&self, tx: TxBuilder, world: &World, random: &mut Random) -> (TxBuilder, String) {
        let (admin, slots) = (self.any(random), self.slots(random));
        let size = world.sizes.pick(random).min(50_000);
        let body = data(random, size, slots.len());
        let about = format!("terminate {admin} because of {body}");
        let message = MsgTerminateVat {
            sender: self.account.address(),
            admin,
            reason: Some(CapData { body, slots }),
        };
        (tx.message(&message), about)
    }

    fn keep_house(&self, tx: TxBuilder, random: &mut Random) -> (TxBuilder, String) {
        let sender = self.account.address();
        match random.below(5) {
            0 => {
                let through = random.pick(&[0, 1, 7, 100, 10_000, u64::MAX]).unwrap_or(0);
                (tx.message(&MsgAck { sender, through }), format!("ack {through}"))
            }
            1 => {
                let refs: Vec<_> = (0..1 + random.below(3)).map(|_| self.any(random)).collect();
                let about = format!("drop {refs:?}");
                (tx.message(&MsgDrop { sender, refs }), about)
            }
            2 => {
                let meter = format!("m{}", random.below(60));
                let computrons = random.pick(&[0, 1, 1_000_000, u64::MAX]).unwrap_or(0);
                let about = format!("fund {meter} with {computrons}");
                (tx.message(&MsgFundMeter { sender, meter, computrons }), about)
            }
            _ => {
                let (count, size) = (1 + random.below(40), random.below(2_000));
                let mine: Vec<_> =
                    self.held.iter().filter(|held| held.starts_with("rp")).cloned().collect();
                let resolution = |random: &mut Random| Resolution {
                    promise: random
                        .pick(&mine)
                        .unwrap_or_else(|| format!("rp+{}", 1 + random.below(2_000))),
                    rejected: random.one_in(3),
                    data: Some(CapData {
                        body: data(random, size, 1),
                        slots: vec![self.any(random)],
                    }),
                };
                let resolutions = (0..count).map(|_| resolution(random)).collect();
                (
                    tx.message(&MsgResolve { sender, resolutions }),
                    format!("resolve {count} with {size}"),
                )
            }
        }
    }

    /// A subcluster with io channels, or lines to and from one.
    fn channels(&self, tx: TxBuilder, world: &World, random: &mut Random) -> (TxBuilder, String) {
        let sender = self.account.address();
        let subcluster_id = format!("s{}", random.below(12));
        let channel = random.pick(&["in", "out", "both", ""]).unwrap_or("both").to_owned();
        match random.below(4) {
            0 => {
                let bundle = random.pick(&world.bundles).unwrap_or_default();
                let bootstrap = random.pick(&["\"bootstrap\":\"a\",", ""]).unwrap_or_default();
                let body = format!(
                    r##"#[{{"name":"c",{bootstrap}"io":{{"in":{{"direction":"in"}},"out":{{"direction":"out"}},"both":{{}}}},"vats":{{"a":{{"bundleID":"{bundle}"}}}}}}]"##
                );
                let about = format!("launch {body}");
                (tx.message(&self.send("factory", "launchSubcluster", body, vec![])), about)
            }
            1 => {
                let through = random.pick(&[0, 1, 7, 128, u64::MAX]).unwrap_or(0);
                let about = format!("ack {subcluster_id} {channel} {through}");
                let message = MsgAckChannel { sender, subcluster_id, channel, through };
                (tx.message(&message), about)
            }
            _ => {
                let count = random.pick(&[0, 1, 2, 127, 128, 129]).unwrap_or(1);
                let size = world.sizes.pick(random).min(world.message_bytes / (count + 1));
                let lines = vec!["l".repeat(size as usize); count as usize];
                let close = random.one_in(3);
                let about = format!("write {subcluster_id} {channel} {count} times {size} {close}");
                let message = MsgWriteChannel { sender, subcluster_id, channel, lines, close };
                (tx.message(&message), about)
            }
        }
    }

    /// Bundles and uploads that are not what they say.
    fn publish_code(
        &self,
        tx: TxBuilder,
        world: &World,
        random: &mut Random,
    ) -> (TxBuilder, String) {
        let submitter = self.account.address();
        let size = world.sizes.pick(random).min(100_000);
        let mut bytes = vec![0_u8; size as usize];
        bytes.iter_mut().for_each(|byte| *byte = random.below(256) as u8);
        let compression =
            if random.one_in(2) { Compression::None } else { Compression::Gzip }.into();
        let uncompressed_size = if random.one_in(2) { size } else { world.sizes.pick(random) };
        let bundle_id = random.pick(&world.bundles).unwrap_or_default();
        let about = format!("rubbish of {size} bytes for {bundle_id:.12}");
        match random.below(3) {
            0 => {
                let message = MsgInstallBundle {
                    submitter,
                    bundle: bytes,
                    compression,
                    uncompressed_size,
                    bundle_id,
                };
                (tx.message(&message), about)
            }
            1 => {
                let sha256 = vec![7; if random.one_in(9) { 31 } else { 32 }];
                let chunks = vec![
                    ChunkInfo { sha256, size };
                    random.pick(&[0, 1, 2, 256, 257]).unwrap_or(1)
                ];
                let message =
                    MsgBeginUpload { submitter, bundle_id, compression, uncompressed_size, chunks };
                (tx.message(&message), format!("upload: {about}"))
            }
            _ => {
                let (upload_id, index) = ("07".repeat(32), random.below(300) as u32);
                (
                    tx.message(&MsgUploadChunk { submitter, upload_id, index, data: bytes }),
                    format!("chunk: {about}"),
                )
            }
        }
    }
}

/// One step for a vat that has just been started.
fn js_step_alone(random: &mut Random, sizes: Sizes) -> String {
    let steps = js_steps(random, sizes, 0, "");
    // The first of them.
    match serde_json::from_str::<Vec<serde_json::Value>>(&steps) {
        Ok(steps) => steps[0].to_string(),
        Err(_) => "[\"answer\",0,0]".to_owned(),
    }
}

/// Shortens a text to fit a line.
fn short(text: &str) -> String {
    match text.char_indices().nth(700) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
        None => text.to_owned(),
    }
}
