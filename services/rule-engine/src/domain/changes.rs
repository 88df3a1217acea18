//! What an item cost before and when it came back into stock: the memory behind "price
//! dropped" and "back in stock". Kept for items that changed, stored with them, and
//! blind to changes it was told of before.

use std::{cmp::Reverse, collections::BTreeSet};

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::{items::ItemIndex, projected::Projected};

const DAY_MS: i64 = 86_400_000;
/// What a reduction is measured by: the lowest price of so many days before it began,
/// as the European Union's price indication directive (98/6/EC, article 6a) has it.
const REFERENCE_DAYS: i64 = 30;
const PAST_PRICES_MAX: usize = 8;

/// What is remembered of one item.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// The oldest first.
    past: Vec<PastPrice>,
    restocked_ms: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct PastPrice {
    amount: f64,
    ended_ms: i64,
}

/// A reduction that is in force.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drop {
    /// What it is measured by.
    pub before: f64,
    pub now: f64,
    /// When the price last went down.
    pub time_ms: i64,
}

impl Drop {
    /// 0.2 is 20 % off.
    pub fn share(&self) -> f64 {
        1.0 - self.now / self.before
    }
}

impl History {
    /// Steps down in a row are one reduction, measured by what was before the first.
    fn drop_to(&self, now: f64) -> Option<Drop> {
        let time_ms = self.past.last()?.ended_ms;
        let mut lowest = now;
        let mut first = None;
        for (at, past) in self.past.iter().enumerate().rev() {
            if past.amount <= lowest {
                break;
            }
            lowest = past.amount;
            first = Some(at);
        }
        let first = first?;
        let since_ms = self.past[first].ended_ms - REFERENCE_DAYS * DAY_MS;
        let earlier = self.past[..=first].iter();
        let earlier = earlier.filter(|past| past.ended_ms > since_ms);
        let before = earlier
            .map(|past| past.amount)
            .fold(f64::INFINITY, f64::min);
        (before > now).then_some(Drop {
            before,
            now,
            time_ms,
        })
    }

    /// Told twice, a change counts once.
    fn note_price(&mut self, before: f64, time_ms: i64) {
        if self
            .past
            .last()
            .is_some_and(|last| last.ended_ms >= time_ms)
        {
            return;
        }
        if self.past.len() == PAST_PRICES_MAX {
            self.past.remove(0);
        }
        self.past.push(PastPrice {
            amount: before,
            ended_ms: time_ms,
        });
    }

    pub fn encode(&self) -> Option<Vec<u8>> {
        postcard::to_stdvec(self).ok()
    }

    pub fn decode(bytes: &[u8]) -> Option<Self> {
        postcard::from_bytes(bytes).ok()
    }
}

/// The changes of all items of one workspace.
#[derive(Debug, Default)]
pub struct Changes {
    histories: FxHashMap<ItemIndex, History>,
    drops: FxHashMap<ItemIndex, Drop>,
    dropped: BTreeSet<(Reverse<i64>, ItemIndex)>,
    restocked: BTreeSet<(Reverse<i64>, ItemIndex)>,
}

impl Changes {
    /// An item is now like this; its time is that of its last update.
    pub fn note(&mut self, index: ItemIndex, before: Option<&Projected>, now: &Projected) {
        let Some((before, time_ms)) = before.zip(now.update_ms) else {
            return;
        };
        let is_empty = |units: Option<i64>| units.is_some_and(|units| units <= 0);
        let is_restocked = is_empty(before.stock) && !is_empty(now.stock);
        let old_price = before.price.filter(|old| Some(*old) != now.price);
        let is_other_currency = before.currency_code != now.currency_code;
        if !is_restocked && old_price.is_none() && !is_other_currency {
            return;
        }
        let mut history = self.forget(index).unwrap_or_default();
        if is_other_currency {
            history.past.clear();
        } else if let Some(old) = old_price {
            history.note_price(old, time_ms);
        }
        if is_restocked {
            history.restocked_ms = Some(time_ms);
        }
        self.put(index, history, now.price);
    }

