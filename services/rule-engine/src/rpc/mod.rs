//! The generated services to the use cases, one hop each. Holds no logic.

mod decisions;
mod rules;

pub use decisions::Decisions;
pub use rules::RuleBase;
