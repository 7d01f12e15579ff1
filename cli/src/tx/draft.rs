//! Transactions that are written or measured, but not sent.

use capstan_client::{
    Address, CreateVat, Messages, PublicKey, Settlement, SignerData, StagedTx, TxBuilder,
    UpgradeVat,
};
use serde_json::json;

use super::options::Options;
use super::values::{
    arguments, bundle_id, coins, parameters, reason_of_end, reference, settled_value,
};
use super::{Action, NodeArgs, document, names};
use crate::bundle::read_file;
use crate::failure::usage;
use crate::keys::Keyring;
use crate::output::Output;
use crate::{Common, keys, passable};

/// A transaction without terms.
struct Draft {
    tx: TxBuilder,
    /// Bytes for which the gas counts beside those of the transaction.
    declared_bytes: u64,
}

/// Prints a transaction that nobody has signed, or what it costs.
///
/// # Errors
/// A value on the command line is wrong, or the node does not answer.
pub(super) fn run(
    action: Action,
    from: &str,
    keyring: &Keyring,
    options: &Options,
    node: &NodeArgs,
    common: &Common,
    output: Output,
) -> anyhow::Result<()> {
    let (address, key) = account(from, keyring)?;
    let draft = draft(action, &address, common)?;
    let terms = options.terms()?;
    if options.offline && !terms.are_complete() {
        return Err(usage(
            "without a node, neither the gas nor its price is known; give --gas N, and --fees or --gas-prices",
        ));
    }
    let params = match options.offline {
        true => None,
        false => Some(node.client()?.params()?),
    };
    // The sequence is not known before the transaction is signed. The largest one takes the most room.
    let signer = SignerData { chain_id: String::new(), account_number: 0, sequence: u64::MAX };
    let fees = params.as_ref().map(|params| &params.fees);
    let tx = terms.apply(&draft.tx, draft.declared_bytes, fees, key.as_ref(), &signer)?;
    let staged = StagedTx::new(&tx)?;
    let (size, limit) =
        (staged.to_signed().bytes().len(), params.map(|params| params.max_tx_bytes));
    if let Some(limit) = limit.filter(|limit| size as u64 > *limit) {
        return Err(usage(format!(
            "the transaction has {size} bytes, more than the {limit} that the chain allows; without --generate-only and --dry-run, a bundle is installed in pieces"
        )));
    }
    if options.dry_run {
        let fee = format!("{}{}", tx.fee_amount(), capstan_client::DENOM);
        output.record(&json!({"gas_limit": tx.gas(), "fee": fee}));
        return Ok(());
    }
    Output::new(true).record(&document::to_value(&staged.to_proto())?);
    Ok(())
}

/// Returns the address of an account, with its public key if it is in the keyring.
fn account(from: &str, keyring: &Keyring) -> anyhow::Result<(Address, Option<PublicKey>)> {
    match (keyring.entry_of(from), from.parse()) {
        (Ok((record, _)), _) => Ok((record.address(), Some(record.public_key().clone()))),
        (Err(_), Ok(address)) => Ok((address, None)),
        (Err(error), Err(_)) => Err(error),
    }
}

/// Returns the transaction of an action.
fn draft(action: Action, from: &Address, common: &Common) -> anyhow::Result<Draft> {
    let (make, tx) = (Messages::new(from), TxBuilder::new());
    let tx = match action {
        Action::InstallBundle { file, again } => {
            if again {
                return Err(usage("--again has no effect on a transaction that is not sent"));
            }
            let bundle = read_file(&file)?;
            let declared_bytes = bundle.bytes.len() as u64;
            return Ok(Draft { tx: tx.message(&make.install_bundle(&bundle)), declared_bytes });
        }
        Action::CreateVat { bundle, name, params, computrons } => {
            let bundle_id = bundle_id(&bundle)?;
            let parameters = params.map(|text| parameters(&text)).transpose()?;
            tx.message(&make.create_vat(&CreateVat { bundle_id, name, parameters, computrons }))
        }
        Action::Send { target, method, args, no_wait } => {
            if no_wait {
                return Err(usage("--no-wait has no effect on a transaction that is not sent"));
            }
            let args = names::addressed(common, &target, &method, args);
            let args = arguments(passable::encode_arguments(&args))?;
            tx.message(&make.send(reference(&target), &method, &args))
        }
        Action::Resolve { promise, value, reject } => {
            tx.message(&make.settle(&[settlement(&promise, value.as_deref(), reject)?]))
        }
        Action::Reject { promise, value } => {
            tx.message(&make.settle(&[settlement(&promise, value.as_deref(), true)?]))
        }
        Action::TerminateVat { admin, reason } => {
            let reason = reason.map(|text| reason_of_end(&text)).transpose()?;
            tx.message(&make.terminate_vat(reference(&admin), reason.as_ref()))
        }
        Action::UpgradeVat { admin, bundle, params, no_params, message } => {
            let params = params.or_else(|| no_params.then(|| "{}".to_owned()));
            let parameters = params.map(|text| parameters(&text)).transpose()?;
            let (admin, bundle_id) = (reference(&admin).to_owned(), bundle_id(&bundle)?);
            tx.message(&make.upgrade_vat(&UpgradeVat { admin, bundle_id, parameters, message }))
        }
        Action::FundMeter { meter, computrons } => tx.message(&make.fund_meter(&meter, computrons)),
        Action::Drop { refs } => {
            let refs: Vec<String> = refs.iter().map(|text| reference(text).to_owned()).collect();
            tx.message(&make.drop_refs(&refs))
        }
        Action::Ack { through } => tx.message(&make.acknowledge(through)),
        Action::Transfer { to, amount } => {
            let to = keys::find_address(common, &to)?;
            tx.message(&make.transfer(&to, coins(&amount)?))
        }
        Action::File(_) => return Err(usage("this command makes no transaction")),
    };
    Ok(Draft { tx, declared_bytes: 0 })
}

fn settlement(promise: &str, value: Option<&str>, reject: bool) -> anyhow::Result<Settlement> {
    let value = arguments(settled_value(value, reject))?;
    let promise = reference(promise);
    Ok(match reject {
        true => Settlement::reject(promise, &value),
        false => Settlement::fulfil(promise, &value),
    })
}
