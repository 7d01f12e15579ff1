//! The plan of a network, in the file `localnet.json` of its directory.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{NetError, ports::free_addrs};

const FILE: &str = "localnet.json";
/// Version of the file that this program reads and writes.
const FORMAT: u32 = 2;

/// The consensus of all nodes of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Consensus {
    /// [CometBFT](capstan_consensus::comet), for any number of nodes.
    Comet,
    /// [Solo consensus](capstan_consensus::solo), for one node.
    Solo,
}

/// The nodes of a network, and the supervisor that runs them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Version of the file.
    pub format: u32,
    /// Id of the chain.
    pub chain_id: String,
    /// Consensus of the nodes.
    #[serde(alias = "engine")]
    pub consensus: Consensus,
    /// Nodes, in the order in which they were made.
    pub nodes: Vec<NodePlan>,
    /// The running supervisor, or `None` if none runs.
    pub supervisor: Option<Supervisor>,
}

/// The plan of one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodePlan {
    /// Name: `node0` and so on.
    pub name: String,
    /// Home of the node.
    pub home: PathBuf,
    /// Whether the genesis document names the node as a validator.
    pub validator: bool,
    /// Node id, by which peers know it. Empty under solo consensus.
    pub node_id: String,
    /// Address of the JSON-RPC.
    pub rpc: SocketAddr,
    /// Address for peers.
    pub p2p: SocketAddr,
    /// Address of gRPC.
    pub grpc: SocketAddr,
    /// Address of REST.
    pub rest: SocketAddr,
}

/// A running supervisor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Supervisor {
    /// Id of its process.
    pub pid: u32,
    /// Address of its control port.
    pub control: SocketAddr,
    /// Token that a command must have. Only the owner can read the file.
    pub token: String,
}

impl Plan {
    /// Makes the [`Plan`] of a network without nodes.
    pub fn new(chain_id: &str, consensus: Consensus) -> Self {
        let chain_id = chain_id.to_owned();
        Self { format: FORMAT, chain_id, consensus, nodes: Vec::new(), supervisor: None }
    }

    /// Reads the plan in `dir`. Returns `None` if there is no network.
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
        let path = dir.join(FILE);
        let write = || -> io::Result<()> {
            capstan_files::write_atomic(&path, &serde_json::to_vec_pretty(self)?, 0o600)
        };
        write().map_err(|error| NetError::Plan { path: path.clone(), why: error.to_string() })
    }

    /// Returns the [`NodePlan`] of that name.
    ///
    /// # Errors
    /// [`NetError::UnknownNode`], which lists those that there are.
    pub fn node(&self, name: &str) -> Result<&NodePlan, NetError> {
        self.nodes.iter().find(|node| node.name == name).ok_or_else(|| NetError::UnknownNode {
            name: name.to_owned(),
            known: self.nodes.iter().map(|node| node.name.clone()).collect(),
        })
    }

    /// Returns four loopback addresses that neither this network nor another program uses.
    ///
    /// # Errors
    /// [`NetError::Ports`].
    pub fn free_addrs(&self) -> Result<[SocketAddr; 4], NetError> {
        let taken: BTreeSet<SocketAddr> =
            self.nodes.iter().flat_map(|node| [node.rpc, node.p2p, node.grpc, node.rest]).collect();
        let found = free_addrs(4, &taken).map_err(NetError::Ports)?;
        Ok([found[0], found[1], found[2], found[3]])
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
        let plan = Plan::new("net-1", Consensus::Comet);
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
}
