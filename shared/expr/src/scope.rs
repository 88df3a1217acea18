//! Where an expression's names get their values: the seam to whoever holds them. A
//! scope answers one name at a time, borrowed, so that judging builds no map of all
//! that could be asked.

use std::ops::ControlFlow;

use attune_api::{
    catalog::v1::{Item, ItemState},
    profile::v1::{RecentEvent, Snapshot},
    time,
    r#type::v1::Context,
};
use prost_types::Timestamp;

use crate::{
    history::{Aggregate, Change, EventRef},
    value::Value,
    vocabulary::{ContextField, ItemField},
};

/// Values by name. Everything is missing unless an implementation knows better.
pub trait Scope {
    /// A trait, for `profile.NAME`.
    fn profile(&self, trait_id: &str) -> Value<'_> {
        let _ = trait_id;
        Value::Missing
    }

    /// The list of segments the person is in.
    fn segments(&self) -> Value<'_> {
        Value::Missing
    }

    /// For `"id" in segments`; override it where a set is at hand.
    fn in_segment(&self, segment_id: &str) -> bool {
        self.segments().contains(&Value::text(segment_id))
    }

    fn context(&self, field: ContextField) -> Value<'_> {
        let _ = field;
        Value::Missing
    }

    fn item(&self, field: ItemField) -> Value<'_> {
        let _ = field;
        Value::Missing
    }

    /// For `item.NAME` where NAME is no built-in field.
    fn characteristic(&self, name: &str) -> Value<'_> {
        let _ = name;
        Value::Missing
    }

    /// For `consent("purpose")`; none is given unless the scope says so.
    fn consent(&self, purpose: &str) -> bool {
        let _ = purpose;
        false
    }

    /// For `subscribed("group")`; to none unless the scope says so.
    fn subscribed(&self, group: &str) -> bool {
        let _ = group;
        false
    }

    /// What `bucket("salt")` hashes: stable for a person.
    fn subject_key(&self) -> &str {
        ""
    }

    /// The time of the judgement, in milliseconds since the Unix epoch.
    fn now_ms(&self) -> i64 {
        match self.context(ContextField::Time) {
            Value::Time(ms) => ms,
            _ => 0,
        }
    }

    /// Shows the events of a type (or of all) since a time, inclusive, the newest first
    /// and of those of the same time the later one, until told to stop.
    fn events<'s>(
        &'s self,
        event_type: Option<&str>,
        since_ms: Option<i64>,
        visit: &mut dyn FnMut(EventRef<'s>) -> ControlFlow<()>,
    ) {
        let _ = (event_type, since_ms, visit);
    }

    /// The answer to a question about the history, where one is kept up to date; None
    /// to have the events looked at.
    fn aggregate(&self, aggregate: &Aggregate) -> Option<Value<'_>> {
        let _ = aggregate;
        None
    }

    /// When time alone first makes a test say something else of the answer that
    /// [`aggregate`](Self::aggregate) gives, or sooner; None to have the events looked at.
    fn aggregate_until(
        &self,
        aggregate: &Aggregate,
        test: &dyn Fn(&Value<'_>) -> bool,
    ) -> Option<Change> {
        let _ = (aggregate, test);
        None
    }

    /// A name that the vocabulary declares as a variable.
    fn variable(&self, name: &str) -> Value<'_> {
        let _ = name;
        Value::Missing
    }
}

/// A person in a situation, from what the services pass around.
#[derive(Debug, Clone, Copy)]
pub struct SubjectScope<'a> {
    /// Absent for someone nobody has seen.
    pub snapshot: Option<&'a Snapshot>,
    pub context: Option<&'a Context>,
    pub channel: &'a str,
    /// The time of the request where the context names none, in milliseconds.
    pub now_ms: i64,
    /// Profile id, or whatever else is stable for the person.
    pub subject_key: &'a str,
}

