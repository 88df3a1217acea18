//! Numbers in the order of their events: what those from any one on sum up to, in
//! constant time, and the least and greatest of them by bisection. Sums are exact and do
//! not depend on how the column came to be.

use attune_expr::{Operation, Sum, Value};

use super::series::int;

/// Numbers between two running sums.
const BLOCK: usize = 64;

/// Sums of numbers that are zero or in this range have no bit too many for `Sum`, so
/// that the difference of two running sums is what lies between them.
const EXACT: std::ops::RangeInclusive<f64> = 0.000_976_562_5..=8_589_934_592.0;
const EXACT_SUM_MAX: f64 = 8_796_093_022_208.0;

#[derive(Debug, Clone)]
pub(super) struct Numbers {
    /// What is no number is NaN.
    numbers: Vec<f64>,
    /// Before each block.
    sums: Vec<Running>,
    total: Running,
    /// From each of these on, it is the least there is; and the greatest. The last at a
    /// place or after it is the answer from there on.
    least: Vec<u32>,
    greatest: Vec<u32>,
    is_exact: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Running {
    sum: Sum,
    /// How many are numbers.
    count: usize,
}

impl Running {
    fn add(&mut self, number: f64) {
        if !number.is_nan() {
            self.sum = self.sum.plus(number);
            self.count += 1;
        }
    }
}

impl Default for Numbers {
    fn default() -> Self {
        Self {
            numbers: Vec::new(),
            sums: Vec::new(),
            total: Running::default(),
            least: Vec::new(),
            greatest: Vec::new(),
            is_exact: true,
        }
    }
}

impl Numbers {
    pub fn insert(&mut self, at: usize, number: Option<f64>) {
        let number = number.unwrap_or(f64::NAN);
        self.numbers.insert(at, number);
        self.sum_from(at);
        let is_last = at + 1 == self.numbers.len();
        for (places, outdoes) in [
            (&mut self.least, f64::le as fn(&f64, &f64) -> bool),
            (&mut self.greatest, f64::ge),
        ] {
            let later = places.partition_point(|place| (*place as usize) < at);
            if !is_last {
                places[later..].iter_mut().for_each(|place| *place += 1);
            }
            keep_extreme(places, later, at, &self.numbers, outdoes);
        }
    }

    /// The numbers before a place are gone.
    pub fn forget(&mut self, count: usize) {
        let kept = self.numbers.split_off(count);
        *self = Self::default();
        for (at, number) in kept.into_iter().enumerate() {
            self.insert(at, Some(number));
        }
    }

    pub fn size(&self) -> usize {
        self.numbers.capacity() * size_of::<f64>()
            + self.sums.capacity() * size_of::<Running>()
            + (self.least.capacity() + self.greatest.capacity()) * size_of::<u32>()
    }

    /// Whether sums are walked for, since running ones would round.
    pub fn takes_a_walk(&self) -> bool {
        !self.is_exact
    }

    pub fn answer(&self, operation: &Operation, first: usize) -> Value<'static> {
        match operation {
            Operation::Sum(_) => Value::Number(self.since(first).sum.value()),
            Operation::Average(_) => {
                let since = self.since(first);
                match since.count {
                    0 => Value::Missing,
                    count => Value::Number(since.sum.value() / int(count) as f64),
                }
            }
            Operation::Least(_) => self.extreme(&self.least, first),
            Operation::Greatest(_) => self.extreme(&self.greatest, first),
            _ => Value::Missing,
        }
    }

    /// From a place on.
    fn since(&self, first: usize) -> Running {
        if !self.is_exact {
            // The newest first, as whoever looks at the events themselves adds them.
            let mut since = Running::default();
            self.numbers[first..]
                .iter()
                .rev()
                .for_each(|n| since.add(*n));
            return since;
        }
        let mut before = match self.sums.get(first / BLOCK) {
            Some(sum) => *sum,
            None => return Running::default(),
        };
        let block = &self.numbers[first - first % BLOCK..first];
        block.iter().for_each(|number| before.add(*number));
        Running {
            sum: self.total.sum.since(before.sum),
            count: self.total.count - before.count,
        }
    }

    fn extreme(&self, places: &[u32], first: usize) -> Value<'static> {
        let at = places.partition_point(|place| (*place as usize) < first);
        places.get(at).map_or(Value::Missing, |place| {
            Value::Number(self.numbers[*place as usize])
        })
    }

    /// Running sums from the block of a place on.
    fn sum_from(&mut self, place: usize) {
        let block = place / BLOCK;
        let is_last = place + 1 == self.numbers.len();
        let first = match is_last {
            true => place,
            false => {
                self.total = self.sums.get(block).copied().unwrap_or_default();
                self.sums.truncate(block);
                block * BLOCK
            }
        };
        for at in first..self.numbers.len() {
            let number = self.numbers[at];
            if at.is_multiple_of(BLOCK) {
                self.sums.push(self.total);
            }
            self.total.add(number);
            self.is_exact &= number.is_nan()
                || ((number == 0.0 || EXACT.contains(&number.abs()))
                    && self.total.sum.value().abs() <= EXACT_SUM_MAX);
        }
    }
}

/// Adds a place to those of extremes, unless one from `later` on outdoes it, without
/// those before it that it outdoes. Of equals the last stays.
fn keep_extreme(
    places: &mut Vec<u32>,
    later: usize,
    at: usize,
    numbers: &[f64],
    outdoes: fn(&f64, &f64) -> bool,
) {
    let number = numbers[at];
    let next = places.get(later).map(|place| numbers[*place as usize]);
    if number.is_nan() || next.is_some_and(|next| outdoes(&next, &number)) {
        return;
    }
    let is_outdone = |place: &&u32| outdoes(&number, &numbers[**place as usize]);
    let outdone = places[..later].iter().rev().take_while(is_outdone).count();
    // More events than that fit in no memory.
    let place = u32::try_from(at).unwrap_or(u32::MAX);
    places.splice(later - outdone..later, [place]);
}
