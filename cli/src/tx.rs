//! `capstan tx`: transactions, and what comes of them.

mod document;
mod draft;
mod ended;
mod files;
mod install;
mod money;
mod names;
mod node;
mod options;
mod promises;
mod sent;
mod upgrade;
mod values;

pub(crate) use node::NodeArgs;
pub(crate) use sent::explain;
pub(crate) use values::bundle_id;

use std::path::PathBuf;
use std::process::exit;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use capstan_client::{ClientError, CreateVat, MessageResult, TxOutcome, UpgradeVat, Wallet, proto};
use clap::Subcommand;
use serde_json::{Value, json};

use crate::failure::{Rejected, flag, usage};
use crate::keys::{Keyring, KeyringArgs};
use crate::output::{Output, warn};
use crate::passable;
use crate::process::{INTERRUPTED, on_signal};
use crate::progress::during;
use crate::{Common, keys};

use promises::RESOLVE_HELP;
use sent::{went_on, with_hash};
use values::{arguments, coins, parameters, reason_of_end, reference};

/// Arguments of `capstan tx`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example: capstan tx send ro-51 increment 2 --from alice --json\n\n\
    Every transaction is waited for, messages to vats until they are answered. If --timeout ends the waiting, the\n\
    transaction may still come through: `capstan query tx HASH` tells whether it did, and `capstan query result HASH` how its messages were answered.")]
