//! What a workspace declares of traits and events, ready to be held against what
//! arrives. Says which rule a value breaks; never what becomes of it, and nothing of
//! where declarations are kept.

pub mod cycles;

use std::collections::{BTreeMap, BTreeSet};

use attune_api::profile::v1::{EventProperty, EventType, MergeStrategy, Trait, TraitType};
use attune_expr::{Expression, Kind, Vocabulary, parse_time};
use prost_types::{Struct, Value, value::Kind as ValueKind};

use super::{
    Traits,
    consent::{PERSONALIZATION, SENSITIVE_DATA},
};

/// Longest text of a trait that declares none, in characters.
pub const LENGTH_MAX_DEFAULT: usize = 1_024;
/// Elements of a set.
pub const SET_MAX: usize = 1_000;
/// Values of an enum that a rule names.
const NAMED_MAX: usize = 10;

/// What a value must be.
#[derive(Debug, Clone, PartialEq)]
pub struct ValueRule {
    kind: TraitType,
    values: BTreeSet<String>,
    minimum: Option<f64>,
    maximum: Option<f64>,
    length_max: usize,
}

impl ValueRule {
    pub fn of_trait(declared: &Trait) -> Self {
        let length_max = usize::try_from(declared.length_max).unwrap_or(0);
        Self {
            kind: declared.r#type(),
            values: declared.enum_values.iter().cloned().collect(),
            minimum: declared.minimum,
            maximum: declared.maximum,
            length_max: match length_max {
                0 => LENGTH_MAX_DEFAULT,
                chars => chars,
            },
        }
    }

    /// Its texts are bounded by those of the whole event.
    pub fn of_property(declared: &EventProperty) -> Self {
        Self {
            kind: declared.r#type(),
            values: declared.enum_values.iter().cloned().collect(),
            minimum: None,
            maximum: None,
            length_max: usize::MAX,
        }
    }

    pub fn fits(&self, value: &Value) -> bool {
        match (self.kind, value.kind.as_ref()) {
            (TraitType::Unspecified | TraitType::TraitObject, _) => true,
            (TraitType::TraitText, Some(ValueKind::StringValue(text))) => self.fits_text(text),
            (TraitType::TraitNumber, Some(ValueKind::NumberValue(n))) => self.fits_number(*n),
            (TraitType::TraitBool, Some(ValueKind::BoolValue(_))) => true,
            (TraitType::TraitEnum, Some(ValueKind::StringValue(text))) => {
                self.values.contains(text)
            }
            (TraitType::TraitDate, Some(ValueKind::StringValue(text))) => {
                parse_time(text).is_some()
            }
            (TraitType::TraitTextSet, Some(ValueKind::ListValue(list))) => {
                list.values.len() <= SET_MAX
                    && list.values.iter().all(|value| match &value.kind {
                        Some(ValueKind::StringValue(text)) => self.fits_text(text),
                        _ => false,
                    })
            }
            (TraitType::TraitNumberSet, Some(ValueKind::ListValue(list))) => {
                let is_number = |v: &Value| matches!(v.kind, Some(ValueKind::NumberValue(_)));
                list.values.len() <= SET_MAX && list.values.iter().all(is_number)
            }
            (TraitType::TraitGeo, Some(ValueKind::StructValue(place))) => is_place(place),
            _ => false,
        }
    }

    fn fits_text(&self, text: &str) -> bool {
        // Most are short by bytes already.
        text.len() <= self.length_max || text.chars().count() <= self.length_max
    }

    fn fits_number(&self, n: f64) -> bool {
        self.minimum.is_none_or(|min| n >= min) && self.maximum.is_none_or(|max| n <= max)
    }

