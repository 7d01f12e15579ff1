//! The errors with which the kernel rejects: an account is told a code, a vat SwingSet's text.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod support;

use std::{cell::RefCell, rc::Rc};

use capstan_abi::{CapData, Delivery, Message, Resolution, Syscall};
use capstan_kernel::{
    Kernel, capdata,
    ids::{Endpoint, KRef, RemoteId},
    policy::{CleanupCounts, CrankOutcome, KernelWork, RunPolicy},
    revocation::Revocable,
    service::{NewService, ServiceKind},
    view,
};
use capstan_kernel_ports::memory::MemoryState;
use serde_json::Value;
use support::{Behaviour, Caller, ClosureHost, config, idle, kernel, method, run};

const TABLE: &str = include_str!("../../docs/errors.md");
/// The name of the kernel service.
const SERVICE: &str = "facet";

type Told = Rc<RefCell<Vec<Resolution>>>;

/// A vat that gives an account what it holds, and subscribes to the promises that it is given.
fn desk(told: Told) -> Behaviour {
    let mut kept = Vec::new();
    Box::new(move |delivery, kernel| match delivery {
        Delivery::Notify { resolutions } => {
            told.borrow_mut().extend(resolutions.clone());
            Ok(())
        }
        Delivery::Message { message, .. } => {
            let slots = &message.methargs.slots;
            match method(message).as_str() {
                "hold" => kept.clone_from(slots),
                "provision" => settle(kernel, message, false, "#\"$0\"", &["o+0".to_owned()])?,
                "get" => {
                    settle(kernel, message, false, "#[\"$0\",\"$1\",\"$2\",\"$3\"]", &kept)?;
                }
                "watch" => {
                    kernel.call(Syscall::Subscribe { promise: slots[0].clone() })?;
                }
                "data" => settle(kernel, message, false, "#7", &[])?,
                "forge" => {
                    let body = &capdata::error::<String>("vat terminated").body;
                    settle(kernel, message, true, body, &[])?;
                }
                _ => {}
            }
            Ok(())
        }
        _ => Ok(()),
    })
}

fn settle(
    kernel: &mut Caller<'_>,
    message: &Message,
    rejected: bool,
    body: &str,
    slots: &[String],
) -> Result<(), String> {
    let Some(promise) = message.result.clone() else { return Ok(()) };
    let data = CapData { body: body.to_owned(), slots: slots.to_vec() };
    let resolutions = vec![Resolution { promise, rejected, data }];
    kernel.call(Syscall::Resolve { resolutions }).map(drop)
}

/// Gives the desk the roots of the others, which come in the order of the names, and the service, which comes last.
fn introduce() -> Behaviour {
    Box::new(|delivery, kernel| {
        if let Delivery::Message { message, .. } = delivery {
            let slots: Vec<&str> = message.methargs.slots.iter().map(String::as_str).collect();
            let others = [slots[2], slots[3], slots[4], slots[slots.len() - 1]];
            kernel.send(slots[1], "hold", &others, None);
        }
        Ok(())
    })
}

/// Leaves dead vats as they are.
struct NoCleanup;

impl RunPolicy for NoCleanup {
    fn allow_cleanup(&mut self) -> Option<CleanupCounts> {
        None
    }

    fn crank_done(&mut self, _outcome: &CrankOutcome, _work: &KernelWork) -> bool {
        true
    }
}

/// An account that holds the roots of two vats and of a vat of the system, and a kernel service.
struct Hall {
    kernel: Kernel<ClosureHost>,
    state: MemoryState,
    account: RemoteId,
    told: Told,
    factory: String,
    first: String,
    second: String,
    system: String,
    service: String,
}

impl Hall {
    fn new() -> Self {
        let told = Told::default();
        let ears = Rc::clone(&told);
        let mut config = config("boot", &["boot", "desk", "first", "second", "system"]);
        config.provisioner = Some("desk".to_owned());
        config.vats.get_mut("system").unwrap().system = true;
        let service = NewService { kind: ServiceKind::Facet, system_only: true };
        config.services.insert(SERVICE.to_owned(), service);
        let factory = Box::new(move |_, bundle: &str| match bundle {
            "b1-boot" => introduce(),
            "b1-desk" => desk(Rc::clone(&ears)),
            _ => idle(),
        });
        let (mut kernel, mut state) = kernel(&config, factory);
        run(&mut kernel, &mut state);
        let account = kernel.provision(&mut state, "cap1hall").unwrap();
        run(&mut kernel, &mut state);
        let factory = kernel.factory(&mut state, account).unwrap();
        let none = String::new;
        let (first, second, system, service) = (none(), none(), none(), none());
        let mut hall =
            Self { kernel, state, account, told, factory, first, second, system, service };
        let held = hall.send(&hall.factory.clone(), "get", &[]);
        run(&mut hall.kernel, &mut hall.state);
        let slots = hall.outbox(&held).data.slots;
        [hall.first, hall.second, hall.system, hall.service] = slots.try_into().unwrap();
        hall
    }

