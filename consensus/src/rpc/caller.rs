//! Calls of the JSON-RPC's methods within the process, without HTTP.

use std::sync::Weak;

use serde_json::Value;
use tokio::runtime::Handle;

use super::call::{self, Rendered};
use super::context::RpcContext;
use super::error::RpcError;
use super::methods::{METHODS, Method};
use super::params::Params;

/// A handle that calls methods of the JSON-RPC. It does not keep the node running.
#[derive(Clone)]
pub struct Caller(pub(crate) Weak<RpcContext>);

impl std::fmt::Debug for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Caller").finish_non_exhaustive()
    }
}

impl Caller {
    /// Calls a method with its arguments as JSON-RPC has them. It blocks, and must run on a blocking thread of `runtime`.
    ///
    /// # Errors
    /// The text of the error that the JSON-RPC would answer.
    pub fn call(&self, runtime: &Handle, method: &str, params: Value) -> Result<Value, String> {
        let node = self.0.upgrade().ok_or("the node is shutting down")?;
        let known = Method::find(METHODS, method)
            .ok_or_else(|| format!("there is no method {method:?}"))?;
        let params = Params::from_json(&params, known.arguments)?;
        let answer = runtime.block_on(call::call(&node, known.name, params));
        answer.and_then(Rendered::into_tree).map_err(RpcError::text)
    }
}
