//! Mappings as they are written in TOML. Shapes only; what must hold is checked when a
//! mapping is compiled.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::import::value::FieldSpec;

/// A mapping as it is written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MappingFile {
    pub kind: What,
    /// Of CSV; one character.
    #[serde(default = "comma")]
    pub delimiter: char,
    /// Rows that are left out, each named by conditions that all hold.
    #[serde(default)]
    pub skip: Vec<SkipSpec>,
    pub item_type: Option<ItemTypeSpec>,
    pub item: Option<ItemSpec>,
    pub profile: Option<ProfileSpec>,
    pub event: Option<EventSpec>,
    pub member: Option<MemberSpec>,
}

fn comma() -> char {
    ','
}

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum What {
    Profiles,
    Items,
    Events,
    Members,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SkipSpec {
    pub when: Vec<ConditionSpec>,
}

/// One thing that a column must be.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConditionSpec {
    pub column: String,
    pub equals: Option<String>,
    pub is_one_of: Option<Vec<String>>,
    pub starts_with: Option<String>,
    pub less_than: Option<f64>,
    pub is_empty: Option<bool>,
    /// Turns it round.
    #[serde(default)]
    pub not: bool,
}

/// The type that the items are of, created or extended before they are sent.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ItemTypeSpec {
    pub item_type_id: String,
    #[serde(default)]
    pub display_name: String,
    #[serde(default)]
    pub characteristics: Vec<CharacteristicSpec>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CharacteristicSpec {
    pub name: String,
    /// `TEXT`, `NUMBER`, … as in the API.
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub facet: bool,
    #[serde(default)]
    pub searchable: bool,
    #[serde(default)]
    pub enum_values: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ItemSpec {
    /// Template. Of rows with the same id the first counts.
    pub id: String,
    /// Empty: the declared one.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// Templates, the first that is complete counts; by locale, or for all.
    #[serde(default)]
    pub title: Localized,
    #[serde(default)]
    pub description: Localized,
    pub url: Option<String>,
    pub image_url: Option<String>,
    /// Templates; empty ones and repetitions are left out.
    #[serde(default)]
    pub categories: Vec<String>,
    pub price: Option<FieldSpec>,
    pub currency_code: Option<String>,
    pub stock: Option<FieldSpec>,
    /// An expression; whom the item may be shown to.
    pub audience: Option<FieldSpec>,
    /// A set, of the people it may be shown to.
    pub locales: Option<FieldSpec>,
    /// Whether it is bought again and again.
    pub replenishable: Option<FieldSpec>,
    /// How long one unit lasts.
    pub replenishment_days: Option<FieldSpec>,
    #[serde(default)]
    pub characteristics: BTreeMap<String, FieldSpec>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Localized {
    One(String),
    Alternatives(Vec<String>),
    ByLocale(BTreeMap<String, Vec<String>>),
}

impl Default for Localized {
    fn default() -> Self {
        Self::Alternatives(Vec::new())
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfileSpec {
    /// Template.
    pub user_id: Option<String>,
    /// Template.
    pub anonymous_id: Option<String>,
    /// Template: the anonymous id of rows without a user id.
    pub guest_id: Option<String>,
    /// Empty: made of the file and the line.
    pub message_id: Option<String>,
    /// When the traits were true; absent means now.
    pub time: Option<FieldSpec>,
    #[serde(default)]
    pub traits: BTreeMap<String, FieldSpec>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventSpec {
    /// Template.
    pub user_id: Option<String>,
    /// Template.
    pub anonymous_id: Option<String>,
    /// Template: the anonymous id of rows without a user id.
    pub guest_id: Option<String>,
    /// Empty: made of the file and the line.
    pub message_id: Option<String>,
    /// Template.
    pub name: String,
    /// Other names, the first whose conditions hold.
    #[serde(default)]
    pub variants: Vec<VariantSpec>,
    pub time: FieldSpec,
    /// `web`, `app`, `store` …
    #[serde(default)]
    pub channel: String,
    #[serde(default)]
    pub properties: BTreeMap<String, FieldSpec>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VariantSpec {
    pub when: Vec<ConditionSpec>,
    pub name: String,
}

/// People who are put on a list, or taken off it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberSpec {
    /// A segment without an expression.
    pub segment_id: String,
    /// Of the identifier: `user_id`, `email` …
    pub namespace: String,
    /// Template of the identifier.
    pub value: String,
    /// Conditions of rows that are taken off instead; empty: none are.
    #[serde(default)]
    pub remove: Vec<ConditionSpec>,
}
