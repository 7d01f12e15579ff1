//! JSON-RPC over HTTP, with one POST for each call.

use std::io::Read;
use std::time::Duration;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tendermint_rpc::dialect::v0_38::Dialect;
use tendermint_rpc::request::SimpleRequest;
use ureq::Agent;
use ureq::unversioned::transport::DefaultConnector;

use crate::ClientError;
use crate::resolver::Addresses;

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

/// Calls in one POST. CometBFT takes ten unless its operator allows more.
pub(crate) const BATCH: usize = 10;

/// Bytes of the calls in one POST, unless one alone has more. Nodes have room for one largest transaction and 64 KiB.
const BATCH_BYTES: usize = 60 << 10;

/// JSON-RPC request. Answers of a batch are matched by its number.
#[derive(Serialize)]
struct Call<'a, P> {
    jsonrpc: &'static str,
    id: usize,
    method: &'a str,
    params: P,
}

/// JSON-RPC response.
#[derive(Deserialize)]
struct Envelope<T> {
    #[serde(default)]
    id: Value,
    result: Option<T>,
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
        let agent = Agent::with_parts(config, DefaultConnector::default(), Addresses::default());
        Ok(Self { addr: address(url)?, agent, limit })
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
        self.call_typed::<_, R::Response>(&method, request).map(Into::into)
    }

    /// Makes calls of one method, up to ten in each POST. The answers are in the order of `requests`.
    pub(crate) fn call_all<R: SimpleRequest<Dialect>>(
        &self,
        requests: Vec<R>,
    ) -> Result<Vec<Result<R::Output, ClientError>>, ClientError> {
        let mut answers = Vec::with_capacity(requests.len());
        let Some(method) = requests.first().map(|request| request.method().to_string()) else {
            return Ok(answers);
        };
        let mut calls: Vec<String> = Vec::new();
        for request in &requests {
            let json = |id| json_of(&method, &call(id, &method, request));
            let mut next = json(calls.len())?;
            let bytes = calls.iter().map(String::len).sum::<usize>() + next.len();
            if calls.len() == BATCH || (!calls.is_empty() && bytes > BATCH_BYTES) {
                answers.extend(self.post_all::<R>(&method, &calls)?);
                calls.clear();
                next = json(0)?;
            }
            calls.push(next);
        }
        answers.extend(self.post_all::<R>(&method, &calls)?);
        Ok(answers)
    }

    fn post_all<R: SimpleRequest<Dialect>>(
        &self,
        method: &str,
        calls: &[String],
    ) -> Result<Vec<Result<R::Output, ClientError>>, ClientError> {
        // CometBFT answers a batch of one call with an object instead of a list.
        if let [call] = calls {
            let answer = self.post(method, call)?;
            let envelope = self.read::<Envelope<R::Response>>(method, &answer)?;
            return Ok(vec![self.result(method, envelope).map(Into::into)]);
        }
        let answer = self.post(method, &format!("[{}]", calls.join(",")))?;
        self.answers::<R>(method, &answer, calls.len())
    }

    /// Makes a call for which `tendermint-rpc` has no type.
    pub(crate) fn call_json(&self, method: &str, params: Value) -> Result<Value, ClientError> {
        self.call_typed(method, params)
    }

    fn call_typed<P: Serialize, T: DeserializeOwned>(
        &self,
        method: &str,
        params: P,
    ) -> Result<T, ClientError> {
        let answer = self.post(method, &json_of(method, &call(1, method, params))?)?;
        let envelope = self.read::<Envelope<T>>(method, &answer)?;
        self.result(method, envelope)
    }

    /// Puts the answers to a batch of `count` calls in order.
    fn answers<R: SimpleRequest<Dialect>>(
        &self,
        method: &str,
        answer: &Answer,
        count: usize,
    ) -> Result<Vec<Result<R::Output, ClientError>>, ClientError> {
        let mut found: Vec<Option<Envelope<R::Response>>> = (0..count).map(|_| None).collect();
        for envelope in self.read::<Vec<Envelope<R::Response>>>(method, answer)? {
            let id = envelope.id.as_u64().and_then(|id| usize::try_from(id).ok());
            let place = id.and_then(|id| found.get_mut(id)).filter(|place| place.is_none());
            *place
                .ok_or_else(|| self.malformed(method, "an id is none of the batch".to_owned()))? =
                Some(envelope);
        }
        let envelope = |place: Option<_>| {
            place.ok_or_else(|| {
                self.malformed(method, "a call of the batch has no answer".to_owned())
            })
        };
        let found: Vec<_> = found.into_iter().map(envelope).collect::<Result<_, _>>()?;
        let result = |envelope| self.result(method, envelope).map(Into::into);
        Ok(found.into_iter().map(result).collect())
    }

    /// Posts `body`, a call of `method` or several.
    fn post(&self, method: &str, body: &str) -> Result<Answer, ClientError> {
        let unreachable = |error: ureq::Error| self.transport_fault(method, &error);
        let request = self
            .agent
            .post(format!("http://{}/", self.addr))
            .header("content-type", "application/json");
        let mut response = request.send(body).map_err(unreachable)?;
        let status = response.status().as_u16();
        let mut text = Vec::new();
        let mut reader = response.body_mut().as_reader().take(MAX_ANSWER_BYTES + 1);
        reader.read_to_end(&mut text).map_err(|error| self.malformed(method, error.to_string()))?;
        if text.len() as u64 > MAX_ANSWER_BYTES {
            return Err(
                self.malformed(method, format!("it has more than {MAX_ANSWER_BYTES} bytes"))
            );
        }
        Ok(Answer { status, text })
    }

    /// Decodes the answer to a call or to a batch. A single error can be the answer to a whole batch.
    fn read<T: DeserializeOwned>(&self, method: &str, answer: &Answer) -> Result<T, ClientError> {
        let Answer { status, text } = answer;
        let error = match serde_json::from_slice::<T>(text) {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        match serde_json::from_slice::<Envelope<IgnoredAny>>(text) {
            Ok(Envelope { error: Some(fault), .. }) => Err(fault.of(method)),
            Ok(_) => Err(self.malformed(method, error.to_string())),
            Err(_) if text.starts_with(b"[") => Err(self.malformed(method, error.to_string())),
            Err(error) => Err(self
                .malformed(method, format!("HTTP status {status}, body is no JSON-RPC: {error}"))),
        }
    }

    fn result<T>(&self, method: &str, envelope: Envelope<T>) -> Result<T, ClientError> {
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

/// HTTP status of an answer, and its body.
struct Answer {
    status: u16,
    text: Vec<u8>,
}

fn call<P>(id: usize, method: &str, params: P) -> Call<'_, P> {
    Call { jsonrpc: "2.0", id, method, params }
}

fn json_of(method: &str, calls: &impl Serialize) -> Result<String, ClientError> {
    serde_json::to_string(calls)
        .map_err(|error| ClientError::Request { method: method.to_owned(), why: error.to_string() })
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

    /// Answers a request for each of `bodies`.
    fn serve(bodies: Vec<String>) -> (Transport, std::thread::JoinHandle<()>) {
        use std::io::{BufRead, BufReader, Write};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let transport = Transport::new(&listener.local_addr().unwrap().to_string()).unwrap();
        let server = std::thread::spawn(move || {
            for body in bodies {
                let mut stream = BufReader::new(listener.accept().unwrap().0);
                let (mut line, mut length) = (String::new(), 0);
                while stream.read_line(&mut line).unwrap() > 2 {
                    let name = line.to_ascii_lowercase();
                    if let Some(value) = name.strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap();
                    }
                    line.clear();
                }
                stream.read_exact(&mut vec![0; length]).unwrap();
                write!(
                    stream.get_mut(),
                    "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                )
                .unwrap();
            }
        });
        (transport, server)
    }

    #[test]
    fn answers_to_a_batch_are_matched_by_their_ids() {
        use tendermint_rpc::endpoint::health::Request;
        let ok = |id: u8| format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#);
        let fault = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"no","data":"x"}}"#;
        let first = (0..10).rev().map(|id| if id == 1 { fault.to_owned() } else { ok(id) });
        let first = format!("[{}]", first.collect::<Vec<_>>().join(","));
        let (transport, server) = serve(vec![first, ok(0)]);
        let answers = transport.call_all(vec![Request; 11]).unwrap();
        server.join().unwrap();
        let is_ok: Vec<bool> = answers.iter().map(Result::is_ok).collect();
        assert_eq!(is_ok, (0..11).map(|id| id != 1).collect::<Vec<_>>());
        for (body, why) in [
            (format!("[{}]", ok(0)), "a call of the batch has no answer"),
            (format!("[{},{}]", ok(0), ok(0)), "an id is none of the batch"),
            (format!("[{},{}]", ok(0), ok(2)), "an id is none of the batch"),
            (ok(0), "invalid type: map"),
            ("[1,2]".to_owned(), "invalid type: integer"),
            ("nothing".to_owned(), "body is no JSON-RPC"),
            (fault.to_owned(), "failed: no: x"),
        ] {
            let (transport, server) = serve(vec![body.clone()]);
            let error = transport.call_all(vec![Request; 2]).unwrap_err().to_string();
            server.join().unwrap();
            assert!(error.contains(why), "{body}: {error}");
        }
    }

    #[test]
    fn calls_that_are_large_together_go_in_requests_of_their_own() {
        use tendermint_rpc::endpoint::broadcast::tx_sync::Request;
        let fault =
            |id: u8| format!(r#"{{"id":{id},"error":{{"code":{id},"message":"no","data":"x"}}}}"#);
        let sizes = [40_000, 40_000, 10, 20];
        let bodies = vec![fault(0), format!("[{},{},{}]", fault(2), fault(1), fault(0))];
        let (transport, server) = serve(bodies);
        let requests = sizes.map(|size| Request::new(vec![0; size])).to_vec();
        let answers = transport.call_all(requests).unwrap();
        server.join().unwrap();
        let codes: Vec<_> = answers
            .into_iter()
            .map(|answer| match answer.unwrap_err() {
                ClientError::Rpc { code, .. } => code,
                error => panic!("{error}"),
            })
            .collect();
        assert_eq!(codes, [0, 0, 1, 2]);
    }
}
