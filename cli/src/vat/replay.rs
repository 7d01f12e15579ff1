//! `capstan vat replay`: executes the deliveries of a vat again and compares.

use anyhow::{Context as _, bail};
use capstan_kernel::replay::{Beginning, Difference, Outcome, Rehearsal, Step};
use capstan_kernel_ports::VatId;
use capstan_kernel_ports::host::VatHost as _;
use capstan_kernel_ports::store::Read;
use capstan_node::home::{Home, cache_dir};
use capstan_node::open_host;
use capstan_store::{StateView, Store};
use capstan_vat_host::{Compiler, Compilers, WasmHost};
use serde_json::{Value, json};

use super::show;
use crate::Common;
use crate::failure::usage;
use crate::home;
use crate::output::Output;
use crate::progress::Progress;

/// Arguments of `capstan vat replay`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example: capstan vat replay v3 --from-genesis --home ./chain\n\n\
    The node must be stopped. A worker of its own makes every delivery again. Syscalls, result, computrons and heap are\n\
    compared with the record. Nothing in the home is changed.\n\
    A replay begins at the vat's last heap snapshot. With --from-genesis it begins at the vat's first delivery and goes\n\
    through all upgrades, which needs a node that ran with --archive.\n\
    Ends with 0 if the vat did the same again, and with 1 if it did not or cannot be replayed.")]
pub(crate) struct Replay {
    /// Id of the vat, such as v3. See capstan query vats.
    vat: String,
    /// Begin at the vat's first delivery.
    #[arg(long)]
    from_genesis: bool,
    /// Compiler of the code that the vat runs on [default: as in a node, cranelift for the JavaScript engine and
    /// singlepass for wasm modules]. The result does not depend on it.
    #[arg(long, value_name = "NAME", value_enum)]
    compiler: Option<CompilerName>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum CompilerName {
    Singlepass,
    Cranelift,
}

/// The result of a replay.
struct Replayed {
    deliveries: u64,
    computrons: u64,
    heaps: u64,
    /// The last step, if it differed.
    parted: Option<Step>,
}

impl Replay {
    pub(crate) fn run(self, common: &Common, output: Output) -> anyhow::Result<()> {
        let vat: VatId = self.vat.parse().map_err(|error| usage(format!("{error}")))?;
        let home = Home::open(home::path(common)?)?;
        let store = Store::open(home.state(), capstan_store::Options::default())?;
        let state = store.reader();
        if !capstan_kernel::view::is_initialized(&state)? {
            bail!("the chain of {} has not begun: it has no vats", home.path.display());
        }
        let beginning = if self.from_genesis { Beginning::Genesis } else { Beginning::Snapshot };
        let progress = Progress::new("looking for the transcript");
        let rehearsal = Rehearsal::new(&state, vat, beginning)?;
        let damage = rehearsal.damage()?;
        let mut host =
            open_host(cache_dir(&home.path), self.compilers(), &|step| progress.step(step))?;
        let replayed = rehearse(rehearsal, &mut host, vat, &progress)
            .with_context(|| format!("{vat} cannot be replayed"))?;
        drop(progress);
        report(vat, &state, &replayed, damage.as_ref(), output)
    }

    fn compilers(&self) -> Compilers {
        let chosen = self.compiler.map(|name| match name {
            CompilerName::Singlepass => Compiler::Singlepass,
            CompilerName::Cranelift => Compiler::Cranelift,
        });
        let usual = Compilers::default();
        Compilers {
            engine: chosen.unwrap_or(usual.engine),
            modules: chosen.unwrap_or(usual.modules),
        }
    }
}

fn rehearse(
    mut rehearsal: Rehearsal<'_, StateView>,
    host: &mut WasmHost,
    vat: VatId,
    progress: &Progress,
) -> anyhow::Result<Replayed> {
    use capstan_kernel::transcript::Entry;
    let positions = rehearsal.positions();
    let mut replayed = Replayed { deliveries: 0, computrons: 0, heaps: 0, parted: None };
    progress.step(format!("replaying {vat}"));
    while let Some(step) = rehearsal.step(host)? {
        if step.outcome != Outcome::Same {
            replayed.parted = Some(step);
            break;
        }
        match &step.entry {
            Entry::Delivery { computrons, .. } => {
                replayed.deliveries += 1;
                replayed.computrons += computrons.map_or(0, |spent| spent.0);
            }
            Entry::SaveSnapshot { .. } => replayed.heaps += 1,
            _ => {}
        }
        let done = step.position + 1 - positions.start;
        let all = positions.end - positions.start;
        progress.update(format!("replaying {vat}: {done} of {all} entries"));
    }
    host.stop(vat);
    Ok(replayed)
}

/// Prints the result. Fails if anything differed.
fn report(
    vat: VatId,
    state: &impl Read,
    replayed: &Replayed,
    damage: Option<&Difference>,
    output: Output,
) -> anyhow::Result<()> {
    let Replayed { deliveries, computrons, heaps, parted } = replayed;
    let name = capstan_kernel::view::vat_config(state, vat)?.and_then(|config| config.name);
    let mut record = json!({
        "vat": vat.to_string(),
        "name": name,
        "equal": parted.is_none() && damage.is_none(),
        "deliveries": deliveries,
        "computrons": computrons,
        "heaps": heaps,
        "transcript_is_damaged": damage.is_some(),
        "difference": Value::Null,
    });
    let mut text = format!(
        "{vat} did the same again: {deliveries} deliveries, {computrons} computrons, {heaps} heaps compared."
    );
    if let Some(step) = parted {
        record["difference"] = show::to_json(step);
        text = format!(
            "{vat} did the same again for {deliveries} deliveries, and then something else.\n{}",
            show::to_text(step)
        );
    }
    if let Some(damage) = damage {
        text = format!("{text}\n{damage}");
    }
    output.either(&record, &text);
    match (parted, damage) {
        (None, None) => Ok(()),
        (_, Some(_)) => bail!(
            "the transcript of {vat} on this node is damaged; take the node's data from a copy, or let it catch up anew"
        ),
        (Some(step), None) => bail!("{vat} differs from position {} on", step.position),
    }
}
