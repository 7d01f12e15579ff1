//! Random vats that call the kernel's facet and are launched, ended and revoked in subclusters: whatever they do, the
//! kernel goes on. `CAPSTAN_SOAK_CRANKS` says how long (default 5,000), `CAPSTAN_SOAK_SEED` where to begin.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod support;

use std::collections::BTreeMap;

use capstan_abi::{CapData, Delivery};
use capstan_kernel::{
    Kernel, StaticVat,
    device::{DeviceKind, MAILBOX},
    ids::KRef,
    revocation::{Revocable, RevocationError},
    service::{NewService, ServiceKind},
    subcluster::{SubclusterConfig, SubclusterError, SubclusterId},
    view,
};
use capstan_kernel_ports::{VatId, memory::MemoryState};
use capstan_test_random::Random;
use support::{
    Behaviour, Caller, ClosureHost, config, idle, kernel,
    random::{OneCrank, RandomVat},
    reference,
};

/// Vats that live at once, more or less.
const VATS: usize = 10;
/// Cranks of one kernel.
const CRANKS_OF_ONE: u64 = 1_000;

struct World {
    kernel: Kernel<ClosureHost>,
    state: MemoryState,
    random: Random,
    launched: u64,
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap())
}

impl World {
    fn new(seed: u64) -> Self {
        let mut config = config("boot", &["boot", "r0", "r1", "r2"]);
        config.vats.values_mut().for_each(|vat| vat.enable_pipelining = true);
        let service = |kind| NewService { kind, system_only: false };
        config.services = BTreeMap::from([
            ("facet".to_owned(), service(ServiceKind::Facet)),
            ("mailbox".to_owned(), service(ServiceKind::Mailbox)),
        ]);
        config.devices.insert(MAILBOX.to_owned(), DeviceKind::Mailbox);
        let factory = Box::new(move |vat: VatId, bundle: &str| {
            if !bundle.starts_with("b1-r") {
                return idle();
            }
            let mut vat = RandomVat::new(seed.wrapping_mul(0x9E37_79B9) ^ vat.0, 10).versed();
            Box::new(move |delivery: &Delivery, kernel: &mut Caller<'_>| {
                vat.deliver(delivery, kernel)
            }) as Behaviour
        });
        let (kernel, state) = kernel(&config, factory);
        Self { kernel, state, random: Random::from(seed), launched: 0 }
    }

    fn one<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.random.below(all.len() as u64) as usize].clone()
    }

    /// Some roots and services.
    fn some(&mut self) -> Vec<KRef> {
        let mut all: Vec<KRef> = ["facet", "facet", "mailbox"]
            .iter()
            .filter_map(|name| view::service(&self.state, name).unwrap())
            .map(|service| service.kref)
            .collect();
        for vat in view::live_vats(&self.state).unwrap() {
            all.extend(self.kernel.vat_root(&mut self.state, vat).unwrap());
        }
        (0..3).map(|_| self.one(&all)).collect()
    }

    fn launch(&mut self) {
        let slots = self.some();
        let refs: Vec<String> =
            (0..slots.len()).map(|n| reference(&slots[n].to_string(), n)).collect();
        let body = format!("#{{\"x\":[{}]}}", refs.join(","));
        let mut vat = StaticVat::new("b1-r1");
        vat.enable_pipelining = true;
        vat.parameters = CapData { body, slots };
        // A critical vat that has started may end, which stops a kernel as it should.
        let vats = vec![("a".to_owned(), vat.clone()), ("b".to_owned(), vat)];
        let bootstrap = Some("a".to_owned());
        let config = SubclusterConfig { bootstrap, vats, ..SubclusterConfig::default() };
        self.kernel.launch_subcluster(&mut self.state, &config).unwrap();
        self.launched += 1;
    }

    fn end(&mut self) {
        let reason = CapData { body: "#\"enough\"".to_owned(), slots: vec![] };
        let records = view::subclusters_after(&self.state, 0, 100).unwrap();
        let ids: Vec<SubclusterId> = records.iter().map(|record| record.id).collect();
        if !ids.is_empty() {
            let id = self.one(&ids);
            match self.kernel.terminate_subcluster(&mut self.state, id, &reason) {
                Ok(()) | Err(SubclusterError::Unknown) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Sends a vat references to others and to services.
    fn stir(&mut self) {
        let (slots, targets) = (self.some(), self.some());
        let refs: Vec<String> =
            (0..slots.len()).map(|n| reference(&slots[n].to_string(), n)).collect();
        let methargs = CapData { body: format!("#[\"m\",[{}]]", refs.join(",")), slots };
        self.kernel.post_to_object(&mut self.state, targets[0], methargs).unwrap();
    }

    fn interfere(&mut self) {
        let live = view::live_vats(&self.state).unwrap().len();
        match self.random.below(8) {
            0 | 1 if live < VATS => self.launch(),
            0 | 1 => self.end(),
            2 => {
                let object = self.some()[0];
                let revocable = [Revocable::Users, Revocable::System][self.random.index(2)];
                let object = object.to_string();
                let revoked = self.kernel.revoke(&mut self.state, &object, revocable);
                if let Err(RevocationError::Panic(panic)) = revoked {
                    panic!("{panic}");
                }
            }
            3 => self.kernel.evict_all(),
            _ => self.stir(),
        }
    }
}

#[test]
fn a_kernel_outlives_whatever_vats_do_with_services_and_subclusters() {
    let cranks = number("CAPSTAN_SOAK_CRANKS", 5_000);
    let mut seed = number("CAPSTAN_SOAK_SEED", 1);
    let (mut made, mut launched) = (0, 0);
    while made < cranks {
        let mut world = World::new(seed);
        for crank in 0..CRANKS_OF_ONE {
            let report = world.kernel.run(&mut world.state, &mut OneCrank);
            let report =
                report.unwrap_or_else(|panic| panic!("seed {seed} crank {crank}: {panic}"));
            // The bootstrap of the chain is none of what this test is about.
            let is_ready = crank > 40 || report.idle;
            if is_ready && (report.idle || world.random.below(12) == 0) {
                world.interfere();
            }
        }
        made += CRANKS_OF_ONE;
        launched += world.launched;
        seed += 1;
    }
    assert!(launched * 500 > made, "{launched}");
}
