//! Messages that are not protobuf: tonic calls that INTERNAL, but it is the caller's
//! mistake, and callers are told so.

use attune_errors::Fault;
use http::{Response, header::HeaderName};
use tonic::{Code, Status};

/// How tonic's codec begins to say it. A contract test notices if that changes.
const PREFIX: &str = "failed to decode Protobuf message";

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// Turns that one failure into MALFORMED_BODY.
pub fn tell_malformed<B: Default>(response: Response<B>) -> Response<B> {
    // Answers from memory have no status in their headers, and pass at no cost.
    if !response.headers().contains_key(GRPC_STATUS) {
        return response;
    }
    let Some(status) = Status::from_header_map(response.headers()) else {
        return response;
    };
    let undecodable = status.code() == Code::Internal
        && status.details().is_empty()
        && status.message().starts_with(PREFIX);
    if undecodable {
        Status::from(Fault::malformed_body("it is no such message")).into_http()
    } else {
        response
    }
}
