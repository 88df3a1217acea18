//! Passes a call on to the service that owns its method, as the frames that arrived:
//! management calls cost one hop and no decoding. What goes along is written anew, so
//! that nothing a stranger put into the headers reaches a service.

use attune_errors::Fault;
use attune_rpc::{Call, Caller, Channel, Method};
use http::{HeaderName, Request, Response, header};
use http_body_util::{BodyExt, Full};
use tonic::{Status, body::Body};
use tower::{Service, ServiceExt};

/// What describes the frames, and so has to go with them.
const KEPT: [HeaderName; 5] = [
    header::CONTENT_TYPE,
    header::TE,
    header::USER_AGENT,
    HeaderName::from_static("grpc-encoding"),
    HeaderName::from_static("grpc-accept-encoding"),
];

/// The peer's answer, or the failure that stands for it.
pub async fn forward(mut peer: Channel, request: Request<Body>) -> Response<Body> {
    let request = match prepare(request).await {
        Ok(request) => request,
        Err(status) => return status.into_http(),
    };
    let Ok(ready) = peer.ready().await;
    let Ok(response) = ready.call(request).await;
    response.map(Body::new)
}

/// A single message is read first: it is small by the door's limit, and one that is not
/// must be refused here rather than break off there. A stream passes as it comes.
async fn prepare(request: Request<Body>) -> Result<Request<Body>, Status> {
    let (parts, body) = request.into_parts();
    let body = match Method::at(parts.uri.path()).takes_stream {
        true => body,
        false => Body::new(Full::new(body.collect().await?.to_bytes())),
    };
    let caller = Call::of(&parts.extensions).and_then(|call| {
        Some(Caller {
            workspace: call.workspace.clone()?,
            request_id: call.request_id.clone(),
            deadline: call.deadline,
            actor: call.actor.clone(),
        })
    });
    let caller = caller.ok_or_else(|| Status::from(Fault::key_missing()))?;
    let mut forwarded = Request::new(body);
    *forwarded.method_mut() = parts.method;
    *forwarded.uri_mut() = parts.uri;
    *forwarded.version_mut() = http::Version::HTTP_2;
    let metadata = caller.request(()).into_parts().0;
    let headers = forwarded.headers_mut();
    *headers = metadata.into_headers();
    for name in KEPT {
        if let Some(value) = parts.headers.get(&name) {
            headers.insert(name, value.clone());
        }
    }
    Ok(forwarded)
}
