//! The life of subclusters: ids, launches that fail, their end, and those of the system.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod support;

use std::{cell::RefCell, rc::Rc};

use capstan_abi::{CapData, Delivery, Resolution, Syscall};
use capstan_kernel::{
    Kernel, KernelConfig, NodeOptions, StaticVat,
    promise::PromiseState,
    subcluster::{
        LaunchError, LaunchStatus, News, Owner, SubclusterConfig, SubclusterError, SubclusterId,
    },
    view,
};
use capstan_kernel_ports::{VatId, memory::MemoryState};
use support::{Caller, ClosureHost, Factory, config, kernel, method, run};

type Log = Rc<RefCell<Vec<String>>>;

/// Vats whose bundle says what they do: `ok` fulfils its bootstrap, `bad` rejects it, `mute` never answers, `broken`
/// cannot be started.
fn factory(log: &Log) -> Factory {
    let log = Rc::clone(log);
    Box::new(move |vat: VatId, bundle: &str| {
        let (log, bundle) = (Rc::clone(&log), bundle.to_owned());
        Box::new(move |delivery: &Delivery, caller: &mut Caller<'_>| {
            match delivery {
                Delivery::StartVat { .. } if bundle == "b1-broken" => {
                    return Err("it does not start".to_owned());
                }
                Delivery::Message { message, .. } => {
                    log.borrow_mut().push(format!("{vat} {}", method(message)));
                    if let (Some(promise), false) = (&message.result, bundle == "b1-mute") {
                        let rejected = bundle == "b1-bad";
                        let body = match rejected {
                            true => "#{\"#error\":\"no thanks\",\"name\":\"Error\"}",
                            false => "#\"done\"",
                        };
                        let data = CapData { body: body.to_owned(), slots: vec![] };
                        let promise = promise.clone();
                        let resolutions = vec![Resolution { promise, rejected, data }];
                        caller.call(Syscall::Resolve { resolutions })?;
                    }
                }
                _ => {}
            }
            Ok(())
        })
    })
}

fn bundles(boot: &str) -> KernelConfig {
    let mut config = config("boot", &["boot"]);
    for name in ["ok", "bad", "mute", "broken"] {
        config.bundles.insert(format!("b1-{name}"), name.as_bytes().to_vec());
    }
    config.vats.insert("boot".to_owned(), StaticVat::new(format!("b1-{boot}")));
    config
}

fn started() -> (Kernel<ClosureHost>, MemoryState, Log) {
    let log = Log::default();
    let (mut kernel, mut state) = kernel(&bundles("ok"), factory(&log));
    run(&mut kernel, &mut state);
    log.borrow_mut().clear();
    (kernel, state, log)
}

fn cluster(vats: &[(&str, &str)]) -> SubclusterConfig {
    let vat = |(name, bundle): &(&str, &str)| {
        ((*name).to_owned(), StaticVat::new(format!("b1-{bundle}")))
    };
    SubclusterConfig {
        bootstrap: vats.first().map(|(name, _)| (*name).to_owned()),
        vats: vats.iter().map(vat).collect(),
        ..SubclusterConfig::default()
    }
}

fn reason(text: &str) -> CapData<capstan_kernel::ids::KRef> {
    CapData { body: format!("#{{\"#error\":\"{text}\",\"name\":\"Error\"}}"), slots: vec![] }
}

fn live(state: &MemoryState) -> Vec<u64> {
    view::live_vats(state).unwrap().into_iter().map(|vat| vat.0).collect()
}

fn news(kernel: &mut Kernel<ClosureHost>) -> Vec<(String, News)> {
    let named = |notice: capstan_kernel::subcluster::Notice| {
        (notice.id.map(|id| id.to_string()).unwrap_or_default(), notice.news)
    };
    kernel.take_notices().into_iter().map(named).collect()
}

