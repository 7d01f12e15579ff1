//! JSON-RPC over a WebSocket: all methods, and subscriptions to events.

use std::sync::Arc;

use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;

use super::call::{self, Answer, Request, RpcError, WEBSOCKET_METHODS};
use super::context::{Committed, RpcContext};
use super::http::{Shared, answer_json, json_response};
use super::params::Params;
use crate::chain::query::Query;

/// Maximum number of calls of one connection that run at a time. Further ones wait unread.
const CALLS_IN_FLIGHT: usize = 16;

/// Accepts a connection unless there are too many.
pub(crate) async fn upgrade(State(shared): State<Shared>, upgrade: WebSocketUpgrade) -> Response {
    let Ok(permit) = Arc::clone(&shared.websockets).try_acquire_owned() else {
        let most = shared.node.limits.max_websockets;
        let error = RpcError::server(format!(
            "there are {most} WebSocket connections already; try again later"
        ));
        return json_response(
            StatusCode::SERVICE_UNAVAILABLE,
            &call::response(&json!(-1), Err(error)),
        );
    };
    let limit = shared.node.limits.max_body_bytes;
    upgrade.max_message_size(limit).max_frame_size(limit).on_upgrade(move |socket| async move {
        // A connection that breaks is its client's business.
        let _ = Session::new(shared.node).run(socket).await;
        drop(permit);
    })
}

/// The state of one connection.
struct Session {
    node: Arc<RpcContext>,
    subscriptions: Vec<Subscription>,
    calls: JoinSet<Option<Value>>,
}

struct Subscription {
    id: Value,
    query: Query,
}

impl Session {
    fn new(node: Arc<RpcContext>) -> Self {
        Self { node, subscriptions: Vec::new(), calls: JoinSet::new() }
    }

    async fn run(mut self, mut socket: WebSocket) -> Result<(), axum::Error> {
        let mut blocks = self.node.feed.subscribe();
        loop {
            let answers = tokio::select! {
                message = socket.recv(), if self.calls.len() < CALLS_IN_FLIGHT => match message {
                    None | Some(Ok(Message::Close(_))) => return Ok(()),
                    Some(message) => self.receive(message?),
                },
                Some(done) = self.calls.join_next() => done.ok().flatten().into_iter().collect(),
                block = blocks.recv() => match block {
                    Ok(block) => self.events(&block),
                    Err(RecvError::Lagged(_)) => self.cancel_all(),
                    Err(RecvError::Closed) => return Ok(()),
                },
            };
            for answer in answers {
                socket.send(Message::Text(answer.to_string().into())).await?;
            }
        }
    }

    /// Handles a message. Returns the answers that are ready at once.
    fn receive(&mut self, message: Message) -> Vec<Value> {
        let text = match &message {
            Message::Text(text) => text.as_bytes(),
            Message::Binary(bytes) => bytes.as_ref(),
            _ => return Vec::new(),
        };
        let value: Value = match serde_json::from_slice(text) {
            Ok(value) => value,
            Err(error) => {
                let error = RpcError::parse(format!("error unmarshaling request: {error}"));
                return vec![call::response(&json!(-1), Err(error))];
            }
        };
        if let Ok(request) = Request::parse(&value)
            && let Some(names) = call::arguments_of(WEBSOCKET_METHODS, &request.method)
        {
            let id = request.id.unwrap_or_default();
            let params = Params::from_json(request.params, names);
            let answer = params.and_then(|params| self.manage(&request.method, &id, &params));
            return vec![call::response(&id, answer)];
        }
        let node = Arc::clone(&self.node);
        self.calls.spawn(async move { answer_json(&node, value).await });
        Vec::new()
    }

    /// The three methods about subscriptions.
    fn manage(&mut self, method: &str, id: &Value, params: &Params) -> Answer {
        if method == "unsubscribe_all" {
            self.subscriptions.clear();
            return Ok(json!({}));
        }
        let query = Query::parse(&params.text("query")?)?;
        let known = self.subscriptions.iter().position(|subscription| subscription.query == query);
        if method == "unsubscribe" {
            let known = known.ok_or_else(|| RpcError::internal("subscription not found"))?;
            self.subscriptions.remove(known);
            return Ok(json!({}));
        }
        if known.is_some() {
            return Err(RpcError::internal("already subscribed"));
        }
        let most = self.node.limits.max_subscriptions;
        if self.subscriptions.len() >= most {
            return Err(RpcError::internal(format!("max_subscriptions_per_client {most} reached")));
        }
        self.subscriptions.push(Subscription { id: id.clone(), query });
        Ok(json!({}))
    }

    /// Returns the messages that the subscriptions get about a block.
    fn events(&self, block: &Committed) -> Vec<Value> {
        if self.subscriptions.is_empty() {
            return Vec::new();
        }
        let mut messages = Vec::new();
        for event in block.events() {
            for subscription in self
                .subscriptions
                .iter()
                .filter(|subscription| subscription.query.matches(&event.map))
            {
                let result = json!({"query": subscription.query.text(), "data": event.data, "events": event.map});
                messages.push(call::response(&subscription.id, Ok(result)));
            }
        }
        messages
    }

    /// Ends the subscriptions of a client that reads too slowly.
    fn cancel_all(&mut self) -> Vec<Value> {
        let reason =
            "subscription was canceled (reason: client is not pulling messages fast enough)";
        let cancelled = std::mem::take(&mut self.subscriptions);
        cancelled
            .iter()
            .map(|subscription| call::response(&subscription.id, Err(RpcError::server(reason))))
            .collect()
    }
}
