//! `@capstan/remote-iterables` on a chain: what one vat produces, another reads value by value, over upgrades of the
//! producer and restarts of the node.
#![allow(clippy::unwrap_used)] // tests

use capstan_client::proto::CreatedVat;
use capstan_client::{Args, CreateVat, MessageResult, UpgradeVat, Wallet};
use capstan_tests::{Node, bundle};

struct World {
    node: Node,
    producer: CreatedVat,
    consumer: String,
}

impl World {
    fn start() -> Self {
        let node = Node::start(|_| {});
        let alice = node.wallet(0);
        let create = |name: &str| {
            let bundle = bundle(&format!("tests/vats/iterator-{name}.js"));
            alice.install_bundle(&bundle).unwrap();
            alice.create_vat(&CreateVat::new(&bundle.id)).unwrap()
        };
        let (producer, consumer) = (create("producer"), create("consumer").root);
        drop(alice);
        Self { node, producer, consumer }
    }

    fn alice(&self) -> Wallet {
        self.node.wallet(0)
    }

    /// Asks the consumer. `$0` in the arguments is the producer, `$1` the consumer, and what follows are `others`.
    fn consume(&self, method: &str, args: &str, others: &[&str]) -> String {
        let mut slots = vec![self.producer.root.clone(), self.consumer.clone()];
        slots.extend(others.iter().map(|other| (*other).to_owned()));
        let answer =
            self.alice().send(&self.consumer, method, &Args::smallcaps(args, slots)).unwrap();
        assert_eq!(answer.status, "fulfilled", "{method}{args}: {}", answer.value.body);
        answer.value.body
    }

    fn produce(&self, method: &str, args: &str) -> MessageResult {
        let slots = vec![self.consumer.clone()];
        self.alice().send(&self.producer.root, method, &Args::smallcaps(args, slots)).unwrap()
    }

    /// An iterator of the producer, in alice's hands.
    fn iterator(&self, method: &str, args: &str) -> String {
        let answer = self.produce(method, args);
        assert_eq!(answer.status, "fulfilled", "{}", answer.value.body);
        answer.value.slots[0].clone()
    }

