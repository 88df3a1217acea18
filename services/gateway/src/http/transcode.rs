//! HTTP/JSON at the public door: turns a request into the very gRPC call that a gRPC
//! client would have made, and its answer back, so that keys, limits and deadlines have
//! one path. Never calls a service by another way than the door.

use std::{convert::Infallible, io::Read, sync::Arc};

use attune_errors::Fault;
use attune_rpc::{RequestId, metadata::REQUEST_ID};
use axum::body::Body;
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use futures::stream;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use prost_reflect::MessageDescriptor;
use tonic::Status;
use tower::{ServiceExt, util::BoxCloneSyncService};

use super::{
    encode,
    frames::{Frames, frame},
    json::Json,
    request,
    routes::{Lookup, Route, Routes},
    status,
};

/// Larger texts are read and written off the reactor: reading them takes milliseconds.
const INLINE_BYTES_MAX: usize = 32 << 10;

/// What goes along from the HTTP request; nothing else gets in.
const FORWARDED: [HeaderName; 8] = [
    header::AUTHORIZATION,
    header::USER_AGENT,
    HeaderName::from_static("grpc-timeout"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    HeaderName::from_static("baggage"),
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("sec-gpc"),
];

/// The door as this way in sees it.
pub type BoxedDoor =
    BoxCloneSyncService<Request<tonic::body::Body>, Response<tonic::body::Body>, Infallible>;

/// The service behind every path that is not gRPC's.
#[derive(Clone)]
pub struct Transcoder {
    routes: Arc<Routes>,
    door: BoxedDoor,
    body_bytes_max: usize,
}

impl Transcoder {
    pub fn new(routes: Arc<Routes>, door: BoxedDoor, body_bytes_max: usize) -> Self {
        Self {
            routes,
            door,
            body_bytes_max,
        }
    }

    /// Answers any request, with a failure if need be, and with the id by which the
    /// logs know it.
    pub async fn answer(&self, mut request: Request<Body>) -> Response<Body> {
        let headers = request.headers_mut();
        let sent = headers.get(&REQUEST_ID).filter(|id| is_fit(id));
        let id = match sent {
            Some(sent) => sent.clone(),
            None => {
                let made = HeaderValue::from_str(RequestId::mint().as_str());
                // An id is always visible ASCII.
                let made = made.unwrap_or_else(|_| HeaderValue::from_static("unknown"));
                headers.insert(&REQUEST_ID, made.clone());
                made
            }
        };
        let mut response = self.route(request).await;
        response.headers_mut().insert(&REQUEST_ID, id);
        response
    }

    async fn route(&self, request: Request<Body>) -> Response<Body> {
        let path = request.uri().path();
        let (route, texts) = match self.routes.find(request.method(), path) {
            Lookup::Found(route, texts) => (route.clone(), texts),
            Lookup::OtherVerbs(verbs) => {
                return status::other_verbs(request.method(), path, &verbs);
            }
            Lookup::Nothing => return status::no_such_path(path),
        };
        match self.call(&route, texts, request).await {
            Ok(response) => response,
            Err(failure) => status::response(&failure),
        }
    }

    async fn call(
        &self,
        route: &Arc<Route>,
        texts: Vec<String>,
        request: Request<Body>,
    ) -> Result<Response<Body>, Status> {
        let (parts, body) = request.into_parts();
        let text = self.read(body).await?;
        let gzip = is_gzip(&parts.headers)?;
        let query = parts.uri.query().map(str::to_owned);
        let large = gzip || text.len() > INLINE_BYTES_MAX;
        let limit = self.body_bytes_max;
        let to_wire = {
            let route = route.clone();
            move || {
                let text = if gzip { inflate(&text, limit)? } else { text };
                let body = request::parse_body(&text)?;
                let wire = request::to_wire(&route, &texts, query.as_deref(), &body)?;
                Ok::<_, Fault>((frame(&wire), write_key(&route, &body)))
            }
        };
        let (frame, write_key) = run(large, to_wire).await??;
        let call = grpc_request(route, &parts.headers, frame, write_key);
        let Ok(response) = self.door.clone().oneshot(call).await;
        respond(route, response).await
    }

    async fn read(&self, body: Body) -> Result<Bytes, Fault> {
        match Limited::new(body, self.body_bytes_max).collect().await {
            Ok(collected) => Ok(collected.to_bytes()),
            Err(e) if e.is::<LengthLimitError>() => {
                Err(Fault::payload_too_large(self.body_bytes_max))
            }
            Err(_) => Err(Fault::malformed_body("it broke off")),
        }
    }
}

/// Runs work here, or off the reactor if there may be much of it.
async fn run<T: Send + 'static>(
    large: bool,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Status> {
    if !large {
        return Ok(work());
    }
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| Fault::internal(&e, "").into())
}

