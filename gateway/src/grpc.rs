//! gRPC: calls of any method by its path, and server reflection.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use capstan_consensus::listen::{self, Call, Incoming, Streams, held};
use http_body::Frame;
use tonic::Status;

use crate::error::GatewayError;
use crate::reply::Reply;
use crate::shared::{Shared, height, tell};
use crate::status::busy;
use crate::{descriptors, status};

/// The content type of gRPC.
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
/// Bytes before a message: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;
/// Maximum size of a request for reflection, in bytes.
const MAX_REFLECTION_BYTES: usize = 16 << 10;

/// Returns the routes of gRPC.
pub(crate) fn router(shared: Arc<Shared>) -> Result<Router, GatewayError> {
    let files = descriptors::for_reflection(&shared.backend.pool);
    let refused =
        |error: tonic_reflection::server::Error| GatewayError::Reflection(error.to_string());
    let builder = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(files.as_slice())
    };
    let v1 = builder().build_v1().map_err(refused)?;
    let v1 = v1.max_decoding_message_size(MAX_REFLECTION_BYTES);
    let old = builder().build_v1alpha().map_err(refused)?;
    let old = old.max_decoding_message_size(MAX_REFLECTION_BYTES);
    let reflection = Router::new()
        .route_service("/grpc.reflection.v1.ServerReflection/{method}", v1)
        .route_service("/grpc.reflection.v1alpha.ServerReflection/{method}", old)
        .layer(middleware::from_fn(touch));
    Ok(Router::new().merge(reflection).fallback(unary).with_state(shared))
}

/// Reflection is a stream, which a client may leave open: it keeps no connection alive.
async fn touch(
    Extension(streams): Extension<Arc<Streams>>,
    request: Request,
    next: Next,
) -> Response {
    streams.touch();
    next.run(request).await
}

async fn unary(
    State(shared): State<Arc<Shared>>,
    Extension(streams): Extension<Arc<Streams>>,
    Extension(call): Extension<Call>,
    request: Request,
) -> Response {
    let stream = streams.begin();
    if !is_grpc(request.headers()) {
        return StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response();
    }
    let answered = answer(&shared, &call, request).await.and_then(|reply| {
        let most = reply.value.len() + PREFIX_BYTES;
        let reserved = call.reserve(most).ok_or_else(busy)?;
        stream.answer(most, shared.intake.idle);
        let bytes = held(framed(&reply.value), (reserved, stream));
        Ok((bytes, reply))
    });
    let counted = answered.as_ref().map(|_| ()).map_err(Status::code);
    shared.usage.grpc.called(counted);
    match answered {
        Ok((bytes, reply)) => response(bytes, &reply),
        Err(status) => status.into_http::<Body>(),
    }
}

async fn answer(shared: &Shared, call: &Call, request: Request) -> Result<Reply, Status> {
    let path = request.uri().path().to_owned();
    let height = height(request.headers())?;
    let incoming = listen::read(&shared.intake_of(&path), call, request).await;
    let Incoming { bytes, reserved } = incoming.map_err(|e| status::of_unread(&e))?;
    shared.backend.call(&path, message(bytes)?, height, reserved).await
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    content_type.is_some_and(|text| {
        text.strip_prefix("application/grpc")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', ';']))
    })
}

/// Returns the one message of a body.
fn message(mut body: Vec<u8>) -> Result<Vec<u8>, Status> {
    let Some((compressed, length)) = body.first().zip(body.get(1..PREFIX_BYTES)) else {
        return Err(Status::internal("the request has no message"));
    };
    if *compressed != 0 {
        return Err(Status::unimplemented("compressed requests are not taken"));
    }
    let length = length.iter().fold(0, |number, byte| number << 8 | usize::from(*byte));
    if body.len() - PREFIX_BYTES != length {
        return Err(Status::internal("the request is not one message of the announced length"));
    }
    body.drain(..PREFIX_BYTES);
    Ok(body)
}

fn framed(message: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(message.len() + PREFIX_BYTES);
    bytes.push(0);
    // An answer has fewer bytes than a number of 32 bits can tell: its limit is lower.
    bytes.extend_from_slice(&u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    bytes.extend_from_slice(message);
    bytes
}

fn response(bytes: Bytes, reply: &Reply) -> Response {
    let mut response = Response::new(Body::new(Unary { message: Some(bytes), is_done: false }));
    response.headers_mut().insert(header::CONTENT_TYPE, GRPC);
    tell(response.headers_mut(), reply);
    response
}

/// The body of a successful answer: a message, and the trailer that says so.
struct Unary {
    message: Option<Bytes>,
    is_done: bool,
}

impl http_body::Body for Unary {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Some(message) = self.message.take() {
            return Poll::Ready(Some(Ok(Frame::data(message))));
        }
        if std::mem::replace(&mut self.is_done, true) {
            return Poll::Ready(None);
        }
        let trailers = HeaderMap::from_iter([(
            header::HeaderName::from_static("grpc-status"),
            HeaderValue::from_static("0"),
        )]);
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_one_message_of_its_length() {
        assert_eq!(message(framed(b"abc")).unwrap(), b"abc");
        assert_eq!(message(framed(b"")).unwrap(), b"");
        for (body, part) in [
            (&b""[..], "no message"),
            (b"\0\0\0\0", "no message"),
            (b"\x01\0\0\0\0", "compressed"),
            (b"\0\0\0\0\x01", "announced length"),
            (b"\0\xff\xff\xff\xff", "announced length"),
            (b"\0\0\0\0\0x", "announced length"),
        ] {
            let status = message(body.to_vec()).unwrap_err();
            assert!(status.message().contains(part), "{body:?}: {status}");
        }
    }
}