    fn send(&mut self, target: &str, method: &str, slots: &[&str]) -> String {
        let methargs = support::message(method, slots, None).methargs;
        let sent = self.kernel.remote_send(&mut self.state, self.account, target, methargs);
        sent.unwrap().result
    }

    /// Sends a message, and has the desk wait for its answer too.
    fn send_watched(&mut self, target: &str, method: &str, slots: &[&str]) -> String {
        let result = self.send(target, method, slots);
        self.send(&self.factory.clone(), "watch", &[&result]);
        result
    }

    fn end(&mut self, vat: &str, reason: &CapData<capstan_kernel::ids::KRef>) {
        let vat = view::vat_by_name(&self.state, vat).unwrap().unwrap();
        self.kernel.terminate_vat(&mut self.state, vat, reason).unwrap();
    }

    /// What the account is told of a promise.
    fn outbox(&self, promise: &str) -> Resolution {
        view::settled(&self.state, self.account, promise).unwrap().expect("it is settled")
    }

    /// Runs without cleanup. Returns the errors that the account and the desk are told of a promise.
    fn texts(&mut self, result: &str) -> (String, String) {
        self.told.borrow_mut().clear();
        self.kernel.run(&mut self.state, &mut NoCleanup).unwrap();
        let told = self.told.borrow();
        assert_eq!(told.len(), 1, "{told:?}");
        (text(&self.outbox(result)), text(&told[0]))
    }

    /// Compares what both are told with a row of the table. `reason` stands for `…`.
    #[track_caller]
    fn check(&mut self, result: &str, code: &str, reason: &str) {
        let (for_accounts, for_vats) = row(code);
        let expected = format!("[KERNEL:{code}] {}", for_accounts.replace('…', reason));
        let told = self.texts(result);
        assert_eq!(told, (expected, for_vats.replace('…', reason)));
    }
}

/// The text of an error.
fn text(resolution: &Resolution) -> String {
    assert!(resolution.rejected, "{resolution:?}");
    let error: Value = serde_json::from_str(&resolution.data.body[1..]).unwrap();
    let text = error["#error"].as_str().unwrap();
    text.strip_prefix('!').unwrap_or(text).to_owned()
}

/// What accounts and vats are told, by the table.
fn row(code: &str) -> (String, String) {
    let start = format!("| `{code}` |");
    let row = TABLE.lines().find_map(|line| line.strip_prefix(&start)).expect(code);
    let cells: Vec<&str> = row.split('|').collect();
    let quoted = |cell: &str| cell.split('`').nth(1).unwrap().to_owned();
    (quoted(cells[0]), quoted(cells[1]))
}

/// The first cells of the rows of both tables.
fn first_cells() -> Vec<&'static str> {
    let is_row = |line: &&str| line.starts_with("| ") && !line.ends_with(" cause |");
    // What follows is about nodes, not about the kernel.
    let of_kernel = TABLE.lines().take_while(|line| *line != "## State sync and snapshots");
    let cells = of_kernel.filter(is_row).map(|line| line.split('|').nth(1).unwrap().trim());
    cells.filter(|cell| *cell != "rejected by").collect()
}

/// What all are told, by the second table.
fn coded_row(rejected_by: &str) -> &'static str {
    let start = format!("| {rejected_by} |");
    let row = TABLE.lines().find_map(|line| line.strip_prefix(&start)).expect(rejected_by);
    row.split('`').nth(1).unwrap()
}

/// A row that no test of this file knows is one that nobody has compared with the kernel.
#[test]
fn each_row_of_the_tables_has_its_test() {
    let checked = [
        "`OBJECT_REVOKED`",
        "`OBJECT_DELETED`",
        "`ENDPOINT_UNREACHABLE`",
        "`BAD_PROMISE_RESOLUTION`",
        "`VAT_TERMINATED`",
        "`DELIVERY_FAILED`",
        GONE,
        FAILING,
        "the bounds of an account",
        // In deposits.rs.
        "a deposit for an outbox entry, which the meter of the vat that calls or answers does not cover",
    ];
    assert_eq!(first_cells(), checked);
}

const GONE: &str = "a kernel service that is no longer registered";
const FAILING: &str = "a kernel service that refuses or fails";

#[test]
fn messages_to_services_are_rejected_as_the_table_says() {
    let mut hall = Hall::new();
    let service = hall.service.clone();
    let told = |hall: &mut Hall, method: &str, row: &str, reason: &str| {
        let result = hall.send_watched(&service, method, &[]);
        let expected = coded_row(row).replace('…', reason);
        assert_eq!(hall.texts(&result), (expected.clone(), expected));
    };
    let reason = "getSubcluster: a subcluster's id must be a string";
    told(&mut hall, "getSubcluster", FAILING, reason);
    assert!(hall.kernel.unregister_service(&mut hall.state, SERVICE).unwrap());
    told(&mut hall, "ping", GONE, "");
}