pub(crate) struct Tx {
    #[command(subcommand)]
    action: Action,
    /// The key that signs: alice, bob, carol, or one of `capstan keys`.
    #[arg(long, global = true, value_name = "KEY")]
    from: Option<String>,
    #[command(flatten)]
    node: NodeArgs,
    #[command(flatten)]
    options: options::Options,
    #[command(flatten)]
    keyring: KeyringArgs,
    /// Maximum time to wait for blocks and answers, in seconds.
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Install a bundle: the file of `capstan bundle`, or a wasm module. Large ones go in pieces.
    #[command(after_help = "Example: capstan tx install-bundle counter.json --from alice\n\n\
        A bundle that the chain has already is not sent, and costs nothing. Anybody may have installed it.")]
    InstallBundle {
        /// File of the bundle.
        file: PathBuf,
        /// Send the transaction, and pay for it, even if the chain has the bundle.
        #[arg(long)]
        again: bool,
    },
    /// Create a vat from an installed bundle. Prints its id, root object and admin object.
    #[command(
        after_help = "Example: capstan tx create-vat counter.json --name counter --params '{\"start\":5}' --from alice"
    )]
    CreateVat {
        /// The bundle: its id, or its file (which must be installed too).
        #[arg(value_name = "BUNDLE")]
        bundle: String,
        /// Name for people. It need not be unique.
        #[arg(long, default_value = "")]
        name: String,
        /// Parameters of the vat, in the notation of `capstan tx send`: a record such as {"start":7n,"bank":@ro-51}.
        #[arg(long, value_name = "VALUE")]
        params: Option<String>,
        /// Computrons to buy into the vat's meter. 0: the chain's default. A small JavaScript vat needs some
        /// 12,000,000,000, and one that mints with @agoric/ertp 70,000,000,000: most of them are a deposit for its heap.
        #[arg(long, value_name = "N", default_value_t = 0)]
        computrons: u64,
    },
    /// Send a message to an object or promise, and wait for the answer.
    #[command(after_help = SEND_HELP)]
    Send {
        /// Target in the account's own references, such as ro-51 or rp+3, or `factory`.
        #[arg(value_name = "REF")]
        target: String,
        /// Name of the method.
        method: String,
        /// Arguments: values as in JSON, 7n for a bigint, @ro-51 for a reference. Any other text is a string.
        #[arg(allow_negative_numbers = true)]
        args: Vec<String>,
        /// Do not wait for the answer. Prints the promise of it, which can be a target and an argument.
        #[arg(long)]
        no_wait: bool,
    },
    /// Settle a promise that the account decides: the result of a call to its object, or a promise of its own.
    #[command(after_help = RESOLVE_HELP)]
    Resolve {
        /// The promise: rp-N, as `capstan query outbox` shows it, or rp+N.
        #[arg(value_name = "PROMISE")]
        promise: String,
        /// Value, in the notation of `capstan tx send`. Without it: undefined.
        #[arg(allow_negative_numbers = true)]
        value: Option<String>,
        /// Reject the promise. A text becomes an error with this message.
        #[arg(long)]
        reject: bool,
    },
    /// Reject a promise that the account decides: the result of a call to its object, or a promise of its own.
    #[command(
        after_help = "Example: capstan tx reject rp-61 'no such city' --from alice\n\nThe same as `capstan tx resolve --reject`."
    )]
    Reject {
        /// The promise: rp-N, as `capstan outbox` shows it, or rp+N.
        #[arg(value_name = "PROMISE")]
        promise: String,
        /// Reason, in the notation of `capstan tx send`. A text becomes an error with this message.
        #[arg(allow_negative_numbers = true)]
        value: Option<String>,
    },
    /// End a vat by its admin object. What its meter has left goes back to the account that paid for the vat.
    #[command(
        after_help = "Example: capstan tx terminate-vat ro-53 --reason 'not needed any more' --from alice"
    )]
    TerminateVat {
        /// The vat's admin object, as create-vat printed it.
        #[arg(value_name = "REF")]
        admin: String,
        /// Reason that waiting clients of the vat get: a text, or a value in the notation of `capstan tx send`.
        #[arg(long, value_name = "VALUE")]
        reason: Option<String>,
    },
    /// Upgrade a vat to another bundle by its admin object. Durable state stays, and so do the parameters without --params.
    #[command(
        after_help = "Examples:\n  capstan tx upgrade-vat ro-54 counter2.json --from alice\n  \
        capstan tx upgrade-vat ro-54 counter2.json --params '{\"start\":7}' --from alice"
    )]
    UpgradeVat {
        /// The vat's admin object, as create-vat printed it.
        #[arg(value_name = "REF")]
        admin: String,
        /// The new bundle: its id, or its file (which must be installed too).
        #[arg(value_name = "BUNDLE")]
        bundle: String,
        /// The new incarnation's parameters, as for create-vat. Without this option the vat keeps those that it has.
        #[arg(long, value_name = "VALUE")]
        params: Option<String>,
        /// Drop the parameters. The new incarnation gets those of create-vat without --params.
        #[arg(long, conflicts_with = "params")]
        no_params: bool,
        /// Message for those who wait for the vat's promises.
        #[arg(long, value_name = "TEXT", default_value = "")]
        message: String,
    },
    /// Buy computrons into a meter. `capstan query vat` names a vat's meter.
    #[command(after_help = "Example: capstan tx fund-meter m1 1000000000 --from alice")]
    FundMeter {
        /// The meter: m and a number.
        #[arg(value_name = "METER")]
        meter: String,
        /// Number of computrons.
        computrons: u64,
    },
    /// Give up references, so that what they name can be collected.
    #[command(after_help = "Example: capstan tx drop ro-51 ro-52 --from alice")]
    Drop {
        /// Imported objects of the account.
        #[arg(required = true, value_name = "REF")]
        refs: Vec<String>,
    },
    /// Acknowledge entries of the account's outbox, which are then removed.
    #[command(after_help = "Example: capstan tx ack 12 --from alice\n\n\
        A call that waits for an answer leaves the outbox too, with a warning. Its promise can still be settled.")]
    Ack {
        /// The number of the last entry that was read.
        through: u64,
    },
    /// Move coins to another account.
    #[command(after_help = "Example: capstan tx transfer bob 1000ucap --from alice")]
    Transfer {
        /// The receiver: an address, or a key's name.
        to: String,
        /// Amount, in ucap.
        amount: String,
    },
    #[command(flatten)]
    File(files::FileAction),
}

impl Tx {
    pub(crate) fn run(self, common: &Common, output: Output) -> anyhow::Result<()> {
        let keyring = Keyring::open(common, &self.keyring)?;
        let timeout = Duration::from_secs(self.timeout);
        let (node, options) = (&self.node, &self.options);
        let action = match self.action {
            Action::File(action) => {
                let from = self.from;
                return action.run(&files::Desk { keyring, from, node, options, timeout, output });
            }
            action => action,
        };
        let name = self
            .from
            .ok_or_else(|| usage("who signs? Give a key with --from, as in --from alice"))?;
        if options.generate_only || options.dry_run {
            return draft::run(action, &name, &keyring, options, node, common, output);
        }
        if options.offline {
            return Err(usage(
                "--offline goes with --generate-only: a transaction is sent to a node",
            ));
        }
        let key = keyring.key(&name).with_context(|| flag("--from", &name))?;
        let client = self.node.client()?;
        let wallet = Wallet::new(&client, key).with_timeout(timeout).with_terms(options.terms()?);
        let wallet = Arc::new(wallet);
        let sender = Sender { wallet: Arc::clone(&wallet), output };
        on_signal(move || {
            if let Some(hash) = wallet.last_sent() {
                warn(&went_on(&hash.to_string()));
            }
            exit(INTERRUPTED);
        })?;
        let done = perform(action, &sender, common);
        done.map_err(|error| explain(error, &sender.wallet.address(), &name))
            .map_err(|error| with_hash(error, &sender.wallet))
    }
}

