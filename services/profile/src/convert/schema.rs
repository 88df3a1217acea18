//! Whether a trait or an event type may be declared as it was sent. Finds all that is
//! wrong with one, by field; looks at nothing but what it is given.

use std::collections::HashSet;

use attune_api::profile::v1::{EventProperty, EventType, MergeStrategy, Trait, TraitType};
use attune_errors::Violations;
use attune_expr::{Expression, Kind, Vocabulary, is_identifier};

use super::TEXT_CHARS_MAX;
use crate::domain::{
    event::event_type,
    purposes::Purposes,
    retention::Classes,
    schema::{LENGTH_MAX_DEFAULT, TraitSchemas, cycles},
};

const ENUM_VALUES_MAX: usize = 1_000;
const PROPERTIES_MAX: usize = 200;
const PROPERTY_CHARS_MAX: usize = 128;
const LENGTH_MAX: i32 = 65_536;

/// The body of a request, which protobuf cannot require, with the id of the request's
/// own field if it has none itself.
pub fn body<T>(
    field: &str,
    body: Option<T>,
    request_id: String,
    body_id: impl FnOnce(&mut T) -> &mut String,
) -> Result<T, Violations> {
    let Some(mut body) = body else {
        return Err(Violations::of(field, "must be set"));
    };
    let held = body_id(&mut body);
    if held.is_empty() {
        *held = request_id;
    } else if !request_id.is_empty() && request_id != *held {
        return Err(Violations::of(
            format!("{field}_id"),
            "must be the id in the body",
        ));
    }
    Ok(body)
}

/// What a trait may refer to.
pub struct Known<'a> {
    pub traits: &'a TraitSchemas,
    /// Without the trait itself.
    pub vocabulary: &'a Vocabulary,
    pub classes: &'a Classes,
    pub purposes: &'a Purposes,
}

/// A trait by itself, against what it was before and what is declared besides it.
pub fn declared_trait(
    declared: &Trait,
    before: Option<&Trait>,
    known: &Known<'_>,
) -> Result<(), Violations> {
    let mut violations = Violations::new();
    violations.within("trait", |violations| {
        fields(declared, known.classes, violations);
        purpose(&declared.purpose, known.purposes, violations);
        if let Some(before) = before {
            still_fits(before, declared, violations);
        }
        let is_fit = violations.is_empty();
        if is_fit && !declared.expression.is_empty() {
            expression(declared, known, violations);
        }
    });
    violations.into_result()
}

