//! Which messages of the contract people edit. Named here, since a service may not
//! implement one crate's trait for another crate's message.

use attune_api::{
    catalog::v1::{Item, ItemType},
    messaging::v1::Template,
    profile::v1::{EventType, Purpose, Segment, SegmentState, Trait},
    rules::v1::{Placement, Rule, RuleState, Strategy},
    time,
};

use super::{Resource, Stamp};

crate::resource!(
    ItemType,
    "item_type",
    "attune.catalog.v1.ItemType",
    item_type_id
);
crate::resource!(Item, "item", "attune.catalog.v1.Item", item_id);
crate::resource!(
    Placement,
    "placement",
    "attune.rules.v1.Placement",
    placement_id
);
crate::resource!(
    Strategy,
    "strategy",
    "attune.rules.v1.Strategy",
    strategy_id
);

/// By hand, for its output-only fields are not part of what people edit either.
impl Resource for Rule {
    const KIND: &'static str = "rule";
    const FULL_NAME: &'static str = "attune.rules.v1.Rule";

    fn id(&self) -> &str {
        &self.rule_id
    }

    fn etag(&self) -> &str {
        &self.etag
    }

    fn stamp(&mut self, stamp: Option<Stamp>) {
        let times = stamp.as_ref().map(|s| (s.create_ms, s.update_ms));
        self.create_time = times.map(|(ms, _)| time::from_ms(ms));
        self.update_time = times.map(|(_, ms)| time::from_ms(ms));
        self.etag = stamp.map(|s| s.etag).unwrap_or_default();
        self.version = 0;
        self.state = RuleState::Unspecified.into();
        self.has_draft = false;
    }
}

crate::resource!(Purpose, "purpose", "attune.profile.v1.Purpose", purpose_id);

crate::resource!(
    Template,
    "template",
    "attune.messaging.v1.Template",
    template_id
);

crate::resource!(Trait, "trait", "attune.profile.v1.Trait", trait_id);
crate::resource!(
    EventType,
    "event_type",
    "attune.profile.v1.EventType",
    event_type_id
);
/// By hand, since how it is filled is not part of what people edit either.
impl Resource for Segment {
    const KIND: &'static str = "segment";
    const FULL_NAME: &'static str = "attune.profile.v1.Segment";

    fn id(&self) -> &str {
        &self.segment_id
    }

    fn etag(&self) -> &str {
        &self.etag
    }

    fn stamp(&mut self, stamp: Option<Stamp>) {
        let times = stamp.as_ref().map(|s| (s.create_ms, s.update_ms));
        self.create_time = times.map(|(ms, _)| time::from_ms(ms));
        self.update_time = times.map(|(_, ms)| time::from_ms(ms));
        self.etag = stamp.map(|s| s.etag).unwrap_or_default();
        self.state = SegmentState::Unspecified.into();
        self.progress = 0.0;
        self.member_count = 0;
    }
}
