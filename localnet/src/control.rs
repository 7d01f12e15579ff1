//! How a running network is told what to do: one line of JSON each way, on a loopback port, with the
//! token that stands in the network's plan.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};

use serde::{Deserialize, Serialize};

use crate::process::State;
use crate::{NetError, NodePlan, Plan};

/// The longest line that is read.
const MAX_LINE_BYTES: u64 = 1 << 20;

/// What a network can be told. Lists of nodes are names; an empty list means all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// To say how it is.
    Status,
    /// To end nodes at once, as a crash would.
    Kill {
        /// Which.
        nodes: Vec<String>,
    },
    /// To stop nodes where they are.
    Pause {
        /// Which.
        nodes: Vec<String>,
    },
    /// To let paused nodes go on.
    Resume {
        /// Which.
        nodes: Vec<String>,
    },
    /// To stop nodes in order if they run, and start them.
    Restart {
        /// Which.
        nodes: Vec<String>,
    },
    /// To cut the links between these nodes and all others.
    Partition {
        /// Which.
        nodes: Vec<String>,
    },
    /// To mend the links of these nodes.
    Heal {
        /// Which.
        nodes: Vec<String>,
    },
    /// To take in a node whose home is made, and start it.
    Add {
        /// The node.
        node: NodePlan,
    },
    /// To stop all nodes in order, and end.
    Down,
}

/// How a network is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Its nodes.
    pub nodes: Vec<NodeStatus>,
    /// The links that are cut, by the names of their ends.
    pub cut: Vec<(String, String)>,
}

/// How a node is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// The node.
    pub plan: NodePlan,
    /// What its process is doing.
    pub state: State,
    /// Its process, if there is one.
    pub pid: Option<u32>,
}

#[derive(Serialize, Deserialize)]
struct Request {
    token: String,
    #[serde(flatten)]
    command: Command,
}

type Reply = Result<Status, String>;

/// A command with the place for its answer.
pub(crate) struct Order {
    pub(crate) command: Command,
    pub(crate) reply: Sender<Reply>,
    /// Ends when the answer has been written, or cannot be.
    pub(crate) written: Receiver<()>,
}

impl Order {
    /// A command of which nobody waits for the answer.
    pub(crate) fn unheard(command: Command) -> Self {
        Self { command, reply: channel().0, written: channel().1 }
    }
}

/// Takes commands and hands them on, until the process ends. Gives the address.
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
    // Its end is the sign that the answer is written.
    let (_writing, written) = channel();
    let reply = match read_line::<Request>(&stream) {
        Err(error) => Err(error.to_string()),
        Ok(request) if request.token != token => Err("the token is wrong".to_owned()),
        Ok(Request { command, .. }) => {
            let (reply, answer) = channel();
            let ended = || Err("the network has ended".to_owned());
            match orders.send(Order { command, reply, written }) {
                Ok(()) => answer.recv().unwrap_or_else(|_| ended()),
                Err(_) => ended(),
            }
        }
    };
    // Whoever asked may have gone.
    let _ = serde_json::to_vec(&reply).map(|line| stream.write_all(&line));
}

/// Tells the network of `plan` what to do and gives how it is afterwards.
///
/// # Errors
/// [`NetError::Down`] if it does not run; [`NetError::Refused`] if it cannot do it.
pub fn call(plan: &Plan, command: Command) -> Result<Status, NetError> {
    let supervisor = plan.supervisor.as_ref().ok_or(NetError::Down)?;
    let mut stream = TcpStream::connect(supervisor.control).map_err(|_| NetError::Down)?;
    let request = Request { token: supervisor.token.clone(), command };
    let exchange = || -> io::Result<Reply> {
        let mut line = serde_json::to_vec(&request)?;
        line.push(b'\n');
        stream.write_all(&line)?;
        read_line(&stream)
    };
    let mut exchange = exchange;
    exchange().map_err(|_| NetError::Down)?.map_err(NetError::Refused)
}

fn read_line<T: serde::de::DeserializeOwned>(stream: &TcpStream) -> io::Result<T> {
    let mut line = String::new();
    BufReader::new(stream.take(MAX_LINE_BYTES)).read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}
