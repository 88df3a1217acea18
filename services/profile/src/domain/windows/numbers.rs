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
        if at == self.numbers.len() {
            self.push(number);
        } else {
            self.numbers.insert(at, number);
            self.sum_again(at);
        }
    }

    /// The numbers before a place are gone.
    pub fn forget(&mut self, count: usize) {
        self.numbers.drain(..count);
        self.sum_again(0);
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

    fn push(&mut self, number: f64) {
        self.numbers.push(number);
        self.follow(self.numbers.len() - 1);
    }

    /// Sums and extremes with the number at a place, all before it being known.
    fn follow(&mut self, at: usize) {
        let number = self.numbers[at];
        if at.is_multiple_of(BLOCK) {
            self.sums.push(self.total);
        }
        self.total.add(number);
        if number.is_nan() {
            return;
        }
        self.is_exact &= (number == 0.0 || EXACT.contains(&number.abs()))
            && self.total.sum.value().abs() <= EXACT_SUM_MAX;
        // More events than that fit in no memory.
        let place = u32::try_from(at).unwrap_or(u32::MAX);
        let numbers = &self.numbers;
        keep_extreme(&mut self.least, place, |held| numbers[held] >= number);
        keep_extreme(&mut self.greatest, place, |held| numbers[held] <= number);
    }

    /// From the block of a place on.
    fn sum_again(&mut self, from: usize) {
        let block = from / BLOCK;
        self.total = match self.sums.get(block) {
            Some(sum) => *sum,
            None => Running::default(),
        };
        self.sums.truncate(block);
        // What follows decides about the extremes before it.
        self.least.clear();
        self.greatest.clear();
        if from == 0 {
            self.is_exact = true;
            self.total = Running::default();
        }
        for at in 0..block * BLOCK {
            self.follow_extremes(at);
        }
        for at in block * BLOCK..self.numbers.len() {
            self.follow(at);
        }
    }

    fn follow_extremes(&mut self, at: usize) {
        let number = self.numbers[at];
        if number.is_nan() {
            return;
        }
        let place = u32::try_from(at).unwrap_or(u32::MAX);
        let numbers = &self.numbers;
        keep_extreme(&mut self.least, place, |held| numbers[held] >= number);
        keep_extreme(&mut self.greatest, place, |held| numbers[held] <= number);
    }
}

/// Drops the places that the new one outdoes, and adds it.
fn keep_extreme(places: &mut Vec<u32>, place: u32, is_outdone: impl Fn(usize) -> bool) {
    while places.last().is_some_and(|last| is_outdone(*last as usize)) {
        places.pop();
    }
    places.push(place);
}