    /// Calls methods of an iterator.
    fn calls(&self, iterator: &str, calls: &str) -> String {
        self.consume("calls", &format!(r#"["$2",{calls}]"#), &[iterator])
    }

    fn upgrade_producer(&self, parameters: &str) {
        let upgrade = UpgradeVat {
            admin: self.producer.admin.clone(),
            bundle_id: bundle("tests/vats/iterator-producer.js").id.to_string(),
            parameters: Some(Args::json(parameters)),
            message: String::new(),
        };
        assert_eq!(self.alice().upgrade_vat(&upgrade).unwrap().status, "fulfilled");
    }
}

const FIRST_TWO: &str = r#"["next"],["next"]"#;

#[test]
fn values_arrive_in_order_and_errors_end_the_loop() {
    let world = World::start();
    let all = |args: &str| world.consume("all", args, &[]);
    assert_eq!(all(r#"["$0","count",5]"#), r##"#[0,1,2,3,4,"end"]"##);
    assert_eq!(all(r#"["$0","list"]"#), r##"#["a","b","end"]"##);
    assert_eq!(all(r#"["$0","fail"]"#), r##"#["first","TypeError: no more"]"##);
    assert_eq!(all(r#"["$0","durable",0,3,"$1"]"#), r##"#[0,2,4,"end"]"##);
    let nothing = all(r#"["$0","nothing"]"#);
    assert_eq!(nothing, r##"#["TypeError: Not iterable"]"##);
}

#[test]
fn a_consumer_ends_an_iterator_early() {
    let world = World::start();
    assert_eq!(
        world.consume("breakAt", r#"["$0",1]"#, &[]),
        r##"#["yields 0","yields 1","yields 2","cleaned up"]"##,
        "the producer is one value ahead, and hears of the end"
    );
    let count = world.iterator("count", "[5]");
    let returned = world.calls(&count, r#"["next",9],["return","bye"],["next"]"#);
    let expected = r##"#[{"done":false,"value":0},{"done":true,"value":"bye"},{"done":true,"value":"#undefined"}]"##;
    assert_eq!(returned, expected);
    let count = world.iterator("count", "[5]");
    let calls = r##"["next"],["throw",{"#error":"stop","name":"Error"}],["next"],["next"]"##;
    let thrown = world.calls(&count, calls);
    let expected = r##"#[{"done":false,"value":0},{"done":false,"value":"recovered"},{"done":true,"value":"after an error"},{"done":true,"value":"#undefined"}]"##;
    assert_eq!(thrown, expected);
    let bare = world.iterator("bare", "[]");
    let bare = world.calls(&bare, r#"["return",1],["throw",2],["next"]"#);
    let end = r##"{"done":true,"value":"#undefined"}"##;
    assert_eq!(bare, format!("#[{end},{end},{end}]"), "without return and throw");
    let failing = world.iterator("fail", "[]");
    let failed = world.calls(&failing, r#"["next"],["next"],["next"]"#);
    assert_eq!(
        failed,
        format!(r##"#[{{"done":false,"value":"first"}},"TypeError: no more",{end}]"##)
    );
}

#[test]
fn durable_iterators_go_on_after_upgrades_and_restarts() {
    let mut world = World::start();
    let durable = world.iterator("durable", "[0,40]");
    let of = |values: [u32; 2]| {
        let [a, b] = values;
        format!(r##"#[{{"done":false,"value":{a}}},{{"done":false,"value":{b}}}]"##)
    };
    assert_eq!(world.calls(&durable, FIRST_TWO), of([0, 1]));
    world.node.restart();
    assert_eq!(world.calls(&durable, FIRST_TWO), of([2, 3]));
    world.upgrade_producer(r#"{"step":2}"#);
    assert_eq!(world.calls(&durable, FIRST_TWO), of([4, 6]), "new code goes on at the old cursor");
    world.node.restart();
    let batch = |max: &str| {
        world.alice().send(&durable, "nextBatch", &Args::json(format!("[{max}]"))).unwrap()
    };
    assert_eq!(batch("3").value.body, r##"#{"done":false,"values":[8,10,12]}"##);
    assert_eq!(batch("100").value.body.matches("14,").count(), 1);
    let end = r##"{"done":true,"value":"#undefined"}"##;
    assert_eq!(world.calls(&durable, FIRST_TWO), format!("#[{end},{end}]"));
    for bad in ["0", "101", "1.5", "-1"] {
        let answer = batch(bad);
        assert_eq!(answer.status, "rejected", "{bad}");
        assert!(
            answer.value.body.contains("nextBatch takes a number from 1 to"),
            "{}",
            answer.value.body
        );
    }
}

#[test]
fn a_durable_iterator_keeps_its_place_when_a_step_fails_and_closes_once() {
    let world = World::start();
    let durable = world.iterator("durable", "[12,40]");
    let batch = || world.alice().send(&durable, "nextBatch", &Args::json("[5]")).unwrap();
    assert_eq!(batch().value.body, r##"#{"done":false,"values":[12]}"##);
    for _ in 0..2 {
        assert!(batch().value.body.contains("13 is unlucky"));
    }
    let closed = |expected: &str| {
        assert_eq!(world.produce("closed", "[]").value.body, format!("#\"{expected}\""));
    };
    closed("open");
    let calls = r#"["return","bye"],["next"],["throw","oh"],["return"]"#;
    let answers = world.calls(&durable, calls);
    assert!(answers.starts_with(r##"#[{"done":true,"value":"bye"},{"done":true,"##), "{answers}");
    closed("closed at 13");
}

#[test]
fn a_generator_ends_with_its_incarnation_and_calls_that_wait_are_bounded() {
    let world = World::start();
    let count = world.iterator("count", "[5]");
    let flooded = world.consume("flood", r#"["$2",101]"#, &[&world.iterator("stuck", "[]")]);
    assert!(flooded.contains("calls of this iterator wait already"), "{flooded}");
    world.upgrade_producer("{}");
    let answers = world.calls(&count, FIRST_TWO);
    assert!(!answers.contains("done"), "{answers}");
}
