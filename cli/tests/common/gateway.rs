//! Clients of gRPC and REST.

use prost::Message;
use serde_json::Value;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};

use super::Dev;

/// Header with the height of a state.
pub const HEIGHT: &str = "x-cosmos-block-height";

/// A gRPC client that calls methods by their paths.
pub struct Grpc {
    runtime: tokio::runtime::Runtime,
    channel: Channel,
}

impl Grpc {
    pub fn connect(node: &Dev) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let url = format!("http://{}", node.ready["grpc"].as_str().unwrap());
        let channel = runtime.block_on(Endpoint::from_shared(url).unwrap().connect()).unwrap();
        Self { runtime, channel }
    }

    pub fn call<Q, A>(&self, path: &str, request: Q) -> Result<A, Status>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        Ok(self.ask(path, Request::new(request))?.into_inner())
    }

    /// Calls at a height. Returns the height that the answer carries, too.
    pub fn call_at<Q, A>(&self, path: &str, request: Q, height: &str) -> Result<(A, String), Status>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let mut request = Request::new(request);
        request.metadata_mut().insert(HEIGHT, height.parse().unwrap());
        let answer = self.ask(path, request)?;
        let told = answer.metadata().get(HEIGHT).unwrap().to_str().unwrap().to_owned();
        Ok((answer.into_inner(), told))
    }

    fn ask<Q, A>(&self, path: &str, request: Request<Q>) -> Result<Response<A>, Status>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let codec = tonic::codec::ProstCodec::<Q, A>::default();
        let mut client = tonic::client::Grpc::new(self.channel.clone());
        self.runtime.block_on(async {
            client.ready().await.unwrap();
            client.unary(request, path.parse().unwrap(), codec).await
        })
    }

    /// Lists the services by server reflection.
    pub fn services(&self) -> Vec<String> {
        use tonic_reflection::pb::v1::{
            ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
            server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
        };
        let message_request = Some(MessageRequest::ListServices(String::new()));
        let request = ServerReflectionRequest { host: String::new(), message_request };
        self.runtime.block_on(async {
            let mut client = ServerReflectionClient::new(self.channel.clone());
            let requests = tonic::codegen::tokio_stream::iter([request]);
            let mut answers = client.server_reflection_info(requests).await.unwrap().into_inner();
            let answer = answers.message().await.unwrap().unwrap().message_response.unwrap();
            let MessageResponse::ListServicesResponse(list) = answer else { panic!("{answer:?}") };
            list.service.into_iter().map(|service| service.name).collect()
        })
    }
}

/// The answer to a GET, which must succeed.
pub fn rest(node: &Dev, path: &str) -> Value {
    let (status, body) = rest_status(node, path);
    assert_eq!(status, 200, "{path}: {body}");
    body
}

pub fn rest_status(node: &Dev, path: &str) -> (u16, Value) {
    let mut answer = agent().get(format!("{}{path}", url(node))).call().unwrap();
    (answer.status().as_u16(), parsed(&answer.body_mut().read_to_string().unwrap()))
}

/// The answer to a GET at a height: the status, the height that it carries, and the body.
pub fn rest_at(node: &Dev, path: &str, height: &str) -> (u16, Option<String>, Value) {
    let request = agent().get(format!("{}{path}", url(node))).header(HEIGHT, height);
    let mut answer = request.call().unwrap();
    let told = answer.headers().get(HEIGHT).map(|told| told.to_str().unwrap().to_owned());
    let body = parsed(&answer.body_mut().read_to_string().unwrap());
    (answer.status().as_u16(), told, body)
}

pub fn rest_post(node: &Dev, path: &str, body: &str) -> (u16, Value) {
    let request = agent().post(format!("{}{path}", url(node)));
    let mut answer = request.content_type("application/json").send(body).unwrap();
    (answer.status().as_u16(), parsed(&answer.body_mut().read_to_string().unwrap()))
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn url(node: &Dev) -> &str {
    node.ready["rest"].as_str().unwrap()
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).build().into()
}