    /// What must hold, in words that can follow a name.
    pub fn words(&self) -> String {
        let chars = match self.length_max {
            usize::MAX => String::new(),
            max => format!(" of at most {max} characters"),
        };
        match self.kind {
            TraitType::Unspecified | TraitType::TraitObject => "may be anything".to_owned(),
            TraitType::TraitText => format!("must be a text{chars}"),
            TraitType::TraitNumber => match (self.minimum, self.maximum) {
                (None, None) => "must be a number".to_owned(),
                (Some(min), None) => format!("must be a number of at least {min}"),
                (None, Some(max)) => format!("must be a number of at most {max}"),
                (Some(min), Some(max)) => format!("must be a number from {min} to {max}"),
            },
            TraitType::TraitBool => "must be true or false".to_owned(),
            TraitType::TraitEnum => self.words_of_enum(),
            TraitType::TraitDate => {
                "must be a date as YYYY-MM-DD, or a time as in RFC 3339".to_owned()
            }
            TraitType::TraitTextSet => format!("must be a list of at most {SET_MAX} texts{chars}"),
            TraitType::TraitNumberSet => format!("must be a list of at most {SET_MAX} numbers"),
            TraitType::TraitGeo => {
                "must be a place with `lat` from -90 to 90 and `lng` from -180 to 180".to_owned()
            }
        }
    }

    fn words_of_enum(&self) -> String {
        let named: Vec<_> = self.values.iter().take(NAMED_MAX).collect();
        let named: Vec<_> = named.iter().map(|value| format!("`{value}`")).collect();
        match self.values.len().saturating_sub(NAMED_MAX) {
            0 => format!("must be one of {}", named.join(", ")),
            more => format!("must be one of {} and {more} others", named.join(", ")),
        }
    }
}

fn is_place(place: &Struct) -> bool {
    let within = |name: &str, max: f64| match place.fields.get(name).map(|v| &v.kind) {
        Some(Some(ValueKind::NumberValue(n))) => (-max..=max).contains(n),
        _ => false,
    };
    place.fields.len() == 2 && within("lat", 90.0) && within("lng", 180.0)
}

/// A value that breaks its declaration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Of the trait or property.
    pub name: String,
    /// In words that can follow the name.
    pub rule: String,
}

/// A trait as it is declared.
#[derive(Debug, Clone)]
pub struct TraitSchema {
    pub rule: ValueRule,
    pub merge: MergeStrategy,
    /// That must be granted for it to be used.
    pub purpose: String,
    pub sensitive: bool,
    /// Empty means as long as the profile.
    pub retention_class: String,
    /// What gives its value, where nobody sends it.
    pub computed: Option<Expression>,
}

impl TraitSchema {
    /// From its stored form. Compiled without the declared names: they were looked at
    /// when it was saved, and may have gone since.
    fn of(declared: &Trait) -> Self {
        let source = declared.expression.as_str();
        let compiled = Expression::compile_value(source, &Vocabulary::subject(), Kind::Any);
        Self {
            rule: ValueRule::of_trait(declared),
            merge: declared.merge_strategy(),
            purpose: match declared.purpose.as_str() {
                "" => PERSONALIZATION.to_owned(),
                purpose => purpose.to_owned(),
            },
            sensitive: declared.sensitive,
            retention_class: declared.retention_class.clone(),
            computed: compiled.ok().filter(|_| !source.is_empty()),
        }
    }
}

/// The traits of a workspace, by id.
#[derive(Debug, Clone, Default)]
pub struct TraitSchemas(BTreeMap<String, TraitSchema>);