#[test]
fn messages_to_revoked_objects_are_rejected_as_the_table_says() {
    let mut hall = Hall::new();
    let account = Endpoint::Remote(hall.account);
    let kref = view::kref_of(&hall.state, account, &hall.first).unwrap().unwrap();
    hall.kernel.revoke(&mut hall.state, &kref.to_string(), Revocable::Users).unwrap();
    let result = hall.send_watched(&hall.first.clone(), "hello", &[]);
    hall.check(&result, "OBJECT_REVOKED", "");
}

#[test]
fn messages_to_vats_that_ended_are_rejected_as_the_table_says() {
    let mut hall = Hall::new();
    hall.end("first", &capdata::error("enough"));
    let target = hall.first.clone();
    let result = hall.send_watched(&target, "hello", &[]);
    hall.check(&result, "ENDPOINT_UNREACHABLE", "");
    // Cleanup makes orphans of what the vat exported, which know whose they were.
    let account = Endpoint::Remote(hall.account);
    let kref = view::kref_of(&hall.state, account, &target).unwrap();
    let Some(KRef::Object(number)) = kref else { panic!("{kref:?}") };
    let object = |hall: &Hall| view::object(&hall.state, number).unwrap().unwrap();
    let owner = object(&hall).owner;
    assert!(owner.is_some() && object(&hall).former.is_none());
    run(&mut hall.kernel, &mut hall.state);
    assert_eq!((object(&hall).owner, object(&hall).former), (None, owner));
    let result = hall.send_watched(&target, "hello", &[]);
    hall.check(&result, "OBJECT_DELETED", "");
    // What is sent to the answer is rejected for the same cause.
    let refused = hall.send(&target, "hello", &[]);
    let result = hall.send_watched(&refused, "further", &[]);
    hall.check(&result, "OBJECT_DELETED", "");
}

#[test]
fn messages_to_promises_for_data_are_rejected_as_the_table_says() {
    let mut hall = Hall::new();
    let data = hall.send(&hall.factory.clone(), "data", &[]);
    let result = hall.send_watched(&data, "fly", &[]);
    hall.check(&result, "BAD_PROMISE_RESOLUTION", "fly");
}

#[test]
fn promises_of_vats_that_ended_are_rejected_as_the_table_says() {
    let mut hall = Hall::new();
    let reason = capdata::error("enough");
    let result = hall.send_watched(&hall.first.clone(), "never", &[]);
    run(&mut hall.kernel, &mut hall.state);
    hall.end("first", &reason);
    hall.check(&result, "VAT_TERMINATED", &reason.body);

    // Cleaned up, the vat is still known to have ended with nothing.
    let result = hall.send(&hall.second.clone(), "never", &[]);
    run(&mut hall.kernel, &mut hall.state);
    hall.end("second", &CapData { body: "#\"#undefined\"".to_owned(), slots: vec![] });
    run(&mut hall.kernel, &mut hall.state);
    assert_eq!(text(&hall.outbox(&result)), "[KERNEL:VAT_TERMINATED] Vat was deleted.");
    assert!(TABLE.contains("`Vat was deleted.`"));
}

#[test]
fn a_long_reason_of_a_vats_end_is_cut() {
    let mut hall = Hall::new();
    let result = hall.send_watched(&hall.first.clone(), "never", &[]);
    run(&mut hall.kernel, &mut hall.state);
    hall.end("first", &capdata::error("x".repeat(10_000)));
    let (for_accounts, for_vats) = hall.texts(&result);
    assert!(for_accounts.starts_with("[KERNEL:VAT_TERMINATED] Vat termination: #{\"#error\":\"xx"));
    assert!(for_accounts.len() < 400 && for_accounts.contains("(cut: "), "{for_accounts}");
    assert_eq!(for_vats, "vat terminated");
}

#[test]
fn messages_that_the_system_refuses_are_rejected_as_the_table_says() {
    let mut hall = Hall::new();
    let result = hall.send_watched(&hall.system.clone(), "hello", &["rp+1"]);
    hall.check(&result, "DELIVERY_FAILED", "a vat of the system takes no promises");
}

#[test]
fn a_vat_that_uses_the_kernels_text_gets_no_code() {
    let mut hall = Hall::new();
    let result = hall.send_watched(&hall.factory.clone(), "forge", &[]);
    let (for_accounts, for_vats) = hall.texts(&result);
    assert_eq!((for_accounts.as_str(), for_vats.as_str()), ("vat terminated", "vat terminated"));
}
