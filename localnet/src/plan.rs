//! The plan of a local network, kept as `localnet.json` in its directory.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::NetError;

const FILE: &str = "localnet.json";
/// The version of the file that this program reads and writes.
const FORMAT: u32 = 1;

/// Which engine the nodes run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// CometBFT.
    Comet,
    /// The in-process engine: one node.
    Solo,
}

/// What a network consists of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The file's version.
    pub format: u32,
    /// The chain's id.
    pub chain_id: String,
    /// The nodes' engine.
    pub engine: Engine,
    /// The nodes, in the order in which they were made.
    pub nodes: Vec<NodePlan>,
    /// How the running supervisor is reached; none if none runs.
    pub supervisor: Option<Supervisor>,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodePlan {
    /// Its name: `node0` and so on.
    pub name: String,
    /// Its home.
    pub home: PathBuf,
    /// Whether the genesis document names it as a validator.
    pub validator: bool,
    /// By which its peers know it; empty under the solo engine.
    pub node_id: String,
    /// Where its JSON-RPC listens.
    pub rpc: SocketAddr,
    /// Where its peers reach it.
    pub p2p: SocketAddr,
}

/// A supervisor that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Supervisor {
    /// Its process.
    pub pid: u32,
    /// Where it takes commands.
    pub control: SocketAddr,
    /// What a command must show: the file can be read by its owner alone.
    pub token: String,
}

impl Plan {
    /// A network without nodes.
    pub fn new(chain_id: &str, engine: Engine) -> Self {
        let chain_id = chain_id.to_owned();
        Self { format: FORMAT, chain_id, engine, nodes: Vec::new(), supervisor: None }
    }

    /// The plan in `dir`; none if there is no network.
    ///
    /// # Errors
    /// [`NetError::Plan`] if the file cannot be read, is damaged or of another version.
    pub fn load(dir: &Path) -> Result<Option<Self>, NetError> {
        let path = dir.join(FILE);
        let fault = |why: String| NetError::Plan { path: path.clone(), why };
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(|e| fault(e.to_string()))?,
        };
        let plan: Self = serde_json::from_slice(&bytes).map_err(|e| fault(e.to_string()))?;
        match plan.format == FORMAT {
            true => Ok(Some(plan)),
            false => {
                Err(fault(format!("it is of format {}; this capstan reads {FORMAT}", plan.format)))
            }
        }
    }

    /// Writes the plan, readable by its owner alone.
    ///
    /// # Errors
    /// [`NetError::Plan`].
    pub fn save(&self, dir: &Path) -> Result<(), NetError> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let path = dir.join(FILE);
        let write = || -> io::Result<()> {
            let partial = path.with_extension("partial");
            let mut options = fs::OpenOptions::new();
            let mut file =
                options.create(true).truncate(true).write(true).mode(0o600).open(&partial)?;
            file.write_all(&serde_json::to_vec_pretty(self)?)?;
            fs::rename(&partial, &path)
        };
        write().map_err(|error| NetError::Plan { path: path.clone(), why: error.to_string() })
    }

    /// The node of that name.
    ///
    /// # Errors
    /// [`NetError::UnknownNode`], which lists those that there are.
    pub fn node(&self, name: &str) -> Result<&NodePlan, NetError> {
        self.nodes.iter().find(|node| node.name == name).ok_or_else(|| NetError::UnknownNode {
            name: name.to_owned(),
            known: self.nodes.iter().map(|node| node.name.clone()).collect(),
        })
    }

    /// Two addresses on loopback that neither this network nor, now, anybody else uses.
    ///
    /// # Errors
    /// [`NetError::Ports`].
    pub fn free_addrs(&self) -> Result<[SocketAddr; 2], NetError> {
        let taken: BTreeSet<SocketAddr> =
            self.nodes.iter().flat_map(|node| [node.rpc, node.p2p]).collect();
        // All are held until the last is found, so that they differ.
        let mut held = Vec::new();
        let mut found = Vec::new();
        while found.len() < 2 {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(NetError::Ports)?;
            let addr = listener.local_addr().map_err(NetError::Ports)?;
            held.push(listener);
            if !taken.contains(&addr) {
                found.push(addr);
            }
        }
        Ok([found[0], found[1]])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_kept_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Plan::load(dir.path()).unwrap(), None);
        let plan = Plan::new("net-1", Engine::Comet);
        plan.save(dir.path()).unwrap();
        assert_eq!(Plan::load(dir.path()).unwrap(), Some(plan.clone()));
        let mode = fs::metadata(dir.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        for (text, reason) in [("{", "localnet.json"), ("{\"format\":9}", "missing field")] {
            fs::write(dir.path().join(FILE), text).unwrap();
            let error = Plan::load(dir.path()).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
        Plan { format: 9, ..plan }.save(dir.path()).unwrap();
        assert!(Plan::load(dir.path()).unwrap_err().to_string().contains("format 9"));
    }

    #[test]
    fn ports_differ() {
        let plan = Plan::new("net-1", Engine::Comet);
        let [one, two] = plan.free_addrs().unwrap();
        assert_ne!(one, two);
    }
}