#[test]
fn a_launch_is_complete_when_bootstrap_is_fulfilled() {
    let (mut kernel, mut state, log) = started();
    let launched = kernel
        .launch_subcluster(&mut state, &cluster(&[("z", "ok"), ("a", "ok"), ("m", "mute")]))
        .unwrap();
    assert_eq!(launched.id, SubclusterId(1));
    let names: Vec<&str> = launched.vats.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["z", "a", "m"], "the order of the launch is kept");
    assert_eq!(launched.status, LaunchStatus::Launching);
    run(&mut kernel, &mut state);
    assert_eq!(log.take(), ["v3 bootstrap"]);
    let record = view::subcluster(&state, launched.id).unwrap().unwrap();
    assert_eq!(record.status, LaunchStatus::Running);
    assert_eq!(view::subcluster_of(&state, VatId(4)).unwrap(), Some(launched.id));
    let expected = [News::Launched, News::Bootstrapped].map(|news| ("s1".to_owned(), news));
    assert_eq!(news(&mut kernel), expected);
}

#[test]
fn ids_are_never_used_twice_even_after_a_launch_that_was_refused() {
    let (mut kernel, mut state, _) = started();
    // Refused before an id is given.
    let refused = kernel.launch_subcluster(&mut state, &cluster(&[])).unwrap_err();
    assert_eq!(refused.to_string(), "invalid cluster config: there are no vats");
    let mut wrong = cluster(&[("a", "ok")]);
    wrong.bootstrap = Some("b".to_owned());
    let refused = kernel.launch_subcluster(&mut state, &wrong).unwrap_err();
    assert_eq!(refused.to_string(), "invalid bootstrap vat name b");
    let twice = kernel.launch_subcluster(&mut state, &cluster(&[("a", "ok"), ("a", "ok")]));
    assert_eq!(twice.unwrap_err().to_string(), "invalid cluster config: vat a stands twice");
    // Refused afterwards.
    let missing = kernel.launch_subcluster(&mut state, &cluster(&[("a", "nowhere")]));
    assert!(matches!(missing, Err(LaunchError::UnknownBundle { .. })));
    let mut wrong = cluster(&[("a", "ok")]);
    wrong.services = vec!["nothing".to_owned()];
    let refused = kernel.launch_subcluster(&mut state, &wrong).unwrap_err();
    assert_eq!(refused.to_string(), "no registered kernel service 'nothing'");
    let launched = kernel.launch_subcluster(&mut state, &cluster(&[("a", "ok")])).unwrap();
    assert_eq!(launched.id, SubclusterId(3));
    assert_eq!(live(&state), [1, 2, 3], "nothing else was started");
}

/// The launch fails, gives the text, and leaves neither vats nor a record.
#[track_caller]
fn fails(vats: &[(&str, &str)], text: &str) {
    let (mut kernel, mut state, _) = started();
    let launched = kernel.launch_subcluster(&mut state, &cluster(vats)).unwrap();
    run(&mut kernel, &mut state);
    let Some(capstan_kernel::ids::KRef::Promise(result)) = launched.bootstrap_result else {
        panic!("no result")
    };
    let PromiseState::Rejected(data) = view::promise(&state, result).unwrap().unwrap().state else {
        panic!("not rejected")
    };
    assert!(data.body.contains(text), "{data:?}");
    assert_eq!(live(&state), [1, 2]);
    assert_eq!(view::subcluster(&state, launched.id).unwrap(), None);
    assert_eq!(view::subcluster_of(&state, launched.vats[0].1).unwrap(), None);
    let (_, last) = news(&mut kernel).pop().unwrap();
    assert!(matches!(&last, News::Failed(why) if why.contains(text)), "{last:?}");
    kernel.take_resolution(&mut state, launched.bootstrap_result.unwrap()).unwrap();
    let next = kernel.launch_subcluster(&mut state, &cluster(&[("a", "ok")])).unwrap();
    assert_eq!(next.id, SubclusterId(2));
}

#[test]
fn a_launch_whose_bootstrap_is_rejected_ends_its_vats_and_gives_the_error() {
    fails(&[("a", "bad"), ("b", "ok")], "no thanks");
}

#[test]
fn a_launch_with_a_vat_that_does_not_start_ends_its_vats_and_gives_the_error() {
    fails(&[("a", "ok"), ("b", "broken")], "it does not start");
    fails(&[("a", "broken"), ("b", "ok")], "it does not start");
    fails(&[("a", "mute"), ("b", "ok"), ("c", "broken")], "it does not start");
}

