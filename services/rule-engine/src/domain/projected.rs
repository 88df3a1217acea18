//! One item as deciding needs it: what rules and rankers read, interned and compact.
//! Holds no description and no links, which expressions over items here cannot name.

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use attune_api::{
    catalog::v1::{Item, ItemState},
    time,
};
use attune_expr::{ItemField, Scope, Value, state_name};
use prost_types::{Struct, value::Kind};

use super::{
    audience::{Audience, Audiences},
    replenishment::Declared,
};

/// Texts longer than this say too much to be a feature that two items share.
const FEATURE_CHARS_MAX: usize = 64;
/// More would let one item with a long tag list crowd the inverted lists.
const FEATURES_MAX: usize = 48;

/// Names that no characteristic has.
pub const TYPE_FEATURE: &str = "item.type";
pub const CATEGORY_FEATURE: &str = "item.category";

/// What two items may have in common, as a hash of name and value.
pub type Feature = u64;

/// An item of the projection.
#[derive(Debug)]
pub struct Projected {
    pub item_type: Arc<str>,
    /// By locale; the default (empty) locale first where there is one.
    pub titles: Box<[(Arc<str>, Arc<str>)]>,
    pub categories: Arc<[String]>,
    /// Sorted by name.
    characteristics: Box<[(Arc<str>, Characteristic)]>,
    pub price: Option<f64>,
    pub currency_code: Arc<str>,
    pub stock: Option<i64>,
    pub state: ItemState,
    pub available_from_ms: Option<i64>,
    pub available_to_ms: Option<i64>,
    create_ms: Option<i64>,
    pub update_ms: Option<i64>,
    pub first_published_ms: Option<i64>,
    /// Sorted and distinct; those of one name are neighbours.
    pub features: Box<[Feature]>,
    /// Whom it may be shown to; none means everybody.
    pub audience: Option<Arc<Audience>>,
    /// Of the people it may be shown to; empty means all.
    pub locales: Arc<[String]>,
    /// Having bought it is no reason not to show it, once `replenishment_days` passed.
    pub is_replenishable: bool,
    pub replenishment_days: f32,
}

#[derive(Debug)]
enum Characteristic {
    Bool(bool),
    Number(f64),
    Text(Arc<str>),
    Texts(Arc<[String]>),
    Map(Box<Struct>),
}

impl Projected {
    pub fn new(item: &Item, first_published_ms: Option<i64>, pool: &mut Pool) -> Self {
        Self {
            item_type: pool.text(&item.item_type),
            titles: item
                .title
                .iter()
                .map(|(locale, title)| (pool.text(locale), title.as_str().into()))
                .collect(),
            categories: pool.texts(&item.categories),
            characteristics: item
                .characteristics
                .iter()
                .filter_map(|(name, value)| {
                    Some((pool.text(name), characteristic(value.kind.as_ref()?, pool)?))
                })
                .collect(),
            price: item.price.as_ref().map(|price| price.amount),
            currency_code: pool.text(item.price.as_ref().map_or("", |p| &p.currency_code)),
            stock: item.stock,
            state: item.state(),
            available_from_ms: item.available_from.as_ref().map(time::to_ms),
            available_to_ms: item.available_to.as_ref().map(time::to_ms),
            create_ms: item.create_time.as_ref().map(time::to_ms),
            update_ms: item.update_time.as_ref().map(time::to_ms),
            first_published_ms,
            features: features(item),
            audience: pool.audiences.intern(&item.audience),
            locales: pool.texts(&item.locales),
            is_replenishable: item.replenishable,
            replenishment_days: item.replenishment_days as f32,
        }
    }

    /// Whether it may be offered at all, its time window aside.
    pub fn is_offerable(&self) -> bool {
        self.state == ItemState::Published && self.stock.is_none_or(|units| units > 0)
    }

    /// Whether it depends on who asks, or when, if it may be shown.
    pub fn is_conditional(&self) -> bool {
        self.available_from_ms.is_some()
            || self.available_to_ms.is_some()
            || self.audience.is_some()
            || !self.locales.is_empty()
    }

    pub fn is_available_at(&self, now_ms: i64) -> bool {
        self.available_from_ms.is_none_or(|from| from <= now_ms)
            && self.available_to_ms.is_none_or(|to| now_ms < to)
    }

    /// What the catalog says of how it is used up.
    pub fn declared(&self) -> Declared {
        let days = Some(self.replenishment_days).filter(|days| *days > 0.0);
        Declared {
            is_replenishable: self.is_replenishable,
            days: days.filter(|_| self.is_replenishable),
        }
    }

    pub fn leaf_category(&self) -> Option<&str> {
        self.categories.last().map(String::as_str)
    }

    /// For a person's locale: that one, then its language, then the default.
    pub fn title(&self, locale: &str) -> Option<&Arc<str>> {
        let language = locale.split('-').next().unwrap_or(locale);
        [locale, language, ""]
            .iter()
            .find_map(|wanted| {
                let found = self.titles.iter().find(|(held, _)| &**held == *wanted);
                found.map(|(_, title)| title)
            })
            .or_else(|| self.titles.first().map(|(_, title)| title))
            .filter(|title| !title.is_empty())
    }
}

/// An item under judgement, with its id, which the projection keeps elsewhere.
#[derive(Debug, Clone, Copy)]
pub struct ProjectedScope<'a> {
    pub id: &'a str,
    pub item: &'a Projected,
}

