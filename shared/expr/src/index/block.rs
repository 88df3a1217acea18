//! Up to 64 entries judged together, column by column: the conjunctions of a leaf, or
//! the children of an inner node, each with what its conjunctions accept between them.
//! Decides where an entry fits best and how a full block is best divided.

use super::{
    accepts::Ordinal,
    column::{Bits, Column, Draft, each_bit},
    names::AttributeId,
    normal::Predicate,
    subject::Subject,
};

pub(crate) const ENTRIES_MAX: usize = 64;

/// Candidate places to divide at, in eighths of the entries; no side gets less than a
/// quarter.
const PLACES: [usize; 5] = [4, 3, 5, 2, 6];

#[derive(Debug, Clone, Default)]
pub(crate) struct Block {
    /// Entries there are.
    pub used: Bits,
    /// Those that let the fewest entries pass first, those that cost more last.
    columns: Vec<Column>,
}

/// A way to divide entries: by the first or the last value of an attribute they accept.
#[derive(Debug, Clone)]
pub(crate) struct Division {
    /// Attribute and layer; None if nothing tells the entries apart.
    by: Option<(AttributeId, u8)>,
    is_by_last: bool,
    /// The share of entries that comes before, in eighths.
    pub eighths: usize,
    /// The entries that come before.
    pub before: Bits,
}

