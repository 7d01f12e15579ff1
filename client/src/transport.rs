//! JSON-RPC over HTTP, with one POST for each call.

use std::io::Read;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tendermint_rpc::dialect::v0_38::Dialect;
use tendermint_rpc::request::{Request, SimpleRequest};
use ureq::Agent;

use crate::ClientError;

/// Time limit for opening a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Time limit of a call. `broadcast_tx_commit` waits for a block, so this is longer than nodes wait.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// Upper bound of an answer, in bytes. Blocks have at most 100 MiB, in base64 a third more.
const MAX_ANSWER_BYTES: u64 = 160 << 20;

/// Address of a node, and the connections to it.
#[derive(Clone, Debug)]
pub(crate) struct Transport {
    addr: String,
    agent: Agent,
    /// Time limit of a call.
    limit: Duration,
}

/// JSON-RPC response whose result is not yet decoded.
#[derive(Deserialize)]
struct Envelope {
    result: Option<Value>,
    error: Option<RpcFault>,
}

#[derive(Deserialize)]
struct RpcFault {
    code: i64,
    #[serde(default)]
    message: String,
    #[serde(default)]
    data: Value,
}

impl Transport {
    /// Creates a transport to `http://HOST:PORT`, `tcp://HOST:PORT` or `HOST:PORT`.
    pub(crate) fn new(url: &str) -> Result<Self, ClientError> {
        Self::with_timeout(url, CALL_TIMEOUT)
    }

    /// Creates a transport with a time limit for each call.
    pub(crate) fn with_timeout(url: &str, limit: Duration) -> Result<Self, ClientError> {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_connect(Some(CONNECT_TIMEOUT.min(limit)))
            .timeout_global(Some(limit))
            // Proxies in environment variables are for the web, not for the user's own node.
            .proxy(None)
            .build();
        Ok(Self { addr: address(url)?, agent: config.into(), limit })
    }

    /// Returns the node's address, `HOST:PORT`.
    pub(crate) fn addr(&self) -> &str {
        &self.addr
    }

    /// Makes a call with a [`SimpleRequest`] of `tendermint-rpc`.
    pub(crate) fn call<R: SimpleRequest<Dialect>>(
        &self,
        request: R,
    ) -> Result<R::Output, ClientError> {
        let method = request.method().to_string();
        let body = request.into_json();
        let result = self.post(&method, &body)?;
        let response = <R as Request<Dialect>>::Response::deserialize(result);
        response.map(Into::into).map_err(|error| self.malformed(&method, error.to_string()))
    }

    /// Makes a call for which `tendermint-rpc` has no type.
    pub(crate) fn call_json(&self, method: &str, params: Value) -> Result<Value, ClientError> {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        self.post(method, &body.to_string())
    }

    /// Posts `body`, a call of `method`, and returns its result.
    fn post(&self, method: &str, body: &str) -> Result<Value, ClientError> {
        let unreachable = |error: ureq::Error| self.transport_fault(method, &error);
        let request = self
            .agent
            .post(format!("http://{}/", self.addr))
            .header("content-type", "application/json");
        let mut response = request.send(body).map_err(unreachable)?;
        let status = response.status();
        let mut text = Vec::new();
        let mut reader = response.body_mut().as_reader().take(MAX_ANSWER_BYTES + 1);
        reader.read_to_end(&mut text).map_err(|error| self.malformed(method, error.to_string()))?;
        if text.len() as u64 > MAX_ANSWER_BYTES {
            return Err(
                self.malformed(method, format!("it has more than {MAX_ANSWER_BYTES} bytes"))
            );
        }
        let envelope: Envelope = serde_json::from_slice(&text).map_err(|error| {
            self.malformed(method, format!("HTTP status {status}, body is no JSON-RPC: {error}"))
        })?;
        match envelope {
            Envelope { error: Some(fault), .. } => Err(fault.of(method)),
            Envelope { result: Some(result), .. } => Ok(result),
            Envelope { .. } => {
                Err(self.malformed(method, "it has neither result nor error".to_owned()))
            }
        }
    }