#[test]
fn a_terminated_subcluster_ends_its_vats_in_reverse_order() {
    let (mut kernel, mut state, _) = started();
    let vats = [("a", "ok"), ("b", "ok"), ("c", "ok")];
    let launched = kernel.launch_subcluster(&mut state, &cluster(&vats)).unwrap();
    run(&mut kernel, &mut state);
    kernel.take_notices();
    kernel.terminate_subcluster(&mut state, launched.id, &reason("over")).unwrap();
    let dead: Vec<u64> =
        view::kernel_status(&state).unwrap().dead.iter().map(|vat| vat.0).collect();
    assert_eq!(dead, [5, 4, 3]);
    run(&mut kernel, &mut state);
    assert_eq!(live(&state), [1, 2]);
    assert_eq!(news(&mut kernel), [("s1".to_owned(), News::Terminated("over".to_owned()))]);
    let again = kernel.terminate_subcluster(&mut state, launched.id, &reason("over"));
    assert_eq!(again.unwrap_err().to_string(), "Subcluster does not exist.");
}

#[test]
fn a_subcluster_with_a_critical_vat_is_not_terminated() {
    let (mut kernel, mut state, _) = started();
    let mut config = cluster(&[("a", "ok"), ("b", "ok")]);
    config.vats[1].1.critical = true;
    let launched = kernel.launch_subcluster(&mut state, &config).unwrap();
    run(&mut kernel, &mut state);
    let refused = kernel.terminate_subcluster(&mut state, launched.id, &reason("over"));
    assert_eq!(refused, Err(SubclusterError::Critical(VatId(4))));
    assert_eq!(live(&state), [1, 2, 3, 4]);
}

#[test]
fn system_subclusters_are_launched_once_after_the_chains_bootstrap() {
    let log = Log::default();
    let (mut kernel, mut state) = (
        Kernel::new(ClosureHost::new(factory(&log)), NodeOptions::default()),
        MemoryState::default(),
    );
    let after = kernel.initialize(&mut state, &bundles("ok")).unwrap();
    let systems = [("one", "ok"), ("two", "bad"), ("three", "ok")]
        .map(|(name, bundle)| (name.to_owned(), cluster(&[("a", bundle)])));
    let mut systems = systems.to_vec();
    systems[2].1.services = vec!["nothing".to_owned()];
    kernel.add_system_subclusters(&mut state, &systems, after).unwrap();
    assert_eq!(live(&state), [1, 2], "nothing is launched before the bootstrap");
    run(&mut kernel, &mut state);
    assert_eq!(log.take(), ["v1 bootstrap", "v3 bootstrap", "v4 bootstrap", "v2 vatTerminated"]);
    let heard = news(&mut kernel);
    let failed = heard.iter().filter(|(_, news)| matches!(news, News::Failed(_)));
    let failed: Vec<&str> = failed.map(|(id, _)| id.as_str()).collect();
    assert_eq!(failed, ["", "s2"], "{heard:?}");
    let id = view::system_subcluster(&state, "one").unwrap().unwrap();
    let record = view::subcluster(&state, id).unwrap().unwrap();
    assert_eq!((record.owner, record.name.as_deref()), (Owner::System, Some("one")));
    assert_eq!(view::system_subcluster(&state, "two").unwrap(), None);
    // Another process finds them, and bootstrap is not called again.
    let root = kernel.system_subcluster_root(&mut state, "one").unwrap();
    let mut second = Kernel::new(ClosureHost::new(factory(&log)), NodeOptions::default());
    run(&mut second, &mut state);
    assert_eq!(second.system_subcluster_root(&mut state, "one"), Ok(root));
    assert_eq!(log.take(), Vec::<String>::new());
    let missing = second.system_subcluster_root(&mut state, "two").unwrap_err();
    assert_eq!(missing.to_string(), "System subcluster \"two\" not found");
}

#[test]
fn names_of_system_subclusters_are_unique() {
    let (mut kernel, mut state, _) = started();
    let one = ("one".to_owned(), cluster(&[("a", "ok")]));
    let twice = kernel.add_system_subclusters(&mut state, &[one.clone(), one.clone()], None);
    let text = "Duplicate system subcluster names in config: one";
    assert_eq!(twice.unwrap_err().to_string(), text);
    kernel.add_system_subclusters(&mut state, std::slice::from_ref(&one), None).unwrap();
    run(&mut kernel, &mut state);
    let taken = kernel.add_system_subclusters(&mut state, &[one], None).unwrap_err();
    assert_eq!(taken.to_string(), "system subcluster \"one\": the name is taken");
    assert_eq!(live(&state), [1, 2, 3]);
}