impl Scope for SubjectScope<'_> {
    fn profile(&self, trait_id: &str) -> Value<'_> {
        self.snapshot
            .and_then(|snapshot| snapshot.traits.as_ref())
            .and_then(|traits| traits.fields.get(trait_id))
            .map_or(Value::Missing, Value::from)
    }

    fn segments(&self) -> Value<'_> {
        self.snapshot
            .map_or(Value::Missing, |snapshot| Value::Texts(&snapshot.segments))
    }

    fn in_segment(&self, segment_id: &str) -> bool {
        self.snapshot
            .is_some_and(|snapshot| snapshot.segments.iter().any(|s| s == segment_id))
    }

    fn context(&self, field: ContextField) -> Value<'_> {
        match field {
            ContextField::Channel => Value::text_or_missing(self.channel),
            ContextField::Time => Value::Time(Scope::now_ms(self)),
            _ => self
                .context
                .map_or(Value::Missing, |context| context_value(context, field)),
        }
    }

    fn consent(&self, purpose: &str) -> bool {
        self.snapshot
            .and_then(|snapshot| snapshot.consents.get(purpose))
            .copied()
            .unwrap_or(false)
    }

    fn subject_key(&self) -> &str {
        self.subject_key
    }

    fn now_ms(&self) -> i64 {
        let time = self.context.and_then(|context| context.time.as_ref());
        time.map_or(self.now_ms, time::to_ms)
    }

    fn events<'s>(
        &'s self,
        event_type: Option<&str>,
        since_ms: Option<i64>,
        visit: &mut dyn FnMut(EventRef<'s>) -> ControlFlow<()>,
    ) {
        let events = self.snapshot.map_or(&[][..], |s| &s.recent_events);
        recent_events(events, event_type, since_ms, visit);
    }
}

/// Shows those of a snapshot's events, which come newest first, that are asked for.
pub fn recent_events<'s>(
    events: impl IntoIterator<Item = &'s RecentEvent>,
    event_type: Option<&str>,
    since_ms: Option<i64>,
    visit: &mut dyn FnMut(EventRef<'s>) -> ControlFlow<()>,
) {
    for event in events {
        if since_ms.is_some_and(|since| event.time_ms < since) {
            return;
        }
        if event_type.is_none_or(|wanted| wanted == event.r#type)
            && visit(EventRef::from(event)).is_break()
        {
            return;
        }
    }
}

fn context_value(context: &Context, field: ContextField) -> Value<'_> {
    use ContextField as F;
    let location = context.location.as_ref();
    let device = context.device.as_ref();
    let page = context.page.as_ref();
    match field {
        // Known to the request rather than to its context.
        F::Channel => Value::Missing,
        F::Time => time_value(context.time.as_ref()),
        F::TimeZone => Value::text_or_missing(&context.time_zone),
        F::Locale => Value::text_or_missing(&context.locale),
        F::LocationLat => number(location.and_then(|l| l.lat)),
        F::LocationLng => number(location.and_then(|l| l.lng)),
        F::LocationCountry => optional_text(location.map(|l| &l.country)),
        F::LocationRegion => optional_text(location.map(|l| &l.region)),
        F::LocationCity => optional_text(location.map(|l| &l.city)),
        F::DeviceType => optional_text(device.map(|d| &d.r#type)),
        F::DeviceOs => optional_text(device.map(|d| &d.os)),
        F::DeviceAppVersion => optional_text(device.map(|d| &d.app_version)),
        F::PageUrl => optional_text(page.map(|p| &p.url)),
        F::PageType => optional_text(page.map(|p| &p.r#type)),
        F::PageItemId => optional_text(page.map(|p| &p.item_id)),
        F::PageCategory => optional_text(page.map(|p| &p.category)),
        F::PageQuery => optional_text(page.map(|p| &p.query)),
        F::CartItemIds => Value::Texts(&context.cart_item_ids),
        F::Attributes => context
            .attributes
            .as_ref()
            .map_or(Value::Missing, Value::Struct),
    }
}

/// An item as the catalog has it. Texts are those of the default locale.
#[derive(Debug, Clone, Copy)]
pub struct ItemScope<'a>(pub &'a Item);

impl Scope for ItemScope<'_> {
    fn item(&self, field: ItemField) -> Value<'_> {
        use ItemField as F;
        let item = self.0;
        match field {
            F::Id => Value::text(&item.item_id),
            F::Type => Value::text_or_missing(&item.item_type),
            F::Title => optional_text(item.title.get("").or_else(|| item.title.values().next())),
            F::Description => optional_text(
                item.description
                    .get("")
                    .or_else(|| item.description.values().next()),
            ),
            F::Url => Value::text_or_missing(&item.url),
            F::ImageUrl => Value::text_or_missing(&item.image_url),
            F::Categories => Value::Texts(&item.categories),
            F::Price => number(item.price.as_ref().map(|price| price.amount)),
            F::CurrencyCode => optional_text(item.price.as_ref().map(|p| &p.currency_code)),
            F::Stock => item.stock.map_or(Value::Missing, Value::Int),
            F::State => state_name(item.state()).map_or(Value::Missing, Value::text),
            F::AvailableFrom => time_value(item.available_from.as_ref()),
            F::AvailableTo => time_value(item.available_to.as_ref()),
            F::CreateTime => time_value(item.create_time.as_ref()),
            F::UpdateTime => time_value(item.update_time.as_ref()),
            F::Locales => Value::Texts(&item.locales),
            F::Replenishable => Value::Bool(item.replenishable),
        }
    }

    fn characteristic(&self, name: &str) -> Value<'_> {
        self.0
            .characteristics
            .get(name)
            .map_or(Value::Missing, Value::from)
    }
}

