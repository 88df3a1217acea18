//! The layers, one file and one reason each. They speak `http` with gRPC's headers,
//! so that the same code runs in front of a socket and in front of a function call;
//! an error is a response with a status, never a broken connection.

mod deadline;
mod drain;
mod gate;
mod gates;
mod metrics;
mod observe;
mod panics;
mod size;
mod spans;
mod until;

pub use deadline::{Deadline, ReadDeadline};
pub use drain::Drain;
pub use gate::{Gate, GateLayer, Step};
pub use gates::{Callers, LoadLimit, PeersOnly, Permit, RequestIds, SendCredential};
pub use metrics::Metrics;
pub use observe::{Observation, Observe, ObserveLayer, Observer};
pub use panics::{CatchPanics, CatchPanicsLayer};
pub use size::{SizeLimit, SizeLimited};
pub use spans::Spans;
pub use until::{Alarm, Limit, Until, UntilLayer};

use attune_errors::Fault;
use http::{HeaderMap, Response};
use tonic::{Code, Status};

use crate::metadata;

/// A failure as the response that carries it.
fn refuse<B: Default>(fault: Fault) -> Response<B> {
    Status::from(fault).into_http()
}

/// How a call ended, from the headers of an immediate failure or from trailers.
pub(crate) fn code_in(headers: &HeaderMap) -> Option<Code> {
    let status = headers.get(&metadata::STATUS)?;
    Some(Code::from_bytes(status.as_bytes()))
}
