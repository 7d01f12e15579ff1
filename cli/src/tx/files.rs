//! Transactions in files: signing, joining, sending and showing them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use capstan_client::{
    Address, Client, Deadline, KeySignature, PublicKey, SignMode, SignerData, StagedTx,
};
use capstan_files::write_atomic;
use clap::Subcommand;
use cosmrs::proto::cosmos::tx::signing::v1beta1::SignatureDescriptors;
use serde_json::{Value, json};

use super::document;
use super::options::Options;
use super::{BLOCK, NodeArgs};
use crate::failure::{flag, usage};
use crate::keys::Keyring;
use crate::output::Output;
use crate::progress::during;

/// Commands on transactions in files.
#[derive(Subcommand, Debug)]
pub(super) enum FileAction {
    /// Sign a transaction of --generate-only with the key --from, and print it.
    #[command(after_help = SIGN_HELP)]
    Sign {
        /// File of the transaction, or - for standard input.
        file: PathBuf,
        /// Form of what is signed: direct, or amino-json as Ledgers sign it [default: direct, for a multisig amino-json].
        #[arg(long, value_enum, value_name = "MODE")]
        sign_mode: Option<Mode>,
        /// Sign for this multisig: its name or address in the keyring. Prints the signature only.
        #[arg(long, value_name = "KEY")]
        multisig: Option<String>,
        /// Print the signature only.
        #[arg(long)]
        signature_only: bool,
        #[command(flatten)]
        to: OutputArgs,
        #[command(flatten)]
        signer: SignerArgs,
    },
    /// Join the signatures of a multisig's keys, as `tx sign --multisig` printed them. Prints the signed transaction.
    #[command(
        after_help = "Example: capstan tx multisign tx.json treasury alice.json carol.json --output-document signed.json"
    )]
    Multisign {
        /// File of the transaction, or - for standard input.
        file: PathBuf,
        /// The multisig: its name or address in the keyring.
        name: String,
        /// Files of signatures, as many as the threshold.
        #[arg(required = true, value_name = "SIGNATURE")]
        signatures: Vec<PathBuf>,
        #[command(flatten)]
        to: OutputArgs,
        #[command(flatten)]
        signer: SignerArgs,
    },
    /// Send a signed transaction, and wait for its block. `capstan query result` tells how its messages were answered.
    #[command(after_help = "Example: capstan tx broadcast signed.json")]
    Broadcast {
        /// File of the transaction, or - for standard input.
        file: PathBuf,
    },
    /// Print the bytes of a transaction in base64.
    #[command(after_help = "Example: capstan tx encode signed.json")]
    Encode {
        /// File of the transaction, or - for standard input.
        file: PathBuf,
    },
    /// Print the bytes of a transaction as JSON.
    #[command(after_help = "Example: capstan tx decode CpIBCo8B…")]
    Decode {
        /// The bytes, in base64.
        bytes: String,
        /// The bytes are in hexadecimal.
        #[arg(long, short = 'x')]
        hex: bool,
    },
    /// Verify the signatures of a transaction.
    #[command(after_help = "Example: capstan tx validate-signatures signed.json")]
    ValidateSignatures {
        /// File of the transaction, or - for standard input.
        file: PathBuf,
        #[command(flatten)]
        signer: SignerArgs,
    },
}

/// The file that the result goes to.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct OutputArgs {
    /// Write to this file instead of standard output.
    #[arg(long, value_name = "FILE")]
    output_document: Option<PathBuf>,
}

/// What a signature covers besides the transaction. The node tells what is not given here.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct SignerArgs {
    /// Id of the chain [default: $CAPSTAN_CHAIN_ID, or what a node on this machine says].
    #[arg(long, value_name = "ID")]
    chain_id: Option<String>,
    /// Number of the account.
    #[arg(long, value_name = "N")]
    account_number: Option<u64>,
    /// Sequence of the transaction. That of a signed one stands in it.
    #[arg(long, value_name = "N")]
    sequence: Option<u64>,
}

impl SignerArgs {
    /// Returns the chain that the user names.
    fn chain_id(&self) -> Option<String> {
        let named = || std::env::var(CHAIN_ID).ok().filter(|id| !id.is_empty());
        self.chain_id.clone().or_else(named)
    }
}

/// Environment variable with the id of the chain for which transactions in files are signed.
const CHAIN_ID: &str = "CAPSTAN_CHAIN_ID";

/// The value of `--sign-mode`.
#[derive(clap::ValueEnum, Clone, Copy, Debug)]
pub(super) enum Mode {
    /// The protobuf bytes.
    Direct,
    /// A JSON document.
    AminoJson,
}

