//! What one person's trait was before, for people at the back office. What holds now is
//! read from the record, the rest from the table of values that hold no longer.

use attune_api::profile::v1::ListTraitHistoryResponse;

use super::{Service, read};
use crate::{
    Error,
    convert::page,
    domain::{ProfileId, record::Timed},
    store::{
        history,
        profiles::{self, ProfileRow},
        timeline::Place,
    },
};

/// Part of a trait's history.
#[derive(Debug, Clone)]
pub struct HistoryAsked {
    pub profile_id: ProfileId,
    pub trait_id: String,
    pub size: i64,
    pub before: Option<Place>,
}

impl Service {
    /// Newest first.
    pub async fn trait_history(
        &self,
        workspace: &str,
        asked: HistoryAsked,
    ) -> Result<ListTraitHistoryResponse, Error> {
        let row = self.living_row(workspace, asked.profile_id).await?;
        let trait_id = asked.trait_id.as_str();
        let before = asked.before.unwrap_or(Place {
            time_ms: i64::MAX,
            sequence: i64::MAX,
        });
        let id = row.profile_id;
        let (database, codec) = (&self.shared.database, &self.shared.codec);
        let limit = asked.size + 1;
        let rows = history::page(database, codec, workspace, id, trait_id, before, limit);
        let mut rows = rows.await?;
        let held = self.held(workspace, &row, trait_id).await?;
        let held = held.into_iter().enumerate().map(held_place);
        rows.extend(held.filter(|(place, _)| is_before(*place, before)));
        rows.sort_by_key(|(place, _)| std::cmp::Reverse((place.time_ms, place.sequence)));
        let next_page_token = page::cut(&mut rows, asked.size, |(place, _)| {
            page::place_token(*place)
        });
        let values = rows.iter().map(|(_, timed)| read::trait_value(timed));
        Ok(ListTraitHistoryResponse {
            values: values.collect(),
            next_page_token,
        })
    }

    /// What holds, and what else is held by profiles that are one person now, each by
    /// what came by its own identifiers.
    async fn held(
        &self,
        workspace: &str,
        row: &ProfileRow,
        trait_id: &str,
    ) -> Result<Vec<Timed>, Error> {
        let mut held: Vec<Timed> = row
            .record
            .traits
            .get(trait_id)
            .cloned()
            .into_iter()
            .collect();
        if row.standing.profiles > 1 {
            let (database, codec) = (&self.shared.database, &self.shared.codec);
            for mut side in profiles::sides(database, codec, workspace, row.profile_id).await? {
                let said = side.traits.remove(trait_id);
                held.extend(said.filter(|said| !held.contains(said)));
            }
        }
        Ok(held)
    }
}

/// What holds has no number of its own: of the same time it is the newest.
fn held_place((index, timed): (usize, Timed)) -> (Place, Timed) {
    let after = i64::try_from(index).unwrap_or(0);
    let place = Place {
        time_ms: timed.time_ms,
        sequence: i64::MAX - 1 - after,
    };
    (place, timed)
}

fn is_before(place: Place, before: Place) -> bool {
    (place.time_ms, place.sequence) < (before.time_ms, before.sequence)
}
