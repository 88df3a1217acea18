//! What one person was shown through tokens and did with it: a compact list, ordered
//! by time and bounded. Holds indexes and hashes, which never leave the process.

use std::{cmp::Reverse, hash::Hasher};

use rustc_hash::FxHasher;
use smallvec::SmallVec;

use super::items::ItemIndex;

/// Of one person; the oldest are forgotten first.
pub const ENTRIES_MAX: usize = 4096;
/// Items that one person does not want to see; the longest dismissed are forgotten.
const DISMISSED_MAX: usize = 1024;
const DAY_S: i64 = 86_400;

/// What an entry counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// An item was shown.
    Shown,
    /// Something in a placement was shown; once per decision.
    Placement,
    /// Something on a channel was shown; once per decision.
    Channel,
    /// Something that a rule touched was shown.
    Rule,
    /// An item was clicked.
    Clicked,
    /// An item was bought, or whatever else a conversion is.
    Converted,
}

impl Kind {
    /// Whether it says that showing the item was not in vain.
    fn is_interest(self) -> bool {
        matches!(self, Self::Clicked | Self::Converted)
    }
}

/// 16 bytes, since a busy shop holds millions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    /// Since 1970.
    time_s: u32,
    /// The item's index, or the hash of a placement, channel or rule.
    key: u32,
    /// Hash of the decision's id.
    decision: u32,
    kind: Kind,
}

/// One slot that was seen.
#[derive(Debug, Clone, Copy)]
pub struct Exposure<'a> {
    pub slot: Slot,
    /// Hashes, each by [`key_of`].
    pub placement: u32,
    pub channel: u32,
    pub rules: &'a [u32],
}

/// An item in a decision, at a time.
#[derive(Debug, Clone, Copy)]
pub struct Slot {
    pub item: ItemIndex,
    pub decision: u32,
    pub time_ms: i64,
}

/// What one person was shown and did.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// In order of time.
    entries: Vec<Entry>,
    /// With the time, in seconds since 1970.
    dismissed: Vec<(ItemIndex, u32)>,
}

impl History {
    /// What it takes to hold it, in entries.
    pub fn size(&self) -> usize {
        self.entries.len() + self.dismissed.len()
    }

    /// A slot was seen. Seen twice it counts once.
    pub fn expose(&mut self, exposure: &Exposure<'_>) {
        let Exposure { slot, .. } = exposure;
        if self.has(Kind::Shown, slot.item, slot.decision) {
            return;
        }
        self.add(Kind::Shown, slot.item, slot);
        if !self.has(Kind::Placement, exposure.placement, slot.decision) {
            self.add(Kind::Placement, exposure.placement, slot);
            self.add(Kind::Channel, exposure.channel, slot);
        }
        for rule in exposure.rules {
            self.add(Kind::Rule, *rule, slot);
        }
    }

    /// A slot was clicked or bought from. Told twice it counts once.
    pub fn respond(&mut self, kind: Kind, slot: &Slot) {
        if !self.has(kind, slot.item, slot.decision) {
            self.add(kind, slot.item, slot);
        }
    }

    pub fn dismiss(&mut self, item: ItemIndex, time_ms: i64) {
        let time_s = seconds(time_ms);
        match self.dismissed.iter_mut().find(|(held, _)| *held == item) {
            Some((_, held_s)) => *held_s = (*held_s).max(time_s),
            None => self.dismissed.push((item, time_s)),
        }
        if self.dismissed.len() > DISMISSED_MAX {
            let times = self.dismissed.iter().map(|(_, time_s)| *time_s);
            let oldest = times.zip(0..).min().map_or(0, |(_, at)| at);
            self.dismissed.swap_remove(oldest);
        }
    }

    /// Two people are one.
    pub fn merge(&mut self, other: &Self) {
        self.entries.extend(&other.entries);
        self.entries.sort_by_key(|entry| entry.time_s);
        self.bound();
        for (item, time_s) in &other.dismissed {
            self.dismiss(*item, i64::from(*time_s) * 1000);
        }
    }

