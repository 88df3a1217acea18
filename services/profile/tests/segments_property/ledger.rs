//! The events that must be there: those that were told, but for those whose days are
//! over and those of people who were erased. Knows no service.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{DAY, EVENT_DAYS, VIEW_DAYS};

/// Ids of events.
pub type Ids = BTreeSet<String>;

#[derive(Debug, Default)]
pub struct Ledger {
    /// Type and time by id.
    told: BTreeMap<String, (&'static str, i64)>,
    /// When what is too old was dropped last.
    pass_ms: i64,
}

impl Ledger {
    pub fn tell(&mut self, id: String, event_type: &'static str, time_ms: i64) {
        self.told.insert(id, (event_type, time_ms));
    }

    /// When the last pass was made over everybody. What was told since stays until the
    /// next, however old it is.
    pub fn dropped_at(&mut self, pass_ms: i64) {
        if pass_ms == self.pass_ms {
            return;
        }
        self.pass_ms = pass_ms;
        self.told.retain(|_, (event_type, time_ms)| {
            let days = if *event_type == "view" {
                VIEW_DAYS
            } else {
                EVENT_DAYS
            };
            *time_ms >= pass_ms - i64::from(days) * DAY
        });
    }

    /// Also those that were never taken.
    pub fn erased(&mut self, ids: &Ids) {
        self.told.retain(|id, _| !ids.contains(id));
    }

    pub fn ids(&self) -> Ids {
        self.told.keys().cloned().collect()
    }
}
