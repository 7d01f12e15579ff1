//! The execution of an agreed [`Override`].

use capstan_kernel::{Kernel, capdata, queue::TakenOut, view};
use capstan_kernel_ports::{Hash, host::VatHost, store::Overlay};
use tendermint_proto::v0_38::abci::Event;

use crate::{events::event, fault::NodeFault, overrides::Override, records::keys, tx::TxHash};

impl Override {
    /// Applies the override before anything else in its block. `root` is the committed state's root.
    pub(crate) fn apply<H: VatHost>(
        &self,
        kernel: &mut Kernel<H>,
        over: &mut dyn Overlay,
        root: Hash,
        txs: &[impl AsRef<[u8]>],
    ) -> Result<Event, NodeFault> {
        let refuse = |why: String| Err(NodeFault::Override { height: self.height, why });
        if root != self.app_hash {
            return refuse(format!("it is for app hash {}, this node's is {root}", self.app_hash));
        }
        for vat in &self.uncritical {
            if !kernel.set_critical(over, *vat, false)? {
                return refuse(format!("there is no vat {vat}"));
            }
        }
        for vat in &self.terminate {
            let state = view::vat_state(over, *vat)?;
            if state.is_none_or(|state| state.status.ending().is_some()) {
                return refuse(format!("there is no vat {vat}, or it has ended"));
            }
            kernel.set_critical(over, *vat, false)?;
            kernel.terminate_vat(over, *vat, &capdata::error("vat terminated by agreement"))?;
        }
        kernel.take_out(self.drop_messages.iter().copied());
        for skipped in &self.skip_transactions {
            if !txs.iter().any(|tx| TxHash::digest(tx.as_ref()) == *skipped) {
                return refuse(format!("the block has no transaction {skipped}"));
            }
        }
        over.set(&keys::overridden(self.height), self.to_json());
        Ok(event("chain.overridden", &[("sha256", self.sha256())]))
    }

    /// Completes the override at the end of its block. A message whose turn did not come is removed from the queues.
    pub(crate) fn finish<H: VatHost>(
        &self,
        kernel: &mut Kernel<H>,
        over: &mut dyn Overlay,
    ) -> Result<(), NodeFault> {
        for left in kernel.not_taken_out() {
            let dropped = match left {
                TakenOut::Result(result) => kernel.drop_message(over, result)?,
                TakenOut::Place(_) => false,
            };
            if !dropped {
                let why = format!("no message {left} came in the block, and none is in the queues");
                return Err(NodeFault::Override { height: self.height, why });
            }
        }
        Ok(())
    }
}
