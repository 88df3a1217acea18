//! A person as expressions see them: traits, given and computed, segments, consents and
//! history, as of one moment. Borrows what it shows and knows nothing of where it is from.

use std::{ops::ControlFlow, sync::Arc};

use attune_api::profile::v1::RecentEvent;
use attune_expr::{Aggregate, Change, ContextField, EventRef, Scope, Value, recent_events};

use super::{
    Record,
    purposes::{PurposeSet, Purposes},
    windows::Windows,
};

/// What of a history expressions ask about.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// Shared with whoever holds them until the next write.
    pub windows: Arc<Windows>,
    /// The newest first: for questions that columns cannot answer, such as for an order
    /// of events or with a filter that reads a trait.
    pub events: Vec<RecentEvent>,
}

/// One person at one moment.
#[derive(Debug, Clone, Copy)]
pub struct PersonScope<'a> {
    /// The profile id, as text.
    pub key: &'a str,
    pub record: &'a Record,
    pub history: &'a History,
    pub purposes: &'a Purposes,
    /// What the person's data may be used for.
    pub allowed: PurposeSet,
    pub now_ms: i64,
}

impl Scope for PersonScope<'_> {
    fn profile(&self, trait_id: &str) -> Value<'_> {
        let may = self.purposes.may_use(trait_id, self.allowed);
        let value = self.record.value(trait_id).filter(|_| may);
        value.map_or(Value::Missing, Value::from)
    }

    fn in_segment(&self, segment_id: &str) -> bool {
        self.record.segments.contains_key(segment_id)
    }

    fn context(&self, field: ContextField) -> Value<'_> {
        match field {
            // What is derived of a person is derived in no situation but this moment.
            ContextField::Time => Value::Time(self.now_ms),
            _ => Value::Missing,
        }
    }

    fn consent(&self, purpose: &str) -> bool {
        self.purposes.allows(purpose, self.allowed)
    }

    fn subject_key(&self) -> &str {
        self.key
    }

    fn now_ms(&self) -> i64 {
        self.now_ms
    }

    fn events<'s>(
        &'s self,
        event_type: Option<&str>,
        since_ms: Option<i64>,
        visit: &mut dyn FnMut(EventRef<'s>) -> ControlFlow<()>,
    ) {
        recent_events(&self.history.events, event_type, since_ms, visit);
    }

    fn aggregate(&self, aggregate: &Aggregate) -> Option<Value<'_>> {
        self.history.windows.answer(aggregate, self.now_ms)
    }

    fn aggregate_until(
        &self,
        aggregate: &Aggregate,
        test: &dyn Fn(&Value<'_>) -> bool,
    ) -> Option<Change> {
        self.history.windows.until(aggregate, self.now_ms, test)
    }
}
