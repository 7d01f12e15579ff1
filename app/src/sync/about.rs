//! The metadata of a snapshot that the application checks: the chain, its version, and the engines that vats need.

use std::collections::BTreeMap;

use capstan_kernel::sync;
use capstan_kernel_ports::store::Read;
use serde::{Deserialize, Serialize};

use crate::{
    fault::NodeFault,
    records::chain::{APP_VERSION, Chain},
};

/// Description of a snapshot, which every node writes alike. As JSON it is in the head, and in the offer to peers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct About {
    pub(crate) chain_id: String,
    /// [`APP_VERSION`] of the program that wrote it.
    pub(crate) app_version: u64,
    /// JavaScript engines that vats run on, each with the first vat that needs it.
    pub(crate) engines: BTreeMap<String, String>,
}

impl About {
    /// Describes a committed state.
    pub(crate) fn of(state: &(impl Read + ?Sized)) -> Result<Self, NodeFault> {
        let chain_id = Chain::load(state)?.map(|chain| chain.id).unwrap_or_default();
        let engines = sync::engines(state)?;
        let engines = engines.into_iter().map(|(hash, vat)| (hash.to_string(), vat.to_string()));
        Ok(Self { chain_id, app_version: APP_VERSION, engines: engines.collect() })
    }

    /// Returns the JSON, the same for equal descriptions.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        // Texts and numbers can always be encoded as JSON.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Parses what [`Self::to_json`] wrote.
    pub(crate) fn from_json(json: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(json)
            .map_err(|error| format!("its description is malformed: {error}"))
    }

    /// Checks that this program can go on from the state.
    ///
    /// # Errors
    /// Returns what this node lacks, and from where to take it.
    pub(crate) fn check(&self, engine: &str) -> Result<(), String> {
        if self.app_version != APP_VERSION {
            return Err(format!(
                "it is of a program of app version {}, and this one has {APP_VERSION}; start the version of capstan that the other nodes run",
                self.app_version
            ));
        }
        match self.engines.iter().find(|(needed, _)| *needed != engine) {
            None => Ok(()),
            Some((needed, vat)) => Err(format!(
                "vat {} needs the JavaScript engine {}, and this program has {engine} alone; start the version of capstan that the other nodes run",
                capstan_files::one_line(vat),
                capstan_files::one_line(needed)
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_node_lacks_is_named() {
        let engines = BTreeMap::from([("ab".to_owned(), "v7".to_owned())]);
        let about = About { chain_id: "c".to_owned(), app_version: APP_VERSION, engines };
        assert_eq!(About::from_json(&about.to_json()).unwrap(), about);
        about.check("ab").unwrap();
        let lack = about.check("cd").unwrap_err();
        assert!(lack.contains("v7") && lack.contains("engine ab") && lack.contains("cd"), "{lack}");
        let later = About { app_version: APP_VERSION + 1, ..about };
        assert!(later.check("ab").unwrap_err().contains("app version"));
        assert!(About::from_json(b"{").is_err());
    }
}
