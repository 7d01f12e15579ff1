//! Calls by path, for both protocols.

use std::sync::Arc;
use std::time::Duration;

use capstan_consensus::listen::Reserved;
use prost_reflect::DescriptorPool;
use tendermint_proto::v0_38::abci::RequestQuery;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tonic::Status;

use crate::node::Node;
use crate::reply::Reply;
use crate::{service, status};

/// Time for which a search waits for its turn.
const SEARCH_WAIT: Duration = Duration::from_secs(10);

/// What answers calls.
pub(crate) struct Backend {
    pub(crate) node: Node,
    pub(crate) pool: DescriptorPool,
    /// Permits of running calls. The work holds one to its end, also if its caller has left.
    pub(crate) running: Arc<Semaphore>,
    /// Permits of searches, which can take long: they leave turns to other calls.
    pub(crate) searching: Arc<Semaphore>,
    pub(crate) max_answer_bytes: usize,
}

impl Backend {
    /// Calls the method at `path` with an encoded request, whose part of the budget is held as long as the call runs.
    /// `height` is that of the state, 0 for the last one.
    ///
    /// # Errors
    /// The [`Status`] of the call.
    pub(crate) async fn call(
        self: &Arc<Self>,
        path: &str,
        request: Vec<u8>,
        height: i64,
        reserved: Reserved,
    ) -> Result<Reply, Status> {
        self.known(path)?;
        let search = self.turn(path).await?;
        let (backend, path) = (Arc::clone(self), path.to_owned());
        let work = move || {
            let reply = backend.call_now(&path, request, height);
            drop((reserved, search));
            reply
        };
        let reply = self.run(work).await?;
        match reply.value.len() <= self.max_answer_bytes {
            true => Ok(reply),
            false => Err(status::too_large(self.max_answer_bytes)),
        }
    }

    /// Waits for the turn of a search. Other calls have none.
    async fn turn(&self, path: &str) -> Result<Option<OwnedSemaphorePermit>, Status> {
        if !service::is_search(path) {
            return Ok(None);
        }
        let permit = timeout(SEARCH_WAIT, Arc::clone(&self.searching).acquire_owned()).await;
        permit
            .map(Result::ok)
            .map_err(|_| Status::resource_exhausted("max_searches are under way: try again later"))
    }

    /// Does work that blocks or takes long, when its turn comes. Asynchronous threads must not wait for it.
    ///
    /// # Errors
    /// Those of the work, and [`Status::unavailable`] when the node stops.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Status> + Send + 'static,
    ) -> Result<T, Status> {
        let stopping = |_| Status::unavailable("the node is shutting down");
        let permit = Arc::clone(&self.running).acquire_owned().await.map_err(|_| stopping(()))?;
        let work = move || {
            let _permit = permit;
            work()
        };
        tokio::task::spawn_blocking(work).await.map_err(|error| match error.is_panic() {
            true => Status::internal("the call failed by a bug of the node"),
            false => stopping(()),
        })?
    }

    /// Returns an error if no descriptor has the method.
    fn known(&self, path: &str) -> Result<(), Status> {
        let unknown = |what: &str| Status::unimplemented(status::shortened(what));
        let (service, method) = path
            .strip_prefix('/')
            .and_then(|path| path.split_once('/'))
            .ok_or_else(|| unknown("a method's path is /package.Service/Method"))?;
        let service = self
            .pool
            .get_service_by_name(service)
            .ok_or_else(|| unknown(&format!("unknown service {service}")))?;
        match service.methods().any(|known| known.name() == method) {
            true => Ok(()),
            false => Err(unknown(&format!(
                "unknown method {method} for service {}",
                service.full_name()
            ))),
        }
    }

    fn call_now(&self, path: &str, request: Vec<u8>, height: i64) -> Result<Reply, Status> {
        if let Some(reply) = service::call(&self.node, path, &request) {
            return reply;
        }
        let (path, data) = (path.to_owned(), request.into());
        let answer = (self.node.query)(RequestQuery { path, data, height, prove: false });
        let height = answer.height;
        status::of_answer(answer).map(|value| Reply { value, height, cut_at: None })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn work_holds_its_permit_after_its_caller_has_left() {
        let node = Node { query: Arc::new(|_| panic!()), rpc: Arc::new(|_, _| panic!()) };
        let backend = Arc::new(Backend {
            node,
            pool: DescriptorPool::new(),
            running: Arc::new(Semaphore::new(1)),
            searching: Arc::new(Semaphore::new(1)),
            max_answer_bytes: 0,
        });
        let ((began, begins), (end, ended)) = (mpsc::channel(), mpsc::channel::<()>());
        let caller = Arc::clone(&backend);
        let work = move || {
            began.send(()).unwrap();
            ended.recv().unwrap();
            Ok(())
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
        let call = runtime.spawn(async move { caller.run(work).await });
        begins.recv().unwrap();
        call.abort();
        assert!(runtime.block_on(call).unwrap_err().is_cancelled());
        assert_eq!(backend.running.available_permits(), 0);
        end.send(()).unwrap();
        assert!(runtime.block_on(backend.running.acquire()).is_ok());
    }
}