/// Performs an action of a signer.
fn perform(action: Action, sender: &Sender, common: &Common) -> anyhow::Result<()> {
    match action {
        Action::InstallBundle { file, again } => sender.install_bundle(&file, again),
        Action::CreateVat { bundle, name, params, computrons } => {
            let bundle_id = bundle_id(&bundle)?;
            let parameters = params.map(|text| parameters(&text)).transpose()?;
            sender.create_vat(&CreateVat { bundle_id, name, parameters, computrons })
        }
        Action::Send { target, method, args, no_wait } => {
            let args = names::addressed(common, &target, &method, args);
            sender.send(&target, &method, &args, no_wait)
        }
        Action::Resolve { promise, value, reject } => {
            sender.resolve(&promise, value.as_deref(), reject)
        }
        Action::Reject { promise, value } => sender.resolve(&promise, value.as_deref(), true),
        Action::TerminateVat { admin, reason } => {
            let reason = reason.map(|text| reason_of_end(&text)).transpose()?;
            let wait = format!("waiting for the end of the vat of {admin}");
            let result =
                during(wait, || sender.wallet.terminate_vat(reference(&admin), reason.as_ref()))?;
            sender.ended(&result, &admin)
        }
        Action::UpgradeVat { admin, bundle, params, no_params, message } => {
            let bundle_id = bundle_id(&bundle)?;
            let params = params.or_else(|| no_params.then(|| "{}".to_owned()));
            let parameters = params.map(|text| parameters(&text)).transpose()?;
            let upgrade =
                UpgradeVat { admin: reference(&admin).to_owned(), bundle_id, parameters, message };
            let wait = format!("waiting for the upgrade of the vat of {admin}");
            let result = during(wait, || sender.wallet.upgrade_vat(&upgrade))?;
            sender.upgraded(&result, &admin, &upgrade.bundle_id)
        }
        Action::FundMeter { meter, computrons } => sender.fund_meter(&meter, computrons),
        Action::Drop { refs } => {
            let refs: Vec<String> = refs.iter().map(|text| reference(text).to_owned()).collect();
            promises::refuse_to_drop(&refs)?;
            sender.done(&during(BLOCK, || sender.wallet.drop_refs(&refs))?)
        }
        Action::Ack { through } => sender.acknowledge(through),
        Action::Transfer { to, amount } => {
            let to = keys::find_address(common, &to)?;
            let amount = coins(&amount)?;
            sender.done(&during(BLOCK, || sender.wallet.transfer(&to, amount))?)
        }
        Action::File(_) => Err(usage("this command makes no transaction")),
    }
}

struct Sender {
    wallet: Arc<Wallet>,
    output: Output,
}

impl Sender {
    fn create_vat(&self, vat: &CreateVat) -> anyhow::Result<()> {
        let wait = "waiting for the vat to be created";
        let (created, result) =
            during(wait, || self.wallet.create_vat_told(vat)).map_err(|error| match error {
                ClientError::NotCreated { status, value } => {
                    let none: [&str; 0] = [];
                    anyhow!(
                        "the vat was not created; the factory's answer was {status}: {}",
                        passable::text(&value, &none)
                    )
                }
                other => other.into(),
            })?;
        self.output.record(&json!({
            "vat_id": created.vat_id,
            "root": created.root,
            "admin": created.admin,
            "meter": created.meter,
            "tx_hash": result.hash,
            "height": result.height,
            "settled_height": result.settled_height,
        }));
        self.warn_of_small_meter(&created.vat_id)
    }