    fn transport_fault(&self, method: &str, error: &ureq::Error) -> ClientError {
        use ureq::Error::{ConnectionFailed, HostNotFound, Io, Timeout};
        match error {
            Timeout(ureq::Timeout::Connect) | ConnectionFailed | HostNotFound | Io(_) => {
                ClientError::Unreachable { addr: self.addr.clone(), why: error.to_string() }
            }
            Timeout(_) => {
                ClientError::Timeout { what: format!("the answer to {method}"), waited: self.limit }
            }
            other => self.malformed(method, other.to_string()),
        }
    }

    fn malformed(&self, method: &str, why: String) -> ClientError {
        ClientError::Malformed { addr: self.addr.clone(), method: method.to_owned(), why }
    }
}

impl RpcFault {
    fn of(self, method: &str) -> ClientError {
        let data = match self.data {
            Value::String(text) => text,
            Value::Null => String::new(),
            other => other.to_string(),
        };
        ClientError::Rpc { method: method.to_owned(), code: self.code, message: self.message, data }
    }
}

/// Returns the `HOST:PORT` of a URL.
fn address(url: &str) -> Result<String, ClientError> {
    let fault = |why| ClientError::Url { url: url.to_owned(), why };
    let rest = match url.split_once("://") {
        Some(("http" | "tcp" | "ws", rest)) => rest,
        Some(("https" | "wss", _)) => return Err(fault("TLS is not built in; use a local proxy")),
        Some(_) => return Err(fault("the scheme is neither http nor tcp")),
        None => url,
    };
    let addr = rest.strip_suffix('/').unwrap_or(rest);
    let Some((host, port)) = addr.rsplit_once(':') else { return Err(fault("it has no port")) };
    if host.is_empty() || host.contains(['/', '@', '?', '#', ' ']) {
        return Err(fault("it has no host"));
    }
    port.parse::<u16>().map_err(|_| fault("its port is not a number up to 65535"))?;
    Ok(addr.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_nodes_are_understood_and_others_named() {
        for url in ["http://127.0.0.1:26657", "tcp://127.0.0.1:26657/", "127.0.0.1:26657"] {
            assert_eq!(address(url).unwrap(), "127.0.0.1:26657");
        }
        assert_eq!(address("http://[::1]:1").unwrap(), "[::1]:1");
        for (url, why) in [
            ("https://a:1", "TLS"),
            ("ftp://a:1", "scheme"),
            ("http://a", "port"),
            ("http://:1", "host"),
            ("http://a:70000", "port"),
            ("http://a/b:1", "host"),
            ("", "port"),
        ] {
            let error = address(url).unwrap_err().to_string();
            assert!(error.contains(why), "{url}: {error}");
        }
    }

    #[test]
    fn a_node_that_is_not_there_is_named_with_advice() {
        // The port was free a moment ago and nothing listens on it.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let transport = Transport::new(&format!("127.0.0.1:{port}")).unwrap();
        let error = transport.call(tendermint_rpc::endpoint::status::Request).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, ClientError::Unreachable { .. }), "{text}");
        assert!(
            text.contains(&port.to_string()) && text.contains("is `capstan dev` running?"),
            "{text}"
        );
    }

    #[test]
    fn something_else_than_a_node_is_named() {
        use std::io::Write;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).unwrap();
            stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 5\r\nconnection: close\r\n\r\nnope!").unwrap();
        });
        let error = Transport::new(&addr.to_string())
            .unwrap()
            .call(tendermint_rpc::endpoint::status::Request)
            .unwrap_err();
        server.join().unwrap();
        assert!(
            matches!(&error, ClientError::Malformed { method, .. } if method == "status"),
            "{error}"
        );
        assert!(error.to_string().contains("404"), "{error}");
    }
}
