//! A set of items, or all but a set, so that a negation costs nothing and `everything`
//! needs no list. Borrowed where a column holds it already.

use std::borrow::Cow;

use roaring::RoaringBitmap;

#[derive(Debug, Clone)]
pub(super) struct Selection<'a> {
    bits: Cow<'a, RoaringBitmap>,
    /// The bits are those that are not in it.
    is_but: bool,
}

impl From<RoaringBitmap> for Selection<'_> {
    fn from(bits: RoaringBitmap) -> Self {
        Self {
            bits: Cow::Owned(bits),
            is_but: false,
        }
    }
}

impl<'a> From<&'a RoaringBitmap> for Selection<'a> {
    fn from(bits: &'a RoaringBitmap) -> Self {
        Self {
            bits: Cow::Borrowed(bits),
            is_but: false,
        }
    }
}

impl<'a> Selection<'a> {
    pub fn none() -> Self {
        Self::from(RoaringBitmap::new())
    }

    pub fn all() -> Self {
        !Self::none()
    }

    pub fn is_none(&self) -> bool {
        !self.is_but && self.bits.is_empty()
    }

    pub fn is_all(&self) -> bool {
        self.is_but && self.bits.is_empty()
    }

    /// How many items it has, at most.
    pub fn len_max(&self, universe: &RoaringBitmap) -> u64 {
        if self.is_but {
            universe.len().saturating_sub(self.bits.len())
        } else {
            self.bits.len()
        }
    }

    pub fn and(&self, other: &Self) -> Self {
        let (a, b) = (&*self.bits, &*other.bits);
        match (self.is_but, other.is_but) {
            _ if self.is_all() => other.clone(),
            _ if other.is_all() => self.clone(),
            (false, false) => Self::from(a & b),
            (false, true) => Self::from(a - b),
            (true, false) => Self::from(b - a),
            (true, true) => !Self::from(a | b),
        }
    }

    pub fn or(self, other: Self) -> Self {
        !(!self).and(&!other)
    }

    pub fn minus(&self, other: Self) -> Self {
        self.and(&!other)
    }

    /// Those that exist.
    pub fn into_bits(self, universe: &RoaringBitmap) -> RoaringBitmap {
        match (self.is_but, self.bits) {
            (true, bits) => universe - &*bits,
            (false, bits) => bits.into_owned(),
        }
    }
}

impl std::ops::Not for Selection<'_> {
    type Output = Self;

    fn not(self) -> Self {
        Self {
            is_but: !self.is_but,
            ..self
        }
    }
}
