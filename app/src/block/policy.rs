use capstan_genesis::Params;
use capstan_kernel::policy::{BlockPolicy, CleanupCounts};

/// Returns the [`BlockPolicy`] by which the chain's [`Params`] bound the work of one block.
pub fn block_policy(params: &Params) -> BlockPolicy {
    let budget = params.cleanup;
    BlockPolicy {
        computrons_left: params.block_computrons,
        computrons_spent: 0,
        vat_creation: params.vat_creation_computrons,
        crank: params.crank_overhead_computrons,
        write: params.write_computrons,
        write_byte: params.write_byte_computrons,
        snapshot: params.snapshot_computrons,
        page: params.page_computrons,
        cleanup: Some(CleanupCounts {
            exports: budget.exports,
            imports: budget.imports,
            promises: budget.promises,
            kv: budget.kv,
            snapshots: budget.snapshots,
            transcripts: budget.transcripts,
        }),
    }
}
