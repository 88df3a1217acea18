//! Waiting for a condition, the tests' replacement for sleeping.

use std::{
    future::Future,
    time::{Duration, Instant},
};

/// What anything may take that is expected to happen at once, on a busy machine: only a
/// test that fails waits as long.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Asks again and again until `condition` holds. Panics, naming `what` was waited
/// for, when `deadline` passes before that.
pub async fn wait_until<F>(what: &str, deadline: Duration, mut condition: impl FnMut() -> F)
where
    F: Future<Output = bool>,
{
    let begin = Instant::now();
    let mut pause = Duration::from_millis(1);
    while !condition().await {
        assert!(
            begin.elapsed() < deadline,
            "waited {deadline:?} in vain: {what}"
        );
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}
