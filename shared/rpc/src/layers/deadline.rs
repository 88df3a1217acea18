//! Both sides: no call outlives the time its caller gave it in `grpc-timeout`. tonic
//! enforces that on sockets only, and a caller in the same process must not hang where
//! one on the network would not.

use std::{
    convert::Infallible,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use attune_errors::{Fault, Violations};
use futures::{FutureExt, future::BoxFuture};
use http::{HeaderMap, HeaderValue, Request, Response};
use tower::{Layer, Service};

use super::{
    gate::Step,
    until::{Alarm, Until, UntilBody},
};
use crate::{Call, metadata};

/// Server: notes when the caller stops waiting, for this layer and for the handler.
#[derive(Debug, Clone, Copy)]
pub struct ReadDeadline;

impl Step for ReadDeadline {
    type Held = ();

    fn admit<B>(&self, request: &mut Request<B>) -> Result<(), Fault> {
        let Some(sent) = request.headers().get(&metadata::TIMEOUT) else {
            return Ok(());
        };
        let Some(timeout) = parse_timeout(sent) else {
            let rule = "must be 1 to 8 digits and one of H, M, S, m, u, n";
            let field = metadata::TIMEOUT.as_str();
            return Err(Fault::invalid(Violations::of(field, rule)));
        };
        if let Some(call) = Call::of_mut(request.extensions_mut()) {
            call.deadline = Some(Instant::now() + timeout);
        }
        Ok(())
    }
}

/// Enforces the deadline.
#[derive(Debug, Clone, Copy)]
pub struct DeadlinesLayer;

impl<I> Layer<I> for DeadlinesLayer {
    type Service = Deadlines<I>;
    fn layer(&self, inner: I) -> Self::Service {
        Deadlines { inner }
    }
}

#[derive(Debug, Clone)]
pub struct Deadlines<I> {
    inner: I,
}

impl<I, A, B> Service<Request<A>> for Deadlines<I>
where
    I: Service<Request<A>, Response = Response<B>, Error = Infallible>,
    B: Default,
{
    type Response = Response<UntilBody<B, DeadlineAlarm>>;
    type Error = Infallible;
    type Future = Until<I::Future, DeadlineAlarm>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let deadline = match Call::of(request.extensions()) {
            Some(call) => call.deadline,
            // On the client's side there is no call to keep it in.
            None => sent_deadline(request.headers()),
        };
        Until::new(self.inner.call(request), DeadlineAlarm(deadline))
    }
}

pub struct DeadlineAlarm(Option<Instant>);

impl Alarm for DeadlineAlarm {
    fn arm(&self) -> Option<BoxFuture<'static, Fault>> {
        let sleep = tokio::time::sleep_until(self.0?.into());
        Some(sleep.map(|()| Fault::deadline_exceeded()).boxed())
    }
}

fn sent_deadline(headers: &HeaderMap) -> Option<Instant> {
    let timeout = parse_timeout(headers.get(&metadata::TIMEOUT)?)?;
    Some(Instant::now() + timeout)
}

/// `100m` and the like, as gRPC over HTTP/2 writes durations.
fn parse_timeout(value: &HeaderValue) -> Option<Duration> {
    let (unit, digits) = value.as_bytes().split_last()?;
    if !(1..=8).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let count = digits.iter().fold(0, |n, d| n * 10 + u64::from(d - b'0'));
    Some(match unit {
        b'H' => Duration::from_secs(count * 3600),
        b'M' => Duration::from_secs(count * 60),
        b'S' => Duration::from_secs(count),
        b'm' => Duration::from_millis(count),
        b'u' => Duration::from_micros(count),
        b'n' => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_the_protocol_writes_them() {
        let rows = [
            ("1H", Some(Duration::from_secs(3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("3S", Some(Duration::from_secs(3))),
            ("250m", Some(Duration::from_millis(250))),
            ("99999999u", Some(Duration::from_micros(99_999_999))),
            ("0n", Some(Duration::ZERO)),
            ("", None),
            ("S", None),
            ("123456789u", None),
            ("-1S", None),
            ("1s", None),
        ];
        for (text, expected) in rows {
            assert_eq!(
                parse_timeout(&HeaderValue::from_static(text)),
                expected,
                "{text}"
            );
        }
    }
}
