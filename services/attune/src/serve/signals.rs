//! SIGTERM and SIGINT ask the process to leave in order; a second one makes it leave.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// What a shell reports of a process that was interrupted.
const INTERRUPTED: i32 = 130;

pub fn cancel_on_signal(stop: CancellationToken) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // Has no owner on purpose: it must still listen while everything else is joined.
    tokio::spawn(async move {
        for first in [true, false] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if !first {
                std::process::exit(INTERRUPTED);
            }
            tracing::info!("leaving: finishing what was begun");
            stop.cancel();
        }
    });
    Ok(())
}
