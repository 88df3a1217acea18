//! One attribute of up to 64 entries: for each stretch of ordinals between two cuts, a
//! row of bits that says which entries accept it. Judging an attribute for all entries
//! is then one look-up. Loses nothing: what an entry accepts can be read back.

use super::{
    accepts::{Accepts, Ordinal},
    cuts::Cuts,
    names::AttributeId,
    normal::Predicate,
    subject::{Known, Subject},
};

/// One bit for each entry.
pub(crate) type Bits = u64;

/// The ranges kept of what a whole block accepts.
const SUMMARY_RANGES_MAX: usize = 16;

#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub attribute: AttributeId,
    pub layer: u8,
    pub is_plural: bool,
    pub is_costly: bool,
    /// Entries with a predicate here; the others pass.
    pub care: Bits,
    /// Entries that pass where no ordinal is accepted.
    negated: Bits,
    missing: Bits,
    unlike: Bits,
    cuts: Cuts,
    rows: Box<[Bits]>,
}

impl Column {
    /// Entries that pass.
    #[inline]
    pub fn passing(&self, subject: &mut Subject<'_>) -> Bits {
        let accepted = match subject.known(self.attribute) {
            Known::One(ordinal) => self.row(ordinal),
            Known::Missing => self.missing,
            Known::Unlike => self.unlike,
            Known::Many { start, len } => subject
                .ordinals(start, len)
                .iter()
                .fold(0, |bits, ordinal| bits | self.row(*ordinal)),
        };
        (accepted ^ self.negated) | !self.care
    }

    #[inline]
    fn row(&self, ordinal: Ordinal) -> Bits {
        self.rows.get(self.cuts.row(ordinal)).copied().unwrap_or(0)
    }

    pub fn is_for(&self, predicate: &Predicate) -> bool {
        (self.attribute, self.layer) == (predicate.attribute, predicate.layer)
    }

    /// What an entry accepts, if it says anything.
    pub fn predicate(&self, bit: u32) -> Option<Predicate> {
        let mask = 1 << bit;
        (self.care & mask != 0).then(|| Predicate {
            is_negated: self.negated & mask != 0,
            ..self.accepted_by(mask)
        })
    }

    /// What at least one of the entries accepts. None if one of them accepts all.
    pub fn summary(&self, entries: Bits) -> Option<Predicate> {
        if entries & (!self.care | self.negated) != 0 {
            return None;
        }
        let mut summary = self.accepted_by(entries);
        summary.accepts.coarsen(SUMMARY_RANGES_MAX);
        (!summary.accepts.is_everything()).then_some(summary)
    }

    fn accepted_by(&self, entries: Bits) -> Predicate {
        let mut accepts = Accepts {
            missing: self.missing & entries != 0,
            unlike: self.unlike & entries != 0,
            ..Accepts::nothing()
        };
        let cuts = self.cuts.decode();
        for (at, row) in self.rows.iter().enumerate() {
            if row & entries != 0 {
                let low = at.checked_sub(1).map_or(0, |at| cuts[at]);
                let high = cuts.get(at).map_or(Ordinal::MAX, |next| next - 1);
                accepts.push((low, high));
            }
        }
        Predicate {
            attribute: self.attribute,
            layer: self.layer,
            is_negated: false,
            is_plural: self.is_plural,
            is_costly: self.is_costly,
            accepts,
        }
    }

    /// The share of the column's stretches that at least one of the entries accepts: an
    /// estimate of how many subjects do, since cuts lie where values do.
    pub fn share(&self, entries: Bits) -> f32 {
        if entries & (!self.care | self.negated) != 0 {
            return 1.0;
        }
        let accepted = self.rows.iter().filter(|row| **row & entries != 0).count();
        accepted as f32 / self.rows.len() as f32
    }

    /// The share of stretches that the average entry accepts.
    pub fn average_share(&self, entries: Bits) -> f32 {
        let rows = self.rows.iter();
        let passing = rows.map(|row| (((row ^ self.negated) | !self.care) & entries).count_ones());
        let all = self.rows.len() as f32 * entries.count_ones().max(1) as f32;
        passing.sum::<u32>() as f32 / all
    }

