//! Where entries are best divided in two: by an attribute that, followed to its end,
//! leads the average subject past the most of them for the divisions it takes. Looks at
//! a sample of the entries; moves none of them.

use smallvec::SmallVec;

use super::{accepts::Ordinal, names::AttributeId, normal::Predicate};

/// Entries that are looked at: enough to see most values of two attributes together.
const SAMPLE_MAX: usize = 512;

/// Parts that an attribute is tried to divide entries into; a power of two.
const PARTS_MAX: usize = 64;

/// No side gets less than this share of the entries, in which there would be no room
/// for dividing them further.
const SIDE_MIN_DIVISOR: usize = 8;

/// Stretches of an attribute that are told apart.
const ROWS_MAX: usize = 2_048;

/// What a subject's list is taken to be: so many elements, of at least so many that
/// there are. With several, halving the values spares the subject little, and dividing
/// until a part has one value nearly as much as for an attribute with a single value.
const ELEMENTS: i32 = 4;
const VOCABULARY_MIN: f32 = 64.0;

/// A way to divide entries: by the first or the last value of an attribute they accept,
/// always between two values, so that no value is on both sides.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Division {
    by: By,
    /// The least key that comes after.
    from: Ordinal,
}

#[derive(Debug, Clone, Copy)]
struct By {
    attribute: AttributeId,
    layer: u8,
    is_by_last: bool,
}

impl Division {
    /// The best for entries that will be divided into so many groups in the end. None if
    /// nothing tells them apart.
    pub fn best<'p>(
        entries: impl ExactSizeIterator<Item = &'p [Predicate]>,
        groups: usize,
    ) -> Option<Self> {
        let step = entries.len().div_ceil(SAMPLE_MAX).max(1);
        let sample: Vec<&[Predicate]> = entries.step_by(step).collect();
        let parts = (groups.min(sample.len() / 2).min(PARTS_MAX) + 1).next_power_of_two() / 2;
        let mut attributes: Vec<(AttributeId, u8)> = sample
            .iter()
            .flat_map(|predicates| predicates.iter().map(|p| (p.attribute, p.layer)))
            .collect();
        attributes.sort_unstable();
        attributes.dedup();
        let mut best: Option<(f32, Self)> = None;
        for (attribute, layer) in attributes {
            let by = |is_by_last| By {
                attribute,
                layer,
                is_by_last,
            };
            let shape = Shape::of(&sample, by(false));
            for by in [by(false), by(true)] {
                let division = shape.division(&sample, by, parts.max(2));
                if let Some((worth, division)) = division
                    && best.is_none_or(|(most, _)| worth > most)
                {
                    best = Some((worth, division));
                }
            }
        }
        best.map(|(_, division)| division)
    }

    pub fn is_before(&self, predicates: &[Predicate]) -> bool {
        self.by.key(predicates) < self.from
    }
}

impl By {
    fn predicate<'p>(&self, predicates: &'p [Predicate]) -> Option<&'p Predicate> {
        predicates
            .iter()
            .find(|p| (p.attribute, p.layer) == (self.attribute, self.layer) && !p.is_negated)
    }

    /// Sorts entries; those that accept anything are at one end.
    fn key(&self, predicates: &[Predicate]) -> Ordinal {
        let ranges = self
            .predicate(predicates)
            .map(|p| p.accepts.ranges.as_slice());
        match (ranges, self.is_by_last) {
            (Some([.., (_, high)]), true) => *high,
            (Some([(low, _), ..]), false) => *low,
            (_, true) => Ordinal::MAX,
            (_, false) => Ordinal::MIN,
        }
    }
}

/// Bits of rows.
type Rows = Vec<u64>;

/// First and last row of each range.
type Spans = SmallVec<[(usize, usize); 2]>;

/// What each of the entries accepts of one attribute, in rows: the stretches between
/// the values at which some entry begins or ceases to accept.
struct Shape {
    rows: usize,
    is_plural: bool,
    /// None for an entry that accepts anything.
    entries: Vec<Option<Spans>>,
}

impl Shape {
    fn of(sample: &[&[Predicate]], by: By) -> Self {
        let predicates: Vec<Option<&Predicate>> = sample
            .iter()
            .map(|predicates| by.predicate(predicates))
            .collect();
        let ranges = predicates.iter().flatten().flat_map(|p| &p.accepts.ranges);
        let mut cuts: Vec<Ordinal> = ranges
            .flat_map(|(low, high)| [*low, high.saturating_add(1)])
            .filter(|cut| *cut > 0)
            .collect();
        cuts.sort_unstable();
        cuts.dedup();
        let step = cuts.len().div_ceil(ROWS_MAX).max(1);
        let cuts: Vec<Ordinal> = cuts.into_iter().step_by(step).collect();
        let row = |ordinal: Ordinal| cuts.partition_point(|cut| *cut <= ordinal);
        let rows_of = |predicate: &Predicate| {
            let ranges = predicate.accepts.ranges.iter();
            ranges.map(|(low, high)| (row(*low), row(*high))).collect()
        };
        Self {
            rows: cuts.len() + 1,
            is_plural: predicates.iter().flatten().any(|p| p.is_plural),
            entries: predicates.iter().map(|p| p.map(rows_of)).collect(),
        }
    }

