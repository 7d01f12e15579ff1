//! Addresses of nodes. A number needs no look-up: `ureq` starts a thread for each request to look one up in time.

use std::net::SocketAddr;

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// Reads addresses that are numbers, and looks up names.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    names: DefaultResolver,
}

impl Resolver for Addresses {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let number = uri.authority().and_then(|host| host.as_str().parse::<SocketAddr>().ok());
        let Some(number) = number else { return self.names.resolve(uri, config, timeout) };
        let mut found = self.empty();
        found.push(number);
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn resolved(uri: &str) -> Vec<String> {
        let timeout = NextTimeout {
            after: Duration::from_secs(5).into(),
            reason: ureq::Timeout::Resolve,
            per_read: None,
            per_write: None,
        };
        let uri = uri.parse().unwrap();
        let found = Addresses::default().resolve(&uri, &Config::default(), timeout).unwrap();
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn numbers_are_read_and_names_looked_up() {
        assert_eq!(resolved("http://127.0.0.1:26657/"), ["127.0.0.1:26657"]);
        assert_eq!(resolved("http://[::1]:1/"), ["[::1]:1"]);
        let local = resolved("http://localhost:26657/");
        assert!(
            local.iter().any(|found| ["127.0.0.1:26657", "[::1]:26657"].contains(&found.as_str())),
            "{local:?}"
        );
    }
}
