//! The control port of a running network: one line of JSON each way, on loopback, with the token of the network's
//! [`Plan`].

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};

use serde::{Deserialize, Serialize};

use crate::process::ProcessState;
use crate::{NetError, NodePlan, Plan};

/// Maximum size of a line, in bytes.
const MAX_LINE_BYTES: u64 = 1 << 20;

/// A command to a network. Nodes are given by name. An empty list means all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// Reports the [`Status`] of the network.
    Status,
    /// Kills nodes at once, as a crash would.
    Kill {
        /// Names of the nodes.
        nodes: Vec<String>,
    },
    /// Suspends nodes.
    Pause {
        /// Names of the nodes.
        nodes: Vec<String>,
    },
    /// Resumes suspended nodes.
    Resume {
        /// Names of the nodes.
        nodes: Vec<String>,
    },
    /// Stops nodes in order if they run, and starts them.
    Restart {
        /// Names of the nodes.
        nodes: Vec<String>,
    },
    /// Cuts the links between these nodes and all others.
    Partition {
        /// Names of the nodes.
        nodes: Vec<String>,
    },
    /// Restores the links of these nodes.
    Heal {
        /// Names of the nodes.
        nodes: Vec<String>,
    },
    /// Adds a node whose home exists, and starts it.
    Add {
        /// Plan of the node.
        node: NodePlan,
    },
    /// Stops all nodes in order, and ends the network.
    Down,
}

/// The status of a network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Status of each node.
    pub nodes: Vec<NodeStatus>,
    /// Cut links, by the names of the nodes at their ends.
    pub cut: Vec<(String, String)>,
}

/// The status of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Plan of the node.
    pub plan: NodePlan,
    /// State of its process.
    pub state: ProcessState,
    /// Id of its process, or `None` if it does not run.
    pub pid: Option<u32>,
}

#[derive(Serialize, Deserialize)]
struct Request {
    token: String,
    #[serde(flatten)]
    command: Command,
}

/// The reply to a command.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// The command was executed.
    #[serde(rename = "Ok")]
    Done(Status),
    /// The network refused, for this reason.
    #[serde(rename = "Err")]
    Refused(String),
}

/// A command with the channel for its reply.
pub(crate) struct Order {
    pub(crate) command: Command,
    pub(crate) reply: Sender<Reply>,
    /// Disconnects when the reply is written, or cannot be.
    pub(crate) written: Receiver<()>,
}

impl Order {
    /// Makes a command whose reply nobody reads.
    pub(crate) fn without_reply(command: Command) -> Self {
        Self { command, reply: channel().0, written: channel().1 }
    }
}

/// Receives commands and forwards them until the process ends. Returns the address of the control port.
pub(crate) fn listen(token: String, orders: Sender<Order>) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let addr = listener.local_addr()?;
    std::thread::Builder::new().name("control".to_owned()).spawn(move || {
        for stream in listener.incoming().flatten() {
            let (token, orders) = (token.clone(), orders.clone());
            // Without a thread the connection is dropped: whoever called sees that.
            let _ = std::thread::Builder::new().spawn(move || serve(stream, &token, &orders));
        }
    })?;
    Ok(addr)
}

fn serve(mut stream: TcpStream, token: &str, orders: &Sender<Order>) {
    // When it is dropped, the reply is written.
    let (_writing, written) = channel();
    let reply = match read_line::<Request>(&stream) {
        Err(error) => Reply::Refused(error.to_string()),
        Ok(request) if request.token != token => Reply::Refused("the token is wrong".to_owned()),
        Ok(Request { command, .. }) => {
            let (reply, answer) = channel();
            let ended = || Reply::Refused("the network has ended".to_owned());
            match orders.send(Order { command, reply, written }) {
                Ok(()) => answer.recv().unwrap_or_else(|_| ended()),
                Err(_) => ended(),
            }
        }
    };
    // The client may have gone away.
    let _ = serde_json::to_vec(&reply).map(|line| stream.write_all(&line));
}

/// Sends a command to the network of `plan`. Returns the [`Status`] after it.
///
/// # Errors
/// [`NetError::NotRunning`] if the network does not run. [`NetError::Refused`] if it cannot do it.
pub fn call(plan: &Plan, command: Command) -> Result<Status, NetError> {
    let supervisor = plan.supervisor.as_ref().ok_or(NetError::NotRunning)?;
    let mut stream = TcpStream::connect(supervisor.control).map_err(|_| NetError::NotRunning)?;
    let request = Request { token: supervisor.token.clone(), command };
    let mut exchange = || -> io::Result<Reply> {
        let mut line = serde_json::to_vec(&request)?;
        line.push(b'\n');
        stream.write_all(&line)?;
        read_line(&stream)
    };
    match exchange().map_err(|_| NetError::NotRunning)? {
        Reply::Done(status) => Ok(status),
        Reply::Refused(why) => Err(NetError::Refused(why)),
    }
}

fn read_line<T: serde::de::DeserializeOwned>(stream: &TcpStream) -> io::Result<T> {
    let mut line = String::new();
    BufReader::new(stream.take(MAX_LINE_BYTES)).read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}