fn fields(declared: &Trait, classes: &Classes, violations: &mut Violations) {
    if !is_trait_id(&declared.trait_id) {
        violations.push(
            "trait_id",
            "must be 1 to 64 of a-z, A-Z, 0-9 and `_`, beginning with a letter, \
             and no reserved word",
        );
    }
    display_name(&declared.display_name, violations);
    let kind = value_type(declared.r#type, &declared.enum_values, violations);
    bounds(declared, kind, violations);
    match MergeStrategy::try_from(declared.merge_strategy) {
        Err(_) => violations.push("merge_strategy", "must be a strategy that exists"),
        Ok(strategy) => merge_strategy(strategy, kind, violations),
    }
    class(&declared.retention_class, classes, violations);
}

fn purpose(id: &str, purposes: &Purposes, violations: &mut Violations) {
    if id.is_empty() || purposes.get(id).is_some() {
        return;
    }
    let known = purposes.iter().map(|purpose| purpose.id.as_str());
    let suggestion = attune_expr::nearest(id, known)
        .map(|near| format!("; did you mean `{near}`?"))
        .unwrap_or_default();
    let rule = format!("must be a purpose that is declared{suggestion}");
    violations.push("purpose", rule);
}

fn is_trait_id(id: &str) -> bool {
    id.len() <= 64 && id.starts_with(|c: char| c.is_ascii_alphabetic()) && is_identifier(id)
}

fn display_name(name: &str, violations: &mut Violations) {
    super::text("display_name", name, violations);
}

/// Nothing where there is no such type.
fn value_type(sent: i32, values: &[String], violations: &mut Violations) -> Option<TraitType> {
    let kind = match TraitType::try_from(sent) {
        Err(_) | Ok(TraitType::Unspecified) => {
            violations.push("type", "must be a type that exists");
            return None;
        }
        Ok(kind) => kind,
    };
    if kind != TraitType::TraitEnum {
        if !values.is_empty() {
            violations.push("enum_values", "must be empty unless the type is TRAIT_ENUM");
        }
        return Some(kind);
    }
    if values.is_empty() || values.len() > ENUM_VALUES_MAX {
        violations.push("enum_values", "must be 1 to 1000 values");
    }
    let mut seen = HashSet::new();
    for (index, value) in values.iter().take(ENUM_VALUES_MAX).enumerate() {
        let field = format!("enum_values[{index}]");
        if value.is_empty() || value.chars().count() > TEXT_CHARS_MAX {
            violations.push(field, "must be 1 to 256 characters");
        } else if !seen.insert(value.as_str()) {
            violations.push(field, "must not be there twice");
        }
    }
    Some(kind)
}

fn bounds(declared: &Trait, kind: Option<TraitType>, violations: &mut Violations) {
    let bounds = [("minimum", declared.minimum), ("maximum", declared.maximum)];
    for (field, bound) in bounds {
        let Some(bound) = bound else { continue };
        if kind.is_some_and(|kind| kind != TraitType::TraitNumber) {
            violations.push(field, "must not be set unless the type is TRAIT_NUMBER");
        } else if !bound.is_finite() {
            violations.push(field, "must be a finite number");
        }
    }
    if let (Some(minimum), Some(maximum)) = (declared.minimum, declared.maximum)
        && minimum > maximum
    {
        violations.push("maximum", "must not be less than minimum");
    }
    let is_text = matches!(
        kind,
        None | Some(TraitType::TraitText | TraitType::TraitTextSet)
    );
    if !(0..=LENGTH_MAX).contains(&declared.length_max) {
        violations.push("length_max", "must be 0 to 65,536");
    } else if declared.length_max > 0 && !is_text {
        violations.push("length_max", "must be 0 unless the type is one of texts");
    }
}

fn merge_strategy(strategy: MergeStrategy, kind: Option<TraitType>, violations: &mut Violations) {
    use TraitType::{TraitDate, TraitNumber, TraitNumberSet, TraitTextSet};
    let Some(kind) = kind else { return };
    let (fits, rule) = match strategy {
        MergeStrategy::Max | MergeStrategy::Min => (
            matches!(kind, TraitNumber | TraitDate),
            "must be of numbers or dates to keep the greatest or the least",
        ),
        MergeStrategy::Sum => (kind == TraitNumber, "must be of numbers to add them up"),
        MergeStrategy::Union => (
            matches!(kind, TraitTextSet | TraitNumberSet),
            "must be of sets to unite them",
        ),
        _ => return,
    };
    if !fits {
        violations.push("merge_strategy", rule);
    }
}

fn class(name: &str, classes: &Classes, violations: &mut Violations) {
    if name.is_empty() || classes.has(name) {
        return;
    }
    let suggestion = attune_expr::nearest(name, classes.names())
        .map(|near| format!("; did you mean `{near}`?"))
        .unwrap_or_default();
    let rule = format!("must be a retention class of the service's settings{suggestion}");
    violations.push("retention_class", rule);
}

/// Of a kind that fits the type, readable when nobody is there, and free of cycles.
fn expression(declared: &Trait, known: &Known<'_>, violations: &mut Violations) {
    let vocabulary = known.vocabulary.clone().with_declared_traits([declared]);
    let kind = computed_kind(declared.r#type());
    let source = &declared.expression;
    let compiled = match Expression::compile_value(source, &vocabulary, kind) {
        Ok(compiled) => compiled,
        Err(faults) => {
            for fault in faults {
                violations.push("expression", fault.to_string());
            }
            return;
        }
    };
    if !fits_date(declared.r#type(), compiled.kind()) {
        violations.push("expression", "must come to a date or a time");
    }
    if let Some(fault) = compiled.untold() {
        violations.push("expression", fault.to_string());
    }
    let reads = compiled.reads();
    if reads.context {
        violations.push(
            "expression",
            "must not read the situation (`context`, or `anniversary` in its time zone), \
             since it is computed when nobody is there",
        );
    }
    if reads.any_segment || !reads.segments.is_empty() {
        violations.push(
            "expression",
            "must not read segments, since they read traits",
        );
    }
    if let Some(path) = cycles::through(&declared.trait_id, &compiled, known.traits) {
        violations.push(
            "expression",
            format!("must not depend on itself: {}", path.join(" → ")),
        );
    }
}

/// Dates are judged by [`fits_date`].
fn computed_kind(kind: TraitType) -> Kind {
    match kind {
        TraitType::Unspecified | TraitType::TraitObject | TraitType::TraitDate => Kind::Any,
        TraitType::TraitText | TraitType::TraitEnum => Kind::Text,
        TraitType::TraitNumber => Kind::Number,
        TraitType::TraitBool => Kind::Bool,
        TraitType::TraitTextSet | TraitType::TraitNumberSet => Kind::List,
        TraitType::TraitGeo => Kind::Map,
    }
}

fn fits_date(declared: TraitType, kind: Kind) -> bool {
    declared != TraitType::TraitDate
        || matches!(kind, Kind::Time | Kind::Date | Kind::Text | Kind::Any)
}

/// What an edit may not take from a trait: values that are held must still fit.
fn still_fits(before: &Trait, after: &Trait, violations: &mut Violations) {
    if before.r#type != after.r#type {
        let rule = format!(
            "must stay {}: values are held; declare another trait instead",
            before.r#type().as_str_name()
        );
        violations.push("type", rule);
        return;
    }
    if before.expression.is_empty() != after.expression.is_empty() {
        violations.push(
            "expression",
            "must stay set, or unset: a trait is either sent or computed",
        );
    }
    if before.expression.is_empty() {
        still_wide(before, after, violations);
    }
    // What is computed is computed anew.
}

fn still_wide(before: &Trait, after: &Trait, violations: &mut Violations) {
    let gone = |value: &&String| !after.enum_values.contains(value);
    if let Some(value) = before.enum_values.iter().find(gone) {
        let rule = format!("must still have `{value}`: values are held");
        violations.push("enum_values", rule);
    }
    // No bound is the widest.
    let least = |declared: &Trait| declared.minimum.unwrap_or(f64::NEG_INFINITY);
    if least(after) > least(before) {
        violations.push("minimum", "must not be raised: values are held");
    }
    let greatest = |declared: &Trait| declared.maximum.unwrap_or(f64::INFINITY);
    if greatest(after) < greatest(before) {
        violations.push("maximum", "must not be lowered: values are held");
    }
    let length = |declared: &Trait| match declared.length_max {
        0 => LENGTH_MAX_DEFAULT,
        chars => usize::try_from(chars).unwrap_or(0),
    };
    if length(after) < length(before) {
        violations.push("length_max", "must not be lowered: values are held");
    }
}

/// An event type by itself.
pub fn declared_event_type(declared: &EventType, classes: &Classes) -> Result<(), Violations> {
    let mut violations = Violations::new();
    violations.within("event_type", |violations| {
        let id = declared.event_type_id.as_str();
        let meant = event_type(id);
        if id.is_empty() || id.chars().count() > TEXT_CHARS_MAX || meant.is_empty() {
            violations.push(
                "event_type_id",
                "must be 1 to 256 characters with at least one letter or digit",
            );
        } else if meant != id {
            let rule = format!("must be `{meant}`, the type that events of this name are of");
            violations.push("event_type_id", rule);
        }
        display_name(&declared.display_name, violations);
        class(&declared.retention_class, classes, violations);
        properties(&declared.properties, violations);
    });
    violations.into_result()
}

fn properties(declared: &[EventProperty], violations: &mut Violations) {
    if declared.len() > PROPERTIES_MAX {
        violations.push("properties", "must be at most 200");
        return;
    }
    let mut seen = HashSet::new();
    for (index, property) in declared.iter().enumerate() {
        violations.within_item("properties", index, |violations| {
            let name = property.name.as_str();
            let chars = name.chars().count();
            if chars == 0 || chars > PROPERTY_CHARS_MAX || name.chars().any(char::is_control) {
                violations.push(
                    "name",
                    "must be 1 to 128 characters without control characters",
                );
            } else if !seen.insert(name) {
                violations.push("name", "must not be there twice");
            }
            value_type(property.r#type, &property.enum_values, violations);
        });
    }
}
