//! A client follows an account's outbox: entry by entry, over a node that goes away and comes back.
#![allow(clippy::unwrap_used)] // tests

use std::net::{Shutdown, TcpListener, TcpStream};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use capstan_client::{
    Args, Client, ClientError, CreateVat, Deadline, Delivery, OutboxEntry, OutboxStream,
    Stream as _,
};
use capstan_tests::{Node, example, soon};

/// An address that stays the same while the node behind it changes its own.
struct Address {
    client: Client,
    node: Arc<Mutex<String>>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Address {
    fn of(node: &Node) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = Client::new(&listener.local_addr().unwrap().to_string()).unwrap();
        let target = Arc::new(Mutex::new(node.client().addr().to_owned()));
        let (node, open) = (Arc::clone(&target), Arc::<Mutex<Vec<TcpStream>>>::default());
        let streams = Arc::clone(&open);
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let Ok(far) = TcpStream::connect(&*target.lock().unwrap()) else { continue };
                for (mut from, mut to) in [
                    (near.try_clone().unwrap(), far.try_clone().unwrap()),
                    (far.try_clone().unwrap(), near.try_clone().unwrap()),
                ] {
                    std::thread::spawn(move || {
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
                streams.lock().unwrap().extend([near, far]);
            }
        });
        Self { client, node, open }
    }

    fn move_to(&self, node: &Node) {
        node.client().addr().clone_into(&mut self.node.lock().unwrap());
    }

    fn cut(&self) {
        for stream in self.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn is_timeout<T>(result: &Result<T, ClientError>) -> bool {
    matches!(result, Err(ClientError::Timeout { .. }))
}

fn briefly() -> Deadline {
    Deadline::after(Duration::from_millis(200))
}

#[test]
fn a_follower_gives_each_entry_once_over_cuts_and_restarts() {
    let mut node = Node::start(|_| {});
    let address = Address::of(&node);
    let alice = node.wallet(0);
    let mut follower = address.client.follow_outbox(&alice.address());
    assert!(is_timeout(&follower.next_before(briefly())), "there is no outbox yet");

    let counter = example("counter");
    alice.install_bundle(&counter).unwrap();
    let vat = alice.create_vat(&CreateVat::new(&counter.id)).unwrap();
    let mut numbers = Vec::new();
    let mut take = |follower: &mut capstan_client::OutboxFollower| {
        let OutboxEntry { number, delivery, .. } = follower.next_before(soon()).unwrap().unwrap();
        numbers.push(number);
        assert!(matches!(delivery, Delivery::Notify { .. }), "{delivery:?}");
    };
    take(&mut follower);
    while let Ok(Some(_)) = follower.next_before(briefly()) {}
    let last = node.client().outbox(&alice.address(), 0, 0).unwrap().entries.last().unwrap().number;
    for restart in [false, true] {
        alice_increments(&node, &vat.root);
        take(&mut follower);
        if restart {
            node.restart();
            address.move_to(&node);
        }
        address.cut();
        alice_increments(&node, &vat.root);
        take(&mut follower);
    }
    assert_eq!(numbers[1..], [last + 1, last + 2, last + 3, last + 4]);
    node.wallet(0).acknowledge(last + 3).unwrap();
    let mut later = node.client().follow_outbox(&node.wallet(0).address());
    assert_eq!(
        later.next().unwrap().unwrap().number,
        last + 4,
        "the first that is not acknowledged"
    );
    let mut none = node.client().follow_outbox(&node.wallet(0).address()).after(last + 4);
    assert!(is_timeout(&none.next_before(briefly())));
}

fn alice_increments(node: &Node, root: &str) {
    assert_eq!(
        node.wallet(0).send(root, "increment", &Args::default()).unwrap().status,
        "fulfilled"
    );
}

fn next(stream: &mut OutboxStream) -> Option<Result<OutboxEntry, ClientError>> {
    let mut context = Context::from_waker(Waker::noop());
    let polled = soon().poll::<_, ClientError>("the stream's next item", || {
        Ok(match Pin::new(&mut *stream).poll_next(&mut context) {
            Poll::Ready(item) => Some(item),
            Poll::Pending => None,
        })
    });
    polled.unwrap()
}

#[test]
fn a_stream_gives_what_it_read_and_then_ends() {
    let node = Node::start(|_| {});
    let alice = node.wallet(0);
    let counter = example("counter");
    alice.install_bundle(&counter).unwrap();
    let mut stream = node.client().follow_outbox(&alice.address()).into_stream().unwrap();
    let vat = alice.create_vat(&CreateVat::new(&counter.id)).unwrap();
    alice_increments(&node, &vat.root);
    let count = node.client().outbox(&alice.address(), 0, 0).unwrap().entries.len();
    for number in 1..=count {
        assert_eq!(next(&mut stream).unwrap().unwrap().number, number as u64);
    }
    stream.stopper().stop();
    assert!(next(&mut stream).is_none() && next(&mut stream).is_none());
}

#[test]
fn a_follower_without_patience_fails_once_and_ends() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let client = Client::new(&free.to_string()).unwrap();
    let address = capstan_client::Key::dev(0).address();
    let mut follower = client.follow_outbox(&address).with_patience(Duration::ZERO);
    assert!(matches!(follower.next(), Some(Err(ClientError::Unreachable { .. }))));
    assert!(follower.next().is_none());
    let mut patient = client.follow_outbox(&address);
    assert!(is_timeout(&patient.next_before(briefly())));
    patient.stopper().stop();
    assert!(patient.next().is_none());
}