impl Scope for ProjectedScope<'_> {
    fn item(&self, field: ItemField) -> Value<'_> {
        use ItemField as F;
        let item = self.item;
        match field {
            F::Id => Value::text(self.id),
            F::Type => Value::text_or_missing(&item.item_type),
            F::Title => item
                .title("")
                .map_or(Value::Missing, |title| Value::text(title)),
            F::Categories => Value::Texts(&item.categories),
            F::Price => item.price.map_or(Value::Missing, Value::Number),
            F::CurrencyCode => Value::text_or_missing(&item.currency_code),
            F::Stock => item.stock.map_or(Value::Missing, Value::Int),
            F::State => state_name(item.state).map_or(Value::Missing, Value::text),
            F::AvailableFrom => time_value(item.available_from_ms),
            F::AvailableTo => time_value(item.available_to_ms),
            F::CreateTime => time_value(item.create_ms),
            F::UpdateTime => time_value(item.update_ms),
            F::Locales => Value::Texts(&item.locales),
            F::Replenishable => Value::Bool(item.is_replenishable),
            // Refused when an expression is saved.
            F::Description | F::Url | F::ImageUrl => Value::Missing,
        }
    }

    fn characteristic(&self, name: &str) -> Value<'_> {
        let held = &self.item.characteristics;
        let Ok(at) = held.binary_search_by(|(known, _)| (**known).cmp(name)) else {
            return Value::Missing;
        };
        match &held[at].1 {
            Characteristic::Bool(b) => Value::Bool(*b),
            Characteristic::Number(n) => Value::Number(*n),
            Characteristic::Text(text) => Value::text(text),
            Characteristic::Texts(texts) => Value::Texts(texts),
            Characteristic::Map(fields) => Value::Struct(fields),
        }
    }
}

fn time_value(ms: Option<i64>) -> Value<'static> {
    ms.map_or(Value::Missing, Value::Time)
}

fn characteristic(kind: &Kind, pool: &mut Pool) -> Option<Characteristic> {
    Some(match kind {
        Kind::NullValue(_) => return None,
        Kind::BoolValue(b) => Characteristic::Bool(*b),
        Kind::NumberValue(n) => Characteristic::Number(*n),
        Kind::StringValue(text) => Characteristic::Text(pool.text(text)),
        Kind::ListValue(list) => {
            let texts: Vec<String> = list
                .values
                .iter()
                .filter_map(|value| match &value.kind {
                    Some(Kind::StringValue(text)) => Some(text.clone()),
                    _ => None,
                })
                .collect();
            Characteristic::Texts(pool.texts(&texts))
        }
        Kind::StructValue(fields) => Characteristic::Map(Box::new(fields.clone())),
    })
}

/// Type, every category and every categorical characteristic. Numbers are left out:
/// two tents are not alike because both weigh 2.35.
pub(super) fn features(item: &Item) -> Box<[Feature]> {
    let mut features = vec![feature(TYPE_FEATURE, &item.item_type)];
    let categories = item.categories.iter();
    features.extend(categories.map(|category| feature(CATEGORY_FEATURE, category)));
    for (name, value) in &item.characteristics {
        match &value.kind {
            Some(Kind::StringValue(text)) if is_categorical(text) => {
                features.push(feature(name, text));
            }
            Some(Kind::BoolValue(true)) => features.push(feature(name, "true")),
            Some(Kind::ListValue(list)) => {
                features.extend(list.values.iter().filter_map(|v| match &v.kind {
                    Some(Kind::StringValue(text)) if is_categorical(text) => {
                        Some(feature(name, text))
                    }
                    _ => None,
                }));
            }
            _ => {}
        }
    }
    features.truncate(FEATURES_MAX);
    features.sort_unstable();
    features.dedup();
    features.into()
}

fn is_categorical(text: &str) -> bool {
    !text.is_empty() && text.chars().count() <= FEATURE_CHARS_MAX
}

fn feature(name: &str, value: &str) -> Feature {
    const VALUE_BITS: u32 = 48;
    let value = hash(&(name, value)) & ((1 << VALUE_BITS) - 1);
    Feature::from(FeatureName::of(name).0) << VALUE_BITS | value
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// What features of one characteristic have in common: their first bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeatureName(u16);

impl FeatureName {
    /// Of a characteristic, of `item.type` or of `item.category`.
    pub fn of(name: &str) -> Self {
        Self(hash(&name) as u16)
    }

    pub fn of_feature(feature: Feature) -> Self {
        Self((feature >> 48) as u16)
    }
}

/// Texts that many items share, each held once.
#[derive(Debug, Default)]
pub struct Pool {
    texts: HashSet<Arc<str>>,
    lists: HashSet<Arc<[String]>>,
    audiences: Audiences,
    sweep_at: usize,
}

impl Pool {
    fn text(&mut self, text: &str) -> Arc<str> {
        if let Some(held) = self.texts.get(text) {
            return Arc::clone(held);
        }
        let held: Arc<str> = text.into();
        self.texts.insert(Arc::clone(&held));
        held
    }

    fn texts(&mut self, texts: &[String]) -> Arc<[String]> {
        if let Some(held) = self.lists.get(texts) {
            return Arc::clone(held);
        }
        let held: Arc<[String]> = texts.into();
        self.lists.insert(Arc::clone(&held));
        held
    }

    /// Forgets what no item holds any more, whenever the pool has doubled.
    pub fn sweep(&mut self) {
        if self.len() < self.sweep_at {
            return;
        }
        self.texts.retain(|held| Arc::strong_count(held) > 1);
        self.lists.retain(|held| Arc::strong_count(held) > 1);
        self.audiences.sweep();
        self.sweep_at = 2 * self.len().max(4096);
    }

    fn len(&self) -> usize {
        self.texts.len() + self.lists.len() + self.audiences.count()
    }
}
