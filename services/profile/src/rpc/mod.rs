//! The generated traits, one line of conversion per call, a file for each gRPC service.
//! Decides nothing.

mod audiences;
mod imports;
mod privacy;
mod profile;
mod schema;
mod segments;

pub use profile::profile_server;

use std::sync::Arc;

use attune_rpc::Caller;
use http::HeaderMap;
use tonic::{Response, Status};

use crate::{
    Error,
    service::{Service, audit::Access},
};

/// Serves what the profile service answers.
#[derive(Clone)]
pub struct Rpc(pub Arc<Service>);

impl Rpc {
    /// To be called before an answer that shows, or a change of, what is personal.
    async fn seen(&self, caller: &Caller, access: Access) -> Result<(), Error> {
        self.0.shared.audit(caller, access).await
    }
}

fn answer<T>(caller: &Caller, result: Result<T, Error>) -> Result<Response<T>, Status> {
    result
        .map(Response::new)
        .map_err(|error| error.into_status(caller.request_id.as_str()))
}

/// The W3C context of the call, to travel on with what it changes.
fn traceparent() -> String {
    if !attune_telemetry::exporting() {
        return String::new();
    }
    let mut headers = HeaderMap::new();
    attune_telemetry::inject_current(&mut headers);
    let value = headers.get("traceparent").and_then(|v| v.to_str().ok());
    value.unwrap_or_default().to_owned()
}
