//! Opens TCP connections to one peer. After a failure it refuses to try again for a
//! while, so that a peer that is down costs its callers nothing but the news.

use std::{
    io,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures::{FutureExt, future::BoxFuture};
use http::Uri;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::{net::TcpStream, time::timeout};
use tower::Service;

/// The connector below a channel.
#[derive(Debug, Clone, Default)]
pub struct Dial {
    backoff: Arc<Mutex<Backoff>>,
}

#[derive(Debug, Default)]
struct Backoff {
    failures: u32,
    not_before: Option<Instant>,
}

impl Dial {
    pub const DELAY_MIN: Duration = Duration::from_millis(50);
    /// Short, because a restarted peer should be found at once.
    const DELAY_MAX: Duration = Duration::from_secs(1);
    const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
}

impl Backoff {
    fn is_waiting(&self) -> bool {
        self.not_before.is_some_and(|t| Instant::now() < t)
    }

    fn note(&mut self, connected: bool) {
        if connected {
            *self = Self::default();
            return;
        }
        let delay = Dial::DELAY_MIN * 2_u32.pow(self.failures.min(8));
        self.failures += 1;
        self.not_before = Some(Instant::now() + delay.min(Dial::DELAY_MAX));
    }
}

impl Service<Uri> for Dial {
    type Response = TokioIo<TcpStream>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<TokioIo<TcpStream>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let backoff = self.backoff.clone();
        async move {
            if backoff.lock().is_waiting() {
                return Err(io::Error::other("waiting before the next attempt"));
            }
            let connected = connect(&uri).await;
            backoff.lock().note(connected.is_ok());
            connected.map(TokioIo::new)
        }
        .boxed()
    }
}

async fn connect(uri: &Uri) -> io::Result<TcpStream> {
    let host = uri.host().unwrap_or_default();
    // An IPv6 address is in brackets in a URI, and nowhere else.
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let encrypted = uri.scheme() == Some(&http::uri::Scheme::HTTPS);
    let port = uri.port_u16().unwrap_or(if encrypted { 443 } else { 80 });
    let stream = timeout(Dial::CONNECT_TIMEOUT, TcpStream::connect((host, port)))
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    // A call is a few small writes; waiting to fill a packet would cost 40 ms.
    stream.set_nodelay(true)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_back_off_and_a_success_forgets() {
        let mut backoff = Backoff::default();
        assert!(!backoff.is_waiting());
        for _ in 0..40 {
            backoff.note(false);
            assert!(backoff.is_waiting());
            let delay = backoff.not_before.map(|t| t - Instant::now());
            assert!(delay.is_some_and(|d| d <= Dial::DELAY_MAX));
        }
        backoff.note(true);
        assert!(!backoff.is_waiting());
    }
}
