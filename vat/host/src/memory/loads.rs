//! Results of loading bundles, which all threads of a host share. Each bundle is loaded by one thread while others wait.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use capstan_kernel_ports::host::{HostFault, LOADED_SOURCES, WorkerOptions};

use crate::memory::share::{BundleKey, Load};

/// Engine, bundle and options that a load depends on.
pub(crate) type LoadKey = (BundleKey, WorkerOptions);

/// A result, or the place where it will be.
type Slot = Arc<Mutex<Option<Load>>>;

/// The results of the loads that were used last, the most recently used at the end. Each image takes as much memory as a
/// vat's heap.
#[derive(Clone, Debug, Default)]
pub(crate) struct Loads(Arc<Mutex<VecDeque<(LoadKey, Slot)>>>);

impl Loads {
    /// Returns the result of a load. Returns `None` if it was not tried.
    pub(crate) fn get(&self, key: &LoadKey) -> Option<Load> {
        let slot = lock(&self.0).iter().find(|(known, _)| known == key)?.1.clone();
        lock(&slot).clone()
    }

    /// Returns the result of a load, which `load` makes if there is none.
    pub(crate) fn get_or_load(
        &self,
        key: LoadKey,
        load: impl FnOnce() -> Result<Load, HostFault>,
    ) -> Result<Load, HostFault> {
        let slot = self.slot(key);
        let mut slot = lock(&slot);
        if let Some(load) = &*slot {
            return Ok(load.clone());
        }
        let load = load()?;
        *slot = Some(load.clone());
        Ok(load)
    }

    fn slot(&self, key: LoadKey) -> Slot {
        let mut slots = lock(&self.0);
        let at = slots.iter().position(|(known, _)| *known == key);
        let entry = at.and_then(|at| slots.remove(at)).unwrap_or_else(|| (key, Slot::default()));
        let slot = Arc::clone(&entry.1);
        slots.push_back(entry);
        if slots.len() > LOADED_SOURCES {
            slots.pop_front();
        }
        slot
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use capstan_kernel_ports::Hash;

    use super::*;

    fn key(number: usize) -> LoadKey {
        ((Hash::default(), format!("b1-{number}")), WorkerOptions::default())
    }

    fn points(points: u64) -> Load {
        Load { points, ..Load::default() }
    }

    #[test]
    fn a_bundle_is_loaded_once_and_those_used_last_are_kept() {
        let loads = Loads::default();
        let fault = loads.get_or_load(key(0), || Err(HostFault::Engine("no".to_owned())));
        assert!(fault.is_err() && loads.get(&key(0)).is_none(), "a failure is not kept");
        assert_eq!(loads.get_or_load(key(0), || Ok(points(7))).unwrap().points, 7);
        assert_eq!(loads.clone().get_or_load(key(0), || Ok(points(8))).unwrap().points, 7);
        for number in 1..=LOADED_SOURCES {
            loads.get_or_load(key(number), || Ok(points(number as u64))).unwrap();
        }
        assert!(loads.get(&key(0)).is_none() && loads.get(&key(1)).is_some());
    }

    #[test]
    fn threads_wait_for_the_one_that_loads() {
        let (loads, count) = (Loads::default(), Mutex::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let load = loads.get_or_load(key(0), || {
                        *lock(&count) += 1;
                        Ok(points(3))
                    });
                    assert_eq!(load.unwrap().points, 3);
                });
            }
        });
        assert_eq!(*lock(&count), 1);
    }
}
