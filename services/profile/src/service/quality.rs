//! How good what arrives is: counts are gathered in memory as batches commit and added
//! to the database every few seconds, so that counting costs a batch nothing. A crash
//! loses those few seconds. Judges nothing; what is wrong was found before.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use attune_api::profile::v1::{QualityReport, SourceQuality, TraitQuality};
use attune_rpc::{Slept, Tasks};
use futures::FutureExt;
use parking_lot::Mutex;
use rustc_hash::{FxHashMap, FxHashSet};

use super::{Service, Shared};
use crate::{
    Error,
    domain::{
        quality::{Counts, Subject, Tally, sample::Sample},
        schema::TraitSchemas,
    },
    store::{profiles, quality as store},
};

const FLUSH: Duration = Duration::from_secs(5);
/// Sources of a workspace that are told apart; more are counted together.
const SOURCES_MAX: usize = 1_000;
const OTHERS: &str = "(other)";
/// Profiles that shares and ages are worked out from.
const SAMPLE_MAX: usize = 10_000;
const SAMPLE_PAGE: i64 = 500;
/// How long a sample is good for.
const SAMPLE_AGE_MAX: Duration = Duration::from_secs(60);

/// What was counted and not yet added, and what was worked out lately.
#[derive(Default)]
pub struct Quality {
    pending: Mutex<FxHashMap<Arc<str>, Tally>>,
    /// By workspace, sources that have counts.
    sources: tokio::sync::Mutex<FxHashMap<Arc<str>, FxHashSet<Arc<str>>>>,
    samples: Mutex<FxHashMap<Arc<str>, Held>>,
}

#[derive(Clone)]
struct Held {
    sample: Arc<Sample>,
    profiles: i64,
    taken: Instant,
}

impl Quality {
    pub fn add(&self, workspace: &Arc<str>, tally: Tally) {
        if tally.is_empty() {
            return;
        }
        let mut pending = self.pending.lock();
        pending.entry(workspace.clone()).or_default().add(tally);
    }
}

/// Adds what is counted to the database every few seconds, until the tasks stop.
pub async fn keep(shared: Arc<Shared>, tasks: Tasks) {
    while tasks.sleep(FLUSH).await == Slept::Through {
        shared.flush_quality().await;
    }
}

impl Shared {
    /// Adds what is counted to the database. Where that fails it stays counted.
    pub async fn flush_quality(&self) {
        // One at a time: who comes second must find what the first has added.
        let mut sources = self.quality.sources.lock().await;
        let pending = std::mem::take(&mut *self.quality.pending.lock());
        for (workspace, tally) in pending {
            let known = sources.entry(workspace.clone()).or_default();
            let added = self.add_quality(&workspace, tally.clone(), known).await;
            if let Err(error) = added {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "counts of quality could not be added"
                );
                self.quality.add(&workspace, tally);
            }
        }
    }

    async fn add_quality(
        &self,
        workspace: &Arc<str>,
        tally: Tally,
        known: &mut FxHashSet<Arc<str>>,
    ) -> Result<(), Error> {
        if known.is_empty() {
            let limit = i64::try_from(SOURCES_MAX).unwrap_or(i64::MAX);
            known.extend(store::sources(&self.database, workspace, limit).await?);
        }
        let rows = Arc::new(bounded(tally, known));
        let workspace = workspace.clone();
        self.database
            .write(move |tx| {
                let (workspace, rows) = (workspace.clone(), rows.clone());
                async move { store::add(tx, &workspace, &rows).await }.boxed()
            })
            .await?;
        Ok(())
    }

    /// Of many profiles a random part, the same for a minute.
    async fn sample(&self, workspace: &Arc<str>) -> Result<Held, Error> {
        let held = self.quality.samples.lock().get(workspace).cloned();
        if let Some(held) = held.filter(|held| held.taken.elapsed() < SAMPLE_AGE_MAX) {
            return Ok(held);
        }
        let (taken, now_ms) = (Instant::now(), self.clock.now_ms());
        let mut sample = Sample::default();
        let mut after = String::new();
        while sample.size < SAMPLE_MAX {
            let page =
                profiles::by_chance(&self.database, &self.codec, workspace, &after, SAMPLE_PAGE);
            let (rows, Some(last)) = page.await? else {
                break;
            };
            for row in &rows {
                sample.take(&row.record, now_ms);
            }
            after = last;
        }
        let held = Held {
            sample: Arc::new(sample),
            profiles: profiles::count(&self.database, workspace).await?,
            taken,
        };
        let mut samples = self.quality.samples.lock();
        samples.retain(|_, held| held.taken.elapsed() < SAMPLE_AGE_MAX);
        samples.insert(workspace.clone(), held.clone());
        Ok(held)
    }
}

