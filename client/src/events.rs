//! Events over a WebSocket.

use std::collections::BTreeMap;
use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

use crate::{ClientError, Deadline};

/// Time limit of connecting and subscribing.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// Id of the subscription's request, which its events carry too.
const REQUEST_ID: i64 = 1;

/// Subscription to events on a connection of its own. Dropping it closes the connection.
#[derive(Debug)]
pub struct Subscription {
    addr: String,
    socket: WebSocket<TcpStream>,
}

/// Event that matches the subscription's query.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Kind of the event.
    pub kind: EventKind,
    /// Content of the event, in CometBFT's JSON.
    pub value: Value,
    /// All attributes by composite key (`type.attribute`), such as `tx.hash` and `tm.event`.
    pub attributes: BTreeMap<String, Vec<String>>,
}

/// Subject of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// A block was committed.
    NewBlock,
    /// A block was committed. Only its header is sent.
    NewBlockHeader,
    /// A block was committed. Only its events are sent.
    NewBlockEvents,
    /// A transaction was committed.
    Tx,
    /// Another event, by CometBFT's name.
    Other(String),
}

#[derive(Deserialize)]
struct Incoming {
    result: Option<Payload>,
    error: Option<Fault>,
}

#[derive(Deserialize)]
struct Payload {
    data: Option<Data>,
    #[serde(default)]
    events: Option<BTreeMap<String, Vec<String>>>,
}

#[derive(Deserialize)]
struct Data {
    r#type: String,
    value: Value,
}

#[derive(Deserialize)]
struct Fault {
    code: i64,
    message: String,
    #[serde(default)]
    data: Value,
}

impl Subscription {
    /// Connects to `addr` and subscribes to the events that match `query`.
    pub(crate) fn open(addr: &str, query: &str) -> Result<Self, ClientError> {
        let stream = connect(addr)?;
        let url = format!("ws://{addr}/websocket");
        let (socket, _) = tungstenite::client(url.as_str(), stream)
            .map_err(|error| closed(addr, &format!("the WebSocket handshake failed: {error}")))?;
        let mut subscription = Self { addr: addr.to_owned(), socket };
        let request =
            json!({"jsonrpc": "2.0", "id": REQUEST_ID, "method": "subscribe", "params": {"query": query}}).to_string();
        subscription
            .socket
            .send(Message::text(request))
            .map_err(|error| closed(addr, &error.to_string()))?;
        // The first answer is the one to the request, without an event.
        subscription.receive(Deadline::after(OPEN_TIMEOUT))?;
        Ok(subscription)
    }

    /// Waits for the next [`Event`].
    ///
    /// # Errors
    /// [`ClientError::Timeout`] if no event comes in time, in which case later calls can still return one.
    /// [`ClientError::Closed`] if the node ended the connection, [`ClientError::Rpc`] if it cancelled the
    /// subscription.
    pub fn next(&mut self, deadline: Deadline) -> Result<Event, ClientError> {
        loop {
            if let Payload { data: Some(data), events } = self.receive(deadline)? {
                let kind = EventKind::named(&data.r#type);
                return Ok(Event {
                    kind,
                    value: data.value,
                    attributes: events.unwrap_or_default(),
                });
            }
        }
    }

    fn receive(&mut self, deadline: Deadline) -> Result<Payload, ClientError> {
        loop {
            match self.read(deadline)? {
                Message::Text(text) => return parse(&self.addr, text.as_bytes()),
                Message::Binary(bytes) => return parse(&self.addr, &bytes),
                Message::Close(_) => return Err(closed(&self.addr, "the node closed it")),
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
    }

    fn read(&mut self, deadline: Deadline) -> Result<Message, ClientError> {
        let timeout =
            || ClientError::Timeout { what: "the next event".to_owned(), waited: deadline.limit() };
        let left = deadline.left();
        if left.is_zero() {
            return Err(timeout());
        }
        let failed = |error: &dyn std::fmt::Display, addr: &str| closed(addr, &error.to_string());
        self.socket
            .get_ref()
            .set_read_timeout(Some(left))
            .map_err(|error| failed(&error, &self.addr))?;
        match self.socket.read() {
            Ok(message) => Ok(message),
            Err(tungstenite::Error::Io(error))
                if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) =>
            {
                Err(timeout())
            }
            Err(error) => Err(failed(&error, &self.addr)),
        }
    }
}

impl EventKind {
    /// Returns the kind of `tendermint/event/NAME`.
    fn named(name: &str) -> Self {
        match name.rsplit('/').next().unwrap_or(name) {
            "NewBlock" => Self::NewBlock,
            "NewBlockHeader" => Self::NewBlockHeader,
            "NewBlockEvents" => Self::NewBlockEvents,
            "Tx" => Self::Tx,
            other => Self::Other(other.to_owned()),
        }
    }
}

fn connect(addr: &str) -> Result<TcpStream, ClientError> {
    let unreachable = |error: io::Error| ClientError::Unreachable {
        addr: addr.to_owned(),
        why: error.to_string(),
    };
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for resolved in addr.to_socket_addrs().map_err(unreachable)? {
        match TcpStream::connect_timeout(&resolved, OPEN_TIMEOUT) {
            Ok(stream) => {
                stream.set_read_timeout(Some(OPEN_TIMEOUT)).map_err(unreachable)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(unreachable(last))
}

fn parse(addr: &str, json: &[u8]) -> Result<Payload, ClientError> {
    let malformed = |why: String| ClientError::Malformed {
        addr: addr.to_owned(),
        method: "subscribe".to_owned(),
        why,
    };
    let incoming: Incoming =
        serde_json::from_slice(json).map_err(|error| malformed(error.to_string()))?;
    match incoming {
        Incoming { error: Some(fault), .. } => {
            let data = fault.data.as_str().map_or_else(|| fault.data.to_string(), str::to_owned);
            Err(ClientError::Rpc {
                method: "subscribe".to_owned(),
                code: fault.code,
                message: fault.message,
                data,
            })
        }
        Incoming { result: Some(payload), .. } => Ok(payload),
        Incoming { .. } => Err(malformed("a message has neither result nor error".to_owned())),
    }
}

fn closed(addr: &str, why: &str) -> ClientError {
    ClientError::Closed { addr: addr.to_owned(), why: why.to_owned() }
}