    /// How often since a time.
    pub fn count(&self, kind: Kind, key: u32, since_s: u32) -> u32 {
        let entries = self.since(since_s).iter();
        let counted = entries.filter(|entry| entry.kind == kind && entry.key == key);
        counted.count() as u32
    }

    /// Items shown since a time, each as often as it was.
    pub fn shown(&self, since_s: u32) -> impl Iterator<Item = ItemIndex> + '_ {
        let entries = self.since(since_s).iter();
        let shown = entries.filter(|entry| entry.kind == Kind::Shown);
        shown.map(|entry| entry.key)
    }

    /// Items shown since a time in vain, each as often as it was: without a click or a
    /// conversion afterwards, or in the same second, whose order says nothing.
    pub fn shown_in_vain(&self, since_s: u32) -> impl Iterator<Item = ItemIndex> + '_ {
        let entries = self.since(since_s);
        let rewarded = entries.iter().filter(|entry| entry.kind.is_interest());
        let rewarded = rewarded.map(|entry| (entry.key, entry.time_s));
        let mut rewarded: SmallVec<[(u32, u32); 32]> = rewarded.collect();
        // The last of each item first.
        rewarded.sort_unstable_by_key(|(item, time_s)| (*item, Reverse(*time_s)));
        rewarded.dedup_by_key(|(item, _)| *item);
        let shown = entries.iter().filter(|entry| entry.kind == Kind::Shown);
        let in_vain = shown.filter(move |entry| {
            let held = rewarded.binary_search_by_key(&entry.key, |(item, _)| *item);
            held.map_or(true, |at| rewarded[at].1 < entry.time_s)
        });
        in_vain.map(|entry| entry.key)
    }

    /// Items that were bought through tokens, with the time in milliseconds.
    pub fn converted(&self) -> impl Iterator<Item = (ItemIndex, i64)> + '_ {
        let entries = self.entries.iter();
        let converted = entries.filter(|entry| entry.kind == Kind::Converted);
        converted.map(|entry| (entry.key, i64::from(entry.time_s) * 1000))
    }

    /// Items that were dismissed since a time.
    pub fn dismissed(&self, since_s: u32) -> impl Iterator<Item = ItemIndex> + '_ {
        let dismissed = self.dismissed.iter();
        let lately = dismissed.filter(move |(_, time_s)| *time_s >= since_s);
        lately.map(|(item, _)| *item)
    }

    fn since(&self, since_s: u32) -> &[Entry] {
        &self.entries[self.first_at(since_s)..]
    }

    fn first_at(&self, time_s: u32) -> usize {
        self.entries.partition_point(|entry| entry.time_s < time_s)
    }

    fn has(&self, kind: Kind, key: u32, decision: u32) -> bool {
        // What is told twice is told soon after.
        let mut entries = self.entries.iter().rev();
        entries.any(|entry| (entry.kind, entry.key, entry.decision) == (kind, key, decision))
    }

    fn add(&mut self, kind: Kind, key: u32, slot: &Slot) {
        let entry = Entry {
            time_s: seconds(slot.time_ms),
            key,
            decision: slot.decision,
            kind,
        };
        // Most come in order, so that nothing moves.
        let at = self.first_at(entry.time_s.saturating_add(1));
        self.entries.insert(at, entry);
        self.bound();
    }

    fn bound(&mut self) {
        if self.entries.len() > ENTRIES_MAX {
            // Room for a while, so that not every new entry moves all others.
            let surplus = self.entries.len() - (ENTRIES_MAX - ENTRIES_MAX / 16);
            self.entries.drain(..surplus);
        }
    }
}

/// What stands for a name or an id in a history.
pub fn key_of(text: &str) -> u32 {
    let mut hasher = FxHasher::default();
    hasher.write(text.as_bytes());
    (hasher.finish() >> 32) as u32
}

/// When a rolling period of so many days began.
pub fn since_s(now_ms: i64, days: u32) -> u32 {
    seconds(now_ms - i64::from(days) * DAY_S * 1000).saturating_add(1)
}

