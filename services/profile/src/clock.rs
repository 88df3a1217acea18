//! What time it is: the system's, or one that a test sets and moves. Everything in this
//! service that depends on the time asks here.

use std::time::Duration;

use tokio::sync::watch;

/// The longest nap before the system's clock is looked at again, since it can be set.
const NAP_MAX: Duration = Duration::from_secs(60);

/// A clock. Clones show the same time.
#[derive(Debug, Clone)]
pub struct Clock(Option<watch::Sender<i64>>);

impl Clock {
    pub fn system() -> Self {
        Self(None)
    }

    /// One that stands still until it is set; in milliseconds since the Unix epoch.
    pub fn standing_at(ms: i64) -> Self {
        Self(Some(watch::Sender::new(ms)))
    }

    /// Moves a clock that stands still, and wakes whoever waits for that time. Does
    /// nothing to the system's.
    pub fn set(&self, ms: i64) {
        if let Some(time) = &self.0 {
            time.send_replace(ms);
        }
    }

    /// Milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> i64 {
        match &self.0 {
            Some(time) => *time.borrow(),
            None => attune_api::time::now_ms(),
        }
    }

    /// Returns when it is that time, or up to a minute after it was asked, whichever
    /// comes first.
    pub async fn sleep_until(&self, ms: i64) {
        match &self.0 {
            Some(time) => {
                // The sender is held right here.
                let _ = time.subscribe().wait_for(|now| *now >= ms).await;
            }
            None => {
                let ahead = u64::try_from(ms.saturating_sub(self.now_ms())).unwrap_or(0);
                tokio::time::sleep(Duration::from_millis(ahead).min(NAP_MAX)).await;
            }
        }
    }
}
