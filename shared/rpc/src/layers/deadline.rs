//! Both sides: no call outlives the time its caller gave it in `grpc-timeout`. tonic
//! enforces that on sockets only, and a caller in the same process must not hang where
//! one on the network would not.

use std::time::{Duration, Instant};

use attune_errors::{Fault, Violations};
use futures::{FutureExt, future::BoxFuture};
use http::{HeaderValue, Request};
use tokio::time::{sleep, sleep_until};

use super::{
    gate::Step,
    until::{Alarm, Limit},
};
use crate::{Call, metadata};

/// Server: notes when the caller stops waiting, for [`Deadline`] and for the handler.
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
            call.deadline = Some(call.begin + timeout);
        }
        Ok(())
    }
}

/// The time that the caller gave.
#[derive(Debug, Clone, Copy)]
pub struct Deadline;

impl Limit for Deadline {
    type Alarm = DeadlineAlarm;

    fn of<B>(&self, request: &Request<B>) -> DeadlineAlarm {
        match Call::of(request.extensions()) {
            Some(call) => DeadlineAlarm::At(call.deadline),
            // On the client's side, where nobody has read it yet.
            None => {
                let sent = request.headers().get(&metadata::TIMEOUT);
                DeadlineAlarm::After(sent.and_then(parse_timeout))
            }
        }
    }
}

pub enum DeadlineAlarm {
    At(Option<Instant>),
    /// From when the call first has to wait, microseconds after it began.
    After(Option<Duration>),
}

impl Alarm for DeadlineAlarm {
    fn arm(&self) -> Option<BoxFuture<'static, Fault>> {
        let sleep = match *self {
            Self::At(deadline) => sleep_until(deadline?.into()),
            Self::After(timeout) => sleep(timeout?),
        };
        Some(sleep.map(|()| Fault::deadline_exceeded()).boxed())
    }
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