    /// The division in the middle, and what it is worth to go on dividing so, into up to
    /// `parts` parts: how much less is looked at, as a power of two, for each doubling
    /// of the parts.
    fn division(&self, sample: &[&[Predicate]], by: By, parts: usize) -> Option<(f32, Division)> {
        let mut order: Vec<(Ordinal, usize)> = sample
            .iter()
            .enumerate()
            .map(|(at, predicates)| (by.key(predicates), at))
            .collect();
        order.sort_unstable();
        let bounds = bounds(&order, parts)?;
        let middle = bounds[parts / 2];
        let side_min = order.len() / SIDE_MIN_DIVISOR;
        if middle.min(order.len() - middle) < side_min.max(1) {
            return None;
        }
        let mut unions: Vec<(usize, Rows)> = bounds
            .windows(2)
            .map(|part| (part[1] - part[0], self.union(&order[part[0]..part[1]])))
            .collect();
        let mut costs = Vec::new();
        while unions.len() > 1 {
            costs.push(self.cost(&unions, order.len()));
            unions = unions.chunks(2).map(merged).collect();
        }
        let (whole, _) = self.cost(&unions, order.len());
        let worth = costs
            .into_iter()
            .map(|(cost, bits)| (whole / cost).log2() / bits.max(f32::MIN_POSITIVE));
        let division = Division {
            by,
            from: order[middle].0,
        };
        Some((worth.fold(0.0, f32::max), division))
    }

    /// The rows that at least one of the entries accepts.
    fn union(&self, entries: &[(Ordinal, usize)]) -> Rows {
        let mut union = vec![0; self.rows.div_ceil(64)];
        for &(_, at) in entries {
            match &self.entries[at] {
                Some(ranges) => ranges.iter().for_each(|range| fill(&mut union, *range)),
                None => fill(&mut union, (0, self.rows - 1)),
            }
        }
        union
    }

    /// The share of the entries that the average subject looks at, and how far they are
    /// apart, in bits: the entropy of the part an entry is in.
    fn cost(&self, parts: &[(usize, Rows)], len: usize) -> (f32, f32) {
        let (mut cost, mut bits) = (0.0, 0.0);
        for (count, union) in parts.iter().filter(|(count, _)| *count > 0) {
            let share = *count as f32 / len as f32;
            cost += share * self.passing(union);
            bits -= share * share.log2();
        }
        (cost, bits)
    }

    /// The share of subjects that some of these rows are for, where cuts lie as close as
    /// subjects do.
    fn passing(&self, union: &Rows) -> f32 {
        let accepted = union.iter().map(|rows| rows.count_ones()).sum::<u32>() as f32;
        let rows = self.rows as f32;
        if self.is_plural {
            1.0 - (1.0 - accepted / rows.max(VOCABULARY_MIN)).powi(ELEMENTS)
        } else {
            accepted / rows
        }
    }
}

fn fill(rows: &mut Rows, (first, last): (usize, usize)) {
    let words = rows.iter_mut().enumerate();
    for (at, word) in words.take(last / 64 + 1).skip(first / 64) {
        let from = u64::MAX << first.saturating_sub(at * 64);
        let to = u64::MAX >> (63 - (last - at * 64).min(63));
        *word |= from & to;
    }
}

fn merged(parts: &[(usize, Rows)]) -> (usize, Rows) {
    let mut all = parts[0].clone();
    for (count, union) in &parts[1..] {
        all.0 += count;
        all.1
            .iter_mut()
            .zip(union)
            .for_each(|(all, rows)| *all |= rows);
    }
    all
}

/// Where parts of about the same size begin and end, each where the key changes: some
/// may be empty. None if it never changes.
fn bounds(order: &[(Ordinal, usize)], parts: usize) -> Option<Vec<usize>> {
    let changes: Vec<usize> = (1..order.len())
        .filter(|at| order[at - 1].0 != order[*at].0)
        .collect();
    if changes.is_empty() {
        return None;
    }
    let inner = (1..parts).map(|part| {
        let wanted = part * order.len() / parts;
        let next = changes.partition_point(|change| *change < wanted);
        let around = &changes[next.saturating_sub(1)..(next + 1).min(changes.len())];
        let nearest = around.iter().min_by_key(|change| change.abs_diff(wanted));
        nearest.copied().unwrap_or(wanted)
    });
    Some(
        std::iter::once(0)
            .chain(inner)
            .chain([order.len()])
            .collect(),
    )
}
