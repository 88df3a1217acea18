//! What people did with one item, added up and halved with age. Knows neither time nor
//! other items: sums are relative to landmarks that their holder keeps.

use serde::{Deserialize, Serialize};

/// Sums are moved to a newer landmark before they leave the range of a double.
pub(super) const EXPONENT_MAX: f64 = 512.0;

/// What people do with items that says something about the item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Signal {
    View = 0,
    AddToCart = 1,
    Purchase = 2,
}

pub const SIGNALS: usize = 3;
/// What one of each adds where all count together.
const WEIGHTS: [f64; SIGNALS] = [1.0, 3.0, 8.0];

impl Signal {
    pub fn of_event(event_type: &str) -> Option<Self> {
        match event_type {
            "view" => Some(Self::View),
            "add_to_cart" => Some(Self::AddToCart),
            "purchase" => Some(Self::Purchase),
            _ => None,
        }
    }
}

/// Sums of one item by signal: decayed, relative to the landmarks, and all there ever was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Sums {
    pub long: [f64; SIGNALS],
    pub short: [f64; SIGNALS],
    pub ever: [f64; SIGNALS],
}

impl Sums {
    /// One signal, or all by weight.
    pub(super) fn long_of(&self, signal: Option<Signal>) -> f64 {
        of(&self.long, signal)
    }

    pub(super) fn short_of(&self, signal: Option<Signal>) -> f64 {
        of(&self.short, signal)
    }

    /// In proportion to the share of the next events: `pull` is what one event of the
    /// past adds to a decayed sum.
    pub(super) fn estimate(&self, signal: Option<Signal>, pull: f64) -> f64 {
        self.long_of(signal) + pull * of(&self.ever, signal)
    }
}

pub(super) fn of(sums: &[f64; SIGNALS], signal: Option<Signal>) -> f64 {
    match signal {
        Some(signal) => sums[signal as usize],
        None => sums.iter().zip(WEIGHTS).map(|(sum, w)| sum * w).sum(),
    }
}

/// Each signal and, last, all together.
pub(super) const VIEWS: [Option<Signal>; SIGNALS + 1] = [
    Some(Signal::View),
    Some(Signal::AddToCart),
    Some(Signal::Purchase),
    None,
];

pub(super) fn view_of(signal: Option<Signal>) -> usize {
    signal.map_or(SIGNALS, |signal| signal as usize)
}

pub(super) fn exponent(time_ms: i64, landmark_ms: i64, half_life_ms: f64) -> f64 {
    time_ms.saturating_sub(landmark_ms) as f64 / half_life_ms
}

pub(super) fn decay(time_ms: i64, landmark_ms: i64, half_life_ms: f64) -> f64 {
    exponent(time_ms, landmark_ms, half_life_ms).exp2()
}

/// Moves a landmark so near to a time that sums stay in range; returns what brings them
/// there. A whole number of half-lives on, so that scaling is exact.
pub(super) fn move_landmark(landmark_ms: &mut i64, time_ms: i64, half_life_ms: f64) -> f64 {
    let steps = (exponent(time_ms, *landmark_ms, half_life_ms) / EXPONENT_MAX).floor();
    *landmark_ms += (steps * EXPONENT_MAX * half_life_ms) as i64;
    (-EXPONENT_MAX * steps).exp2()
}
