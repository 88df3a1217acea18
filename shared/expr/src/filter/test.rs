//! The questions a column answers as a whole, each exactly as judging every item would.
//! A kind of value that a question was not thought through for is judged once per
//! value, and what is in no dictionary is left to be judged item by item.

use std::{
    borrow::Cow,
    cmp::Ordering,
    ops::{Bound, Range},
};

use roaring::RoaringBitmap;

use super::{
    column::Column,
    gather::Gather,
    ordered::{Ordered, Place, Real},
    posting::Posting,
    selection::Selection,
};
use crate::{
    eval,
    node::{Comparison, Quantifier},
    value::{Value, parse_time},
};

/// What judging one item or value costs, where adding an item to a set costs 1.
pub(super) const JUDGING: u64 = 48;

/// What is asked of the values of one name.
pub(super) enum Test<'a> {
    Present,
    /// The value itself stands for true.
    True,
    Compare(Comparison, Value<'a>),
    OneOf(Vec<Value<'a>>),
    Prefix(Value<'a>),
    /// A list has one of these elements.
    Element(Vec<Value<'a>>),
    /// A list has this element, or a text this part.
    Contains(Value<'a>),
    Quantify(Quantifier),
    /// Anything else that depends on nothing but the value.
    Scan,
}

/// What a test found: those that pass, and those that must be judged.
pub(super) struct Tested<'a> {
    pub found: Selection<'a>,
    pub unsure: Selection<'a>,
}

/// Judges the expression for an item with this value.
pub(super) type Judge<'j> = dyn Fn(Value<'_>) -> bool + 'j;

/// How the values of one kind stand to a value they are compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Relation {
    /// By the order they are kept in.
    Ordered,
    /// Neither equal nor in any order.
    None,
    /// Each has to be looked at.
    Unknown,
}

impl<'a> Test<'a> {
    pub fn work(&self, column: &Column) -> u64 {
        let scan = || JUDGING * column.distinct_max();
        let unsure = match self {
            Self::Present | Self::True => return 1,
            Self::Compare(..) | Self::OneOf(_) | Self::Scan => {
                column.others.len() + column.lists.len()
            }
            _ => column.others.len(),
        };
        let work = match self {
            Self::Present | Self::True => 1,
            Self::Compare(comparison, value) => compare_work(column, *comparison, value),
            Self::OneOf(elements) => elements
                .iter()
                .map(|element| compare_work(column, Comparison::Equal, element))
                .sum(),
            Self::Prefix(_) => column.texts.len() as u64,
            Self::Element(elements) => elements.len() as u64,
            Self::Contains(_) => JUDGING * column.texts.len() as u64,
            Self::Quantify(_) => JUDGING * column.elements.len() as u64 + scan(),
            Self::Scan => scan(),
        };
        work + JUDGING * unsure
    }

    /// Items that may pass, at most.
    pub fn reach(&self, column: &Column) -> u64 {
        let found = match self {
            Self::True => return column.yes.len(),
            Self::Compare(comparison, value) => compare_reach(column, *comparison, value),
            Self::OneOf(elements) => elements
                .iter()
                .map(|element| compare_reach(column, Comparison::Equal, element))
                .sum(),
            Self::Element(elements) => elements
                .iter()
                .map(|element| holding(column, element).len_max(&column.lists))
                .sum(),
            Self::Present | Self::Prefix(_) | Self::Contains(_) => column.present.len(),
            // Whether nothing passes is the question's to say.
            Self::Quantify(_) | Self::Scan => u64::MAX,
        };
        found.saturating_add(column.others.len())
    }

    pub fn run(
        &self,
        column: &'a Column,
        universe: &RoaringBitmap,
        judge: &Judge<'_>,
    ) -> Tested<'a> {
        let others = || Selection::from(&column.others);
        let sure = |found| Tested {
            found,
            unsure: others(),
        };
        match self {
            Self::Present => Tested {
                found: Selection::from(&column.present),
                unsure: Selection::none(),
            },
            Self::True => Tested {
                found: Selection::from(&column.yes),
                unsure: Selection::none(),
            },
            Self::Compare(Comparison::NotEqual, value) => {
                let equal = compare(column, Comparison::Equal, value);
                let unlike = Selection::from(&column.present).minus(equal.found);
                Tested {
                    found: unlike.minus(equal.unsure.clone()),
                    unsure: equal.unsure,
                }
            }
            Self::Compare(comparison, value) => compare(column, *comparison, value),
            Self::OneOf(elements) => one_of(column, elements, judge),
            Self::Prefix(prefix) => sure(match prefix.as_text() {
                Some(prefix) => prefixed(column, prefix),
                None => Selection::none(),
            }),
            Self::Element(elements) => {
                let found = elements.iter().map(|element| holding(column, element));
                sure(found.reduce(Selection::or).unwrap_or_else(Selection::none))
            }
            Self::Contains(part) => {
                let mut texts = Gather::default();
                if part.as_text().is_some() {
                    gather_texts(column, judge, &mut texts);
                }
                sure(holding(column, part).or(texts.finish().into()))
            }
            Self::Quantify(quantifier) => sure(quantified(column, *quantifier, judge)),
            Self::Scan => scanned(column, universe, judge),
        }
    }
}

