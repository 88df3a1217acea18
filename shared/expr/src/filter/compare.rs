//! Comparisons of a column's values with one value: by the order the values are kept in
//! where that is theirs too, otherwise value by value. Never looks at an item.

use std::{
    cmp::Ordering,
    ops::{Bound, Range},
};

use super::{
    column::Column,
    gather::Gather,
    ordered::{Ordered, Place, Real},
    posting::Posting,
    selection::Selection,
    test::{JUDGING, Tested, gather_texts},
};
use crate::{
    eval,
    node::Comparison,
    value::{Value, parse_time},
};

/// How the values of one kind stand to a value they are compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relation {
    /// By the order they are kept in.
    Ordered,
    /// Neither equal nor in any order.
    None,
    /// Each has to be looked at.
    Unknown,
}

pub(super) fn relation_to_numbers(value: &Value<'_>) -> Relation {
    match value {
        Value::Number(n) if n.is_nan() => Relation::None,
        Value::Int(_) | Value::Uint(_) | Value::Number(_) => Relation::Ordered,
        Value::Bool(_) | Value::Text(_) | Value::Time(_) | Value::Duration(_) => Relation::None,
        _ => Relation::Unknown,
    }
}

fn relation_to_times(value: &Value<'_>) -> Relation {
    match value {
        Value::Time(_) => Relation::Ordered,
        Value::Text(text) if parse_time(text).is_some() => Relation::Ordered,
        Value::Text(_) => Relation::None,
        Value::Bool(_) | Value::Duration(_) => Relation::None,
        Value::Int(_) | Value::Uint(_) | Value::Number(_) => Relation::None,
        _ => Relation::Unknown,
    }
}

fn relation_to_texts(value: &Value<'_>) -> Relation {
    match value {
        Value::Text(_) => Relation::Ordered,
        Value::Bool(_) | Value::Duration(_) => Relation::None,
        Value::Int(_) | Value::Uint(_) | Value::Number(_) => Relation::None,
        // A text that is a date compares with a time, but not in the order of texts.
        _ => Relation::Unknown,
    }
}

pub(super) fn is_plain(value: &Value<'_>) -> bool {
    relation_to_texts(value) != Relation::Unknown || matches!(value, Value::Time(_))
}

pub(super) fn compare<'a>(
    column: &'a Column,
    comparison: Comparison,
    value: &Value<'_>,
) -> Tested<'a> {
    let passes = |held: Value<'_>| eval::compare(comparison, &held, value);
    let mut gather = Gather::default();
    if passes(Value::Bool(false)) {
        gather.extend(&column.no);
    }
    if passes(Value::Bool(true)) {
        gather.extend(&column.yes);
    }
    let numbers = relation_to_numbers(value);
    let as_value = |n: i64| Value::Int(n);
    compare_in(
        &column.integers,
        numbers,
        comparison,
        value,
        as_value,
        &mut gather,
    );
    let as_value = |n: Real| Value::Number(n.get());
    compare_in(
        &column.numbers,
        numbers,
        comparison,
        value,
        as_value,
        &mut gather,
    );
    let times = relation_to_times(value);
    compare_in(
        &column.times,
        times,
        comparison,
        value,
        Value::Time,
        &mut gather,
    );
    let texts = match relation_to_texts(value) {
        Relation::None => Selection::none(),
        Relation::Ordered => compare_texts(column, comparison, value.as_text().unwrap_or("")),
        Relation::Unknown => {
            let mut found = Gather::default();
            gather_texts(column, &|text| passes(text), &mut found);
            found.finish().into()
        }
    };
    let unsure = Selection::from(&column.others);
    Tested {
        found: Selection::from(gather.finish()).or(texts),
        // Lists are equal to lists only, and those have other ways to be compared.
        unsure: if is_plain(value) {
            unsure
        } else {
            unsure.or(Selection::from(&column.lists))
        },
    }
}

pub(super) fn compare_in<T: Copy + Ord>(
    held: &Ordered<T>,
    relation: Relation,
    comparison: Comparison,
    value: &Value<'_>,
    as_value: impl Fn(T) -> Value<'static>,
    gather: &mut Gather,
) {
    match relation {
        Relation::None => {}
        Relation::Ordered => {
            let order = |held: T| as_value(held).compare(value);
            held.gather(&range(held, comparison, order), gather);
        }
        Relation::Unknown => {
            let test = |held: T| eval::compare(comparison, &as_value(held), value);
            held.gather_where(test, gather);
        }
    }
}

