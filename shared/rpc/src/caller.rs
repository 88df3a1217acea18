//! For whom a use case runs and how long it may take, and how that travels on to the
//! next service. Handlers take it from the request; everything they call passes it on.

use std::time::{Duration, Instant};

use attune_errors::{Fault, Violations};
use http::HeaderValue;
use tonic::{Request, Status, metadata::MetadataMap};

use crate::{Call, RequestId, Workspace, metadata};

/// The caller of a use case.
#[derive(Debug, Clone)]
pub struct Caller {
    pub workspace: Workspace,
    pub request_id: RequestId,
    pub deadline: Option<Instant>,
}

/// How long a call may take when nobody said.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

impl Caller {
    /// A caller that begins here: background work, or the public door.
    pub fn new(workspace: Workspace) -> Self {
        Self {
            workspace,
            request_id: RequestId::mint(),
            deadline: None,
        }
    }

    /// The caller of a request that came through the server stack. Fails for a call
    /// that was made for no workspace.
    pub fn of<T>(request: &Request<T>) -> Result<Self, Status> {
        let call = Call::of(request.extensions());
        let caller = call.and_then(|call| {
            Some(Self {
                workspace: call.workspace.clone()?,
                request_id: call.request_id.clone(),
                deadline: call.deadline,
            })
        });
        caller.ok_or_else(|| {
            let field = metadata::WORKSPACE.as_str();
            Fault::invalid(Violations::of(field, "must be sent as metadata")).into()
        })
    }

    /// What is left of the deadline; none when there is none.
    pub fn time_left(&self) -> Option<Duration> {
        let deadline = self.deadline?;
        Some(deadline.saturating_duration_since(Instant::now()))
    }

    /// A call to another service on this caller's behalf, within its deadline.
    pub fn request<M>(&self, message: M) -> Request<M> {
        self.request_within(message, TIMEOUT_DEFAULT)
    }

    /// As [`Caller::request`], with at most `max` of the time that is left.
    pub fn request_within<M>(&self, message: M, max: Duration) -> Request<M> {
        let timeout = self.time_left().map_or(max, |left| left.min(max));
        let mut request = Request::new(message);
        request.set_timeout(timeout);
        if let Ok(workspace) = HeaderValue::from_str(self.workspace.as_str()) {
            insert(request.metadata_mut(), &metadata::WORKSPACE, workspace);
        }
        let id = self.request_id.header();
        insert(request.metadata_mut(), &metadata::REQUEST_ID, id);
        request
    }
}

/// A call between services for no workspace and without a deadline, such as following
/// another service's log.
pub fn system_request<M>(message: M) -> Request<M> {
    Request::new(message)
}

fn insert(map: &mut MetadataMap, name: &'static http::HeaderName, value: HeaderValue) {
    map.as_mut().insert(name, value);
}
