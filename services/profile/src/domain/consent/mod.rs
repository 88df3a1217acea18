//! What a person decided about purposes, and how the decisions of two records become one;
//! what they signalled is read next door. The tags are the stored form and are never
//! reused. Which purposes there are, and what holds without a decision, is `purposes`'.

mod signals;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use signals::{Signalled, Signals, TCF, by_tcf};

/// Whether a profile may be used for this person at all.
pub const PERSONALIZATION: &str = "personalization";
/// Whether what they do may teach anything that serves others.
pub const ANALYTICS: &str = "analytics";
/// Whether traits that are declared sensitive may be used, beside their own purpose.
pub const SENSITIVE_DATA: &str = "sensitive_data";

/// What a person decided about one purpose.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Decision {
    #[prost(bool, tag = "1")]
    pub granted: bool,
    #[prost(string, tag = "2")]
    pub source: String,
    #[prost(string, tag = "3")]
    pub policy_version: String,
    #[prost(int64, tag = "4")]
    pub time_ms: i64,
    #[prost(string, tag = "5")]
    pub evidence: String,
}

impl Decision {
    /// To a later one that says something else.
    pub fn gives_way_to(&self, other: &Self) -> bool {
        self.time_ms <= other.time_ms && self != other
    }
}

/// By purpose.
pub type Decisions = BTreeMap<String, Decision>;

/// What is known of a person before a signal.
#[derive(Debug, Clone, Copy)]
pub struct Held<'a> {
    pub decisions: &'a Decisions,
    pub signalled: Option<&'a Signalled>,
}

/// Takes over what was decided in another record of the same person, found to be so at
/// `merge_ms`.
pub fn absorb(ours: &mut Decisions, theirs: Decisions, merge_ms: i64) {
    for (purpose, their) in theirs {
        match ours.get_mut(&purpose) {
            Some(our) if !prevails(&their, our, merge_ms) => {}
            Some(our) => *our = their,
            None => {
                ours.insert(purpose, their);
            }
        }
    }
}

/// Of two decided before the two were one, a refusal outweighs a grant whatever its time;
/// of two alike, and of those decided when the two were one already, the later counts.
fn prevails(theirs: &Decision, ours: &Decision, merge_ms: i64) -> bool {
    let before = theirs.time_ms.max(ours.time_ms) <= merge_ms;
    match (theirs.granted, ours.granted) {
        (false, true) if before => true,
        (true, false) if before => false,
        _ => theirs.time_ms > ours.time_ms,
    }
}
