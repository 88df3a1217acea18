//! Up to 64 entries judged together, column by column: the conjunctions of a leaf, or
//! the children of an inner node, each with what its conjunctions accept between them.
//! Decides where an entry fits best and how a full block is best divided.

use super::{
    column::{Bits, Column, Draft, each_bit},
    division::Division,
    normal::Predicate,
    subject::Subject,
};

pub(crate) const ENTRIES_MAX: usize = 64;

#[derive(Debug, Clone, Default)]
pub(crate) struct Block {
    /// Entries there are.
    pub used: Bits,
    /// Those that let the fewest entries pass first, those that cost more last.
    columns: Vec<Column>,
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

    /// The entries that come first where they are best divided in two.
    pub fn division(&self) -> Bits {
        let mut entries = Vec::with_capacity(ENTRIES_MAX);
        each_bit(self.used, |bit| entries.push((bit, self.predicates(bit))));
        let predicates = entries.iter().map(|(_, predicates)| predicates.as_slice());
        let division = Division::best(predicates, ENTRIES_MAX);
        let half = entries.len() / 2;
        entries
            .iter()
            .enumerate()
            .fold(0, |all, (at, (bit, predicates))| {
                let is_before = match &division {
                    Some(division) => division.is_before(predicates),
                    None => at < half,
                };
                all | Bits::from(is_before) << bit
            })
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
