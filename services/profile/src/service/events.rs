//! Reading the part of a timeline that passes filters, in pages. What events hold is
//! sealed, so that filters that look inside them open one event after the other: a page
//! ends where it has looked at enough, filled or not.

use attune_api::profile::v1::{Event, ListEventsResponse};

use super::Service;
use crate::{
    Error,
    convert::page,
    domain::ProfileId,
    store::timeline::{self, Order, Place},
};

/// Events that one page looks into at most, and how many it opens at a time.
const OPENED_MAX: usize = 10_000;
const OPENED_AT_ONCE: i64 = 500;

/// Part of a timeline.
#[derive(Debug, Clone)]
pub struct EventsAsked {
    pub profile_id: ProfileId,
    pub size: i64,
    /// Where the page before ended.
    pub after: Option<Place>,
    pub order: Order,
    /// Empty means all.
    pub types: Vec<String>,
    /// From the first to before the second.
    pub start_ms: i64,
    pub end_ms: i64,
    /// Empty means any, as below.
    pub channel: String,
    pub item_id: String,
}

impl EventsAsked {
    fn looks_inside(&self) -> bool {
        !self.channel.is_empty() || !self.item_id.is_empty()
    }

    fn takes(&self, event: &Event) -> bool {
        let is_there = self.channel.is_empty() || self.channel == event.channel;
        let mut items = event.items.iter();
        is_there && (self.item_id.is_empty() || items.any(|item| item.item_id == self.item_id))
    }
}

impl Service {
    pub async fn events(
        &self,
        workspace: &str,
        asked: EventsAsked,
    ) -> Result<ListEventsResponse, Error> {
        let row = self.living_row(workspace, asked.profile_id).await?;
        let limit = match asked.looks_inside() {
            true => (asked.size + 1).max(OPENED_AT_ONCE),
            false => asked.size + 1,
        };
        let mut part = timeline::Page {
            profile_id: row.profile_id,
            types: &asked.types,
            start_ms: asked.start_ms,
            end_ms: asked.end_ms,
            order: asked.order,
            after: asked.after,
            limit,
        };
        let (mut found, mut opened) = (Vec::new(), 0);
        let mut next_page_token = loop {
            let (database, codec) = (&self.shared.database, &self.shared.codec);
            let rows = timeline::page(database, codec, workspace, &part).await?;
            opened += rows.len();
            let is_last = rows.len() < usize::try_from(limit).unwrap_or(usize::MAX);
            part.after = rows.last().map(|(place, _)| *place).or(part.after);
            found.extend(rows.into_iter().filter(|(_, event)| asked.takes(event)));
            if is_last || found.len() as i64 > asked.size {
                break String::new();
            }
            if opened >= OPENED_MAX {
                break part.after.map(page::place_token).unwrap_or_default();
            }
        };
        let cut = page::cut(&mut found, asked.size, |(place, _)| {
            page::place_token(*place)
        });
        if !cut.is_empty() {
            next_page_token = cut;
        }
        let events = found.into_iter().map(|(_, event)| event).collect();
        Ok(ListEventsResponse {
            events,
            next_page_token,
        })
    }
}