fn seconds(ms: i64) -> u32 {
    u32::try_from(ms.div_euclid(1000).max(0)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(item: ItemIndex, decision: u32, time_s: i64) -> Slot {
        Slot {
            item,
            decision,
            time_ms: time_s * 1000,
        }
    }

    fn see(history: &mut History, slot: Slot, rules: &[u32]) {
        history.expose(&Exposure {
            slot,
            placement: 7,
            channel: 8,
            rules,
        });
    }

    #[test]
    fn a_slot_counts_once_and_a_placement_once_per_decision() {
        let mut history = History::default();
        for _ in 0..2 {
            see(&mut history, slot(1, 100, 50), &[9]);
            see(&mut history, slot(2, 100, 50), &[9, 10]);
            see(&mut history, slot(1, 101, 60), &[]);
        }
        for (kind, key, since, expected) in [
            (Kind::Shown, 1, 0, 2),
            (Kind::Shown, 1, 51, 1),
            (Kind::Shown, 1, 61, 0),
            (Kind::Shown, 2, 0, 1),
            (Kind::Placement, 7, 0, 2),
            (Kind::Channel, 8, 0, 2),
            (Kind::Rule, 9, 0, 2),
            (Kind::Rule, 10, 0, 1),
        ] {
            let counted = history.count(kind, key, since);
            assert_eq!(counted, expected, "{kind:?} {key} since {since}");
        }
    }

    #[test]
    fn a_click_redeems_what_was_shown_before_it_and_nothing_after() {
        let mut history = History::default();
        for (decision, time_s) in [(1, 10), (2, 20), (3, 40)] {
            see(&mut history, slot(5, decision, time_s), &[]);
            see(&mut history, slot(6, decision, time_s), &[]);
        }
        let vain = |history: &History, item| {
            let shown = history.shown_in_vain(0);
            shown.filter(|shown| *shown == item).count()
        };
        assert_eq!((vain(&history, 5), vain(&history, 6)), (3, 3));
        // In the very second of the exposure, and told before it.
        history.respond(Kind::Clicked, &slot(5, 2, 20));
        assert_eq!((vain(&history, 5), vain(&history, 6)), (1, 3));
        history.respond(Kind::Converted, &slot(5, 3, 41));
        assert_eq!((vain(&history, 5), vain(&history, 6)), (0, 3));
        assert_eq!(history.converted().collect::<Vec<_>>(), [(5, 41_000)]);
    }

    #[test]
    fn entries_are_in_order_of_time_however_they_come_and_bounded() {
        let mut history = History::default();
        for n in (0..3000).rev() {
            see(&mut history, slot(n, n, i64::from(n)), &[]);
        }
        assert!(history.entries.is_sorted_by_key(|entry| entry.time_s));
        assert!(history.entries.len() <= ENTRIES_MAX);
        // The newest are there.
        assert_eq!(history.count(Kind::Shown, 2999, 0), 1);
        for n in 0..3000 {
            history.dismiss(n, i64::from(n) * 1000);
        }
        assert_eq!(history.dismissed(0).count(), DISMISSED_MAX);
        assert!(history.dismissed(2999).eq([2999]));
        assert!(history.size() <= ENTRIES_MAX + DISMISSED_MAX);
    }

    #[test]
    fn a_merged_person_has_seen_what_both_have() {
        let (mut kept, mut merged) = (History::default(), History::default());
        see(&mut kept, slot(1, 1, 10), &[9]);
        see(&mut merged, slot(1, 2, 5), &[9]);
        kept.dismiss(3, 10_000);
        merged.dismiss(3, 20_000);
        merged.dismiss(4, 1000);
        kept.merge(&merged);
        assert_eq!(kept.count(Kind::Shown, 1, 0), 2);
        assert_eq!(kept.count(Kind::Rule, 9, 6), 1);
        assert!(kept.dismissed(11).eq([3]));
        assert!(kept.dismissed(0).eq([3, 4]));
    }
}
