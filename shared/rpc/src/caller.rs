//! For whom a use case runs and how long it may take, and how that travels on to the
//! next service. Handlers take it from the request; everything they call passes it on.

use std::time::{Duration, Instant};

use attune_errors::{Fault, Violations};
use http::{Extensions, HeaderValue};
use tonic::{Request, Status, metadata::MetadataMap};

use crate::{Actor, Call, RequestId, Workspace, metadata};

/// The caller of a use case.
#[derive(Debug, Clone)]
pub struct Caller {
    pub workspace: Workspace,
    pub request_id: RequestId,
    pub deadline: Option<Instant>,
    /// Who asked: an operator's key, or a customer about themselves. None where one of
    /// our services acts for itself, or for customers as it always does.
    pub actor: Option<Actor>,
}

/// How long a call may take when nobody said.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// How many headers a call between services has, and a few more.
const HEADERS: usize = 12;

impl Caller {
    /// A caller that begins here: background work, or the public door.
    pub fn new(workspace: Workspace) -> Self {
        Self {
            workspace,
            request_id: RequestId::mint(),
            deadline: None,
            actor: None,
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
                actor: call.actor.clone(),
            })
        });
        caller.ok_or_else(|| {
            let field = metadata::WORKSPACE.as_str();
            Fault::invalid(Violations::of(field, "must be sent as metadata")).into()
        })
    }

    /// The same call as one of our services makes it for itself: whoever asked does not
    /// come to see the answer.
    pub fn unattended(&self) -> Self {
        Self {
            actor: None,
            ..self.clone()
        }
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
        // What is added here and on the way fits without growing.
        let metadata = MetadataMap::with_capacity(HEADERS);
        let mut request = Request::from_parts(metadata, Extensions::default(), message);
        insert(request.metadata_mut(), &metadata::TIMEOUT, written(timeout));
        if let Ok(workspace) = HeaderValue::from_str(self.workspace.as_str()) {
            insert(request.metadata_mut(), &metadata::WORKSPACE, workspace);
        }
        if let Some(actor) = &self.actor {
            insert(request.metadata_mut(), &metadata::ACTOR, actor.header());
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

/// A duration as the protocol writes it: at most eight digits and the finest unit that
/// they suffice for.
fn written(timeout: Duration) -> HeaderValue {
    const UNITS: [(u128, u8); 4] = [
        (1, b'n'),
        (1_000, b'u'),
        (1_000_000, b'm'),
        (1_000_000_000, b'S'),
    ];
    const MAX: u128 = 99_999_999;
    let nanoseconds = timeout.as_nanos();
    let fitting = UNITS.iter().find(|(unit, _)| nanoseconds / unit <= MAX);
    // Three years say as much as any longer time.
    let (mut count, unit) = fitting.map_or((MAX, b'S'), |(size, unit)| (nanoseconds / size, *unit));
    let mut text = [b'0'; 9];
    text[8] = unit;
    let mut first = 8;
    loop {
        first -= 1;
        text[first] = b"0123456789"[(count % 10) as usize];
        count /= 10;
        if count == 0 || first == 0 {
            break;
        }
    }
    // Digits and a letter are always a valid header value.
    HeaderValue::from_bytes(&text[first..]).unwrap_or_else(|_| HeaderValue::from_static("0n"))
}

fn insert(map: &mut MetadataMap, name: &'static http::HeaderName, value: HeaderValue) {
    map.as_mut().insert(name, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_written_in_the_finest_unit_that_fits() {
        let rows = [
            (Duration::ZERO, "0n"),
            (Duration::from_nanos(99_999_999), "99999999n"),
            (Duration::from_millis(100), "100000u"),
            (Duration::from_secs(30), "30000000u"),
            (Duration::from_secs(3600), "3600000m"),
            (Duration::from_secs(1_000_000), "1000000S"),
            (Duration::MAX, "99999999S"),
        ];
        for (timeout, expected) in rows {
            assert_eq!(written(timeout), expected);
        }
    }
}
