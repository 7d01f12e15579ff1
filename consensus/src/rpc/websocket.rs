//! JSON-RPC over a WebSocket: all methods, and subscriptions to events.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Extension, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::call::{self, Answer, Form, Outcome};
use super::context::{BUS_BLOCKS, Committed, RpcContext};
use super::error::RpcError;
use super::http::{Shared, json_response};
use super::methods::{Method, WEBSOCKET_METHODS};
use super::outgoing::{Outgoing, Subscription};
use super::params::Params;
use super::request::{Request, response, without_id};
use super::{body, index};
use crate::chain::query::{Query, QueryError};
use crate::listen::{Call, Counted};

/// Maximum number of calls of one connection that run at a time. Further ones wait unread. As in CometBFT, answers come
/// in the order of the calls.
const CALLS_IN_FLIGHT: usize = 1;

/// Accepts a connection unless there are too many.
pub(crate) async fn upgrade(
    State(shared): State<Shared>,
    Extension(call): Extension<Call>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let Ok(upgrade) = upgrade else {
        let mut response = index::plain(StatusCode::BAD_REQUEST, "Bad Request\n");
        response
            .headers_mut()
            .insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        return response;
    };
    let Some(place) = shared.sessions.enter(call.address()) else {
        shared.node.usage.refuse();
        let error = RpcError::server(format!(
            "there are {} WebSocket connections already, or {} of your address; try again later",
            shared.sessions.most, shared.sessions.of_address
        ));
        return json_response(StatusCode::SERVICE_UNAVAILABLE, &without_id(Err(error)));
    };
    let limit = shared.node.limits.websocket_message_bytes();
    upgrade.max_message_size(limit).max_frame_size(limit).on_upgrade(move |socket| async move {
        let _open = Counted::new(&shared.node.usage.websockets, 1);
        let leave = async || {
            tokio::select! {
                () = place.must_leave() => {}
                () = call.must_leave() => {}
            }
        };
        let ended = tokio::select! {
            ended = Session::run(Arc::clone(&shared.node), call.clone(), socket) => ended,
            // Others need its place, its connection, or the memory that it holds.
            () = leave() => End::Client,
        };
        if ended == End::Client {
            shared.node.usage.drop_client();
        }
        drop(place);
    })
}

/// The reason why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The connection was closed, or the node stops.
    Closed,
    /// The client read too slowly, or gave no sign of life.
    Client,
}

/// The state of one connection.
struct Session {
    node: Arc<RpcContext>,
    /// The request that began the session. While it exists, the connection makes no room for another one.
    by: Call,
    subscriptions: Vec<Arc<Subscription>>,
    counted: Counted,
    calls: JoinSet<String>,
    outgoing: Outgoing,
    /// The last time that anything came from the client.
    heard: Instant,
}

impl Session {
    async fn run(node: Arc<RpcContext>, by: Call, socket: WebSocket) -> End {
        let (sink, mut messages) = socket.split();
        let mut blocks = node.feed.subscribe();
        let mut pings = tokio::time::interval(ping_interval(node.limits.idle_timeout));
        let mut session = Self {
            subscriptions: Vec::new(),
            counted: Counted::new(&node.usage.subscriptions, 0),
            calls: JoinSet::new(),
            outgoing: Outgoing::start(sink, &node.usage.backlog),
            heard: Instant::now(),
            node,
            by,
        };
        let (mut heads, sent) = (session.node.feed.watch(), session.outgoing.sent());
        loop {
            let end = tokio::select! {
                message = messages.next(), if session.has_room() => match message {
                    None | Some(Ok(Message::Close(_)) | Err(_)) => Some(End::Closed),
                    Some(Ok(message)) => session.receive(&message),
                },
                Some(done) = session.calls.join_next() => done.ok().and_then(|text| session.send(text)),
                block = blocks.recv(), if session.is_in_time() => match block {
                    Ok(block) => session.publish(&block),
                    Err(RecvError::Lagged(_)) => Some(End::Client),
                    Err(RecvError::Closed) => Some(End::Closed),
                },
                () = sent.notified(), if !session.is_in_time() => None,
                changed = heads.changed() => match changed {
                    Ok(()) => session.judge(blocks.len()),
                    Err(_) => Some(End::Closed),
                },
                _ = pings.tick() => session.ping(),
            };
            if let Some(end) = end {
                return end;
            }
        }
    }

    /// Returns whether another call may be read. A client that does not read its answers is not read either.
    fn has_room(&self) -> bool {
        self.calls.len() < CALLS_IN_FLIGHT && self.is_in_time()
    }

    /// Returns whether the client has read so much that the next block's events may wait for it. Until then the block
    /// waits with those of all other sessions.
    fn is_in_time(&self) -> bool {
        self.outgoing.backlog() <= self.node.limits.max_backlog_bytes
    }

    /// Ends the session if so many blocks wait for a client that is behind.
    fn judge(&self, blocks: usize) -> Option<End> {
        (!self.is_in_time() && blocks >= BUS_BLOCKS).then_some(End::Client)
    }

