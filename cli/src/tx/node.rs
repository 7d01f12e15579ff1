//! The node that commands talk to.

use anyhow::Context as _;
use capstan_client::Client;

use crate::failure::flag;

/// The node that a command talks to.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct NodeArgs {
    /// The node's RPC [default: $CAPSTAN_NODE, or http://127.0.0.1:26657].
    #[arg(long, global = true, value_name = "URL")]
    node: Option<String>,
}

impl NodeArgs {
    /// Creates a [`Client`] of the node.
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        let client = Client::new(&self.url());
        match &self.node {
            Some(url) => client.with_context(|| flag("--node", url)),
            None => Ok(client?),
        }
    }

    /// Returns the URL of the node.
    pub(super) fn url(&self) -> String {
        let named = || std::env::var("CAPSTAN_NODE").ok().filter(|url| !url.is_empty());
        let named = self.node.clone().or_else(named);
        named.unwrap_or_else(|| "http://127.0.0.1:26657".to_owned())
    }

    /// Returns whether the node is on this machine.
    pub(super) fn is_local(&self) -> bool {
        let url = self.url();
        let authority = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
        let authority = authority.split(['/', '?', '#', '\\']).next().unwrap_or_default();
        let host = authority.rsplit('@').next().unwrap_or_default();
        let host = match host.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => host.split(':').next().unwrap_or_default(),
        };
        let address = host.parse::<std::net::IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    }
}

#[cfg(test)]
mod tests {
    use super::NodeArgs;

    #[test]
    fn a_node_on_this_machine_is_told_from_others() {
        let is_local = |url: &str| NodeArgs { node: Some(url.to_owned()) }.is_local();
        for url in
            ["http://127.0.0.1:26657", "http://localhost", "http://[::1]:5/", "http://127.9.9.9"]
        {
            assert!(is_local(url), "{url}");
        }
        for url in [
            "http://10.0.0.1:26657",
            "https://rpc.example",
            "http://localhost.example",
            "http://127.0.0.1@rpc.example",
            "http://rpc.example/@localhost",
            "http://rpc.example\\@localhost",
            "http://[2001:db8::1]:26657",
            "",
        ] {
            assert!(!is_local(url), "{url}");
        }
    }
}