/// As the server stack judges it, which gives a request a new id otherwise.
fn is_fit(id: &HeaderValue) -> bool {
    (1..=128).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)
}

fn is_gzip(headers: &HeaderMap) -> Result<bool, Fault> {
    let encoding = headers.get(header::CONTENT_ENCODING);
    match encoding.map(HeaderValue::as_bytes) {
        None | Some(b"" | b"identity") => Ok(false),
        Some(b"gzip") => Ok(true),
        Some(_) => Err(Fault::malformed_body("its encoding is not gzip")),
    }
}

/// Stops at the limit, whatever a small body claims to become.
fn inflate(text: &[u8], limit: usize) -> Result<Bytes, Fault> {
    let mut out = Vec::new();
    let mut reader = flate2::read::MultiGzDecoder::new(text).take(limit as u64 + 1);
    reader
        .read_to_end(&mut out)
        .map_err(|_| Fault::malformed_body("it is no gzip"))?;
    if out.len() > limit {
        return Err(Fault::payload_too_large(limit));
    }
    Ok(out.into())
}

/// Segment's browser libraries and its newer server libraries send the key in the
/// body, where the specification has it.
fn write_key(route: &Route, body: &Json) -> Option<HeaderValue> {
    if !route.method.ignore_unknown_fields {
        return None;
    }
    let Json::String(key) = body.get("writeKey")? else {
        return None;
    };
    let basic = format!("Basic {}", BASE64_STANDARD.encode(format!("{key}:")));
    HeaderValue::try_from(basic).ok()
}

fn grpc_request(
    route: &Route,
    headers: &HeaderMap,
    frame: Bytes,
    write_key: Option<HeaderValue>,
) -> Request<tonic::body::Body> {
    let body = tonic::body::Body::new(http_body_util::Full::new(frame));
    let mut call = Request::new(body);
    *call.method_mut() = http::Method::POST;
    *call.uri_mut() = http::Uri::from(route.grpc_path.clone());
    let target = call.headers_mut();
    let grpc = HeaderValue::from_static("application/grpc");
    target.insert(header::CONTENT_TYPE, grpc);
    target.insert(header::TE, HeaderValue::from_static("trailers"));
    for name in FORWARDED {
        if let Some(value) = headers.get(&name) {
            target.insert(name, value.clone());
        }
    }
    if let Some(key) = write_key {
        target.entry(header::AUTHORIZATION).or_insert(key);
    }
    call
}

async fn respond(
    route: &Route,
    response: Response<tonic::body::Body>,
) -> Result<Response<Body>, Status> {
    let output = route.method.descriptor.output();
    let mut frames = Frames::of(response);
    if route.method.descriptor.is_server_streaming() {
        // Waits for the first message, so that a call that fails at once fails in HTTP.
        let first = frames.next().await?;
        return Ok(answer("application/x-ndjson", lines(output, first, frames)));
    }
    let wire = frames.next().await?.unwrap_or_default();
    frames.next().await?;
    let json = run(wire.len() > INLINE_BYTES_MAX, move || {
        let mut out = Vec::with_capacity(wire.len() * 2);
        encode::to_json(&output, wire, &mut out).map(|()| out)
    });
    Ok(answer("application/json", Body::from(json.await??)))
}

fn answer(content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let value = HeaderValue::from_static(content_type);
    response.headers_mut().insert(header::CONTENT_TYPE, value);
    response
}

/// One message per line; a failure midway is a last line `{"error": …}`.
fn lines(output: MessageDescriptor, first: Option<Bytes>, frames: Frames) -> Body {
    enum Next {
        Message(Bytes, Frames),
        Wait(Frames),
        End,
    }
    let start = match first {
        Some(message) => Next::Message(message, frames),
        None => Next::End,
    };
    let lines = stream::unfold(start, move |next| {
        let output = output.clone();
        async move {
            let (result, frames) = match next {
                Next::End => return None,
                Next::Message(message, frames) => (Ok(Some(message)), frames),
                Next::Wait(mut frames) => (frames.next().await, frames),
            };
            let line = match result {
                Ok(None) => return None,
                Ok(Some(message)) => line(&output, message),
                Err(failure) => Err(failure),
            };
            Some(match line {
                Ok(line) => (Ok::<_, Infallible>(line), Next::Wait(frames)),
                Err(failure) => (Ok(error_line(&failure)), Next::End),
            })
        }
    });
    Body::from_stream(lines)
}

fn line(output: &MessageDescriptor, message: Bytes) -> Result<Bytes, Status> {
    let mut line = Vec::with_capacity(message.len() * 2);
    encode::to_json(output, message, &mut line)?;
    line.push(b'\n');
    Ok(line.into())
}

fn error_line(failure: &Status) -> Bytes {
    let error = serde_json::json!({"error": status::to_json(failure)});
    format!("{error}\n").into()
}
