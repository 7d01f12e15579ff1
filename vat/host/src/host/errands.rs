//! Hosts for errands, which bring workers back and load sources, mostly on other threads.

use std::sync::{Arc, Mutex};

use capstan_kernel_ports::{VatId, ahead::Errand};

use crate::{
    WasmHost,
    ahead::task::{Back, Work},
    ahead::turn::Runs,
};

impl WasmHost {
    /// Returns a host for an errand, with the same engines and sources, and no workers.
    fn for_errand(&self) -> Self {
        Self {
            options: self.options.clone(),
            cache: Arc::clone(&self.cache),
            modules: Arc::clone(&self.modules),
            engines: self.engines.clone(),
            current: self.current,
            shared: self.shared.for_errand(),
            workers: Mutex::default(),
            runs: Runs::new(1, None, Arc::clone(&self.usage)),
            usage: Arc::clone(&self.usage),
        }
    }

    /// Returns an errand as work for any thread, which hands over the worker of `vat`.
    pub(super) fn work(&self, errand: Errand, vat: Option<VatId>) -> Work {
        let mut host = self.for_errand();
        Box::new(move || {
            let number = errand(&mut host)?;
            let running = host.workers().remove(&vat?)?;
            Some(Back { running, number })
        })
    }
}
