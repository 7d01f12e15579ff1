//! `capstan query`: questions to a node. What `--json` prints is the node's own JSON, to which the values of vats are
//! added in the notation of arguments.

mod chain_info;
mod clist;
mod named;
mod prove;
mod result;
mod tx;

use capstan_client::{Client, ClientError};
use clap::Subcommand;
use serde_json::{Value, json};

use crate::output::{self, Output};
use crate::tx::{NodeArgs, bundle_id, explain};
use crate::{Common, keys, outbox};

/// Arguments of `capstan query`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example: capstan query vat-stats v3 --json\n\n\
    The same questions can be asked with curl:\n  \
    curl -s 'http://127.0.0.1:26657/abci_query?path=\"vats/v3/stats\"'\n\
    The value in the answer is the JSON in base64.")]
pub(crate) struct Query {
    #[command(subcommand)]
    question: Question,
    #[command(flatten)]
    proof: prove::Prove,
    #[command(flatten)]
    node: NodeArgs,
}

#[derive(Subcommand, Debug)]
enum Question {
    /// The node: chain id, height, time.
    #[command(after_help = "Example: capstan query status")]
    Status,
    /// The chain as Keplr and Leap take it: addresses, prefixes, coin, prices. Prints JSON.
    #[command(
        after_help = "Example: capstan query chain-info --rpc https://rpc.example.com --rest https://rest.example.com"
    )]
    ChainInfo(chain_info::ChainInfo),
    /// Parameters of the chain.
    #[command(after_help = "Example: capstan query params --json")]
    Params,
    /// An account: balance, sequence, endpoint.
    #[command(after_help = "Example: capstan query account alice")]
    Account {
        /// An address, or a key's name.
        account: String,
    },
    /// The messages and settled promises that wait for an account.
    #[command(after_help = outbox::HELP)]
    Outbox {
        /// An address, or a key's name.
        account: String,
        #[command(flatten)]
        entries: outbox::Entries,
    },
    /// One installed bundle.
    #[command(
        after_help = "Examples:\n  capstan query bundle b1-…\n  capstan query bundle counter.json"
    )]
    Bundle {
        /// The bundle's id, or its file.
        #[arg(value_name = "BUNDLE")]
        bundle: String,
    },
    /// List of installed bundles.
    #[command(after_help = "Example: capstan query bundles --limit 10")]
    Bundles {
        #[command(flatten)]
        page: Page,
    },
    /// An upload under way: which pieces are missing.
    #[command(after_help = "Example: capstan query upload 3f…")]
    Upload {
        /// Id of the upload.
        id: String,
    },
    /// List of vats.
    #[command(after_help = "Example: capstan query vats")]
    Vats {
        #[command(flatten)]
        page: Page,
    },
    /// One vat: name, bundle, state.
    #[command(after_help = "Examples:\n  capstan query vat v3\n  capstan query vat counter")]
    Vat {
        /// Id or name of the vat.
        vat: String,
    },
    /// Statistics of a vat: objects, promises, cost.
    #[command(after_help = "Example: capstan query vat-stats v3")]
    VatStats {
        /// Id or name of the vat.
        vat: String,
    },
    /// List of subclusters: vats that were launched together.
    #[command(after_help = "Example: capstan query subclusters --json")]
    Subclusters {
        #[command(flatten)]
        page: Page,
    },
    /// One subcluster: owner, vats, services, state.
    #[command(after_help = "Example: capstan query subcluster s1")]
    Subcluster {
        /// Id of the subcluster.
        subcluster: String,
    },
    /// List of kernel services: objects that have a name in the kernel.
    #[command(after_help = "Example: capstan query services --json")]
    Services {
        #[command(flatten)]
        page: Page,
    },
    /// An io channel of a subcluster: direction, what waits. `capstan io read` prints its lines.
    #[command(after_help = "Example: capstan query channel s1 console")]
    Channel {
        /// Id of the subcluster.
        subcluster: String,
        /// Name of the channel in the subcluster.
        channel: String,
    },
    /// Statistics of the kernel.
    #[command(after_help = "Example: capstan query kernel")]
    Kernel,
    /// Queues of the kernel.
    #[command(after_help = "Example: capstan query queue --limit 10")]
    Queue {
        /// Maximum number of events of each queue.
        #[arg(long, default_value_t = 0)]
        limit: u32,
    },
    /// A promise, by the kernel's name or an account's.
    #[command(
        after_help = "Examples:\n  capstan query promise kp40\n  capstan query promise rp+1 --account alice"
    )]
    Promise {
        /// kpN, or the account's own reference with --account.
        #[arg(value_name = "REF")]
        reference: String,
        #[command(flatten)]
        holder: HolderArgs,
    },
    /// An object, by the kernel's name or an account's. Tells what became of the vat that exported it.
    #[command(
        after_help = "Examples:\n  capstan query object ko20\n  capstan query object ro-51 --account alice"
    )]
    Object {
        /// koN, or the account's own reference with --account.
        #[arg(value_name = "REF")]
        reference: String,
        #[command(flatten)]
        holder: HolderArgs,
    },
    /// C-list of an endpoint: the kernel's names and its own.
    #[command(after_help = "Examples:\n  capstan query clist v3\n  capstan query clist alice")]
    Clist {
        /// A vat (vN), device (dN), remote (rN), account address or key's name.
        endpoint: String,
        #[command(flatten)]
        page: Page,
    },
    /// A computron meter.
    #[command(after_help = "Example: capstan query meter m1")]
    Meter {
        /// Id of the meter.
        meter: String,
    },
    /// The messages that wait to be conveyed to a peer of the mailbox.
    #[command(after_help = "Example: capstan query mailbox peer.example --limit 10\n\n\
        What came from the peer is handed over by whoever holds the chain/mailbox-conveyor.")]
    Mailbox {
        /// The peer, as the vats name it.
        peer: String,
        #[command(flatten)]
        page: Page,
    },
    /// Result of a message to a vat.
    #[command(after_help = "Example: capstan query result 9A…")]
    Result {
        /// Hash of the transaction.
        hash: String,
        /// Index of the message in the transaction.
        #[arg(default_value_t = 0)]
        index: u32,
    },
    /// A transaction in a block: its result, fee, gas, messages and what they were answered with.
    #[command(after_help = tx::HELP)]
    Tx {
        /// Hash of the transaction.
        hash: String,
        /// Print the events too: those of the transaction, and those of later blocks about its messages.
        #[arg(long)]
        events: bool,
    },
    /// A record that has a proof, by its key.
    #[command(
        after_help = "Examples:\n  capstan query record balances/ADDRESS --prove\n  capstan query record outbox/ADDRESS/1 --prove --trust 7:9A…"
    )]
    Record {
        /// Its key, such as accounts/ADDRESS, balances/ADDRESS or outbox/ADDRESS/NUMBER.
        key: String,
    },
    /// A block's header and transactions.
    #[command(after_help = "Example: capstan query block 7 --json")]
    Block {
        /// Height of the block. 0: the last one.
        #[arg(default_value_t = 0)]
        height: u32,
    },
}