    /// Handles a message.
    fn receive(&mut self, message: &Message) -> Option<End> {
        self.heard = Instant::now();
        let text = match message {
            Message::Text(text) => text.as_bytes(),
            Message::Binary(bytes) => bytes.as_ref(),
            _ => return None,
        };
        let parsed = body::parse(text, 1, Form::WebSocket)
            .and_then(|value| Request::parse(value).map_err(|why| RpcError::parse(&why)));
        let request = match parsed {
            Ok(Some(request)) => request,
            Ok(None) => return None,
            Err(error) => return self.send(response(None, Err(error)).to_string()),
        };
        if let Some(method) = Method::find(WEBSOCKET_METHODS, &request.method) {
            let answer = match call::arguments(method, request.params.as_ref(), Form::WebSocket) {
                Ok(Some(params)) => self.manage(method.name, &request.id, &params),
                Ok(None) => {
                    let error = call::too_few(Form::WebSocket);
                    return self.send(without_id(Err(error)).to_string());
                }
                Err(error) => Err(error),
            };
            self.counted.set(self.subscriptions.len());
            return self.send(response(Some(&request.id), answer).to_string());
        }
        let node = Arc::clone(&self.node);
        // The call holds what it was given until it is answered.
        let Some(reserved) = self.by.reserve(text.len()) else { return self.busy() };
        self.calls.spawn(async move {
            let mut room = node.limits.max_answer_bytes;
            let answer = match call::answer(&node, request, Form::WebSocket, &mut room).await {
                Outcome::Answered(text, _) => text,
                Outcome::Failed(error) => without_id(Err(error)).to_string(),
            };
            drop(reserved);
            answer
        });
        None
    }

    /// The three methods about subscriptions.
    fn manage(&mut self, method: &str, id: &Value, params: &Params) -> Answer {
        if method == "unsubscribe_all" {
            if self.subscriptions.is_empty() {
                return Err(RpcError::internal("subscription not found"));
            }
            self.subscriptions.clear();
            return Ok(json!({}));
        }
        let most = self.node.limits.max_subscriptions;
        if method == "subscribe" && self.subscriptions.len() >= most {
            self.node.usage.refuse();
            return Err(RpcError::internal(format!("max_subscriptions_per_client {most} reached")));
        }
        let query = Query::parse(params.text("query")).map_err(|error| {
            RpcError::internal(match error {
                QueryError::TooLong => error.to_string(),
                QueryError::Syntax(why) => format!("failed to parse query: {why}"),
            })
        })?;
        let known = self.subscriptions.iter().position(|subscription| subscription.query == query);
        if method == "unsubscribe" {
            let known = known.ok_or_else(|| RpcError::internal("subscription not found"))?;
            self.subscriptions.remove(known);
            return Ok(json!({}));
        }
        if known.is_some() {
            return Err(RpcError::internal("already subscribed"));
        }
        self.subscriptions.push(Arc::new(Subscription { id: id.clone(), query }));
        Ok(json!({}))
    }

    /// Sends an answer, if there is room for it.
    fn send(&self, text: String) -> Option<End> {
        if let Some(reserved) = self.by.reserve(text.len()) {
            self.outgoing.answer(text, reserved);
            return None;
        }
        self.busy()
    }

    /// Tells the client that there is no memory for its call or the answer.
    fn busy(&self) -> Option<End> {
        self.node.usage.refuse();
        let error = RpcError::busy(self.node.limits.max_pending_bytes);
        let text = without_id(Err(error)).to_string();
        // Without room even for this, the client waits for too much.
        match self.by.reserve(text.len()) {
            Some(reserved) => self.outgoing.answer(text, reserved),
            None => return Some(End::Client),
        }
        None
    }

    /// Sends the events of a block to the subscriptions that they match.
    fn publish(&self, block: &Arc<Committed>) -> Option<End> {
        if self.outgoing.is_closed() {
            return Some(End::Closed);
        }
        if self.subscriptions.is_empty() {
            return None;
        }
        for (index, event) in block.events().iter().enumerate() {
            let matching = self.subscriptions.iter().filter(|to| to.query.matches(&event.map));
            matching.for_each(|to| self.outgoing.event(block, index, to));
        }
        None
    }

    /// Asks for a sign of life. Ends the session if there was none for too long.
    fn ping(&self) -> Option<End> {
        if self.outgoing.is_closed() {
            return Some(End::Client);
        }
        // A client that is not read cannot show that it lives. It is judged by what it reads.
        if self.has_room() && self.heard.elapsed() > self.node.limits.idle_timeout {
            return Some(End::Client);
        }
        if self.outgoing.backlog() == 0 {
            self.outgoing.ping();
        }
        None
    }
}

/// Returns the time between two pings: a client can miss one of them.
fn ping_interval(idle_timeout: Duration) -> Duration {
    (idle_timeout / 3).max(Duration::from_millis(10))
}
