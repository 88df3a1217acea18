//! The names of what travels beside a message. W3C trace context and `grpc-timeout`
//! are not ours and keep their own names.

use http::HeaderName;

/// The tenant that a call between services is for.
pub static WORKSPACE: HeaderName = HeaderName::from_static("attune-workspace");

/// On whose behalf a call between services is made, where somebody is named.
pub static ACTOR: HeaderName = HeaderName::from_static("attune-actor");

/// What proves that the caller is one of our services.
pub static PEER_TOKEN: HeaderName = HeaderName::from_static("attune-peer-token");

/// Names one request from the public door to the last log line about it.
pub static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// gRPC's own: how long the caller will wait.
pub static TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// gRPC's own: how the call ended.
pub static STATUS: HeaderName = HeaderName::from_static("grpc-status");