/// The page of a long list.
#[derive(clap::Args, Debug)]
struct Page {
    /// List what comes after this one.
    #[arg(long, default_value = "")]
    after: String,
    /// Maximum number of entries. 0: 100.
    #[arg(long, default_value_t = 0)]
    limit: u32,
}

/// Whose reference it is.
#[derive(clap::Args, Debug)]
struct HolderArgs {
    /// The account whose reference it is: an address, or a key's name.
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<String>,
}

const BUNDLE_COLUMNS: [&str; 4] = ["bundle_id", "kind", "size", "sha256"];
const VAT_COLUMNS: [&str; 9] = [
    "vat_id",
    "name",
    "status",
    "ended",
    "bundle_id",
    "incarnation",
    "critical",
    "dynamic",
    "meter_id",
];
const SUBCLUSTER_COLUMNS: [&str; 5] = ["subcluster_id", "name", "owner", "status", "bootstrap"];

impl Query {
    pub(crate) fn run(self, common: &Common, output: Output) -> anyhow::Result<()> {
        let asker = Asker { client: self.node.client()?, output };
        let account = |text: &str| keys::find_address(common, text);
        if self.proof.is_wanted() {
            return self.proof.run(&self.question, common, &asker);
        }
        match self.question {
            Question::Record { key } => prove::show(&asker, &key, common),
            Question::Status => asker.status(),
            Question::ChainInfo(info) => {
                Output::new(true).record(&info.value(&asker.client)?);
                Ok(())
            }
            Question::Params => asker.params(),
            Question::Account { account: text } => {
                let address = account(&text)?;
                let asked = asker.record(&format!("accounts/{address}"));
                asked.map_err(|error| explain(error, &address, &text))
            }
            Question::Outbox { account: text, entries } => {
                entries.show(&asker.client, &account(&text)?, output, None)
            }
            Question::Bundle { bundle } => {
                let answer = asker.ask(&format!("bundles/{}", bundle_id(&bundle)?))?;
                output.whole_record(&answer);
                Ok(())
            }
            Question::Bundles { page } => {
                asker.list(&page.path("bundles"), "bundles", &BUNDLE_COLUMNS)
            }
            Question::Upload { id } => asker.record(&format!("uploads/{id}")),
            Question::Vats { page } => asker.vats(&page),
            Question::Vat { vat } => asker.record(&format!("vats/{}", asker.vat_id(&vat)?)),
            Question::VatStats { vat } => {
                asker.record(&format!("vats/{}/stats", asker.vat_id(&vat)?))
            }
            Question::Subclusters { page } => {
                asker.list(&page.path("subclusters"), "subclusters", &SUBCLUSTER_COLUMNS)
            }
            Question::Subcluster { subcluster } => {
                asker.record(&format!("subclusters/{subcluster}"))
            }
            Question::Services { page } => asker.list(
                &page.path("services"),
                "services",
                &["name", "kref", "owner", "system_only"],
            ),
            Question::Channel { subcluster, channel } => asker.record(&with_options(
                &format!("subclusters/{subcluster}/io/{channel}"),
                LAST_LINE,
                1,
            )),
            Question::Kernel => asker.record("kernel/stats"),
            Question::Queue { limit } => asker.record(&with_options("kernel/run-queue", "", limit)),
            Question::Promise { reference, holder } => {
                asker.record(&format!("promises/{}", asker.kref(common, &reference, &holder)?))
            }
            Question::Object { reference, holder } => {
                asker.object(&asker.kref(common, &reference, &holder)?)
            }
            Question::Clist { endpoint, page } => {
                let known = ["v", "d", "r"].iter().any(|kind| is_numbered(&endpoint, kind));
                let account = if known { None } else { Some(account(&endpoint)?) };
                asker.clist(common, &endpoint, account.as_ref(), &page)
            }
            Question::Mailbox { peer, page } => {
                asker.list(&page.path(&format!("mailbox/{peer}")), "messages", &["number", "body"])
            }
            Question::Meter { meter } => asker.record(&format!("meters/{meter}")),
            Question::Result { hash, index } => asker.result_of(&hash, index),
            Question::Tx { hash, events } => asker.tx(&hash, events),
            Question::Block { height } => asker.block(height),
        }
    }
}

