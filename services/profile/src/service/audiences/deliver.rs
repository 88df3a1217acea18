//! Sends audiences to their destinations: one batch after the other, each until it is
//! taken, across restarts and whichever process does it. Sleeps until the next attempt
//! is due. Members are read anew for each attempt, so that a withdrawal in the meantime
//! counts.

use std::{sync::Arc, time::Duration};

use attune_api::time::now_ms;
use attune_rpc::Tasks;
use bytes::Bytes;
use futures::FutureExt as _;
use serde_json::json;

use super::{Page, Range, Wanted};
use crate::{
    Error,
    domain::{
        audience::Entry,
        delivery::{Answer, Delivery},
    },
    service::Shared,
    store::audiences,
    webhook::Webhooks,
};

/// How long an attempt may be worked on before somebody else may; longer than any takes.
const LEASE_MS: i64 = 60_000;
/// Other processes' orders are noticed after so long at most.
const RECHECK: Duration = Duration::from_secs(60);
/// After the database failed.
const PAUSE: Duration = Duration::from_secs(5);

/// Works on all deliveries of this database.
pub struct Deliverer {
    shared: Arc<Shared>,
    webhooks: Webhooks,
}

impl Deliverer {
    pub fn new(shared: Arc<Shared>, webhooks: Webhooks) -> Self {
        Self { shared, webhooks }
    }

    pub async fn run(self, tasks: Tasks) {
        let stopping = tasks.token();
        loop {
            let pause = match self.work().await {
                Ok(pause) => pause,
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "audiences cannot be delivered"
                    );
                    PAUSE
                }
            };
            tokio::select! {
                () = stopping.cancelled() => return,
                () = self.shared.deliveries.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Does what is due, and says how long there is nothing to do.
    async fn work(&self) -> Result<Duration, Error> {
        loop {
            let Some((workspace, delivery)) = audiences::next(&self.shared.database).await? else {
                return Ok(RECHECK);
            };
            let now_ms = now_ms();
            if delivery.next_ms > now_ms {
                let wait = u64::try_from(delivery.next_ms - now_ms).unwrap_or(0);
                return Ok(Duration::from_millis(wait).min(RECHECK));
            }
            let until_ms = now_ms + LEASE_MS;
            if self.claim(&workspace, &delivery, until_ms).await? {
                let claimed = Delivery {
                    // Done well, it is due again at once.
                    next_ms: now_ms,
                    ..delivery
                };
                self.step(&workspace, claimed, until_ms).await?;
            }
        }
    }

    /// One batch, by whoever holds it until `until_ms`.
    async fn step(
        &self,
        workspace: &Arc<str>,
        mut delivery: Delivery,
        until_ms: i64,
    ) -> Result<(), Error> {
        let page = self.read(workspace, &delivery).await?;
        if page.is_cut && !delivery.until.is_empty() {
            // So many came in between that one batch cannot take them all: those beyond
            // are the next one's.
            delivery.until = page.last.clone().unwrap_or_default();
        }
        match &page.last {
            // Those of a batch that is tried again may all have left.
            None if delivery.until.is_empty() => delivery.finished(),
            None => {
                let until = delivery.until.clone();
                delivery.passed(until, page.counts);
            }
            Some(last) if page.entries.is_empty() => {
                let last = if delivery.until.is_empty() {
                    last
                } else {
                    &delivery.until
                };
                delivery.passed(last.clone(), page.counts);
            }
            Some(last) => {
                if delivery.until.is_empty() {
                    delivery.until.clone_from(last);
                }
                // Before it is sent: an attempt that nobody lives to write down is made
                // again with the same people.
                let leased = Delivery {
                    next_ms: until_ms,
                    ..delivery.clone()
                };
                if !self.put(workspace, leased, until_ms).await? {
                    return Ok(());
                }
                let answer = self.post(workspace, &delivery, &page.entries).await;
                let attempts_max = i64::from(self.shared.config.audiences.attempts_max);
                delivery.answered(answer, page.counts, attempts_max, now_ms());
            }
        }
        self.put(workspace, delivery, until_ms).await.map(drop)
    }

    async fn read(&self, workspace: &Arc<str>, delivery: &Delivery) -> Result<Page, Error> {
        let wanted = Wanted {
            segment_id: delivery.order.segment_id.clone(),
            purpose: delivery.order.purpose.clone(),
            layout: delivery.order.layout,
        };
        let range = Range {
            after: &delivery.after,
            until: &delivery.until,
        };
        self.shared.audience_page(workspace, &wanted, range).await
    }

    async fn post(&self, workspace: &str, delivery: &Delivery, entries: &[Entry]) -> Answer {
        let order = &delivery.order;
        let destinations = &self.shared.config.audiences.destinations;
        let Some(destination) = destinations.get(&order.destination) else {
            return Answer::Refused("the destination is not in the settings any more".into());
        };
        let entries: Vec<_> = entries
            .iter()
            .map(|entry| order.layout.json(entry))
            .collect();
        let body = json!({
            "audienceDeliveryId": order.delivery_id,
            "segmentId": order.segment_id,
            "purpose": order.purpose,
            "batch": delivery.batch_count + 1,
            "members": entries,
        });
        let id = delivery.message_id(workspace);
        let body = Bytes::from(body.to_string());
        self.webhooks
            .post(destination, &id, now_ms() / 1_000, body)
            .await
    }

    async fn claim(
        &self,
        workspace: &Arc<str>,
        delivery: &Delivery,
        until_ms: i64,
    ) -> Result<bool, Error> {
        let (workspace, delivery) = (workspace.clone(), delivery.clone());
        let claimed = self.shared.database.write(move |tx| {
            let (workspace, delivery) = (workspace.clone(), delivery.clone());
            async move { audiences::claim(tx, &workspace, &delivery, until_ms).await }.boxed()
        });
        Ok(claimed.await?)
    }

    /// False where somebody else took it over, or it is over.
    async fn put(
        &self,
        workspace: &Arc<str>,
        delivery: Delivery,
        held_ms: i64,
    ) -> Result<bool, Error> {
        let workspace = workspace.clone();
        let delivery = Delivery {
            update_ms: now_ms(),
            ..delivery
        };
        let written = self.shared.database.write(move |tx| {
            let (workspace, delivery) = (workspace.clone(), delivery.clone());
            async move { audiences::put(tx, &workspace, &delivery, held_ms).await }.boxed()
        });
        Ok(written.await?)
    }
}
