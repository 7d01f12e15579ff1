//! A chain on which an account serves an object.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};

use capstan_client::{ClientError, Deadline};
use serde_json::Value;

use super::{Dev, Done, PATIENCE, Place, free_addrs};

pub const OBJECT: &str = "\
import fs from 'node:fs';
export const makeObject = ({ E, Far }) => {
  const note = what => fs.appendFileSync(process.env.RAN, `${what}\\n`);
  return {
    async add(a, b) {
      note('add');
      await new Promise(resolve => setTimeout(resolve, 20));
      return a + b;
    },
    fail() { throw RangeError('too far'); },
    never: () => new Promise(() => {}),
    counter() {
      let count = 0;
      return Far('counter', { next: () => (count += 1) });
    },
    async slow(milliseconds) {
      note('slow');
      await new Promise(resolve => setTimeout(resolve, milliseconds));
      return 'done';
    },
    later: (milliseconds, value) => {
      const promise = new Promise(resolve => setTimeout(() => resolve(value), milliseconds));
      return { promise };
    },
    map: () => new Map(),
    raise(what) { throw what; },
    raiseMap() { throw new Map(); },
    big: size => 'x'.repeat(size),
    ask: (other, ...args) => E(other).add(...args),
  };
};
";

/// A chain on which carol serves an object that alice holds.
pub struct Stage {
    pub place: Place,
    pub dev: Dev,
    addr: String,
}

/// A running `capstan serve`.
pub struct Server {
    pub child: Child,
    pub lines: Receiver<Value>,
}

impl Stage {
    pub fn new() -> Self {
        let place = Place::new();
        let addr = free_addrs(1)[0].to_string();
        let dev = start(&place, &addr);
        std::fs::write(place.path().join("object.mjs"), OBJECT).unwrap();
        Self { place, dev, addr }
    }

    /// Stops the node, does what is asked for, and starts it again.
    pub fn without_node(self, while_away: impl FnOnce()) -> Self {
        let Self { place, dev, addr } = self;
        assert!(dev.stop("TERM").success());
        while_away();
        let dev = start(&place, &addr);
        Self { place, dev, addr }
    }

    pub fn ask(&self, args: &[&str]) -> Done {
        self.place.ask(&self.dev, args)
    }

    /// Sends a message and returns the answer, also a rejection.
    pub fn send(&self, from: &str, args: &[&str]) -> Value {
        let done = self.ask(&[&["tx", "send"], args, &["--from", from, "--json"]].concat());
        serde_json::from_str(&done.stdout).unwrap_or_else(|_| panic!("{done:?}"))
    }

    /// Starts to serve, and waits until it is ready. A crash is planted at a step, if one is named.
    pub fn serve(&self, crash: Option<&str>, more: &[&str]) -> Server {
        let server = self.begin(crash, more);
        server.wait_for("ready");
        server
    }

    /// Starts to serve.
    pub fn begin(&self, crash: Option<&str>, more: &[&str]) -> Server {
        let first = ["serve", "object.mjs", "--from", "carol", "--publish", "object", "--json"];
        let mut command = self.place.command(&[&first[..], more].concat());
        command.env("CAPSTAN_NODE", self.dev.url());
        command.env("RAN", self.place.path().join("ran")).stderr(Stdio::inherit());
        if let Some(step) = crash {
            command.env("CAPSTAN_SERVE_CRASH_AT", step);
        }
        let mut child = command.spawn().unwrap();
        let (sender, lines) = channel();
        let stdout = child.stdout.take().unwrap();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                drop(sender.send(serde_json::from_str(&line).unwrap()));
            }
        });
        Server { child, lines }
    }

    /// Alice's reference of the published object.
    pub fn object(&self) -> String {
        let address = self.ask(&["query", "account", "carol", "--json"]).json()["address"].clone();
        let name = format!("{}/object", address.as_str().unwrap());
        let found = self.send("alice", &["factory", "lookup", &name]);
        found["value"].as_str().unwrap().trim_start_matches('@').to_owned()
    }

    pub fn runs(&self) -> usize {
        std::fs::read_to_string(self.place.path().join("ran")).unwrap_or_default().lines().count()
    }

    /// Sends a message to the object, and returns the hash of the transaction.
    pub fn call(&self, object: &str, args: &[&str]) -> String {
        let first = ["tx", "send", object, "--no-wait", "--from", "alice", "--json"];
        let sent = self.ask(&[&first[..], args].concat()).json();
        sent["tx_hash"].as_str().unwrap().to_owned()
    }

    /// Waits for the answer to the message of a transaction.
    pub fn answer(&self, hash: &str) -> Value {
        let answer = || {
            let result = self.ask(&["query", "result", hash, "--json"]).json();
            Ok::<_, ClientError>((result["status"] != "pending").then_some(result))
        };
        Deadline::after(PATIENCE).poll("the answer", answer).unwrap()
    }

    /// Returns the number of promises of carol that were resolved on the chain.
    pub fn resolved(&self) -> usize {
        let address = self.ask(&["query", "account", "carol", "--json"]).json()["address"].clone();
        let client = capstan_client::Client::new(self.dev.url()).unwrap();
        let query = format!("promise.resolved.account='{}'", address.as_str().unwrap());
        client.tx_search(&query, 1, 100).unwrap().iter().filter(|tx| tx.code == 0).count()
    }
}

impl Server {
    pub fn wait_for(&self, event: &str) -> Value {
        loop {
            let line = self.lines.recv_timeout(PATIENCE).expect(event);
            if line["event"] == event {
                return line;
            }
        }
    }

    pub fn stop(mut self) {
        let kill = format!("kill -TERM {}", self.child.id());
        std::process::Command::new("sh").args(["-c", &kill]).status().unwrap();
        assert!(self.child.wait().unwrap().success());
    }

    pub fn crashed(mut self) {
        assert!(!self.child.wait().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start(place: &Place, addr: &str) -> Dev {
    place.node_at(&place.home(), &["dev", "--rpc", addr, "--json", "--log", "error"])
}
