//! Rules and people for measuring how expressions are matched: one form of rule, made
//! from a seed, as expressions and as plain numbers, and the fastest thing one would
//! write by hand for that form alone. Shared by every benchmark of rules.
//!
//! The form: `profile.country in [..] && profile.age >= a && profile.age <= b &&
//! profile.tier >= t && profile.days_since_purchase <= d && "x" in profile.interests`.
//! 40 countries, ages 18 to 90, tiers 0 to 4, 0 to 365 days, 60 interests of which a
//! person has 3 to 6. About 0.5 % of the rules hold for the average person.

// Each benchmark uses a part of it.
#![allow(dead_code)]

use attune_api::{json, profile::v1::Snapshot};
use attune_expr::SubjectScope;
use serde_json::json;

pub const COUNTRIES: u64 = 40;
pub const INTERESTS: u64 = 60;
pub const TIERS: u64 = 5;
pub const DAYS_MAX: u64 = 365;
pub const AGES: std::ops::RangeInclusive<u64> = 18..=90;

/// SplitMix64.
#[derive(Debug, Clone)]
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn within(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// So many different numbers below a bound, sorted.
    fn distinct(&mut self, count: u64, bound: u64) -> Vec<u64> {
        let mut numbers = Vec::new();
        while (numbers.len() as u64) < count {
            let number = self.below(bound);
            if let Err(at) = numbers.binary_search(&number) {
                numbers.insert(at, number);
            }
        }
        numbers
    }
}

/// A rule of the form, in numbers; countries are bits.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    pub countries: u64,
    pub age_min: u64,
    pub age_max: u64,
    pub tier_min: u64,
    pub days_max: u64,
    pub interest: u64,
}

/// A person, in numbers.
#[derive(Debug, Clone)]
pub struct Person {
    pub country: u64,
    pub age: u64,
    pub tier: u64,
    pub days: u64,
    /// Sorted.
    pub interests: Vec<u64>,
}

/// Rules of which about 0.5 % hold for the average person, however many there are.
pub fn rules(count: usize, seed: u64) -> Vec<Rule> {
    rules_narrowed(count, 1.0, INTERESTS, seed)
}

/// Rules of which about 50 hold for the average person, from 10,000 rules on: the more
/// rules, the narrower each. Set of countries, span of ages and number of days all
/// shrink by the cube root of `10,000 / count`, so that their product shrinks by that.
pub fn rules_at_50(count: usize, seed: u64) -> Vec<Rule> {
    let scale = (10_000.0 / count as f64).cbrt().min(1.0);
    rules_narrowed(count, scale, INTERESTS, seed)
}

/// Another way to it: the more rules, the more interests there are for them to be about,
/// as in a shop that grows, and all else stays as it is at 10,000.
pub fn rules_at_50_by_vocabulary(count: usize, seed: u64) -> Vec<Rule> {
    rules_narrowed(count, 1.0, vocabulary(count), seed)
}

/// Interests that so many rules are about: 60 of 10,000 and 6,000 of 1,000,000.
pub fn vocabulary(count: usize) -> u64 {
    INTERESTS * (count as u64 / 10_000).max(1)
}

fn rules_narrowed(count: usize, scale: f64, vocabulary: u64, seed: u64) -> Vec<Rule> {
    let mut dice = Dice(seed);
    // Rounded at random, so that a set of 1.4 countries has the right average.
    let scaled = |n: u64, dice: &mut Dice| {
        let exact = n as f64 * scale;
        exact as u64 + u64::from((dice.below(1 << 20) as f64) < exact.fract() * f64::from(1 << 20))
    };
    let rule = |_| {
        let countries = dice.within(6, 20);
        let countries = scaled(countries, &mut dice).clamp(1, COUNTRIES - 1);
        let span = dice.within(20, 60);
        let span = scaled(span, &mut dice).max(1);
        let age_min = dice.within(*AGES.start(), 90 - (span - 1).min(72));
        let days = dice.within(120, DAYS_MAX);
        Rule {
            countries: dice
                .distinct(countries, COUNTRIES)
                .into_iter()
                .fold(0, |bits, country| bits | 1 << country),
            age_min,
            age_max: age_min + span - 1,
            tier_min: dice.below(TIERS),
            days_max: scaled(days, &mut dice),
            interest: dice.below(vocabulary),
        }
    };
    (0..count).map(rule).collect()
}

pub fn people(count: usize, seed: u64) -> Vec<Person> {
    people_of(count, INTERESTS, seed)
}

/// People with 3 to 6 of so many interests.
pub fn people_of(count: usize, vocabulary: u64, seed: u64) -> Vec<Person> {
    let mut dice = Dice(seed);
    let person = |_| {
        let interests = dice.within(3, 6);
        Person {
            country: dice.below(COUNTRIES),
            age: dice.within(*AGES.start(), *AGES.end()),
            tier: dice.below(TIERS),
            days: dice.within(0, DAYS_MAX),
            interests: dice.distinct(interests, vocabulary),
        }
    };
    (0..count).map(person).collect()
}