/// What the commands need besides their own arguments.
pub(super) struct Desk<'a> {
    pub(super) keyring: Keyring,
    pub(super) from: Option<String>,
    pub(super) node: &'a NodeArgs,
    pub(super) options: &'a Options,
    pub(super) timeout: Duration,
    pub(super) output: Output,
}

impl FileAction {
    pub(super) fn run(self, desk: &Desk<'_>) -> anyhow::Result<()> {
        desk.check(&self)?;
        match self {
            Self::Sign { file, sign_mode, multisig, signature_only, to, signer } => {
                let tx = document::read_tx(&file)?;
                desk.sign(tx, sign_mode, multisig.as_deref(), signature_only, &signer, &to)
            }
            Self::Multisign { file, name, signatures, to, signer } => {
                desk.multisign(document::read_tx(&file)?, &name, &signatures, &signer, &to)
            }
            Self::Broadcast { file } => desk.broadcast(&document::read_tx(&file)?),
            Self::Encode { file } => {
                let text = STANDARD.encode(document::read_tx(&file)?.to_signed().bytes());
                desk.output.either(&json!({"tx": text}), &text);
                Ok(())
            }
            Self::Decode { bytes, hex } => {
                let text = bytes.trim();
                let decoded = match hex {
                    true => hex::decode(text).map_err(|error| error.to_string()),
                    false => STANDARD.decode(text).map_err(|error| error.to_string()),
                };
                let form = if hex { "hexadecimal" } else { "base64" };
                let bytes =
                    decoded.map_err(|error| usage(format!("the bytes are no {form}: {error}")))?;
                print(&document::to_value(&StagedTx::from_bytes(&bytes)?.to_proto())?, None)
            }
            Self::ValidateSignatures { file, signer } => {
                desk.validate(&document::read_tx(&file)?, &signer)
            }
        }
    }

    /// Returns the command's name, and whether it needs a node, which `--offline` spares it.
    fn name(&self) -> (&'static str, bool) {
        match self {
            Self::Sign { .. } => ("sign", true),
            Self::Multisign { .. } => ("multisign", true),
            Self::ValidateSignatures { .. } => ("validate-signatures", true),
            Self::Broadcast { .. } => ("broadcast", false),
            Self::Encode { .. } => ("encode", false),
            Self::Decode { .. } => ("decode", false),
        }
    }
}