impl Block {
    pub fn of<'p>(entries: impl IntoIterator<Item = &'p [Predicate]>) -> Self {
        let mut drafts = Vec::new();
        let mut used = 0;
        for (bit, predicates) in entries.into_iter().take(ENTRIES_MAX).enumerate() {
            used |= 1 << bit;
            put(&mut drafts, bit as u32, predicates);
        }
        let mut block = Self {
            used,
            columns: drafts.into_iter().filter_map(Draft::finish).collect(),
        };
        block.sort();
        block
    }

    /// The entries that a subject satisfies.
    #[inline]
    pub fn matching(&self, subject: &mut Subject<'_>) -> Bits {
        let mut matching = self.used;
        for column in &self.columns {
            // What nobody left cares about is not asked for.
            if matching & column.care != 0 {
                matching &= column.passing(subject);
                if matching == 0 {
                    break;
                }
            }
        }
        matching
    }

    pub fn len(&self) -> usize {
        self.used.count_ones() as usize
    }

    /// The lowest place that is free.
    pub fn free(&self) -> Option<u32> {
        let bit = self.used.trailing_ones();
        (bit < Bits::BITS).then_some(bit)
    }

    pub fn put(&mut self, bit: u32, predicates: &[Predicate]) {
        let columns = std::mem::take(&mut self.columns);
        let is_touched = |column: &Column| predicates.iter().any(|p| column.is_for(p));
        let (touched, same): (Vec<_>, Vec<_>) = columns.into_iter().partition(is_touched);
        let mut drafts = touched.into_iter().map(Draft::of).collect();
        put(&mut drafts, bit, predicates);
        self.columns = same;
        self.columns
            .extend(drafts.into_iter().filter_map(Draft::finish));
        self.used |= 1 << bit;
        self.sort();
    }

    pub fn clear(&mut self, bit: u32) {
        let columns = std::mem::take(&mut self.columns);
        self.columns = columns
            .into_iter()
            .filter_map(|column| {
                if column.care & 1 << bit == 0 {
                    return Some(column);
                }
                let mut draft = Draft::of(column);
                draft.clear(bit);
                draft.finish()
            })
            .collect();
        self.used &= !(1 << bit);
    }

    /// What an entry was put in with.
    pub fn predicates(&self, bit: u32) -> Vec<Predicate> {
        let columns = self.columns.iter();
        let mut predicates: Vec<Predicate> = columns.filter_map(|c| c.predicate(bit)).collect();
        predicates.sort_by_key(|p| (p.attribute, p.layer));
        predicates
    }

    /// What the entries accept between them, and perhaps a little more.
    pub fn summary(&self) -> Vec<Predicate> {
        let columns = self.columns.iter();
        let mut summary: Vec<Predicate> = columns.filter_map(|c| c.summary(self.used)).collect();
        summary.sort_by_key(|p| (p.attribute, p.layer));
        summary
    }

    /// The entry that would accept the fewest more subjects if it took these predicates in.
    pub fn closest(&self, predicates: &[Predicate]) -> Option<u32> {
        let mut before = [1.0f32; ENTRIES_MAX];
        let mut after = [1.0f32; ENTRIES_MAX];
        for column in &self.columns {
            let predicate = predicates.iter().find(|p| column.is_for(p));
            let (column_before, column_after) = column.growth(predicate);
            for bit in 0..ENTRIES_MAX {
                before[bit] *= column_before[bit];
                after[bit] *= column_after[bit];
            }
        }
        let mut closest: Option<(f32, f32, u32)> = None;
        each_bit(self.used, |bit| {
            let at = bit as usize;
            let cost = (after[at] - before[at], after[at], bit);
            if closest.is_none_or(|least| cost < least) {
                closest = Some(cost);
            }
        });
        closest.map(|(_, _, bit)| bit)
    }

    /// The division whose sides the average subject has to look at the least.
    pub fn division(&self) -> Division {
        self.divided(|block, _, entries| block.cost(entries))
    }

    /// The same where these entries are a sample of more. Of the attributes that do not
    /// divide it, the sample says nothing: a few entries seldom share a value, but many do.
    pub fn division_of_sample(&self) -> Division {
        self.divided(|_, column, entries| entries.count_ones() as f32 * column.share(entries))
    }

    fn divided(&self, cost: impl Fn(&Self, &Column, Bits) -> f32) -> Division {
        let mut bits = Vec::with_capacity(ENTRIES_MAX);
        each_bit(self.used, |bit| bits.push(bit));
        let half = &bits[..bits.len() / 2];
        let mut best = Division {
            by: None,
            is_by_last: false,
            eighths: 4,
            before: half.iter().fold(0, |all, bit| all | 1 << bit),
        };
        let mut least = f32::INFINITY;
        for column in &self.columns {
            for (is_by_last, bound) in [false, true].into_iter().zip(column.bounds()) {
                bits.sort_by_key(|bit| bound[*bit as usize]);
                for eighths in PLACES {
                    let count = (bits.len() * eighths / 8).max(1);
                    let before = bits[..count].iter().fold(0, |all, bit| all | 1 << bit);
                    let cost = cost(self, column, before) + cost(self, column, self.used & !before);
                    if cost < least {
                        least = cost;
                        best = Division {
                            by: Some((column.attribute, column.layer)),
                            is_by_last,
                            eighths,
                            before,
                        };
                    }
                }
            }
        }
        best
    }

    /// Entries, times the share of subjects that would look at them.
    fn cost(&self, entries: Bits) -> f32 {
        let shares = self.columns.iter().map(|column| column.share(entries));
        entries.count_ones() as f32 * shares.product::<f32>()
    }

    /// Who gets here satisfies what the entries accept between them, so that what counts
    /// is how much less than that each accepts.
    fn sort(&mut self) {
        let used = self.used;
        self.columns.sort_by_cached_key(|column| {
            let share = column.average_share(used) / column.share(used);
            (column.is_costly, (share * 1e6) as u32, column.attribute)
        });
    }

    pub fn bytes(&self) -> usize {
        self.columns.iter().map(Column::bytes).sum()
    }
}

fn put(drafts: &mut Vec<Draft>, bit: u32, predicates: &[Predicate]) {
    for predicate in predicates {
        match drafts.iter_mut().find(|draft| draft.is_for(predicate)) {
            Some(draft) => draft.put(bit, predicate),
            None => {
                let mut draft = Draft::new(predicate);
                draft.put(bit, predicate);
                drafts.push(draft);
            }
        }
    }
}

impl Division {
    /// Sorts entries as the division does.
    pub fn key(&self, predicates: &[Predicate]) -> Ordinal {
        let mut predicates = predicates.iter();
        let predicate = predicates.find(|p| self.by == Some((p.attribute, p.layer)));
        let ranges = predicate.map(|predicate| predicate.accepts.ranges.as_slice());
        match (ranges, self.is_by_last) {
            (Some([.., (_, high)]), true) => *high,
            (Some([(low, _), ..]), false) => *low,
            (_, true) => Ordinal::MAX,
            (_, false) => Ordinal::MIN,
        }
    }
}
