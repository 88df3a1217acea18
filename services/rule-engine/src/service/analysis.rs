//! Looking back: past decisions in order, and what they led to in numbers.

use std::{cmp::Reverse, sync::Arc};

use attune_api::{
    rules::v1::{Decision, GetReportRequest, ListDecisionsRequest, ListDecisionsResponse, Report},
    time,
};
use attune_errors::Violations;
use attune_rpc::Workspace;
use attune_storage::{
    Database,
    resources::{PageRequest, page_token},
};
use bytes::Bytes;
use prost::Message;

use super::decision_log::{self, DecisionLog};
use crate::{
    convert::analysis as convert,
    error::Error,
    store::{self, decisions::FoundChunk},
};

const LIST: &str = "decision";
/// Chunks read at a time; a chunk is at most 512 decisions.
const CHUNKS_AT_ONCE: i64 = 4;
/// Chunks looked through for one page: as many as answer within a second or so.
const CHUNKS_MAX: i64 = 64;
/// More replicas than this do not write at the same time.
const OVERLAPPING_MAX: i64 = 1024;

/// Answers what is asked of the past.
pub struct Analysis {
    pub database: Database,
    pub decision_log: Arc<DecisionLog>,
}

/// Which decisions are wanted; empty texts mean any.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    pub profile_id: String,
    pub placement: String,
}

/// Part of the past.
pub struct Found {
    /// Encoded decisions with their ids, the newest first.
    pub records: Vec<(String, Bytes)>,
    /// Decisions before this id were not looked at; none where there are no more.
    pub rest: Option<String>,
}

impl Analysis {
    pub async fn list(
        &self,
        workspace: &Workspace,
        request: ListDecisionsRequest,
    ) -> Result<ListDecisionsResponse, Error> {
        let mut violations = Violations::new();
        convert::check_list(&mut violations, &request);
        let page = PageRequest {
            page_size: request.page_size,
            page_token: request.page_token,
        };
        let page = page.resolve(LIST);
        let (size, before) = match page {
            Ok(page) => page,
            Err(found) => {
                for violation in found.iter() {
                    violations.push(&violation.field, violation.rule.as_str());
                }
                return Err(violations.into());
            }
        };
        violations.into_result()?;
        let wanted = Wanted {
            profile_id: request.profile_id,
            placement: request.placement,
        };
        let size = usize::try_from(size).unwrap_or(0);
        let found = self
            .find(workspace, wanted, before, size, CHUNKS_MAX)
            .await?;
        let decisions = found.records.into_iter();
        let decisions = decisions.filter_map(|(_, record)| Decision::decode(record).ok());
        Ok(ListDecisionsResponse {
            decisions: decisions.collect(),
            next_page_token: found
                .rest
                .map_or_else(String::new, |id| page_token(LIST, &id)),
        })
    }

    /// The newest decisions before an id (empty: of all), `count` of them at most, out
    /// of the last `chunks_max` chunks.
    pub async fn find(
        &self,
        workspace: &Workspace,
        wanted: Wanted,
        mut before: String,
        count: usize,
        chunks_max: i64,
    ) -> Result<Found, Error> {
        self.decision_log.flush().await;
        let wanted = Arc::new(wanted);
        let mut records = Vec::new();
        let (mut at_once, mut read) = (CHUNKS_AT_ONCE, 0);
        while read < chunks_max {
            let name = workspace.as_str();
            let chunks = store::decisions::before(&self.database, name, &before, at_once).await?;
            let is_last = (chunks.len() as i64) < at_once;
            // Chunks that were not read end before the last one that was.
            let floor = chunks.last().map(|(last_id, _)| last_id.clone());
            let floor = floor.filter(|_| !is_last).unwrap_or_default();
            if !is_last && !before.is_empty() && floor >= before && at_once < OVERLAPPING_MAX {
                // All of them reach beyond where this page begins.
                at_once *= 2;
                continue;
            }
            read += chunks.len() as i64;
            let left = count - records.len();
            let span = Span {
                before,
                floor: floor.clone(),
            };
            let wanted = Arc::clone(&wanted);
            // Off the reactor: a chunk is milliseconds of work.
            let looked = tokio::task::spawn_blocking(move || look(chunks, &span, &wanted, left));
            let (found, is_full) = looked.await.unwrap_or_default();
            records.extend(found);
            if is_full {
                let rest = records.last().map(|(id, _): &(String, Bytes)| id.clone());
                return Ok(Found { records, rest });
            }
            if is_last {
                let rest = None;
                return Ok(Found { records, rest });
            }
            before = floor;
        }
        let rest = Some(before);
        Ok(Found { records, rest })
    }

    pub async fn report(
        &self,
        workspace: &Workspace,
        request: &GetReportRequest,
    ) -> Result<Report, Error> {
        let ask = convert::report_ask(request, workspace.as_str(), time::now_ms())?;
        let (database, narrowing) = (&self.database, &ask.narrowing);
        let rows = store::reports::by(database, ask.dimension, narrowing, ask.row_max).await?;
        let total = store::reports::total(database, narrowing).await?;
        Ok(convert::report(ask.dimension, rows, &total))
    }
}

/// Ids from `floor` to before `before`; empty means no end.
struct Span {
    before: String,
    floor: String,
}

impl Span {
    fn has(&self, id: &str) -> bool {
        (self.before.is_empty() || *id < *self.before) && *id >= *self.floor
    }
}

/// The newest of what is wanted in some chunks, and whether there may be more of it.
fn look(
    chunks: Vec<FoundChunk>,
    span: &Span,
    wanted: &Wanted,
    count: usize,
) -> (Vec<(String, Bytes)>, bool) {
    let is_wanted = |key: &decision_log::Key| {
        span.has(&key.decision_id)
            && (wanted.profile_id.is_empty() || wanted.profile_id == key.profile_id)
            && (wanted.placement.is_empty() || wanted.placement == key.placement)
    };
    let records = chunks
        .into_iter()
        .flat_map(|(_, data)| decision_log::records(data));
    let mut found: Vec<(String, Bytes)> = records
        .filter(|(key, _)| is_wanted(key))
        .map(|(key, record)| (key.decision_id, record))
        .collect();
    found.sort_by(|(a, _), (b, _)| Reverse(a).cmp(&Reverse(b)));
    let is_full = found.len() >= count;
    found.truncate(count);
    (found, is_full)
}
