//! The load generator: keeps a fixed number of calls in flight for a while and
//! counts. A call that does not answer OK fails the whole run.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow};
use bytes::Bytes;

use crate::wire::Target;

/// One round of load.
#[derive(Debug, Clone, Copy)]
pub struct Round {
    pub requests_per_second: f64,
    pub p50_us: f64,
    pub p99_us: f64,
}

/// Closed loop: each of `in_flight` workers sends its next request when the last
/// one is answered, walking through `requests` from a place of its own.
pub async fn drive(
    target: &Target,
    requests: Arc<Vec<Bytes>>,
    in_flight: usize,
    duration: Duration,
) -> Result<Round> {
    let begin = Instant::now();
    let workers = (0..in_flight).map(|worker| {
        let (target, requests) = (target.clone(), Arc::clone(&requests));
        tokio::spawn(async move {
            let mut latencies_us = Vec::with_capacity(1 << 16);
            let mut next = worker * 7919 % requests.len();
            while begin.elapsed() < duration {
                let sent = Instant::now();
                target
                    .call(worker, requests[next].clone())
                    .await
                    .map_err(|status| anyhow!("the server answered {status}"))?;
                latencies_us.push(sent.elapsed().as_secs_f64() * 1e6);
                next = (next + 1) % requests.len();
            }
            anyhow::Ok(latencies_us)
        })
    });
    let mut latencies_us = Vec::new();
    for worker in workers.collect::<Vec<_>>() {
        latencies_us.extend(worker.await??);
    }
    let seconds = begin.elapsed().as_secs_f64();
    latencies_us.sort_by(f64::total_cmp);
    Ok(Round {
        requests_per_second: latencies_us.len() as f64 / seconds,
        p50_us: quantile(&latencies_us, 0.50),
        p99_us: quantile(&latencies_us, 0.99),
    })
}

/// Of figures in ascending order; not a number where there are none.
pub fn quantile(sorted: &[f64], q: f64) -> f64 {
    if sorted.is_empty() {
        return f64::NAN;
    }
    sorted[((sorted.len() - 1) as f64 * q).round() as usize]
}

/// The middle one of several rounds, each figure by itself.
pub fn median(rounds: &[Round]) -> Round {
    let middle = |figure: fn(&Round) -> f64| {
        let mut figures: Vec<f64> = rounds.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        quantile(&figures, 0.5)
    };
    Round {
        requests_per_second: middle(|r| r.requests_per_second),
        p50_us: middle(|r| r.p50_us),
        p99_us: middle(|r| r.p99_us),
    }
}
