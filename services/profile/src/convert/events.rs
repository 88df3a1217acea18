//! The filters of a timeline: their rules, and the form in which it is read.

use attune_api::{
    profile::v1::{EventOrder, ListEventsRequest},
    time::to_ms,
};
use attune_errors::Violations;
use prost_types::Timestamp;

use super::{page, profile_id, text};
use crate::{Error, service::events::EventsAsked, store::timeline::Order};

const TYPES_MAX: usize = 50;

pub fn list_events(request: ListEventsRequest) -> Result<EventsAsked, Error> {
    let mut violations = Violations::new();
    if request.profile_id.is_empty() {
        violations.push("profile_id", "must be set");
    }
    let size = page::size(request.page_size, &mut violations);
    let after = page::read_place_token(&request.page_token, &mut violations);
    text("type", &request.r#type, &mut violations);
    text("channel", &request.channel, &mut violations);
    text("item_id", &request.item_id, &mut violations);
    let start_ms = moment("start_time", request.start_time.as_ref(), &mut violations);
    let end_ms = moment("end_time", request.end_time.as_ref(), &mut violations);
    if let (Some(start_ms), Some(end_ms)) = (start_ms, end_ms)
        && end_ms <= start_ms
    {
        violations.push("end_time", "must be after start_time");
    }
    let order = order(request.order, &mut violations);
    let types = types(request.r#type, request.types, &mut violations);
    violations.into_result()?;
    Ok(EventsAsked {
        profile_id: profile_id(&request.profile_id)?,
        size,
        after,
        order,
        types,
        start_ms: start_ms.unwrap_or(i64::MIN),
        end_ms: end_ms.unwrap_or(i64::MAX),
        channel: request.channel,
        item_id: request.item_id,
    })
}

fn types(one: String, more: Vec<String>, violations: &mut Violations) -> Vec<String> {
    if more.len() > TYPES_MAX {
        violations.push("types", "must be at most 50");
    }
    for (index, sent) in more.iter().enumerate() {
        violations.within_item("types", index, |violations| {
            if sent.is_empty() {
                violations.push("", "must not be empty");
            }
            text("", sent, violations);
        });
    }
    let one = Some(one).filter(|one| !one.is_empty());
    one.into_iter().chain(more).collect()
}

fn order(sent: i32, violations: &mut Violations) -> Order {
    match EventOrder::try_from(sent) {
        Ok(EventOrder::Unspecified | EventOrder::NewestFirst) => Order::NewestFirst,
        Ok(EventOrder::OldestFirst) => Order::OldestFirst,
        Err(_) => {
            violations.push("order", "must be NEWEST_FIRST or OLDEST_FIRST");
            Order::default()
        }
    }
}

fn moment(field: &str, sent: Option<&Timestamp>, violations: &mut Violations) -> Option<i64> {
    let sent = sent?;
    if !(0..1_000_000_000).contains(&sent.nanos) {
        violations.push(field, "must have 0 to 999,999,999 nanoseconds");
        return None;
    }
    Some(to_ms(sent))
}
