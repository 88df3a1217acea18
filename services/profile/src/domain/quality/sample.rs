//! How complete and how old the values of traits are, worked out from profiles that are
//! shown one by one. Bounded by the number of names; never decides whom to look at.

use std::collections::BTreeMap;

use crate::domain::Record;

/// Names of traits that are told apart, besides those that are declared.
const NAMES_MAX: usize = 2_000;
const HOUR_MS: i64 = 3_600_000;

/// What was seen of one trait.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Seen {
    /// Profiles with a value.
    pub count: usize,
    /// Of each value that somebody sent, in hours.
    ages: Vec<u32>,
}

/// What was seen of profiles so far.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    pub size: usize,
    traits: BTreeMap<String, Seen>,
}

impl Sample {
    pub fn take(&mut self, record: &Record, now_ms: i64) {
        self.size += 1;
        let held = record
            .traits
            .iter()
            .filter(|(id, timed)| timed.value.is_some() && !record.computed.contains_key(*id));
        for (id, timed) in held {
            let hours = (now_ms - timed.time_ms).max(0) / HOUR_MS;
            self.note(id, Some(u32::try_from(hours).unwrap_or(u32::MAX)));
        }
        // As new as what they are computed from, which has an age of its own.
        record.computed.keys().for_each(|id| self.note(id, None));
    }

    fn note(&mut self, trait_id: &str, age_h: Option<u32>) {
        if !self.traits.contains_key(trait_id) {
            if self.traits.len() >= NAMES_MAX {
                return;
            }
            self.traits.insert(trait_id.to_owned(), Seen::default());
        }
        if let Some(seen) = self.traits.get_mut(trait_id) {
            seen.count += 1;
            seen.ages.extend(age_h);
        }
    }

    /// Traits that were seen, by id.
    pub fn trait_ids(&self) -> impl Iterator<Item = &String> {
        self.traits.keys()
    }

    /// Share of the profiles that have a value, 0..1.
    pub fn completeness(&self, trait_id: &str) -> f64 {
        let count = self.traits.get(trait_id).map_or(0, |seen| seen.count);
        match self.size {
            0 => 0.0,
            size => count as f64 / size as f64,
        }
    }

    /// Half of the values that were sent are at most so old, in days; 0 without any.
    pub fn age_days_median(&self, trait_id: &str) -> f64 {
        let Some(seen) = self.traits.get(trait_id) else {
            return 0.0;
        };
        let mut ages = seen.ages.clone();
        if ages.is_empty() {
            return 0.0;
        }
        let middle = (ages.len() - 1) / 2;
        let (_, median, _) = ages.select_nth_unstable(middle);
        f64::from(*median) / 24.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::record::Timed;
    use prost_types::{Value, value::Kind};

    #[test]
    fn shares_and_ages_follow_what_is_held() {
        let day = 24 * HOUR_MS;
        let value = |time_ms| Timed {
            value: Some(Value {
                kind: Some(Kind::NumberValue(1.0)),
            }),
            time_ms,
            ..Timed::default()
        };
        let removed = Timed {
            value: None,
            ..value(0)
        };
        let record = |traits: &[(&str, Timed)]| Record {
            traits: traits
                .iter()
                .map(|(id, t)| ((*id).to_owned(), t.clone()))
                .collect(),
            ..Record::default()
        };
        let mut sample = Sample::default();
        assert_eq!(
            (sample.completeness("a"), sample.age_days_median("a")),
            (0.0, 0.0)
        );
        let now_ms = 100 * day;
        for (index, age) in [1, 2, 30].into_iter().enumerate() {
            let held = value(now_ms - age * day);
            let other = if index == 0 {
                value(0)
            } else {
                removed.clone()
            };
            sample.take(&record(&[("a", held), ("b", other)]), now_ms);
        }
        let computed = |held: Record| Record {
            computed: [("d".to_owned(), Value::default())].into(),
            ..held
        };
        sample.take(&computed(record(&[("d", value(0))])), now_ms);
        let rows = [
            ("a", 0.75, 2.0),
            ("b", 0.25, 100.0),
            ("c", 0.0, 0.0),
            ("d", 0.25, 0.0),
        ];
        for (id, completeness, age) in rows {
            assert_eq!(sample.completeness(id), completeness, "{id}");
            assert_eq!(sample.age_days_median(id), age, "{id}");
        }
    }
}
