//! The generated services to the use cases, one hop each. Holds no logic.

mod analysis;
mod decisions;
mod rules;

pub use analysis::LookingBack;
pub use decisions::Decisions;
pub use rules::RuleBase;