impl TraitSchemas {
    pub fn new<'a>(declared: impl IntoIterator<Item = &'a Trait>) -> Self {
        let declared = declared.into_iter();
        Self(
            declared
                .map(|t| (t.trait_id.clone(), TraitSchema::of(t)))
                .collect(),
        )
    }

    pub fn get(&self, trait_id: &str) -> Option<&TraitSchema> {
        self.0.get(trait_id)
    }

    /// The purposes without which a trait, declared or not, is not used.
    pub fn purposes_of(&self, trait_id: &str) -> Vec<&str> {
        match self.get(trait_id) {
            Some(declared) if declared.sensitive => vec![&declared.purpose, SENSITIVE_DATA],
            Some(declared) => vec![&declared.purpose],
            None => vec![PERSONALIZATION],
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (&String, &TraitSchema)> {
        self.0.iter()
    }

    /// LATEST where nothing is declared.
    pub fn merge_strategy(&self, trait_id: &str) -> MergeStrategy {
        self.get(trait_id)
            .map_or(MergeStrategy::Latest, |declared| declared.merge)
    }

    /// Values that break their declaration. Removing one never does, unless nobody can
    /// write it; what is not declared may be anything.
    pub fn broken<'a>(&'a self, traits: &'a Traits) -> impl Iterator<Item = Broken> + 'a {
        let traits = traits.iter();
        traits.filter_map(|(id, value)| {
            let declared = self.get(id)?;
            let rule = match value {
                _ if declared.computed.is_some() => {
                    "must not be sent: it is computed by an expression".to_owned()
                }
                Some(value) if !declared.rule.fits(value) => declared.rule.words(),
                _ => return None,
            };
            let name = id.clone();
            Some(Broken { name, rule })
        })
    }
}

/// A kind of event as it is declared.
#[derive(Debug, Clone)]
pub struct EventSchema {
    properties: BTreeMap<String, Property>,
    closed: bool,
    /// Empty means the default one.
    pub retention_class: String,
}

#[derive(Debug, Clone)]
struct Property {
    rule: ValueRule,
    required: bool,
}

impl EventSchema {
    fn of(declared: &EventType) -> Self {
        let properties = declared.properties.iter().map(|property| {
            let rule = ValueRule::of_property(property);
            let required = property.required;
            (property.name.clone(), Property { rule, required })
        });
        Self {
            properties: properties.collect(),
            closed: declared.closed,
            retention_class: declared.retention_class.clone(),
        }
    }

    fn broken(&self, sent: Option<&Struct>) -> Vec<Broken> {
        let mut broken = Vec::new();
        let mut note = |name: &str, rule: String| {
            let name = name.to_owned();
            broken.push(Broken { name, rule });
        };
        for (name, property) in &self.properties {
            let value = sent.and_then(|sent| sent.fields.get(name));
            match value.filter(|value| !is_null(value)) {
                Some(value) if !property.rule.fits(value) => note(name, property.rule.words()),
                None if property.required => note(name, "must be set".to_owned()),
                _ => {}
            }
        }
        if self.closed {
            for name in sent.iter().flat_map(|sent| sent.fields.keys()) {
                if !self.properties.contains_key(name) {
                    note(name, self.words_of_closed(name));
                }
            }
        }
        broken
    }

    fn words_of_closed(&self, name: &str) -> String {
        let known = self.properties.keys().map(String::as_str);
        let suggestion = attune_expr::nearest(name, known)
            .map(|near| format!("; did you mean `{near}`?"))
            .unwrap_or_default();
        format!("must be a property that its event type declares{suggestion}")
    }
}

fn is_null(value: &Value) -> bool {
    matches!(value.kind, None | Some(ValueKind::NullValue(_)))
}

/// The event types of a workspace, by id.
#[derive(Debug, Clone, Default)]
pub struct EventSchemas(BTreeMap<String, EventSchema>);

impl EventSchemas {
    pub fn new<'a>(declared: impl IntoIterator<Item = &'a EventType>) -> Self {
        let declared = declared.into_iter();
        Self(
            declared
                .map(|t| (t.event_type_id.clone(), EventSchema::of(t)))
                .collect(),
        )
    }

    pub fn iter(&self) -> impl Iterator<Item = (&String, &EventSchema)> {
        self.0.iter()
    }

    pub fn get(&self, event_type: &str) -> Option<&EventSchema> {
        self.0.get(event_type)
    }

    /// What of an event breaks the declaration of its type; nothing if there is none.
    pub fn broken(&self, event_type: &str, properties: Option<&Struct>) -> Vec<Broken> {
        self.get(event_type)
            .map_or_else(Vec::new, |declared| declared.broken(properties))
    }
}

#[cfg(test)]
mod tests;
