//! Requests about audiences, with every rule that a field must keep, and how deliveries
//! are shown.

use attune_api::{
    profile::v1::{
        AudienceCounts, AudienceDelivery, AudienceDeliveryState, AudienceFormat, AudienceLayout,
        CreateAudienceDeliveryRequest, ExportAudienceRequest, ListAudienceDeliveriesRequest,
    },
    time::from_ms,
};
use attune_errors::Violations;

use super::page;
use crate::{
    Error,
    domain::{
        audience::{Counts, Format, Layout},
        delivery::{Delivery, Order, State},
    },
    service::audiences::{ListAsked, Wanted},
};

const ID_RULE: &str = "must be 1 to 64 of a-z, 0-9, `_` and `-`, beginning with a letter";

pub fn export(request: ExportAudienceRequest) -> Result<(Wanted, Format), Error> {
    let mut violations = Violations::new();
    let layout = layout("layout", request.layout, &mut violations);
    let format = match AudienceFormat::try_from(request.format) {
        Ok(AudienceFormat::Unspecified | AudienceFormat::Csv) => Format::Csv,
        Ok(AudienceFormat::Ndjson) => Format::Ndjson,
        Err(_) => {
            violations.push("format", "must be CSV or NDJSON");
            Format::Csv
        }
    };
    set("segment_id", &request.segment_id, &mut violations);
    set("purpose", &request.purpose, &mut violations);
    violations.into_result()?;
    let wanted = Wanted {
        segment_id: request.segment_id,
        purpose: request.purpose,
        layout,
    };
    Ok((wanted, format))
}

pub fn create(request: CreateAudienceDeliveryRequest) -> Result<Order, Error> {
    let mut violations = Violations::new();
    if !is_id(&request.audience_delivery_id) {
        violations.push("audience_delivery_id", ID_RULE);
    }
    let sent = request.audience_delivery.unwrap_or_default();
    let layout = violations.within("audience_delivery", |v| {
        set("segment_id", &sent.segment_id, v);
        set("purpose", &sent.purpose, v);
        set("destination", &sent.destination, v);
        layout("layout", sent.layout, v)
    });
    violations.into_result()?;
    Ok(Order {
        delivery_id: request.audience_delivery_id,
        segment_id: sent.segment_id,
        purpose: sent.purpose,
        layout,
        destination: sent.destination,
    })
}

pub fn list(request: &ListAudienceDeliveriesRequest) -> Result<ListAsked, Error> {
    let mut violations = Violations::new();
    let size = page::size(request.page_size, &mut violations);
    let after = page::read_name_token(&request.page_token, &mut violations);
    violations.into_result()?;
    Ok(ListAsked { after, size })
}

fn set(field: &str, text: &str, violations: &mut Violations) {
    if text.is_empty() {
        violations.push(field, "must be set");
    }
}

fn layout(field: &str, sent: i32, violations: &mut Violations) -> Layout {
    match AudienceLayout::try_from(sent) {
        Ok(AudienceLayout::Unspecified | AudienceLayout::Hashed) => Layout::Hashed,
        Ok(AudienceLayout::GoogleCustomerMatch) => Layout::GoogleCustomerMatch,
        Ok(AudienceLayout::MetaCustomAudience) => Layout::MetaCustomAudience,
        Err(_) => {
            let rule = "must be HASHED, GOOGLE_CUSTOMER_MATCH or META_CUSTOM_AUDIENCE";
            violations.push(field, rule);
            Layout::Hashed
        }
    }
}

fn is_id(id: &str) -> bool {
    let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'_' | b'-');
    (1..=64).contains(&id.len())
        && id.starts_with(|c: char| c.is_ascii_lowercase())
        && id.bytes().all(plain)
}

impl From<Counts> for AudienceCounts {
    fn from(counts: Counts) -> Self {
        Self {
            member_count: counts.members,
            exported_count: counts.exported,
            withheld_count: counts.withheld,
            unmatchable_count: counts.unmatchable,
        }
    }
}

impl From<Delivery> for AudienceDelivery {
    fn from(delivery: Delivery) -> Self {
        let progress = delivery.progress();
        let state = match delivery.state {
            State::Delivering => AudienceDeliveryState::Delivering,
            State::Delivered => AudienceDeliveryState::Delivered,
            State::Failed => AudienceDeliveryState::DeliveryFailed,
            State::Cancelled => AudienceDeliveryState::DeliveryCancelled,
        };
        let layout = match delivery.order.layout {
            Layout::Hashed => AudienceLayout::Hashed,
            Layout::GoogleCustomerMatch => AudienceLayout::GoogleCustomerMatch,
            Layout::MetaCustomAudience => AudienceLayout::MetaCustomAudience,
        };
        Self {
            audience_delivery_id: delivery.order.delivery_id,
            segment_id: delivery.order.segment_id,
            purpose: delivery.order.purpose,
            layout: layout.into(),
            destination: delivery.order.destination,
            state: state.into(),
            progress,
            counts: Some(delivery.counts.into()),
            batch_count: delivery.batch_count,
            attempt_count: i32::try_from(delivery.attempt_count).unwrap_or(i32::MAX),
            failure: delivery.failure,
            create_time: Some(from_ms(delivery.create_ms)),
            update_time: Some(from_ms(delivery.update_ms)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_faults_of_an_order_are_told_at_once() {
        let Err(Error::Invalid(violations)) = create(CreateAudienceDeliveryRequest {
            audience_delivery_id: "Not an id".into(),
            audience_delivery: Some(AudienceDelivery {
                layout: 99,
                purpose: "advertising".into(),
                ..AudienceDelivery::default()
            }),
        }) else {
            panic!("it was taken")
        };
        let fields: Vec<_> = violations.iter().map(|v| v.field.as_str()).collect();
        let expected = [
            "audience_delivery_id",
            "audience_delivery.segment_id",
            "audience_delivery.destination",
            "audience_delivery.layout",
        ];
        assert_eq!(fields, expected);
    }
}