    fn fund_meter(&self, meter: &str, computrons: u64) -> anyhow::Result<()> {
        if meter.starts_with("ro-") || meter.starts_with('@') {
            return Err(usage(format!(
                "{meter:?} is a reference: a meter's id is written m1; `capstan query vat` names a vat's meter"
            )));
        }
        let funded = during(BLOCK, || self.wallet.fund_meter(meter, computrons))?;
        self.output.record(&json!({
            "meter": meter,
            "remaining": funded.remaining.to_string(),
            "tx_hash": funded.outcome.hash,
            "height": funded.outcome.height,
        }));
        Ok(())
    }

    fn send(
        &self,
        target: &str,
        method: &str,
        args: &[String],
        no_wait: bool,
    ) -> anyhow::Result<()> {
        let (target, args) = (reference(target), arguments(passable::encode_arguments(args))?);
        if no_wait {
            let outcome = during(BLOCK, || self.wallet.send_only(target, method, &args))?;
            let promise = outcome.response::<proto::MsgSendResponse>(0)?.result;
            self.output.record(&json!({
                "promise": promise,
                "tx_hash": outcome.hash,
                "height": outcome.height,
            }));
            return Ok(());
        }
        let wait = format!("waiting for the answer to {method}");
        self.answered_by(target, &during(wait, || self.wallet.send(target, method, &args))?)
    }

    /// Prints what a message was answered with.
    fn answered(&self, result: &MessageResult) -> anyhow::Result<()> {
        self.answered_and(result, None)
    }

    /// Prints what a message was answered with, and a field of the record besides: its name, value and text.
    fn answered_and(
        &self,
        result: &MessageResult,
        more: Option<(&str, Value, String)>,
    ) -> anyhow::Result<()> {
        let value = passable::decode(&result.value.body, &result.value.slots);
        let typed = passable::text(&result.value.body, &result.value.slots);
        let mut text = format!("{}: {typed}", result.status);
        let mut record = json!({
            "status": result.status,
            "value": value,
            "slots": result.value.slots,
            "body": result.value.body,
            "promise": result.promise,
            "tx_hash": result.hash,
            "height": result.height,
            "settled_height": result.settled_height,
        });
        if let Some((name, value, line)) = more {
            record[name] = value;
            text = format!("{text}\n{line}");
        }
        self.output.either(&record, &text);
        if result.status == "rejected" { Err(Rejected.into()) } else { Ok(()) }
    }

    /// Prints the answer of a vat's admin object, and what may be wrong if it is another object.
    fn answered_by_admin(
        &self,
        result: &MessageResult,
        admin: &str,
        more: Option<(&str, Value, String)>,
    ) -> anyhow::Result<()> {
        let answered = self.answered_and(result, more);
        let is_other = ["target has no method", "not the adminNode of a vat"]
            .iter()
            .any(|text| result.value.body.contains(text));
        if answered.is_err() && is_other {
            return answered.with_context(|| {
                format!(
                    "{admin} is not the admin object of a vat; create-vat printed that as `admin`, and `capstan query clist` shows what the account holds"
                )
            });
        }
        answered
    }

    /// Prints that a transaction is in a block.
    fn done(&self, outcome: &TxOutcome) -> anyhow::Result<()> {
        self.output.record(&json!({"tx_hash": outcome.hash, "height": outcome.height}));
        Ok(())
    }
}

const BLOCK: &str = "waiting for the transaction's block";

const SEND_HELP: &str = "\
Examples:
  capstan tx send ro-51 increment 2 --from alice
  capstan tx send ro-51 introduce @ro-54 '{\"greeting\":\"hi\",\"friend\":@ro-57}' --from alice
  capstan tx send ro-51 deposit 7n '\"42\"' '[1,-2n,undefined]' --from alice

An argument that begins with {, [, \", @ or a digit is a value, and so are null, true, false, undefined, NaN and Infinity. Values
are those of JSON, and 7n is a bigint, @ro-51 a reference that the account holds, {\"@error\":\"text\",\"name\":\"TypeError\"}
an error, {\"@symbol\":\"asyncIterator\"} a symbol, {\"@tag\":\"copySet\",\"payload\":[1]} a tagged value, @\"\\ud800\" a text that
is no Unicode. Everything else is a text. A text that looks like a value stands in double quotes: '\"42\"'. One that
begins with @ gets a second @.

The answer is printed in the same notation. With --json: status (fulfilled or rejected), value (where 7n is
{\"@bigint\":\"7\"}, @ro-51 a string, and undefined null), slots (the references in it), body (the value as it is on the
chain). A rejection ends with exit code 1.";