struct Asker {
    client: Client,
    output: Output,
}

impl Asker {
    fn record(&self, path: &str) -> anyhow::Result<()> {
        let mut record = self.ask(path)?;
        if self.output.is_json() {
            result::decode(&mut record);
        }
        self.output.record(&record);
        Ok(())
    }

    /// Prints a page of a list, and how to see the rest.
    fn list(&self, path: &str, field: &str, columns: &[&str]) -> anyhow::Result<()> {
        self.print_list(&self.ask(path)?, field, columns)
    }

    fn print_list(&self, answer: &Value, field: &str, columns: &[&str]) -> anyhow::Result<()> {
        let rows = answer[field].as_array().cloned().unwrap_or_default();
        self.output.list(answer, &rows, columns);
        let next = match &answer["next"] {
            Value::String(text) => text.clone(),
            Value::Number(number) if number.as_u64() != Some(0) => number.to_string(),
            _ => String::new(),
        };
        if !next.is_empty() && !self.output.is_json() {
            output::warn(&format!("There is more: --after {next}"));
        }
        Ok(())
    }

    /// Prints vats, with the ways in which they ended.
    fn vats(&self, page: &Page) -> anyhow::Result<()> {
        let mut answer = self.ask(&page.path("vats"))?;
        if !self.output.is_json() {
            for vat in answer["vats"].as_array_mut().into_iter().flatten() {
                vat["ended"] = vat["ending"]["kind"].clone();
            }
        }
        self.print_list(&answer, "vats", &VAT_COLUMNS)
    }

