//! Translation under random use, against a model that is two plain maps.

use std::collections::{BTreeMap, BTreeSet};

use capstan_kernel_ports::{Hash, VatId, memory::MemoryState};
use capstan_test_random::Random;

use crate::{
    control::genesis::first_globals,
    error::Refusal,
    ids::{Endpoint, KRef},
    state::{
        clist::{Holdings, Use, is_export},
        handle::{KernelOptions, State},
        stats::Stats,
        vat::VatConfig,
    },
    view,
};

const VATS: [u64; 3] = [1, 2, 3];
const STEPS: u64 = 400;

/// What the c-lists ought to be.
#[derive(Default)]
struct Model {
    /// By endpoint and kref: the vref, and whether it is reachable.
    entries: BTreeMap<(Endpoint, KRef), (String, bool)>,
    /// All vrefs that ever were, by endpoint: none comes again.
    used: BTreeSet<(Endpoint, String)>,
    krefs: BTreeSet<KRef>,
    next_export: u64,
}

#[test]
fn random_translation_agrees_with_two_maps() {
    for seed in 1..=40 {
        println!("seed {seed}"); // shown only if the test fails
        walk(seed);
    }
}

fn walk(seed: u64) {
    let (mut memory, mut stats) = (MemoryState::default(), Stats::default());
    let globals = first_globals(options());
    let mut state = State::new(&mut memory, &mut stats, None, globals);
    for vat in VATS {
        state.add_vat(VatId(vat), &config()).unwrap();
    }
    let (mut model, mut random) = (Model::default(), Random::from(seed));
    for _ in 0..STEPS {
        let endpoint = Endpoint::Vat(VatId(VATS[random.index(VATS.len())]));
        match random.index(8) {
            0 | 1 => model.export(&mut state, endpoint, &mut random),
            2..=4 => model.import(&mut state, endpoint, &mut random),
            5 => model.let_go(&mut state, endpoint, &mut random),
            6 => model.delete(&mut state, endpoint, &mut random),
            _ => model.refuse(&mut state, endpoint, &mut random),
        }
        model.compare(&state);
    }
    assert!(model.entries.len() > 5 && model.used.len() > 50, "the walk went nowhere");
}

impl Model {
    /// The endpoint mentions something of its own, new or known.
    fn export(&mut self, state: &mut State<'_>, endpoint: Endpoint, random: &mut Random) {
        let known = self.entries(endpoint, |vref, _| is_export(vref));
        if let (Some((kref, vref)), 0) = (random.pick(&known), random.index(3)) {
            assert_eq!(state.to_kernel(endpoint, &vref, Use::Mention), Ok(kref));
            self.entries.insert((endpoint, kref), (vref.clone(), true));
            let again = state.to_kernel(endpoint, &vref, Use::New);
            assert!(matches!(again, Err(Refusal::VatFatal(_))), "{again:?}");
            return;
        }
        self.next_export += 1;
        let form = ["o+", "p+", "o+d", "o+v"][random.index(4)];
        let vref = format!("{form}{}", self.next_export);
        let usage = [Use::Mention, Use::New][random.index(2)];
        let kref = state.to_kernel(endpoint, &vref, usage).unwrap();
        assert!(self.krefs.insert(kref), "{kref} is not new");
        assert_eq!(matches!(kref, KRef::Promise(_)), vref.starts_with('p'));
        self.add(endpoint, kref, vref);
    }

    /// The kernel mentions something to the endpoint, new to it or known.
    fn import(&mut self, state: &mut State<'_>, endpoint: Endpoint, random: &mut Random) {
        let krefs: Vec<KRef> = self.krefs.iter().copied().collect();
        let Some(kref) = random.pick(&krefs) else { return };
        match self.entries.get(&(endpoint, kref)).cloned() {
            // The kernel never does this: it would be a contradiction in its own state.
            Some((vref, false)) if is_export(&vref) => {
                assert!(state.to_endpoint(endpoint, kref).is_err());
            }
            Some((vref, _)) => {
                assert_eq!(state.to_endpoint(endpoint, kref).unwrap(), vref);
                self.entries.insert((endpoint, kref), (vref, true));
            }
            None => {
                let vref = state.to_endpoint(endpoint, kref).unwrap();
                assert!(!is_export(&vref));
                self.add(endpoint, kref, vref);
            }
        }
        let vref = self.entries[&(endpoint, kref)].0.clone();
        if self.entries[&(endpoint, kref)].1 {
            assert_eq!(state.to_kernel(endpoint, &vref, Use::Mention), Ok(kref), "there and back");
        }
    }

    /// The endpoint lets go of an import, or is told that an export is not reached.
    fn let_go(&mut self, state: &mut State<'_>, endpoint: Endpoint, random: &mut Random) {
        let Some((kref, vref)) = random.pick(&self.entries(endpoint, |_, _| true)) else { return };
        assert_eq!(state.to_kernel(endpoint, &vref, Use::Collect), Ok(kref));
        state.clear_reachable(endpoint, kref).unwrap();
        self.entries.insert((endpoint, kref), (vref.clone(), false));
        if !is_export(&vref) {
            let mention = state.to_kernel(endpoint, &vref, Use::Mention);
            assert!(matches!(mention, Err(Refusal::VatFatal(_))), "{mention:?}");
        }
    }

