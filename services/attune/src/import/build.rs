//! Rows into what the API takes. Applies a mapping; a row that does not fit is refused
//! with the column and the reason, and nothing is guessed.

use std::collections::{BTreeMap, HashSet};

use attune_api::{
    catalog::v1::Item,
    gateway::v1::BatchMessage,
    json::to_value,
    time::from_ms,
    r#type::v1::{Identity, Money, Subject, subject},
};
use prost::Message as _;
use prost_types::Struct;
use serde_json::Value as Json;

use super::{
    mapping::{
        Condition, EventRule, ItemRule, Mapping, MemberRule, ProfileRule, Target, Test, WhoRule,
    },
    row::Row,
    template::Template,
    value::{self, Field},
};

/// What becomes of a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Built {
    Send(Box<Record>),
    /// A condition of the mapping leaves it out.
    Skipped,
    /// An item that an earlier row has described.
    Repeated,
    /// Why it cannot be used.
    Rejected(String),
}

/// One thing to be sent.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    Item(Item),
    Message(BatchMessage),
    Member(Member),
}

/// Somebody who comes to a list, or leaves it.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    pub segment_id: String,
    pub subject: Subject,
    pub leaves: bool,
}

impl Member {
    /// Namespace and value of whom it is about.
    pub fn identified(&self) -> Option<(String, String)> {
        match &self.subject.id {
            Some(subject::Id::Identity(identity)) => {
                // Of spellings that are one identifier, mostly.
                let value = identity.value.trim().to_lowercase();
                Some((identity.namespace.clone(), value))
            }
            _ => None,
        }
    }
}

impl Record {
    pub fn encoded_len(&self) -> usize {
        match self {
            Self::Item(item) => item.encoded_len(),
            Self::Message(message) => message.encoded_len(),
            Self::Member(member) => member.subject.encoded_len(),
        }
    }
}

/// Applies a mapping to one row after the other.
pub struct Builder {
    mapping: Mapping,
    /// Names messages that the mapping gives no id: the same for the same file.
    fingerprint: String,
    /// Hashes of the ids of items so far: eight bytes of each, whatever the file's size.
    seen: HashSet<u64>,
}

impl Builder {
    pub fn new(mapping: Mapping, fingerprint: &str) -> Self {
        Self {
            mapping,
            fingerprint: fingerprint.chars().take(16).collect(),
            seen: HashSet::new(),
        }
    }

    pub fn build(&mut self, row: &Row) -> Built {
        match self.try_build(row) {
            Ok(built) => built,
            Err(reason) => Built::Rejected(reason),
        }
    }

    fn try_build(&mut self, row: &Row) -> Result<Built, String> {
        for conditions in &self.mapping.skip {
            if all_hold(conditions, row)? {
                return Ok(Built::Skipped);
            }
        }
        let record = match &self.mapping.target {
            Target::Item(rule) => {
                let id = rule.id.render(row)?.ok_or("the item id is empty")?;
                if !self.seen.insert(hash(&id)) {
                    return Ok(Built::Repeated);
                }
                Record::Item(item(rule, id, row)?)
            }
            Target::Profile(rule) => Record::Message(self.profile(rule, row)?),
            Target::Event(rule) => Record::Message(self.event(rule, row)?),
            Target::Member(rule) => Record::Member(member(rule, row)?),
        };
        Ok(Built::Send(Box::new(record)))
    }

    fn profile(&self, rule: &ProfileRule, row: &Row) -> Result<BatchMessage, String> {
        let (user_id, anonymous_id) = who(&rule.who, row)?;
        let time_ms = match &rule.time {
            Some(time) => time.read_ms(row)?,
            None => None,
        };
        Ok(BatchMessage {
            r#type: "identify".into(),
            message_id: self.message_id(rule.message_id.as_ref(), row)?,
            user_id,
            anonymous_id,
            traits: Some(fields(&rule.traits, row)?),
            timestamp: time_ms.map(from_ms),
            ..BatchMessage::default()
        })
    }

    fn event(&self, rule: &EventRule, row: &Row) -> Result<BatchMessage, String> {
        let (user_id, anonymous_id) = who(&rule.who, row)?;
        let mut name = &rule.name;
        for (conditions, other) in &rule.variants {
            if all_hold(conditions, row)? {
                name = other;
                break;
            }
        }
        let channel = |channel: &str| Struct {
            fields: BTreeMap::from([("channel".to_owned(), to_value(channel.into()))]),
        };
        Ok(BatchMessage {
            r#type: "track".into(),
            message_id: self.message_id(rule.message_id.as_ref(), row)?,
            user_id,
            anonymous_id,
            event: name.render(row)?.ok_or("the event's name is empty")?,
            properties: Some(fields(&rule.properties, row)?),
            context: (!rule.channel.is_empty()).then(|| channel(&rule.channel)),
            timestamp: rule.time.read_ms(row)?.map(from_ms),
            ..BatchMessage::default()
        })
    }

    fn message_id(&self, template: Option<&Template>, row: &Row) -> Result<String, String> {
        match template {
            Some(template) => template
                .render(row)?
                .ok_or_else(|| "the message id is empty".to_owned()),
            None => Ok(format!("{}-{}", self.fingerprint, row.line)),
        }
    }
}

