//! What a strategy makes of a person's past with an item: which items it keeps from
//! them, and how repeated exposure wears an item out.

/// What keeps items from a person, besides what the item itself says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Eligibility {
    /// Bought items are shown again, replenishable or not.
    pub allow_bought: bool,
    /// How long a dismissed item stays away; none means for ever.
    pub dismissed_days: Option<u32>,
}

impl Default for Eligibility {
    fn default() -> Self {
        Self {
            allow_bought: false,
            dismissed_days: Some(DISMISSED_DAYS_DEFAULT),
        }
    }
}

/// Where nobody says.
pub const DISMISSED_DAYS_DEFAULT: u32 = 30;
pub const FATIGUE_DAYS_DEFAULT: u32 = 7;

/// Exposure without interest lowers a score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fatigue {
    /// Exposures after which the score is halved.
    pub half_exposures: f64,
    /// Days after which an exposure is forgotten.
    pub days: u32,
}

impl Fatigue {
    /// What the score is multiplied by after so many exposures in vain.
    pub fn factor(self, exposures: u32) -> f64 {
        0.5_f64.powf(f64::from(exposures) / self.half_exposures)
    }
}