/// An item judged for a person: names of each come from their own scope.
#[derive(Debug, Clone, Copy)]
pub struct Judged<'a, S: ?Sized, I> {
    pub subject: &'a S,
    pub item: &'a I,
}

impl<S: Scope + ?Sized, I: Scope> Scope for Judged<'_, S, I> {
    fn profile(&self, trait_id: &str) -> Value<'_> {
        self.subject.profile(trait_id)
    }

    fn segments(&self) -> Value<'_> {
        self.subject.segments()
    }

    fn in_segment(&self, segment_id: &str) -> bool {
        self.subject.in_segment(segment_id)
    }

    fn context(&self, field: ContextField) -> Value<'_> {
        self.subject.context(field)
    }

    fn item(&self, field: ItemField) -> Value<'_> {
        self.item.item(field)
    }

    fn characteristic(&self, name: &str) -> Value<'_> {
        self.item.characteristic(name)
    }

    fn consent(&self, purpose: &str) -> bool {
        self.subject.consent(purpose)
    }

    fn subscribed(&self, group: &str) -> bool {
        self.subject.subscribed(group)
    }

    fn subject_key(&self) -> &str {
        self.subject.subject_key()
    }

    fn now_ms(&self) -> i64 {
        self.subject.now_ms()
    }

    fn events<'s>(
        &'s self,
        event_type: Option<&str>,
        since_ms: Option<i64>,
        visit: &mut dyn FnMut(EventRef<'s>) -> ControlFlow<()>,
    ) {
        self.subject.events(event_type, since_ms, visit);
    }

    fn aggregate(&self, aggregate: &Aggregate) -> Option<Value<'_>> {
        self.subject.aggregate(aggregate)
    }

    fn aggregate_until(
        &self,
        aggregate: &Aggregate,
        test: &dyn Fn(&Value<'_>) -> bool,
    ) -> Option<Change> {
        self.subject.aggregate_until(aggregate, test)
    }

    fn variable(&self, name: &str) -> Value<'_> {
        self.subject.variable(name)
    }
}

/// As expressions write an item's state.
pub fn state_name(state: ItemState) -> Option<&'static str> {
    match state {
        ItemState::Unspecified => None,
        other => Some(other.as_str_name()),
    }
}

fn optional_text(text: Option<&String>) -> Value<'_> {
    text.map_or(Value::Missing, |text| Value::text_or_missing(text))
}

fn number(number: Option<f64>) -> Value<'static> {
    number.map_or(Value::Missing, Value::Number)
}

fn time_value(time: Option<&Timestamp>) -> Value<'static> {
    time.map_or(Value::Missing, |time| Value::Time(time::to_ms(time)))
}
