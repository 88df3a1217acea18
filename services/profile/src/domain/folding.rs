//! Which value of a trait holds where several profiles turned out to be one person: the
//! declared strategy applied to what each of them said. Pure arithmetic over values that
//! are given; never decides who belongs together, nor changes what was said.

use attune_api::profile::v1::MergeStrategy;
use attune_expr::parse_time;
use prost_types::{ListValue, Value, value::Kind};

use super::record::Timed;

/// The value that holds, given what each profile said, the surviving one first: of two
/// that are alike its own is kept. None if nobody said anything. A value that a strategy
/// cannot use, such as a text among numbers to be summed, makes it LATEST.
///
/// Removals are values too: the latest of them is what LATEST keeps if nothing is newer,
/// and what the others keep if there is nothing else.
pub fn fold<'a>(
    strategy: MergeStrategy,
    said: impl Iterator<Item = &'a Timed> + Clone,
) -> Option<Timed> {
    let values = said.clone().filter(|timed| timed.value.is_some());
    let folded = match strategy {
        MergeStrategy::Unspecified | MergeStrategy::Latest => None,
        MergeStrategy::Oldest => first_by(values, |held, new| new.time_ms < held.time_ms),
        MergeStrategy::Max => extreme(values, |held, new| new > held),
        MergeStrategy::Min => extreme(values, |held, new| new < held),
        MergeStrategy::Sum => sum(values),
        MergeStrategy::Union => union(values),
    };
    folded.or_else(|| latest(said))
}

fn latest<'a>(said: impl Iterator<Item = &'a Timed>) -> Option<Timed> {
    first_by(said, |held, new| new.time_ms > held.time_ms)
}

/// The first that no other is better than.
fn first_by<'a>(
    mut said: impl Iterator<Item = &'a Timed>,
    is_better: impl Fn(&Timed, &Timed) -> bool,
) -> Option<Timed> {
    let first = said.next()?;
    let best = said.fold(first, |held, new| match is_better(held, new) {
        true => new,
        false => held,
    });
    Some(best.clone())
}

fn extreme<'a>(
    mut values: impl Iterator<Item = &'a Timed>,
    is_better: impl Fn(f64, f64) -> bool,
) -> Option<Timed> {
    let first = values.next()?;
    let mut best = (first, magnitude(first)?);
    for value in values {
        let size = magnitude(value)?;
        // Of different kinds: there is no greatest among them.
        if kind(value) != kind(first) {
            return None;
        }
        if is_better(best.1, size) {
            best = (value, size);
        }
    }
    Some(best.0.clone())
}

/// Numbers by their value, dates by their time.
fn magnitude(timed: &Timed) -> Option<f64> {
    match timed.value.as_ref()?.kind.as_ref()? {
        Kind::NumberValue(n) => Some(*n),
        Kind::StringValue(text) => parse_time(text).map(|ms| ms as f64),
        _ => None,
    }
}

fn kind(timed: &Timed) -> Option<std::mem::Discriminant<Kind>> {
    let value = timed.value.as_ref()?;
    value.kind.as_ref().map(std::mem::discriminant)
}

/// As of the latest of them.
fn sum<'a>(values: impl Iterator<Item = &'a Timed> + Clone) -> Option<Timed> {
    let mut total = 0.0;
    for timed in values.clone() {
        match timed.value.as_ref()?.kind.as_ref()? {
            Kind::NumberValue(n) => total += n,
            _ => return None,
        }
    }
    with_value(latest(values)?, Kind::NumberValue(total))
}

/// Each element once, in the order of those who said it; as of the latest of them.
fn union<'a>(values: impl Iterator<Item = &'a Timed> + Clone) -> Option<Timed> {
    let mut elements: Vec<Value> = Vec::new();
    for timed in values.clone() {
        match timed.value.as_ref()?.kind.as_ref()? {
            Kind::ListValue(list) => {
                for element in &list.values {
                    if !elements.contains(element) {
                        elements.push(element.clone());
                    }
                }
            }
            _ => return None,
        }
    }
    let list = ListValue { values: elements };
    with_value(latest(values)?, Kind::ListValue(list))
}

fn with_value(timed: Timed, kind: Kind) -> Option<Timed> {
    let value = Some(Value { kind: Some(kind) });
    Some(Timed { value, ..timed })
}

#[cfg(test)]
mod tests {
    use super::*;
    use attune_api::json::{from_value, to_value};
    use serde_json::{Value as Json, json};

    /// `(value, time)`; null is a removal.
    fn said(rows: &[(Json, i64)]) -> Vec<Timed> {
        let timed = |(value, time_ms): &(Json, i64)| Timed {
            value: (!value.is_null()).then(|| to_value(value.clone())),
            time_ms: *time_ms,
            ..Timed::default()
        };
        rows.iter().map(timed).collect()
    }

    #[test]
    fn each_strategy_keeps_what_it_says() {
        use MergeStrategy::{Latest, Max, Min, Oldest, Sum, Union, Unspecified};
        let numbers = [(json!(5), 10), (json!(9), 5), (json!(1), 7)];
        let removed = [(json!(5), 10), (json!(null), 20)];
        let dates = [(json!("2024-05-01"), 1), (json!("2023-05-01T10:00:00Z"), 2)];
        let sets = [(json!(["a", "b"]), 3), (json!(["b", "c"]), 1)];
        let mixed = [(json!(5), 10), (json!("many"), 20)];
        type Said = (Json, i64);
        let rows: &[(MergeStrategy, &[Said], Said)] = &[
            (Unspecified, &numbers, (json!(5), 10)),
            (Latest, &numbers, (json!(5), 10)),
            (Latest, &removed, (json!(null), 20)),
            (Latest, &[(json!(1), 3), (json!(2), 3)], (json!(1), 3)),
            (Oldest, &numbers, (json!(9), 5)),
            (Oldest, &removed, (json!(5), 10)),
            (Max, &numbers, (json!(9), 5)),
            (Max, &dates, (json!("2024-05-01"), 1)),
            (Min, &numbers, (json!(1), 7)),
            (Min, &dates, (json!("2023-05-01T10:00:00Z"), 2)),
            (Sum, &numbers, (json!(15), 10)),
            (Sum, &removed, (json!(5), 10)),
            (Union, &sets, (json!(["a", "b", "c"]), 3)),
            // What does not fit is decided by time.
            (Max, &mixed, (json!("many"), 20)),
            (
                Max,
                &[(json!(5), 9), (json!("2024-05-01"), 1)],
                (json!(5), 9),
            ),
            (Sum, &mixed, (json!("many"), 20)),
            (Union, &numbers, (json!(5), 10)),
            (Max, &[(json!(null), 4), (json!(null), 8)], (json!(null), 8)),
        ];
        for (strategy, rows, expected) in rows {
            let said = said(rows);
            let folded = fold(*strategy, said.iter()).unwrap();
            let value = folded.value.as_ref().map_or(Json::Null, from_value);
            let shown = (value, folded.time_ms);
            assert_eq!(&shown, expected, "{strategy:?} of {rows:?}");
        }
        assert_eq!(fold(Sum, [].iter()), None);
    }
}
