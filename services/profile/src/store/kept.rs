//! SQL that tables have in common in which what a person said is kept, row by row, with
//! whose identifier it came by: rows are added in the order of the writers' turns, and
//! move with merges and back. Knows nothing of what is in them.

use std::sync::Arc;

use attune_storage::{Error, Insert, Sql, Tx, Value, args};

use super::{Turn, profiles::texts};
use crate::domain::{
    Owner,
    merge::{Merged, Parted},
};

/// Such a table.
#[derive(Debug, Clone, Copy)]
pub struct Kept {
    /// Its columns begin with those of [`key`]; all others follow.
    pub insert: Insert,
}

/// A row of such a table.
#[derive(Debug)]
pub struct KeptRow {
    pub owner: Owner,
    pub time_ms: i64,
    /// Values of the columns that are the table's own.
    pub rest: Vec<Value>,
}

/// The columns that every such table has, in this order.
macro_rules! kept_columns {
    ($($own:tt)*) => {
        &[
            ("workspace", Kind::Text),
            ("profile_id", Kind::Text),
            ("origin_id", Kind::Text),
            ("time_ms", Kind::Int),
            ("sequence", Kind::Int),
            $($own)*
        ]
    };
}
pub(super) use kept_columns;

impl Kept {
    /// Adds rows, in their order.
    pub async fn append(
        &self,
        tx: &mut Tx,
        workspace: &Arc<str>,
        rows: Vec<KeptRow>,
        turn: &mut Turn,
    ) -> Result<(), Error> {
        if rows.is_empty() {
            return Ok(());
        }
        let first = turn.take_more(tx, rows.len()).await?;
        let rows = rows.into_iter().zip(first..).map(|(row, sequence)| {
            let mut values = args![
                workspace,
                row.owner.profile_id.to_string(),
                row.owner.origin_id.to_string(),
                row.time_ms,
                sequence,
            ];
            values.extend(row.rest);
            values
        });
        tx.insert_many(&self.insert, rows.collect()).await.map(drop)
    }

    /// Hands over all rows of a merged profile.
    pub async fn hand_over(
        &self,
        tx: &mut Tx,
        workspace: &Arc<str>,
        merged: &Merged,
    ) -> Result<(), Error> {
        let sql = format!(
            "update {} set profile_id = $3 where workspace = $1 and profile_id = $2",
            self.insert.table
        );
        let (from, to) = (merged.merged.to_string(), merged.survivor.to_string());
        let args = args![workspace, from, to];
        tx.execute(Sql::built(sql), args).await.map(drop)
    }

    /// Hands back the rows that came by a profile that is a person of its own again, and
    /// by those joined to it.
    pub async fn hand_back(
        &self,
        tx: &mut Tx,
        workspace: &Arc<str>,
        parted: &Parted,
    ) -> Result<(), Error> {
        let sql = format!(
            "update {} set profile_id = $3 \
             where workspace = $1 and profile_id = $2 and origin_id in list($4)",
            self.insert.table
        );
        let (from, to) = (parted.survivor.to_string(), parted.unmerged.to_string());
        let args = args![workspace, from, to, texts(&parted.parts)];
        tx.execute(Sql::built(sql), args).await.map(drop)
    }
}
