//! Values in the order of their events, each kept once however often it was there.
//! Answers which was there most often by counting, in one walk over a window.

use std::sync::Arc;

use attune_expr::Value;
use rustc_hash::FxHashMap;

use super::series::int;

#[derive(Debug, Clone, Default)]
pub(super) struct Values {
    /// Of each event, which value.
    codes: Vec<u32>,
    known: Vec<Held>,
    codes_of: FxHashMap<Held, u32>,
    /// Bytes of the texts among the values.
    text_bytes: usize,
}

/// A value that outlives its event. Events are remembered with scalars, and with lists
/// of items; of anything else nothing is known.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Held {
    Missing,
    Bool(bool),
    /// Bits; the two zeros are one.
    Number(u64),
    Text(Arc<str>),
    Time(i64),
    Texts(Arc<Vec<String>>),
}

impl Held {
    fn of(value: &Value<'_>) -> Self {
        match value {
            Value::Bool(b) => Self::Bool(*b),
            Value::Text(text) => Self::Text(text.as_ref().into()),
            Value::Time(ms) => Self::Time(*ms),
            Value::Texts(texts) => Self::Texts(Arc::new(texts.to_vec())),
            other => match other.as_number() {
                Some(number) if !number.is_nan() => Self::Number((number + 0.0).to_bits()),
                _ => Self::Missing,
            },
        }
    }

    fn value(&self) -> Value<'_> {
        match self {
            Self::Missing => Value::Missing,
            Self::Bool(b) => Value::Bool(*b),
            Self::Number(bits) => Value::Number(f64::from_bits(*bits)),
            Self::Text(text) => Value::text(text),
            Self::Time(ms) => Value::Time(*ms),
            Self::Texts(texts) => Value::Texts(texts),
        }
    }

    fn text_bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Texts(texts) => texts.iter().map(|t| t.len() + size_of::<String>()).sum(),
            _ => 0,
        }
    }
}

impl Values {
    pub fn insert(&mut self, at: usize, value: &Value<'_>) {
        let code = self.code(Held::of(value));
        self.codes.insert(at, code);
    }

    /// Each element of a list, or the value itself; how many that were. The first of a
    /// list comes last, since it is the one that counts as seen last.
    pub fn insert_members(&mut self, at: usize, value: &Value<'_>) -> usize {
        let mut members = Vec::new();
        let mut add = |value: &Value<'_>| match Held::of(value) {
            Held::Missing | Held::Texts(_) => {}
            held => members.push(held),
        };
        match value {
            Value::Texts(texts) => texts.iter().for_each(|text| add(&Value::text(text))),
            other => add(other),
        }
        let added = members.len();
        let codes: Vec<_> = members
            .into_iter()
            .rev()
            .map(|held| self.code(held))
            .collect();
        self.codes.splice(at..at, codes);
        added
    }

    fn code(&mut self, held: Held) -> u32 {
        if let Some(code) = self.codes_of.get(&held) {
            return *code;
        }
        let code = u32::try_from(self.known.len()).unwrap_or(u32::MAX);
        self.text_bytes += held.text_bytes();
        self.known.push(held.clone());
        self.codes_of.insert(held, code);
        code
    }

    /// The values before a place are gone, and those that are nowhere else with them.
    pub fn forget(&mut self, count: usize) {
        let known = std::mem::take(self);
        for code in &known.codes[count..] {
            let code = self.code(known.known[*code as usize].clone());
            self.codes.push(code);
        }
    }

    pub fn size(&self) -> usize {
        // An entry of the table takes the value, its code and a byte beside them.
        let entry = 2 * size_of::<Held>() + size_of::<u32>() + 1;
        self.codes.capacity() * size_of::<u32>() + self.known.len() * entry + self.text_bytes
    }

    pub fn get(&self, at: usize) -> Value<'_> {
        let code = self.codes.get(at).map(|code| *code as usize);
        let held = code.and_then(|code| self.known.get(code));
        held.map_or(Value::Missing, Held::value)
    }

    /// From a place on; of as many the one that was there last.
    pub fn most_frequent(&self, first: usize) -> Value<'_> {
        let mut counts = vec![0_u32; self.known.len()];
        for code in &self.codes[first..] {
            counts[*code as usize] += 1;
        }
        let most = counts.iter().copied().max().unwrap_or(0);
        let last = self.codes[first..]
            .iter()
            .rev()
            .find(|code| counts[**code as usize] == most);
        last.map_or(Value::Missing, |code| self.known[*code as usize].value())
    }

    pub fn distinct(&self, first: usize) -> Value<'static> {
        let mut seen = vec![false; self.known.len()];
        let mut count = 0;
        for code in &self.codes[first..] {
            let seen = &mut seen[*code as usize];
            count += usize::from(!*seen);
            *seen = true;
        }
        Value::Int(int(count))
    }
}