    fn delete(&mut self, state: &mut State<'_>, endpoint: Endpoint, random: &mut Random) {
        let Some((kref, vref)) = random.pick(&self.entries(endpoint, |_, _| true)) else { return };
        state.delete_entry(endpoint, kref).unwrap();
        self.entries.remove(&(endpoint, kref));
        // A name that the kernel gave does not come again.
        if !is_export(&vref) {
            let mention = state.to_kernel(endpoint, &vref, Use::Mention);
            assert!(matches!(mention, Err(Refusal::VatFatal(_))), "{mention:?}");
        }
        // Nobody keeps what is left of it: what the collector does is not this test's.
        if !self.entries.keys().any(|(_, other)| *other == kref) {
            self.krefs.remove(&kref);
        }
    }

    /// References that mean nothing.
    fn refuse(&mut self, state: &mut State<'_>, endpoint: Endpoint, random: &mut Random) {
        let bad = ["o-999999", "p-999999", "d-999999", "o+01", "d+1", "x+1", "", "o-d1/2", "ro+1"];
        let vref = bad[random.index(bad.len())];
        for usage in [Use::Mention, Use::New, Use::Collect] {
            let result = state.to_kernel(endpoint, vref, usage);
            assert!(matches!(result, Err(Refusal::VatFatal(_))), "{vref}: {result:?}");
        }
    }

    fn add(&mut self, endpoint: Endpoint, kref: KRef, vref: String) {
        assert!(self.used.insert((endpoint, vref.clone())), "{endpoint} has had {vref} before");
        self.entries.insert((endpoint, kref), (vref, true));
    }

    fn entries(
        &self,
        endpoint: Endpoint,
        fits: impl Fn(&str, bool) -> bool,
    ) -> Vec<(KRef, String)> {
        let mine =
            self.entries.iter().filter(|((e, _), (vref, r))| *e == endpoint && fits(vref, *r));
        mine.map(|((_, kref), (vref, _))| (*kref, vref.clone())).collect()
    }

    /// Both directions, the flags and all counts are what the model says.
    fn compare(&self, state: &State<'_>) {
        let mut found = BTreeMap::new();
        for vat in VATS {
            let endpoint = Endpoint::Vat(VatId(vat));
            for (kref, entry) in view::clist(state.over, endpoint).unwrap() {
                assert_eq!(state.clist_kref(endpoint, &entry.vref).unwrap(), Some(kref));
                found.insert((endpoint, kref), (entry.vref, entry.reachable));
            }
        }
        assert_eq!(found, self.entries);
        for vat in VATS {
            self.compare_counts(state, VatId(vat));
        }
        for kref in &self.krefs {
            let holders = self.entries.iter().filter(|((_, other), _)| other == kref);
            let importers = holders.clone().filter(|(_, (vref, _))| !is_export(vref));
            match kref {
                KRef::Object(_) => {
                    let object = state.object(*kref).unwrap().unwrap();
                    let reachable = importers.clone().filter(|(_, (_, reachable))| *reachable);
                    let expected = (reachable.count() as u64, importers.clone().count() as u64);
                    assert_eq!((object.reachable, object.recognizable), expected, "{kref}");
                    let listed: BTreeSet<_> = state
                        .importers_after(*kref, None, usize::MAX)
                        .unwrap()
                        .live
                        .into_iter()
                        .collect();
                    assert_eq!(listed, importers.map(|((e, _), _)| *e).collect(), "{kref}");
                }
                _ => assert_eq!(
                    state.promise(*kref).unwrap().ref_count,
                    holders.count() as u64,
                    "{kref}"
                ),
            }
        }
    }
}

impl Model {
    /// The vat's counters are those of its entries.
    fn compare_counts(&self, state: &State<'_>, vat: VatId) {
        let count = |is_one: fn(&KRef, bool) -> bool| {
            let mine = self.entries.iter().filter(|((e, _), _)| *e == Endpoint::Vat(vat));
            mine.filter(|((_, kref), (vref, _))| is_one(kref, is_export(vref))).count() as u64
        };
        let expected = Holdings {
            exports: count(|kref, own| matches!(kref, KRef::Object(_)) && own),
            imports: count(|kref, own| matches!(kref, KRef::Object(_)) && !own),
            promises: count(|kref, _| matches!(kref, KRef::Promise(_))),
            devices: 0,
        };
        assert_eq!(state.vat(vat).unwrap().holdings, expected, "{vat}");
    }
}

pub(crate) fn options() -> KernelOptions {
    KernelOptions {
        reap: Default::default(),
        relax_durability_rules: false,
        snapshot_initial: 3,
        snapshot_interval: 200,
        snapshot_debt: u64::MAX,
        collect_leaks: false,
        crank_limit: 1,
        guard: crate::limits::SystemGuard::NONE,
        billing: crate::billing::Billing::SWINGSET,
    }
}

pub(crate) fn config() -> VatConfig {
    VatConfig {
        name: None,
        is_static: false,
        bundle_id: String::new(),
        engine: Hash::default(),
        critical: false,
        meter: None,
        enable_pipelining: false,
        enable_disavow: false,
        enable_vatstore: true,
        enable_setup: false,
        use_transcript: true,
        reap: Default::default(),
        system: false,
        is_upgraded: false,
    }
}
