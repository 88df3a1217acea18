//! Where a decision is, for whoever wants to know how long each stage takes. Measures
//! nothing itself, and costs nothing where nobody asks.

/// The stages of a decision in the order they are gone through; those from
/// [`Stage::Candidates`] to [`Stage::Slots`] once per placement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// What the request names is found, and who it is for is read.
    Request,
    /// Which conditions of rules hold for the person.
    Conditions,
    /// The sources propose, and what may not be shown is left out.
    Candidates,
    /// Includes, boosts and buries.
    Rules,
    /// Pins, ranking, exploration, diversity and what is shown where that is too little.
    Slots,
    /// The answer, its reasons and tokens are written, and the log is told.
    Answer,
}

impl Stage {
    pub const ALL: [Self; 6] = [
        Self::Request,
        Self::Conditions,
        Self::Candidates,
        Self::Rules,
        Self::Slots,
        Self::Answer,
    ];
}

/// Hears of every stage that a decision is through with.
pub trait Stages {
    fn done(&mut self, stage: Stage);
}

/// For decisions that nobody times.
impl Stages for () {
    #[inline(always)]
    fn done(&mut self, _: Stage) {}
}