fn relation_to_numbers(value: &Value<'_>) -> Relation {
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

fn is_plain(value: &Value<'_>) -> bool {
    relation_to_texts(value) != Relation::Unknown || matches!(value, Value::Time(_))
}

fn compare<'a>(column: &'a Column, comparison: Comparison, value: &Value<'_>) -> Tested<'a> {
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

fn compare_in<T: Copy + Ord>(
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
fn range<T: Copy + Ord>(
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

fn compare_texts<'a>(column: &'a Column, comparison: Comparison, text: &str) -> Selection<'a> {
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

fn compare_work(column: &Column, comparison: Comparison, value: &Value<'_>) -> u64 {
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

fn compare_reach(column: &Column, comparison: Comparison, value: &Value<'_>) -> u64 {
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

/// Each element is looked up, unless one is of a kind that equality treats in its own
/// way beside a list.
fn one_of<'a>(column: &'a Column, elements: &[Value<'a>], judge: &Judge<'_>) -> Tested<'a> {
    if !elements.iter().all(is_plain) {
        return Tested {
            found: Selection::none(),
            unsure: Selection::from(&column.present),
        };
    }
    let mut gather = Gather::default();
    let mut texts = Selection::none();
    let has_times = elements.iter().any(|e| matches!(e, Value::Time(_)));
    let has_texts = elements.iter().any(|e| matches!(e, Value::Text(_)));
    for element in elements {
        match element {
            Value::Text(text) if !has_times => {
                texts = texts.or(compare_texts(column, Comparison::Equal, text));
            }
            Value::Time(_) if !has_texts => {
                let order = |ms| Value::Time(ms).compare(element);
                column
                    .times
                    .gather(&range(&column.times, Comparison::Equal, order), &mut gather);
            }
            _ => {}
        }
        let numbers = relation_to_numbers(element);
        compare_in(
            &column.integers,
            numbers,
            Comparison::Equal,
            element,
            Value::Int,
            &mut gather,
        );
        let as_value = |n: Real| Value::Number(n.get());
        compare_in(
            &column.numbers,
            numbers,
            Comparison::Equal,
            element,
            as_value,
            &mut gather,
        );
    }
    // A date equals a time in some lists and not in others.
    if has_times {
        gather_texts(column, judge, &mut gather);
    }
    if has_texts {
        column
            .times
            .gather_where(|ms| judge(Value::Time(ms)), &mut gather);
    }
    gather_bools(column, judge, &mut gather);
    Tested {
        found: Selection::from(gather.finish()).or(texts),
        unsure: Selection::from(&column.others),
    }
}

fn prefixed<'a>(column: &'a Column, prefix: &str) -> Selection<'a> {
    let mut found = Gather::default();
    let from = (Bound::Included(prefix), Bound::Unbounded);
    for (text, posting) in column.texts.range::<str, _>(from) {
        if !text.starts_with(prefix) {
            break;
        }
        posting.gather(&mut found);
    }
    found.finish().into()
}

/// Lists with an element.
fn holding<'a>(column: &'a Column, element: &Value<'_>) -> Selection<'a> {
    let posting = element.as_text().and_then(|text| column.elements.get(text));
    posting.map_or_else(Selection::none, Posting::selection)
}

/// A list of one element stands for that element.
fn quantified<'a>(column: &'a Column, quantifier: Quantifier, judge: &Judge<'_>) -> Selection<'a> {
    let wanted = quantifier == Quantifier::Exists;
    let mut told = Gather::default();
    for (element, posting) in &column.elements {
        if judge(Value::Texts(std::slice::from_ref(element))) == wanted {
            posting.gather(&mut told);
        }
    }
    let told = Selection::from(told.finish());
    let lists = if wanted {
        told
    } else {
        Selection::from(&column.lists).minus(told)
    };
    let mut scalars = Gather::default();
    gather_scalars(column, judge, &mut scalars);
    lists.or(scalars.finish().into())
}

fn scanned<'a>(column: &'a Column, universe: &RoaringBitmap, judge: &Judge<'_>) -> Tested<'a> {
    let mut found = Gather::default();
    gather_scalars(column, judge, &mut found);
    if judge(Value::Missing) {
        found.extend(&(universe - &column.present));
    }
    Tested {
        found: found.finish().into(),
        unsure: Selection::from(&column.others).or(Selection::from(&column.lists)),
    }
}

fn gather_scalars(column: &Column, judge: &Judge<'_>, into: &mut Gather) {
    gather_bools(column, judge, into);
    gather_texts(column, judge, into);
    column.integers.gather_where(|n| judge(Value::Int(n)), into);
    column
        .numbers
        .gather_where(|n| judge(Value::Number(n.get())), into);
    column.times.gather_where(|ms| judge(Value::Time(ms)), into);
}

fn gather_bools(column: &Column, judge: &Judge<'_>, into: &mut Gather) {
    for (value, items) in [(false, &column.no), (true, &column.yes)] {
        if !items.is_empty() && judge(Value::Bool(value)) {
            into.extend(items);
        }
    }
}

fn gather_texts(column: &Column, judge: &Judge<'_>, into: &mut Gather) {
    for (text, posting) in &column.texts {
        if judge(Value::Text(Cow::Borrowed(text))) {
            posting.gather(into);
        }
    }
}
