//! Exploration: which items little is known about could be drawn for a slot, and how
//! likely each way to fill it was. At any minute a window of the little-known items can
//! be drawn, another one the next: from a window the probability of each item is known
//! exactly, as off-policy evaluation needs it, and it is not vanishingly small.

use super::{super::draw::mixed, Draw, ItemIndex, Placement};

/// Items that can be drawn at a time.
const WINDOW_MAX: usize = 64;
/// Little-known items that are looked at for them.
const LOOKED_AT_MAX: usize = 256;
const WINDOW_MS: i64 = 60_000;

/// What can be drawn, and what that leaves to everything else.
#[derive(Default)]
pub(super) struct Chance {
    window: Vec<ItemIndex>,
    has_looked: bool,
    slots: Vec<Left>,
}

/// Of one slot.
#[derive(Clone, Copy)]
struct Left {
    /// The probability that nothing was drawn for it.
    rest: f64,
    /// The probability with which each item of the window could have been drawn.
    each: f64,
}

impl Chance {
    pub fn begin(&mut self, count: usize) {
        self.window.clear();
        self.has_looked = false;
        self.slots.clear();
        let certain = Left {
            rest: 1.0,
            each: 0.0,
        };
        self.slots.resize(count, certain);
    }

    /// Finds this minute's window, once per placement.
    pub fn look_around(&mut self, placement: &Placement<'_>) {
        if std::mem::replace(&mut self.has_looked, true) {
            return;
        }
        let little_known = placement.scene.models.popularity.little_known();
        let size = little_known.len();
        if size == 0 {
            return;
        }
        let minute = placement.request.now_ms.div_euclid(WINDOW_MS);
        let start = mixed(minute as u64) % size;
        let start = little_known.select(start as u32).unwrap_or(0);
        let around = little_known
            .range(start..)
            .chain(little_known.range(..start));
        let eligible = around
            .take(LOOKED_AT_MAX)
            .filter(|index| placement.eligibility(*index).is_ok());
        self.window.extend(eligible.take(WINDOW_MAX));
    }

    /// Draws an item for a slot, or nothing; says how likely the item was.
    pub fn draw(
        &mut self,
        at: usize,
        share: f64,
        draw: &mut Draw,
        may_be: impl Fn(ItemIndex) -> bool,
    ) -> Option<(ItemIndex, f64)> {
        let could_be = || self.window.iter().copied().filter(|index| may_be(*index));
        let count = could_be().count();
        if count == 0 {
            return None;
        }
        let each = share / count as f64;
        self.slots[at] = Left {
            rest: 1.0 - share,
            each,
        };
        if !draw.happens(share) {
            return None;
        }
        let drawn = draw.below(count as u64) as usize;
        could_be().nth(drawn).map(|index| (index, each))
    }

    /// How likely it was that the slot went to the ranking, whose next item cannot be
    /// drawn.
    pub fn left_at(&self, at: usize) -> f64 {
        self.slots[at].rest
    }

    /// How likely it was that the slot went to this item, where the ranking had none:
    /// it could have been drawn as well.
    pub fn left_for(&self, at: usize, index: ItemIndex) -> f64 {
        let Left { rest, each } = self.slots[at];
        if each > 0.0 && self.window.contains(&index) {
            rest + each
        } else {
            rest
        }
    }
}
