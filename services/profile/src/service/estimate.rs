//! How many people an expression would hold for, before anybody saves it: judged over a
//! sample that is the same each time it is asked, or over all where they are few. Writes
//! nothing.

use std::{collections::BTreeMap, sync::Arc};

use attune_api::profile::v1::{EstimateSegmentRequest, EstimateSegmentResponse, SegmentOverlap};
use attune_expr::{Aggregate, Expression};

use super::{
    Service,
    declarations::Declarations,
    derive::Known,
    windows::{self, Histories},
};
use crate::{
    Error, convert,
    domain::{derive::Person, segments::interval},
    store::profiles::{self, ProfileRow},
};

/// People in a sample.
const SAMPLE_MAX: i64 = 2_000;
/// People whose histories are held at a time.
const AT_ONCE: usize = 100;

/// What is asked of everybody in a sample.
struct Question {
    expression: Expression,
    declared: Arc<Declarations>,
    /// Segments whose share of them is told.
    overlaps: Vec<String>,
}

/// For how many it holds, and how many of them are in the segments.
#[derive(Default)]
struct Found {
    holds: i64,
    shared: BTreeMap<String, i64>,
}

impl Service {
    pub async fn estimate(
        &self,
        workspace: &Arc<str>,
        request: EstimateSegmentRequest,
    ) -> Result<EstimateSegmentResponse, Error> {
        convert::segments::estimate(&request)?;
        let (expression, declared) = self
            .asked_expression(workspace, &request.expression)
            .await?;
        for id in &request.segment_ids {
            if declared.segments.get(id).is_none() {
                return Err(Error::segment_not_found(id));
            }
        }
        let database = &self.shared.database;
        let profile_count = profiles::count(database, workspace).await?;
        let codec = &self.shared.codec;
        let (sample, _) = profiles::by_chance(database, codec, workspace, "", SAMPLE_MAX).await?;
        let question = Arc::new(Question {
            expression,
            declared,
            overlaps: request.segment_ids.clone(),
        });
        let Found { holds, shared } = self.ask(workspace, &question, &sample).await?;
        let sample_size = i64::try_from(sample.len()).unwrap_or(i64::MAX);
        // Between the two reads somebody may have come or gone.
        let profile_count = profile_count.max(sample_size);
        let estimated = interval(holds, sample_size, profile_count);
        Ok(EstimateSegmentResponse {
            profile_count,
            size: estimated.size,
            size_low: estimated.low,
            size_high: estimated.high,
            sample_size,
            overlaps: request
                .segment_ids
                .iter()
                .map(|id| SegmentOverlap {
                    segment_id: id.clone(),
                    share: match holds {
                        0 => 0.0,
                        _ => shared.get(id.as_str()).copied().unwrap_or(0) as f64 / holds as f64,
                    },
                })
                .collect(),
        })
    }

    /// A part of the sample at a time, away from the reactor: judging takes a while.
    async fn ask(
        &self,
        workspace: &Arc<str>,
        question: &Arc<Question>,
        sample: &[ProfileRow],
    ) -> Result<Found, Error> {
        let now_ms = self.shared.clock.now_ms();
        let aggregates: Vec<Arc<Aggregate>> = question
            .expression
            .aggregates()
            .into_iter()
            .cloned()
            .collect();
        let mut found = Found::default();
        for part in sample.chunks(AT_ONCE) {
            let ids: Vec<_> = part.iter().map(|row| row.profile_id).collect();
            let shared = &self.shared;
            let histories = windows::look_up(shared, workspace, &ids, &aggregates, now_ms).await?;
            let (question, part) = (question.clone(), part.to_vec());
            let judged = tokio::task::spawn_blocking(move || {
                let mut found = Found::default();
                part.iter()
                    .for_each(|row| found.judge(&question, row, &histories, now_ms));
                found
            });
            // It fails only where it panicked.
            found.add(judged.await.map_err(|_| attune_storage::Error::Panicked)?);
        }
        Ok(found)
    }
}

impl Found {
    fn judge(&mut self, question: &Question, row: &ProfileRow, histories: &Histories, now_ms: i64) {
        let (record, purposes) = (&row.record, &question.declared.purposes);
        let person = Known {
            key: row.profile_id.to_string(),
            history: histories.of(row.profile_id),
            purposes,
            allowed: purposes.standing(record).allowed,
            now_ms,
        };
        if !person.show(record, |scope| question.expression.matches(scope)) {
            return;
        }
        self.holds += 1;
        for id in &question.overlaps {
            if record.segments.contains_key(id) {
                *self.shared.entry(id.clone()).or_default() += 1;
            }
        }
    }

    fn add(&mut self, other: Self) {
        self.holds += other.holds;
        for (id, count) in other.shared {
            *self.shared.entry(id).or_default() += count;
        }
    }
}
