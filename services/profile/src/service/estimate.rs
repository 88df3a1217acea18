//! How many people an expression would hold for, before anybody saves it: judged over a
//! sample that is the same each time it is asked, or over all where they are few. Writes
//! nothing.

use std::{collections::BTreeMap, sync::Arc};

use attune_api::profile::v1::{EstimateSegmentRequest, EstimateSegmentResponse, SegmentOverlap};

use super::{
    Service,
    derive::{Known, look_up},
};
use crate::{
    Error, convert,
    domain::{derive::Person, scope::History, segments::interval},
    store::profiles,
};

/// People in a sample.
const SAMPLE_MAX: i64 = 2_000;

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
        let ids: Vec<_> = sample.iter().map(|row| row.profile_id).collect();
        let aggregates = expression.aggregates();
        let histories = look_up(&self.shared, workspace, &ids, &aggregates).await?;
        let unknown = History::default();
        let mut holds = 0;
        let mut shared: BTreeMap<&str, i64> = BTreeMap::new();
        for row in &sample {
            let person = Known {
                key: row.profile_id.to_string(),
                history: histories.get(&row.profile_id).unwrap_or(&unknown),
                purposes: &declared.purposes,
                allowed: declared.purposes.standing(&row.record).allowed,
                now_ms: self.shared.clock.now_ms(),
            };
            let record = &row.record;
            if !person.show(record, |scope| expression.matches(scope)) {
                continue;
            }
            holds += 1;
            for id in &request.segment_ids {
                *shared.entry(id).or_default() += i64::from(record.segments.contains_key(id));
            }
        }
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
}
