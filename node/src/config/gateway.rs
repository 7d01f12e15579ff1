//! The addresses of gRPC and REST.

use std::net::SocketAddr;
use std::time::Duration;

use capstan_gateway::{GatewayConfig, GatewayLimits};

use super::{Config, Cors, OptionError};

/// Default port of the JSON-RPC. Beside it, gRPC and REST have their default ports too.
const RPC_PORT: u16 = 26657;
/// Default port of gRPC, as of the Cosmos SDK.
const GRPC_PORT: u16 = 9090;
/// Default port of REST, as of the Cosmos SDK.
const REST_PORT: u16 = 1317;

impl Config {
    /// Returns whether web pages of any origin may call the JSON-RPC.
    pub fn rpc_cors(&self, is_solo: bool) -> bool {
        self.rpc.cors.is_on(is_solo)
    }

    /// Returns the configuration of gRPC and REST, beside a JSON-RPC on `rpc`. `is_solo` says that the node is under solo
    /// consensus.
    ///
    /// # Errors
    /// [`OptionError::Listen`] if an address is none.
    pub fn gateway(&self, rpc: SocketAddr, is_solo: bool) -> Result<GatewayConfig, OptionError> {
        let options = &self.gateway;
        Ok(GatewayConfig {
            grpc: listen("grpc.listen", &self.grpc.listen, rpc, GRPC_PORT)?,
            rest: listen("rest.listen", &self.rest.listen, rpc, REST_PORT)?,
            cors: self.rest.cors.is_on(is_solo),
            limits: GatewayLimits {
                max_request_bytes: options.max_request_bytes,
                max_answer_bytes: options.max_answer_bytes,
                max_pending_bytes: options.max_pending_bytes,
                max_connections: options.max_connections,
                max_address_percent: options.max_address_percent,
                first_request_timeout: Duration::from_millis(options.first_request_timeout_ms),
                max_streams: self.grpc.max_streams,
                max_calls: options.max_calls,
                max_searches: options.max_searches,
                idle_timeout: Duration::from_millis(options.idle_timeout_ms),
            },
        })
    }
}

impl Cors {
    /// Returns whether web pages may call.
    fn is_on(self, is_solo: bool) -> bool {
        match self {
            Self::Auto => is_solo,
            Self::On => true,
            Self::Off => false,
        }
    }
}

/// Reads an address. `auto` is on the IP address of the JSON-RPC: with the default port beside the JSON-RPC's default
/// port, so that several nodes on one machine do not want the same one, and otherwise with a free port.
fn listen(
    name: &'static str,
    text: &str,
    rpc: SocketAddr,
    default: u16,
) -> Result<Option<SocketAddr>, OptionError> {
    match text {
        "off" => Ok(None),
        "auto" => {
            let port = if rpc.port() == RPC_PORT { default } else { 0 };
            Ok(Some((rpc.ip(), port).into()))
        }
        addr => {
            let wrong = |_| OptionError::Listen { name, text: addr.to_owned() };
            addr.parse().map(Some).map_err(wrong)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn addresses_are_told_or_follow_the_rpc() {
        let mut config = Config::default();
        let rpc = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let beside = config.gateway(rpc(RPC_PORT), true).unwrap();
        assert_eq!((beside.grpc, beside.rest), (Some(rpc(9090)), Some(rpc(1317))));
        assert!(beside.cors && !config.gateway(rpc(0), false).unwrap().cors);
        let other = config.gateway(rpc(30000), false).unwrap();
        assert_eq!((other.grpc, other.rest), (Some(rpc(0)), Some(rpc(0))));
        let elsewhere = config.gateway("127.0.0.9:26657".parse().unwrap(), false).unwrap();
        assert_eq!(elsewhere.grpc, Some("127.0.0.9:9090".parse().unwrap()));
        config.grpc.listen = "off".to_owned();
        config.rest.listen = "0.0.0.0:80".to_owned();
        let told = config.gateway(rpc(0), false).unwrap();
        assert_eq!((told.grpc, told.rest), (None, Some("0.0.0.0:80".parse().unwrap())));
        config.rest.listen = "everywhere".to_owned();
        let error = config.gateway(rpc(0), false).unwrap_err().to_string();
        assert_eq!(error, "rest.listen \"everywhere\" is no address; write IP:PORT, auto or off");
    }
}
