//! A vat that holds very much, and dies.

use std::{cell::Cell, rc::Rc};

use capstan_abi::{CapData, Delivery, Syscall};
use capstan_kernel::{
    Kernel,
    policy::{BlockPolicy, Forever},
    vat::VatStatus,
    view,
};
use capstan_kernel_ports::{VatId, memory::MemoryState};
use serde_json::json;

use super::{Behaviour, Caller, ClosureHost, config, idle, kernel, message, method, run};

/// The vat that dies.
pub(crate) const VICTIM: VatId = VatId(4);

/// References in one message, and keys in one delivery.
const BATCH: u64 = 500;

/// A kernel with a vat that holds as many c-list entries as keys.
pub(crate) struct Hoard {
    pub(crate) kernel: Kernel<ClosureHost>,
    pub(crate) state: MemoryState,
    /// Messages that another vat has got since the victim's end.
    pub(crate) served: Rc<Cell<u64>>,
}

impl Hoard {
    /// Half of the entries are exports of the victim, half are imports.
    pub(crate) fn new(entries: u64) -> Self {
        let served = Rc::new(Cell::new(0));
        let counter = Rc::clone(&served);
        let factory = Box::new(move |_: VatId, bundle: &str| match bundle {
            "b1-boot" => Box::new(|delivery: &Delivery, kernel: &mut Caller<'_>| {
                if let Delivery::Message { message, .. } = delivery {
                    let slots = message.methargs.slots.clone();
                    // boot, friend, vatAdmin, victim
                    kernel.send(&slots[1], "meet", &[&slots[3]], None);
                    kernel.send(&slots[3], "meet", &[&slots[1]], None);
                }
                Ok(())
            }) as Behaviour,
            "b1-friend" => giver(Rc::clone(&counter), false),
            "b1-victim" => giver(Rc::new(Cell::new(0)), true),
            _ => idle(),
        });
        let mut config = config("boot", &["boot", "friend", "victim"]);
        // Nobody collects anything meanwhile, and no transcript grows without end.
        config.options.reap.never = true;
        config.options.snapshot_interval = u64::MAX;
        config.options.snapshot_initial = u64::MAX;
        let (mut kernel, mut state) = kernel(&config, factory);
        run(&mut kernel, &mut state);
        for _ in 0..entries / 2 / BATCH {
            for name in ["friend", "victim"] {
                tell(&mut kernel, &mut state, name);
            }
            run(&mut kernel, &mut state);
        }
        served.set(0);
        Self { kernel, state, served }
    }

    /// Ends the victim.
    pub(crate) fn end(&mut self) {
        let reason = CapData { body: "#\"enough\"".to_owned(), slots: vec![] };
        self.kernel.terminate_vat(&mut self.state, VICTIM, &reason).expect("the kernel is sound");
    }

    /// A block with a message to another vat in it.
    pub(crate) fn block(&mut self, policy: &mut BlockPolicy) {
        let ping = CapData { body: format!("#{}", json!(["ping", []])), slots: vec![] };
        self.kernel.post_to_vat_root(&mut self.state, "friend", ping).expect("the friend lives");
        self.kernel.run(&mut self.state, policy).expect("the kernel is sound");
    }

    /// Whether nothing of the victim is left.
    pub(crate) fn is_clean(&self) -> bool {
        let record = view::vat_state(&self.state, VICTIM).expect("readable").expect("a tombstone");
        matches!(record.status, VatStatus::Cleaned(_))
    }
}

fn tell(kernel: &mut Kernel<ClosureHost>, state: &mut MemoryState, name: &str) {
    let more = CapData { body: format!("#{}", json!(["more", []])), slots: vec![] };
    kernel.post_to_vat_root(state, name, more).expect("the vat lives");
    kernel.run(state, &mut Forever).expect("the kernel is sound");
}

/// With each `more` it gives its friend some objects, and keeps some keys if it is to.
fn giver(served: Rc<Cell<u64>>, keeps: bool) -> Behaviour {
    let (mut friend, mut next) = (String::new(), 10);
    Box::new(move |delivery, kernel| {
        let Delivery::Message { message: heard, .. } = delivery else { return Ok(()) };
        match method(heard).as_str() {
            "meet" => friend = heard.methargs.slots[0].clone(),
            "more" => {
                let exports: Vec<String> = (next..next + BATCH).map(|n| format!("o+{n}")).collect();
                let exports: Vec<&str> = exports.iter().map(String::as_str).collect();
                let gift = message("gift", &exports, None);
                kernel.call(Syscall::Send { target: friend.clone(), message: gift })?;
                for key in next * 2..(next + BATCH) * 2 {
                    let (key, value) = (format!("k{key:08}").into(), "v".repeat(20).into());
                    if keeps {
                        kernel.call(Syscall::VatstoreSet { key, value })?;
                    }
                }
                next += BATCH;
            }
            "ping" => served.set(served.get() + 1),
            _ => {}
        }
        Ok(())
    })
}