fn hash(id: &str) -> u64 {
    let mut half = [0; 8];
    half.copy_from_slice(&blake3::hash(id.as_bytes()).as_bytes()[..8]);
    u64::from_le_bytes(half)
}

fn all_hold(conditions: &[Condition], row: &Row) -> Result<bool, String> {
    for condition in conditions {
        let text = row.text(condition.column)?;
        let text = text.as_deref().unwrap_or_default();
        let holds = match &condition.test {
            Test::OneOf(values) => values.iter().any(|v| v == text),
            Test::StartsWith(prefix) => text.starts_with(prefix),
            Test::Empty(empty) => text.is_empty() == *empty,
            Test::LessThan(limit) => {
                let name = row.name(condition.column);
                value::number(text).map_err(|e| format!("{name}: {e}"))? < *limit
            }
        };
        if holds == condition.not {
            return Ok(false);
        }
    }
    Ok(true)
}

fn who(rule: &WhoRule, row: &Row) -> Result<(String, String), String> {
    let render = |template: &Option<Template>| match template {
        Some(template) => template.render(row),
        None => Ok(None),
    };
    let user_id = render(&rule.user_id)?;
    let anonymous_id = match (render(&rule.anonymous_id)?, &user_id) {
        (None, None) => render(&rule.guest_id)?,
        (anonymous_id, _) => anonymous_id,
    };
    if user_id.is_none() && anonymous_id.is_none() {
        return Err("names nobody: the user id is empty".into());
    }
    Ok((
        user_id.unwrap_or_default(),
        anonymous_id.unwrap_or_default(),
    ))
}

fn member(rule: &MemberRule, row: &Row) -> Result<Member, String> {
    let value = rule.value.render(row)?;
    let identity = Identity {
        namespace: rule.namespace.clone(),
        value: value.ok_or("names nobody: the identifier is empty")?,
    };
    Ok(Member {
        segment_id: rule.segment_id.clone(),
        subject: Subject {
            id: Some(subject::Id::Identity(identity)),
        },
        leaves: match &rule.remove {
            Some(conditions) => all_hold(conditions, row)?,
            None => false,
        },
    })
}

fn fields(fields: &[(String, Field)], row: &Row) -> Result<Struct, String> {
    let mut values = BTreeMap::new();
    for (name, field) in fields {
        if let Some(value) = field.read(row)? {
            values.insert(name.clone(), to_value(value));
        }
    }
    Ok(Struct { fields: values })
}

fn item(rule: &ItemRule, item_id: String, row: &Row) -> Result<Item, String> {
    let mut categories: Vec<String> = Vec::new();
    for template in &rule.categories {
        match template.render(row)? {
            Some(category) if categories.last() != Some(&category) => categories.push(category),
            _ => {}
        }
    }
    let price = number(rule.price.as_ref(), row)?.map(|amount| Money {
        currency_code: rule.currency_code.clone(),
        amount,
    });
    let stock = match number(rule.stock.as_ref(), row)? {
        None => None,
        Some(stock) if stock.fract() == 0.0 && stock.abs() < 9e15 => Some(stock as i64),
        Some(stock) => return Err(format!("the stock {stock} is not a whole number")),
    };
    let rendered = |template: &Option<Template>| -> Result<String, String> {
        let text = template.as_ref().map(|t| t.render(row)).transpose()?;
        Ok(text.flatten().unwrap_or_default())
    };
    Ok(Item {
        item_id,
        item_type: rule.kind.clone(),
        title: localized(&rule.title, row)?,
        description: localized(&rule.description, row)?,
        url: rendered(&rule.url)?,
        image_url: rendered(&rule.image_url)?,
        categories,
        characteristics: fields(&rule.characteristics, row)?.fields,
        price,
        stock,
        audience: read(rule.audience.as_ref(), row)?
            .and_then(|audience| audience.as_str().map(str::to_owned))
            .unwrap_or_default(),
        locales: texts(read(rule.locales.as_ref(), row)?),
        replenishable: read(rule.replenishable.as_ref(), row)? == Some(Json::Bool(true)),
        replenishment_days: number(rule.replenishment_days.as_ref(), row)?.unwrap_or(0.0),
        ..Item::default()
    })
}

fn read(field: Option<&Field>, row: &Row) -> Result<Option<Json>, String> {
    field.map_or(Ok(None), |field| field.read(row))
}

fn texts(set: Option<Json>) -> Vec<String> {
    let members = set.as_ref().and_then(Json::as_array).into_iter().flatten();
    members
        .filter_map(|member| member.as_str().map(str::to_owned))
        .collect()
}

fn number(field: Option<&Field>, row: &Row) -> Result<Option<f64>, String> {
    Ok(read(field, row)?.as_ref().and_then(Json::as_f64))
}

/// The first complete template of each locale.
fn localized(
    templates: &[(String, Vec<Template>)],
    row: &Row,
) -> Result<BTreeMap<String, String>, String> {
    let mut texts = BTreeMap::new();
    for (locale, alternatives) in templates {
        for template in alternatives {
            if let Some(text) = template.render(row)? {
                texts.insert(locale.clone(), text);
                break;
            }
        }
    }
    Ok(texts)
}

#[cfg(test)]
mod tests;
