//! What one person's trait was before, for people at the back office. What holds now is
//! read from the record, the rest from the table of values that hold no longer.

use attune_api::profile::v1::ListTraitHistoryResponse;

use super::{Service, read};
use crate::{
    Error,
    convert::page,
    domain::{ProfileId, record::Timed},
    store::{history, timeline::Place},
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
        let held = row.record.traits.get(trait_id).into_iter();
        rows.extend(
            held.map(held_place)
                .filter(|(place, _)| is_before(*place, before)),
        );
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
}

/// What holds has no number of its own: of the same time it is the newest.
fn held_place(timed: &Timed) -> (Place, Timed) {
    let place = Place {
        time_ms: timed.time_ms,
        sequence: i64::MAX - 1,
    };
    (place, timed.clone())
}

fn is_before(place: Place, before: Place) -> bool {
    (place.time_ms, place.sequence) < (before.time_ms, before.sequence)
}