impl Desk<'_> {
    /// Checks that no option was given that has no effect.
    fn check(&self, action: &FileAction) -> anyhow::Result<()> {
        let (command, may_be_offline) = action.name();
        self.options.refuse_terms(command, may_be_offline)?;
        match &self.from {
            Some(_) if !matches!(action, FileAction::Sign { .. }) => {
                Err(usage(format!("--from has no effect on `tx {command}`, which does not sign")))
            }
            None if matches!(action, FileAction::Sign { .. }) => {
                Err(usage("who signs? Give a key with --from, as in --from alice"))
            }
            _ => Ok(()),
        }
    }

    fn sign(
        &self,
        tx: StagedTx,
        mode: Option<Mode>,
        multisig: Option<&str>,
        signature_only: bool,
        signer: &SignerArgs,
        to: &OutputArgs,
    ) -> anyhow::Result<()> {
        tx.check_fee().map_err(|error| usage(error.to_string()))?;
        let name = self.from.as_deref().unwrap_or_default();
        let key = self.keyring.key(name).with_context(|| flag("--from", name))?;
        let mode = mode.map(|mode| match mode {
            Mode::Direct => SignMode::Direct,
            Mode::AminoJson => SignMode::AminoJson,
        });
        if let Some(name) = multisig {
            let (record, _) =
                self.keyring.entry_of(name).with_context(|| flag("--multisig", name))?;
            let data = self.signer(signer, &record.address(), None)?;
            let mode = mode.unwrap_or(SignMode::AminoJson);
            let made = tx.sign_for(record.multisig()?, &key, mode, &data)?;
            return print_signature(&made, to);
        }
        let data = self.signer(signer, &key.address(), None)?;
        let (signed, made) = tx.sign(&key, mode.unwrap_or(SignMode::Direct), &data)?;
        match signature_only {
            true => print_signature(&made, to),
            false => print(&document::to_value(&signed.to_proto())?, to.output_document.as_deref()),
        }
    }

    fn multisign(
        &self,
        tx: StagedTx,
        name: &str,
        files: &[PathBuf],
        signer: &SignerArgs,
        to: &OutputArgs,
    ) -> anyhow::Result<()> {
        tx.check_fee().map_err(|error| usage(error.to_string()))?;
        let (record, _) = self.keyring.entry_of(name)?;
        let mut signatures = Vec::new();
        for file in files {
            let read: SignatureDescriptors = document::read(file, "signature of `tx sign`")?;
            for descriptor in read.signatures {
                let made = KeySignature::from_proto(descriptor);
                signatures.push(made.with_context(|| file.display().to_string())?);
            }
        }
        let first = signatures.first().map(|made| made.sequence);
        let data = self.signer(signer, &record.address(), first)?;
        let signed = tx.combine(record.multisig()?, &signatures, &data)?;
        print(&document::to_value(&signed.to_proto())?, to.output_document.as_deref())
    }

    fn broadcast(&self, tx: &StagedTx) -> anyhow::Result<()> {
        tx.sequence().context("sign the transaction first, by `capstan tx sign`")?;
        let client = self.node.client()?;
        let signed = tx.to_signed();
        // Who sends it again is told where it is.
        if let Some(found) = client.tx(signed.hash())? {
            let height = found.height;
            if found.code != 0 {
                bail!("the transaction is in block {height} already, and failed: {}", found.log);
            }
            let text = format!("The transaction is in block {height} already. Nothing was sent.");
            self.output.note("note", &text);
            self.output.record(&json!({"tx_hash": signed.hash(), "height": found.height}));
            return Ok(());
        }
        let wait = || {
            let hash = client.broadcast_sync(&signed)?;
            client.wait_tx(hash, Deadline::after(self.timeout))?.succeeded()
        };
        let done = during(BLOCK, wait)?;
        self.output.record(&json!({"tx_hash": done.hash, "height": done.height}));
        Ok(())
    }

    fn validate(&self, tx: &StagedTx, signer: &SignerArgs) -> anyhow::Result<()> {
        let sequence = tx.sequence()?;
        if signer.sequence.is_some_and(|given| given != sequence) {
            return Err(usage(format!("the transaction has the sequence {sequence}")));
        }
        let key = tx.signer_key()?.context("the transaction has no public key")?;
        let address = key.address().context("the public key has no address")?;
        let data = self.signer(signer, &address, Some(sequence))?;
        tx.verify(&data.chain_id, data.account_number)?;
        let kind = match &key {
            PublicKey::Secp256k1(_) => "single",
            PublicKey::Multisig(_) => "multisig",
        };
        self.output.record(&json!({
            "valid": true,
            "signer": address,
            "kind": kind,
            "signatures": key.signatures(),
            "sequence": sequence,
        }));
        Ok(())
    }

    /// Returns what a signature covers besides the transaction. `sequence` is that of the transaction, if it has one.
    fn signer(
        &self,
        given: &SignerArgs,
        address: &Address,
        sequence: Option<u64>,
    ) -> anyhow::Result<SignerData> {
        let sequence = given.sequence.or(sequence);
        let client: Option<Client> = match self.options.offline {
            true => None,
            false => Some(self.node.client()?),
        };
        let missing = |name: &str| {
            usage(format!("without a node, {name} is not known; give it, or leave --offline out"))
        };
        let chain_id = match (given.chain_id(), &client) {
            (Some(id), _) => id,
            // Another machine could name the chain for which it wants a signature.
            (None, Some(_)) if !self.node.is_local() => {
                return Err(usage(format!(
                    "which chain? {} is not on this machine, so what it says is not signed; name the chain with --chain-id or CAPSTAN_CHAIN_ID",
                    self.node.url()
                )));
            }
            (None, Some(client)) => client.status()?.chain_id,
            (None, None) => return Err(missing("--chain-id")),
        };
        if let (Some(account_number), Some(sequence)) = (given.account_number, sequence) {
            return Ok(SignerData { chain_id, account_number, sequence });
        }
        let Some(client) = client else {
            let number = given.account_number.is_none();
            return Err(missing(if number { "--account-number" } else { "--sequence" }));
        };
        let account = client.account(address)?;
        let account_number = given.account_number.unwrap_or(account.number);
        Ok(SignerData { chain_id, account_number, sequence: sequence.unwrap_or(account.sequence) })
    }
}

fn print_signature(made: &KeySignature, to: &OutputArgs) -> anyhow::Result<()> {
    let signatures = SignatureDescriptors { signatures: vec![made.to_proto()] };
    print(&document::to_value(&signatures)?, to.output_document.as_deref())
}

/// Prints JSON as it is, or writes it to a file.
fn print(value: &Value, path: Option<&Path>) -> anyhow::Result<()> {
    match path {
        Some(path) => write_atomic(path, format!("{value}\n").as_bytes(), 0o644)
            .with_context(|| format!("cannot write {}", path.display())),
        None => {
            Output::new(true).record(value);
            Ok(())
        }
    }
}

const SIGN_HELP: &str = "\
Examples:
  capstan tx sign tx.json --from alice --output-document signed.json
  capstan tx sign tx.json --from alice --multisig treasury > alice.json
  capstan tx sign tx.json --from cold --offline --chain-id capstan-dev --account-number 3 --sequence 0";
