//! SQL for the counts of how good what arrives is, and for the sample of profiles that
//! shares are worked out from.

use std::sync::Arc;

use attune_storage::{Database, Error, Insert, Kind, Tx, args};

use crate::domain::quality::{Counts, Subject};

/// Adds counts to those that are there; each subject once.
pub async fn add(
    tx: &mut Tx,
    workspace: &Arc<str>,
    rows: &[(Subject, Counts)],
) -> Result<(), Error> {
    const ADD: Insert = Insert {
        table: "quality",
        columns: &[
            ("workspace", Kind::Text),
            ("source", Kind::Text),
            ("trait_id", Kind::Text),
            ("accepted", Kind::Int),
            ("rejected", Kind::Int),
            ("duplicate", Kind::Int),
            ("conflict", Kind::Int),
            ("late", Kind::Int),
        ],
        tail: "on conflict (workspace, source, trait_id) do update set \
               accepted = quality.accepted + excluded.accepted, \
               rejected = quality.rejected + excluded.rejected, \
               duplicate = quality.duplicate + excluded.duplicate, \
               conflict = quality.conflict + excluded.conflict, \
               late = quality.late + excluded.late",
    };
    let rows = rows.iter().map(|(subject, counts)| {
        args![
            workspace,
            &subject.source,
            &subject.trait_id,
            counts.accepted,
            counts.rejected,
            counts.duplicate,
            counts.conflict,
            counts.late,
        ]
    });
    tx.insert_many(&ADD, rows.collect()).await.map(drop)
}

/// Sources that were counted before, at most so many.
pub async fn sources(
    database: &Database,
    workspace: &Arc<str>,
    limit: i64,
) -> Result<Vec<Arc<str>>, Error> {
    const SOURCES: &str = "select source from quality \
         where workspace = $1 and trait_id = '' order by source limit $2";
    let rows = database.fetch_all(SOURCES, args![workspace, limit]).await?;
    rows.iter().map(|row| row.get(0)).collect()
}

/// All counts: of at most some thousand sources, and of the traits each sends.
pub async fn all(
    database: &Database,
    workspace: &Arc<str>,
) -> Result<Vec<(Subject, Counts)>, Error> {
    const ALL: &str = "select source, trait_id, accepted, rejected, duplicate, conflict, late \
         from quality where workspace = $1 order by source, trait_id limit 100000";
    let rows = database.fetch_all(ALL, args![workspace]).await?;
    rows.iter()
        .map(|row| {
            let subject = Subject {
                source: row.get(0)?,
                trait_id: row.get(1)?,
            };
            let counts = Counts {
                accepted: row.get(2)?,
                rejected: row.get(3)?,
                duplicate: row.get(4)?,
                conflict: row.get(5)?,
                late: row.get(6)?,
            };
            Ok((subject, counts))
        })
        .collect()
}
