//! Which messages of the contract people edit. Named here, since a service may not
//! implement one crate's trait for another crate's message.

use attune_api::{
    catalog::v1::{Item, ItemType},
    messaging::v1::Template,
    rules::v1::{Placement, Rule, Strategy},
};

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
crate::resource!(Rule, "rule", "attune.rules.v1.Rule", rule_id);
crate::resource!(
    Template,
    "template",
    "attune.messaging.v1.Template",
    template_id
);