    fn params(&self) -> anyhow::Result<()> {
        let answer = self.ask("params")?;
        let json = answer["params_json"].as_str().unwrap_or_default();
        self.output.record(&serde_json::from_str(json).unwrap_or(answer.clone()));
        Ok(())
    }

    fn status(&self) -> anyhow::Result<()> {
        let status = self.client.status()?;
        self.output.record(&json!({
            "chain_id": status.chain_id,
            "height": status.height,
            "time": status.time,
            "app_hash": status.app_hash,
            "catching_up": status.catching_up,
        }));
        Ok(())
    }

    fn block(&self, height: u32) -> anyhow::Result<()> {
        let block = self.client.block(height)?;
        if self.output.is_json() {
            let mut record = serde_json::to_value(&block)?;
            record["hash"] = json!(block.block_id.hash);
            record["height"] = json!(block.block.header.height.value());
            self.output.record(&record);
            return Ok(());
        }
        let header = &block.block.header;
        self.output.record(&json!({
            "height": header.height.value(),
            "time": header.time.to_rfc3339(),
            "hash": block.block_id.hash,
            "app_hash": header.app_hash.to_string(),
            "transactions": block.block.data.len(),
        }));
        Ok(())
    }

    fn ask(&self, path: &str) -> anyhow::Result<Value> {
        let answer = self.client.abci_query(path, &[], 0, false)?;
        serde_json::from_slice(&answer.value).map_err(|error| {
            let (addr, method) = (self.client.addr().to_owned(), path.to_owned());
            ClientError::Malformed { addr, method, why: error.to_string() }.into()
        })
    }
}

impl Page {
    fn path(&self, path: &str) -> String {
        with_options(path, &self.after, self.limit)
    }
}

fn with_options(path: &str, after: &str, limit: u32) -> String {
    let mut options = Vec::new();
    if !after.is_empty() {
        options.push(format!("after={after}"));
    }
    if limit > 0 {
        options.push(format!("limit={limit}"));
    }
    if options.is_empty() { path.to_owned() } else { format!("{path}?{}", options.join("&")) }
}

/// Returns whether `text` is `kind` followed by a number, as `v7` is for `v`.
fn is_numbered(text: &str, kind: &str) -> bool {
    let digits = text.strip_prefix(kind).unwrap_or_default();
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

/// A line after which there is none, so that a channel is described without its lines.
const LAST_LINE: &str = "18446744073709551615";

/// The longest page that a node gives.
const MAX_PAGE: u32 = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_follow_the_path() {
        assert_eq!(with_options("vats", "", 0), "vats");
        assert_eq!(with_options("vats", "v3", 0), "vats?after=v3");
        assert_eq!(with_options("vats", "v3", 7), "vats?after=v3&limit=7");
    }

    #[test]
    fn endpoints_are_told_from_names() {
        assert!(is_numbered("v7", "v") && is_numbered("r12", "r"));
        assert!(!is_numbered("v", "v") && !is_numbered("victor", "v") && !is_numbered("d7", "v"));
    }
}
