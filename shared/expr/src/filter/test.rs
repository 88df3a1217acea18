//! The questions a column answers as a whole, each exactly as judging every item would.
//! A kind of value that a question was not thought through for is judged once per
//! value, and what is in no dictionary is left to be judged item by item.

use std::{borrow::Cow, ops::Bound};

use roaring::RoaringBitmap;

use super::{
    column::Column,
    compare::{
        compare, compare_in, compare_reach, compare_texts, compare_work, is_plain, range,
        relation_to_numbers,
    },
    gather::Gather,
    ordered::Real,
    posting::Posting,
    selection::Selection,
};
use crate::{
    node::{Comparison, Quantifier},
    value::Value,
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

pub(super) fn gather_texts(column: &Column, judge: &Judge<'_>, into: &mut Gather) {
    for (text, posting) in &column.texts {
        if judge(Value::Text(Cow::Borrowed(text))) {
            posting.gather(into);
        }
    }
}
