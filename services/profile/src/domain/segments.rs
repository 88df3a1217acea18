//! The segments a workspace declares, compiled: what may be saved, and what is derived
//! of them. Holds no members; knows nothing of where it is kept.

use std::{collections::BTreeMap, sync::Arc};

use attune_api::profile::v1::Segment;
use attune_expr::{Expression, Fault, Vocabulary};

use super::derive::{Definition, Name, Rule};

/// A segment as it was last changed, and the revision at which it was made; None where
/// it was deleted.
pub type Changed = (Arc<str>, Option<(Segment, i64)>);

/// The segments of a workspace, by id. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Segments(BTreeMap<Arc<str>, Rule>);

impl Segments {
    /// As they are after some were changed or, where there is None, deleted; each with
    /// the revision at which it was made.
    #[must_use]
    pub fn with(&self, changed: Vec<Changed>) -> Self {
        let mut segments = self.0.clone();
        for (id, segment) in changed {
            match segment.and_then(|(segment, born)| rule(&segment.expression, born)) {
                Some(rule) => segments.insert(id, rule),
                None => segments.remove(&id),
            };
        }
        Self(segments)
    }

    pub fn get(&self, id: &str) -> Option<&Rule> {
        self.0.get(id)
    }

    pub fn ids(&self) -> impl Iterator<Item = &Arc<str>> {
        self.0.keys()
    }

    pub fn definitions(&self) -> impl Iterator<Item = Definition> {
        self.0.iter().map(|(id, rule)| Definition {
            name: Name::Segment(id.clone()),
            rule: rule.clone(),
        })
    }
}

/// What a stored segment goes by; it was checked against what was declared when it was
/// saved, and what has been declared since is no reason to lose it.
fn rule(expression: &str, born: i64) -> Option<Rule> {
    if expression.is_empty() {
        return Some(Rule::List { born });
    }
    let compiled = Expression::compile(expression, &Vocabulary::subject());
    compiled.ok().map(Rule::Expression)
}

/// What a person's expression may not do, besides what is wrong with it: it is judged
/// without a request, and again exactly when what it reads has changed.
pub fn derivable(expression: &Expression) -> Result<(), Vec<String>> {
    let reads = expression.reads();
    let mut broken = Vec::new();
    if reads.any_segment {
        broken.push("must name the segments it reads, as in `\"ID\" in segments`".to_owned());
    }
    if reads.item {
        broken.push("must not read `item`: no item is at hand".to_owned());
    }
    for field in reads.situation {
        broken.push(format!(
            "must not read `context.{field}`: people are judged when nobody is there"
        ));
    }
    broken.extend(expression.untold().map(ToString::to_string));
    if broken.is_empty() {
        Ok(())
    } else {
        Err(broken)
    }
}

/// Compiles an expression over a person, or tells everything that is wrong with it.
pub fn compile(source: &str, vocabulary: &Vocabulary) -> Result<Expression, Vec<String>> {
    let told = |faults: Vec<Fault>| faults.iter().map(ToString::to_string).collect::<Vec<_>>();
    let expression = Expression::compile(source, vocabulary).map_err(told)?;
    derivable(&expression)?;
    Ok(expression)
}

/// How many people something holds for, and between which numbers that lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estimate {
    pub size: i64,
    pub low: i64,
    pub high: i64,
}

/// For how many of `population` something holds that holds for `holds` of `sample` of
/// them, with the interval that covers the truth 95 times in 100: Wilson's score interval
/// (1927), which is sound for shares near 0 and 1 too. Exact where everybody was looked at.
pub fn interval(holds: i64, sample: i64, population: i64) -> Estimate {
    /// The normal distribution's quantile for 95 %, on both sides.
    const Z: f64 = 1.959_964;
    if sample >= population || sample == 0 {
        let size = holds.min(population);
        return Estimate {
            size,
            low: size,
            high: size,
        };
    }
    let (n, all) = (sample as f64, population as f64);
    let share = holds as f64 / n;
    let spread = Z * Z / n;
    let middle = (share + spread / 2.0) / (1.0 + spread);
    let half = Z / (1.0 + spread) * (share * (1.0 - share) / n + spread / (4.0 * n)).sqrt();
    // Never fewer than were seen, nor more than leaves room for those who were not in it.
    let low = ((middle - half).max(0.0) * all).floor() as i64;
    let high = ((middle + half).min(1.0) * all).ceil() as i64;
    Estimate {
        size: (share * all).round() as i64,
        low: low.max(holds),
        high: high.min(population - (sample - holds)),
    }
}