    /// What was stored of an item that costs this now.
    pub fn put(&mut self, index: ItemIndex, history: History, price: Option<f64>) {
        self.forget(index);
        if let Some(drop) = price.and_then(|price| history.drop_to(price)) {
            self.drops.insert(index, drop);
            self.dropped.insert((Reverse(drop.time_ms), index));
        }
        if let Some(time_ms) = history.restocked_ms {
            self.restocked.insert((Reverse(time_ms), index));
        }
        if history != History::default() {
            self.histories.insert(index, history);
        }
    }

    pub fn forget(&mut self, index: ItemIndex) -> Option<History> {
        if let Some(drop) = self.drops.remove(&index) {
            self.dropped.remove(&(Reverse(drop.time_ms), index));
        }
        let history = self.histories.remove(&index)?;
        if let Some(time_ms) = history.restocked_ms {
            self.restocked.remove(&(Reverse(time_ms), index));
        }
        Some(history)
    }

    pub fn history(&self, index: ItemIndex) -> Option<&History> {
        self.histories.get(&index)
    }

    pub fn drop_of(&self, index: ItemIndex) -> Option<Drop> {
        self.drops.get(&index).copied()
    }

    pub fn restocked_ms(&self, index: ItemIndex) -> Option<i64> {
        self.histories.get(&index)?.restocked_ms
    }

    /// Items whose price is down, the latest first.
    pub fn dropped(&self) -> impl Iterator<Item = (i64, ItemIndex)> + Clone + '_ {
        self.dropped.iter().map(|(time, index)| (time.0, *index))
    }

    /// Items that came back into stock, the latest first.
    pub fn restocked(&self) -> impl Iterator<Item = (i64, ItemIndex)> + Clone + '_ {
        self.restocked.iter().map(|(time, index)| (time.0, *index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Prices with the day from which each holds; the last is now's.
    fn drop(prices: &[(i64, f64)]) -> Option<(f64, i64)> {
        let mut history = History::default();
        for pair in prices.windows(2) {
            history.note_price(pair[0].1, pair[1].0 * DAY_MS);
        }
        let drop = history.drop_to(prices.last().unwrap().1)?;
        Some((drop.before, drop.time_ms / DAY_MS))
    }

    #[test]
    fn a_drop_is_measured_by_the_lowest_price_of_the_month_before() {
        type Prices<'a> = &'a [(i64, f64)];
        let cases: [(Prices<'_>, Option<(f64, i64)>); 8] = [
            (&[(0, 100.0)], None),
            (&[(0, 100.0), (50, 80.0)], Some((100.0, 50))),
            (&[(0, 100.0), (50, 120.0)], None),
            // Raised to be lowered is no drop.
            (&[(0, 100.0), (50, 150.0), (60, 100.0)], None),
            (&[(0, 100.0), (50, 150.0), (60, 90.0)], Some((100.0, 60))),
            // After a month the raised price is the price.
            (&[(0, 100.0), (50, 150.0), (90, 100.0)], Some((150.0, 90))),
            // Two steps are one reduction.
            (&[(0, 100.0), (50, 90.0), (55, 80.0)], Some((100.0, 55))),
            // And it is over when the price is back.
            (&[(0, 100.0), (50, 80.0), (55, 100.0)], None),
        ];
        for (prices, expected) in cases {
            assert_eq!(drop(prices), expected, "{prices:?}");
        }
    }

    #[test]
    fn a_change_told_twice_counts_once_and_memory_is_bounded() {
        let mut history = History::default();
        for day in 0..100 {
            history.note_price(day as f64, day * DAY_MS);
            history.note_price(7_777.0, day * DAY_MS);
        }
        assert_eq!(history.past.len(), PAST_PRICES_MAX);
        assert!(history.past.iter().all(|past| past.amount < 100.0));
        let again = History::decode(&history.encode().unwrap());
        assert_eq!(again, Some(history));
    }
}