fn bits(set: u64) -> impl Iterator<Item = u64> {
    (0..u64::from(u64::BITS)).filter(move |bit| set & 1 << bit != 0)
}

pub fn country(number: u64) -> String {
    format!("country-{number}")
}

pub fn interest(number: u64) -> String {
    format!("interest-{number}")
}

impl Rule {
    /// As one would write it.
    pub fn expression(&self) -> String {
        let countries: Vec<String> = bits(self.countries)
            .map(|c| format!("\"{}\"", country(c)))
            .collect();
        format!(
            "profile.country in [{}] && profile.age >= {} && profile.age <= {} && \
             profile.tier >= {} && profile.days_since_purchase <= {} && \"{}\" in profile.interests",
            countries.join(", "),
            self.age_min,
            self.age_max,
            self.tier_min,
            self.days_max,
            interest(self.interest)
        )
    }

    pub fn holds(&self, person: &Person) -> bool {
        self.countries & 1 << person.country != 0
            && (self.age_min..=self.age_max).contains(&person.age)
            && person.tier >= self.tier_min
            && person.days <= self.days_max
            && person.interests.binary_search(&self.interest).is_ok()
    }
}

impl Person {
    /// As the profile service tells of one, with other traits around those of the form.
    pub fn snapshot(&self) -> Snapshot {
        let interests: Vec<String> = self.interests.iter().copied().map(interest).collect();
        let mut traits = json!({
            "country": country(self.country),
            "age": self.age,
            "tier": self.tier,
            "days_since_purchase": self.days,
            "interests": interests,
        });
        for number in 0..15 {
            traits[format!("trait_{number}")] = json!(number);
        }
        Snapshot {
            traits: json::to_struct(traits),
            ..Default::default()
        }
    }
}

/// The names of a person in expressions.
pub fn scope(snapshot: &Snapshot) -> SubjectScope<'_> {
    SubjectScope {
        snapshot: Some(snapshot),
        context: None,
        channel: "web",
        now_ms: 0,
        subject_key: "p",
    }
}

/// The floor: for each country the rules that name it, each packed into 24 bytes and
/// judged by plain comparisons and one bitmask; where there are more interests than a
/// mask has bits, and fewer rules for each than for a country, for each interest the
/// rules about it. Can do this one form and nothing else; takes a person in numbers, so
/// that it looks nothing up.
#[derive(Debug, Default)]
pub struct PostingList {
    is_by_interest: bool,
    /// By country or by interest.
    rules: Vec<Vec<Packed>>,
}

#[derive(Debug, Clone, Copy)]
struct Packed {
    /// The interest by country, the countries by interest.
    mask: u64,
    rule: u32,
    days_max: u16,
    age_min: u8,
    age_max: u8,
    tier_min: u8,
}

impl PostingList {
    pub fn new(rules: &[Rule]) -> Self {
        let interests = rules.iter().map(|rule| rule.interest + 1).max();
        let interests = interests.unwrap_or(0).max(INTERESTS);
        let is_by_interest = interests > INTERESTS;
        let lists = if is_by_interest { interests } else { COUNTRIES };
        let mut lists = vec![Vec::new(); lists as usize];
        for (number, rule) in rules.iter().enumerate() {
            let packed = |mask| Packed {
                mask,
                rule: number as u32,
                days_max: rule.days_max as u16,
                age_min: rule.age_min as u8,
                age_max: rule.age_max as u8,
                tier_min: rule.tier_min as u8,
            };
            if is_by_interest {
                lists[rule.interest as usize].push(packed(rule.countries));
                continue;
            }
            for country in bits(rule.countries) {
                lists[country as usize].push(packed(1 << rule.interest));
            }
        }
        Self {
            is_by_interest,
            rules: lists,
        }
    }

    pub fn matching(&self, person: &Person, found: &mut Vec<u32>) {
        found.clear();
        if self.is_by_interest {
            for interest in &person.interests {
                self.matching_of(*interest, 1 << person.country, person, found);
            }
        } else {
            let interests = person.interests.iter().fold(0, |bits, i| bits | 1 << i);
            self.matching_of(person.country, interests, person, found);
        }
    }

    #[inline]
    fn matching_of(&self, list: u64, mask: u64, person: &Person, found: &mut Vec<u32>) {
        let (age, tier, days) = (person.age as u8, person.tier as u8, person.days as u16);
        for rule in self.rules.get(list as usize).into_iter().flatten() {
            if rule.mask & mask != 0
                && rule.age_min <= age
                && age <= rule.age_max
                && rule.tier_min <= tier
                && days <= rule.days_max
            {
                found.push(rule.rule);
            }
        }
    }
}