/// In the order of their keys, so that processes that add at the same time wait for
/// each other instead of blocking each other; a source too many counts with the others.
fn bounded(tally: Tally, known: &mut FxHashSet<Arc<str>>) -> Vec<(Subject, Counts)> {
    let mut bounded = Tally::default();
    for (subject, counts) in tally.into_rows() {
        let is_known = known.contains(&subject.source);
        let source = match is_known || known.len() < SOURCES_MAX {
            true => subject.source,
            false => OTHERS.into(),
        };
        if !is_known {
            known.insert(source.clone());
        }
        bounded.at(&source, &subject.trait_id).add(counts);
    }
    let mut rows: Vec<_> = bounded.into_rows().collect();
    rows.sort_by(|(a, _), (b, _)| (&a.source, &a.trait_id).cmp(&(&b.source, &b.trait_id)));
    rows
}

impl Service {
    pub async fn quality_report(&self, workspace: Arc<str>) -> Result<QualityReport, Error> {
        let shared = &self.shared;
        shared.flush_quality().await;
        let counts = store::all(&shared.database, &workspace).await?;
        let declared = shared
            .declared
            .current(&shared.database, &workspace)
            .await?;
        let held = shared.sample(&workspace).await?;
        Ok(QualityReport {
            profile_count: held.profiles,
            traits: traits(&declared.schema.traits, &held.sample, &counts),
            sources: sources(&counts),
            sample_size: i64::try_from(held.sample.size).unwrap_or(i64::MAX),
        })
    }
}

/// Those that are declared, then others that people have.
fn traits(
    declared: &TraitSchemas,
    sample: &Sample,
    counts: &[(Subject, Counts)],
) -> Vec<TraitQuality> {
    let mut of_traits: FxHashMap<&str, Counts> = FxHashMap::default();
    for (subject, counts) in counts {
        of_traits.entry(&subject.trait_id).or_default().add(*counts);
    }
    let ids = declared.iter().map(|(id, _)| (id, true));
    let others = sample.trait_ids().filter(|id| declared.get(id).is_none());
    let ids = ids.chain(others.map(|id| (id, false)));
    let quality = ids.map(|(id, declared)| {
        let counts = of_traits.get(id.as_str()).copied().unwrap_or_default();
        TraitQuality {
            trait_id: id.clone(),
            declared,
            completeness: sample.completeness(id),
            age_days_median: sample.age_days_median(id),
            rejected_count: counts.rejected,
            conflict_count: counts.conflict,
        }
    });
    quality.collect()
}

fn sources(counts: &[(Subject, Counts)]) -> Vec<SourceQuality> {
    let sources = counts
        .iter()
        .filter(|(subject, _)| subject.trait_id.is_empty());
    let quality = sources.map(|(subject, counts)| SourceQuality {
        source: subject.source.to_string(),
        accepted_count: counts.accepted,
        rejected_count: counts.rejected,
        duplicate_count: counts.duplicate,
        conflict_count: counts.conflict,
        late_count: counts.late,
    });
    quality.collect()
}