/// The entries that stand so to a value, which all can be put in order with.
pub(super) fn range<T: Copy + Ord>(
    held: &Ordered<T>,
    comparison: Comparison,
    order: impl Fn(T) -> Option<Ordering>,
) -> Range<Place> {
    let below = || held.place(|v| order(v) == Some(Ordering::Less));
    let above = || held.place(|v| order(v) != Some(Ordering::Greater));
    match comparison {
        Comparison::Less => held.start()..below(),
        Comparison::LessOrEqual => held.start()..above(),
        Comparison::Equal => below()..above(),
        Comparison::GreaterOrEqual => below()..held.end(),
        Comparison::Greater => above()..held.end(),
        // Asked as what is left of those that are equal.
        Comparison::NotEqual => held.end()..held.end(),
    }
}

pub(super) fn compare_texts<'a>(
    column: &'a Column,
    comparison: Comparison,
    text: &str,
) -> Selection<'a> {
    let bounds = match comparison {
        Comparison::Equal | Comparison::NotEqual => {
            let posting = column.texts.get(text);
            return posting.map_or_else(Selection::none, Posting::selection);
        }
        Comparison::Less => (Bound::Unbounded, Bound::Excluded(text)),
        Comparison::LessOrEqual => (Bound::Unbounded, Bound::Included(text)),
        Comparison::Greater => (Bound::Excluded(text), Bound::Unbounded),
        Comparison::GreaterOrEqual => (Bound::Included(text), Bound::Unbounded),
    };
    let mut found = Gather::default();
    for (_, posting) in column.texts.range::<str, _>(bounds) {
        posting.gather(&mut found);
    }
    found.finish().into()
}

pub(super) fn compare_work(column: &Column, comparison: Comparison, value: &Value<'_>) -> u64 {
    fn ordered<T: Copy + Ord>(
        held: &Ordered<T>,
        relation: Relation,
        comparison: Comparison,
        order: impl Fn(T) -> Option<Ordering>,
    ) -> u64 {
        let all = held.members().len();
        match relation {
            Relation::None => 0,
            Relation::Ordered => {
                let comparison = match comparison {
                    Comparison::NotEqual => Comparison::Equal,
                    other => other,
                };
                let found = held.count(&range(held, comparison, order)) as u64;
                found.min(all - found)
            }
            Relation::Unknown => JUDGING * all,
        }
    }
    let numbers = relation_to_numbers(value);
    let texts = match (relation_to_texts(value), comparison) {
        (Relation::None, _) => 0,
        (Relation::Ordered, Comparison::Equal | Comparison::NotEqual) => 1,
        (Relation::Ordered, _) => column.texts.len() as u64,
        (Relation::Unknown, _) => JUDGING * column.texts.len() as u64,
    };
    texts
        + ordered(&column.integers, numbers, comparison, |n| {
            Value::Int(n).compare(value)
        })
        + ordered(&column.numbers, numbers, comparison, |n| {
            Value::Number(n.get()).compare(value)
        })
        + ordered(&column.times, relation_to_times(value), comparison, |ms| {
            Value::Time(ms).compare(value)
        })
}

pub(super) fn compare_reach(column: &Column, comparison: Comparison, value: &Value<'_>) -> u64 {
    let count = |relation, held: u64| match relation {
        Relation::None => 0,
        _ => held,
    };
    if comparison == Comparison::NotEqual || !is_plain(value) || matches!(value, Value::Bool(_)) {
        return column.present.len();
    }
    let texts = match (comparison, value) {
        (Comparison::Equal, Value::Text(text)) => {
            compare_texts(column, comparison, text).len_max(&column.present)
        }
        _ => count(relation_to_texts(value), column.present.len()),
    };
    let numbers = match relation_to_numbers(value) {
        Relation::Ordered => {
            let integers = range(&column.integers, comparison, |n| {
                Value::Int(n).compare(value)
            });
            let numbers = range(&column.numbers, comparison, |n| {
                Value::Number(n.get()).compare(value)
            });
            (column.integers.count(&integers) + column.numbers.count(&numbers)) as u64
        }
        relation => count(relation, column.present.len()),
    };
    texts + numbers + count(relation_to_times(value), column.times.members().len())
}