    /// For each entry its share of the stretches, before and after it takes a predicate
    /// in; without one it passes all.
    pub fn growth(&self, predicate: Option<&Predicate>) -> ([f32; 64], [f32; 64]) {
        let share = |count: u16| f32::from(count) / self.rows.len() as f32;
        let mut before = tally(self.rows.iter().copied()).map(share);
        let mut after = match predicate {
            Some(predicate) if !predicate.is_negated => {
                let mut rows = self.rows.to_vec();
                for &(low, high) in &predicate.accepts.ranges {
                    rows[self.cuts.row(low)..=self.cuts.row(high)].fill(Bits::MAX);
                }
                tally(rows.into_iter()).map(share)
            }
            _ => [1.0; 64],
        };
        each_bit(!self.care, |bit| {
            before[bit as usize] = 1.0;
            after[bit as usize] = 1.0;
        });
        (before, after)
    }

    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.cuts.bytes() + self.rows.len() * size_of::<Bits>()
    }
}

pub(crate) fn each_bit(mut bits: Bits, mut visit: impl FnMut(u32)) {
    while bits != 0 {
        visit(bits.trailing_zeros());
        bits &= bits - 1;
    }
}

/// How many of the rows have each bit, counted for all bits at once: plane `n` holds
/// bit `n` of 64 counters.
fn tally(rows: impl Iterator<Item = Bits>) -> [u16; 64] {
    let mut planes = [0 as Bits; 16];
    for row in rows {
        let mut carry = row;
        for plane in &mut planes {
            if carry == 0 {
                break;
            }
            (*plane, carry) = (*plane ^ carry, *plane & carry);
        }
    }
    let mut counts = [0; 64];
    for (weight, plane) in planes.iter().enumerate() {
        each_bit(*plane, |bit| counts[bit as usize] += 1 << weight);
    }
    counts
}

/// A column being changed.
pub(crate) struct Draft {
    column: Column,
    cuts: Vec<Ordinal>,
    rows: Vec<Bits>,
}

impl Draft {
    pub fn new(predicate: &Predicate) -> Self {
        Self::of(Column {
            attribute: predicate.attribute,
            layer: predicate.layer,
            is_plural: predicate.is_plural,
            is_costly: predicate.is_costly,
            care: 0,
            negated: 0,
            missing: 0,
            unlike: 0,
            cuts: Cuts::new(&[]),
            rows: Box::new([0]),
        })
    }

    pub fn of(mut column: Column) -> Self {
        let rows = std::mem::take(&mut column.rows);
        Self {
            cuts: column.cuts.decode(),
            rows: rows.into_vec(),
            column,
        }
    }

    pub fn is_for(&self, predicate: &Predicate) -> bool {
        self.column.is_for(predicate)
    }

    pub fn put(&mut self, bit: u32, predicate: &Predicate) {
        let mask = 1 << bit;
        self.column.care |= mask;
        let flag = |is_set: bool| if is_set { mask } else { 0 };
        self.column.negated |= flag(predicate.is_negated);
        self.column.missing |= flag(predicate.accepts.missing);
        self.column.unlike |= flag(predicate.accepts.unlike);
        for &(low, high) in &predicate.accepts.ranges {
            let start = self.cut(low);
            let end = high
                .checked_add(1)
                .map_or(self.rows.len(), |next| self.cut(next));
            self.rows[start..end]
                .iter_mut()
                .for_each(|row| *row |= mask);
        }
    }

    /// The row that starts at an ordinal, made if there is none.
    fn cut(&mut self, at: Ordinal) -> usize {
        if at == 0 {
            return 0;
        }
        let row = self.cuts.partition_point(|cut| *cut <= at);
        if row > 0 && self.cuts[row - 1] == at {
            return row;
        }
        self.cuts.insert(row, at);
        self.rows.insert(row + 1, self.rows[row]);
        row + 1
    }

    pub fn clear(&mut self, bit: u32) {
        let keep = !(1 << bit);
        let column = &mut self.column;
        for bits in [
            &mut column.care,
            &mut column.negated,
            &mut column.missing,
            &mut column.unlike,
        ] {
            *bits &= keep;
        }
        self.rows.iter_mut().for_each(|row| *row &= keep);
        // Cuts that nobody has any more.
        let mut kept = 0;
        for at in 1..self.rows.len() {
            if self.rows[at] != self.rows[kept] {
                kept += 1;
                self.rows[kept] = self.rows[at];
                self.cuts[kept - 1] = self.cuts[at - 1];
            }
        }
        self.rows.truncate(kept + 1);
        self.cuts.truncate(kept);
    }

    /// None if no entry has a predicate on it.
    pub fn finish(mut self) -> Option<Column> {
        self.column.cuts = Cuts::new(&self.cuts);
        self.column.rows = self.rows.into_boxed_slice();
        (self.column.care != 0).then_some(self.column)
    }
}
