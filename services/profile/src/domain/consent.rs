//! What a person decided about purposes, the signals in which they said so, and how the
//! decisions of two records become one. The tags are the stored form and are never
//! reused. Which purposes there are, and what holds without a decision, is `purposes`'.

use std::{
    collections::BTreeMap,
    hash::{Hash, Hasher},
};

use rustc_hash::FxHasher;

use super::{
    purposes::{Purpose, Purposes},
    region::Region,
    tcf::Tcf,
};

/// Whether a profile may be used for this person at all.
pub const PERSONALIZATION: &str = "personalization";
/// Whether what they do may teach anything that serves others.
pub const ANALYTICS: &str = "analytics";
/// Whether traits that are declared sensitive may be used, beside their own purpose.
pub const SENSITIVE_DATA: &str = "sensitive_data";

/// Sources of decisions that were read from signals.
pub const GPC: &str = "gpc";
pub const TCF: &str = "tcf";
pub const CATEGORIES: &str = "category_preferences";

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

/// What a message's context says about consent, besides what it tells.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Signals {
    pub region: Option<Region>,
    /// Global Privacy Control.
    pub gpc: bool,
    pub tcf: Option<Tcf>,
    /// By purpose, as consent managers of Segment's clients send it.
    pub categories: Vec<(String, bool)>,
}

impl Signals {
    pub fn says_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// What of a person's signals is kept, to know what is new in the next.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Signalled {
    /// Where they were last; empty if they never said.
    #[prost(string, tag = "1")]
    pub region: String,
    #[prost(int64, tag = "2")]
    pub region_ms: i64,
    /// When Global Privacy Control was seen first; 0 for never.
    #[prost(int64, tag = "3")]
    pub gpc_since_ms: i64,
    /// Hash of the last TCF string: senders repeat it with every message, and only a
    /// new one is a decision.
    #[prost(fixed64, tag = "4")]
    pub tcf: u64,
    /// Hash of the last category preferences, for the same reason.
    #[prost(fixed64, tag = "5")]
    pub categories: u64,
}

impl Signalled {
    /// What is kept of both: the later region, and the later first signal, which fewer
    /// grants outlive.
    pub fn joined(ours: Option<Self>, theirs: Option<Self>) -> Option<Self> {
        let (Some(ours), Some(theirs)) = (&ours, &theirs) else {
            return ours.or(theirs);
        };
        let later = match theirs.region_ms > ours.region_ms {
            true => theirs,
            false => ours,
        };
        Some(Self {
            region: later.region.clone(),
            region_ms: later.region_ms,
            gpc_since_ms: ours.gpc_since_ms.max(theirs.gpc_since_ms),
            tcf: later.tcf,
            categories: later.categories,
        })
    }

    /// Takes note of signals and says what they decide, given what is decided already.
    pub fn take(
        &mut self,
        signals: &Signals,
        time_ms: i64,
        held: &Decisions,
        purposes: &Purposes,
    ) -> Vec<(String, Decision)> {
        if let Some(region) = &signals.region {
            self.be_in(region, time_ms);
        }
        let mut decisions = Vec::new();
        if let Some(tcf) = &signals.tcf
            && replaced(&mut self.tcf, &tcf.raw)
        {
            decisions.extend(by_tcf(tcf, TCF, time_ms, purposes));
        }
        if !signals.categories.is_empty() && replaced(&mut self.categories, &signals.categories) {
            decisions.extend(self.by_categories(&signals.categories, time_ms, purposes));
        }
        // Last, for of two decisions of one moment the later is held.
        if signals.gpc {
            decisions.extend(self.by_gpc(time_ms, held, purposes));
        }
        decisions
    }

    /// Of the same place the time is noted once a day only, so that not every message is
    /// a change.
    fn be_in(&mut self, region: &Region, time_ms: i64) {
        const DAY_MS: i64 = 86_400_000;
        let moved = self.region != region.as_str();
        if time_ms < self.region_ms || (!moved && time_ms < self.region_ms + DAY_MS) {
            return;
        }
        region.as_str().clone_into(&mut self.region);
        self.region_ms = time_ms;
    }

    /// A grant that came after the signal was known stands, as § 7025(c)(3) of the CCPA
    /// regulations has it for a known customer who consents in spite of the signal; any
    /// other gives way to it, and the same signal again changes nothing.
    fn by_gpc(
        &mut self,
        time_ms: i64,
        held: &Decisions,
        purposes: &Purposes,
    ) -> Vec<(String, Decision)> {
        let since_ms = self.gpc_since_ms;
        if since_ms == 0 {
            self.gpc_since_ms = time_ms.max(1);
        }
        let withdrawn = purposes.iter().filter(|purpose| purpose.withdrawn_by_gpc);
        withdrawn
            .filter(|purpose| match held.get(&purpose.id) {
                Some(held) if held.granted => since_ms == 0 || held.time_ms <= since_ms,
                Some(_) => false,
                None => true,
            })
            .map(|purpose| {
                let decision = Decision {
                    source: GPC.to_owned(),
                    policy_version: purpose.policy_version.clone(),
                    time_ms,
                    evidence: "Sec-GPC: 1".to_owned(),
                    granted: false,
                };
                (purpose.id.clone(), decision)
            })
            .collect()
    }

    fn by_categories(
        &self,
        categories: &[(String, bool)],
        time_ms: i64,
        purposes: &Purposes,
    ) -> Vec<(String, Decision)> {
        let declared = categories
            .iter()
            .filter_map(|(id, granted)| Some((purposes.get(id)?, *granted)));
        declared
            .map(|(purpose, granted)| {
                let decision = Decision {
                    granted,
                    source: CATEGORIES.to_owned(),
                    policy_version: purpose.policy_version.clone(),
                    time_ms,
                    evidence: String::new(),
                };
                (purpose.id.clone(), decision)
            })
            .collect()
    }
}

/// What a TCF string decides, for every purpose that the IAB's speak of.
pub fn by_tcf(
    tcf: &Tcf,
    source: &str,
    time_ms: i64,
    purposes: &Purposes,
) -> Vec<(String, Decision)> {
    let spoken_of = purposes.iter().filter(|p| !p.tcf_purposes.is_empty());
    spoken_of
        .map(|purpose: &Purpose| {
            let decision = Decision {
                granted: purpose.granted_by(tcf),
                source: source.to_owned(),
                policy_version: purpose.policy_version.clone(),
                time_ms,
                evidence: tcf.raw.clone(),
            };
            (purpose.id.clone(), decision)
        })
        .collect()
}

/// Whether this is another than was seen last, which it now is.
fn replaced(seen: &mut u64, new: &(impl Hash + ?Sized)) -> bool {
    let mut hasher = FxHasher::default();
    new.hash(&mut hasher);
    let new = hasher.finish().max(1);
    std::mem::replace(seen, new) != new
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{purposes::tests::purposes, tcf::tests::FIRST_THREE};

    fn decided(granted: bool, time_ms: i64) -> Decision {
        Decision {
            granted,
            time_ms,
            ..Decision::default()
        }
    }

    /// Sends signals one after the other and shows what is decided, `+` for a grant.
    fn after(rows: &[(i64, Signals)], grants: &[(i64, &str)]) -> String {
        let purposes = purposes();
        let (mut signalled, mut held) = (Signalled::default(), Decisions::new());
        let mut steps: Vec<(i64, Option<&Signals>, &str)> = rows
            .iter()
            .map(|(at, signals)| (*at, Some(signals), ""))
            .chain(grants.iter().map(|(at, purpose)| (*at, None, *purpose)))
            .collect();
        steps.sort_by_key(|(at, ..)| *at);
        for (at, signals, purpose) in steps {
            match signals {
                Some(signals) => {
                    for (purpose, decision) in signalled.take(signals, at, &held, &purposes) {
                        held.insert(purpose, decision);
                    }
                }
                None => {
                    held.insert(purpose.to_owned(), decided(true, at));
                }
            }
        }
        let shown = held.iter().map(|(purpose, decision)| {
            let sign = if decision.granted { "+" } else { "-" };
            format!("{sign}{purpose}@{}", decision.time_ms)
        });
        shown.collect::<Vec<_>>().join(" ")
    }

    fn gpc() -> Signals {
        Signals {
            gpc: true,
            ..Signals::default()
        }
    }

    #[test]
    fn gpc_withdraws_what_was_not_granted_in_spite_of_it() {
        let both = "-analytics@10 -personalization@10";
        assert_eq!(after(&[(10, gpc())], &[]), both);
        assert_eq!(after(&[(10, gpc()), (20, gpc())], &[]), both);
        assert_eq!(after(&[(10, gpc())], &[(5, "personalization")]), both);
        let insisted = [(10, gpc()), (20, gpc())];
        assert_eq!(
            after(&insisted, &[(15, "personalization")]),
            "-analytics@10 +personalization@15"
        );
    }

    #[test]
    fn a_repeated_string_decides_once() {
        let tcf = |raw: &str| Signals {
            tcf: Some(Tcf::decode(raw).unwrap()),
            ..Signals::default()
        };
        let (first, none) = (
            tcf(FIRST_THREE),
            tcf(&format!("{}AAAAAAAAAAAAAAAAAA", "COvFyGBOvFyGBAbAAAENAP")),
        );
        let shown = after(&[(10, first.clone()), (30, first.clone())], &[]);
        assert_eq!(
            shown,
            "-ads@10 -analytics@10 +measured@10 -personalization@10"
        );
        let shown = after(&[(10, first.clone()), (30, first.clone())], &[(20, "ads")]);
        assert_eq!(
            shown,
            "+ads@20 -analytics@10 +measured@10 -personalization@10"
        );
        let shown = after(&[(10, first), (30, none)], &[]);
        assert_eq!(
            shown,
            "-ads@30 -analytics@30 -measured@30 -personalization@30"
        );
    }

    #[test]
    fn categories_decide_about_purposes_of_their_name() {
        let sent = Signals {
            categories: vec![("analytics".into(), true), ("unheard_of".into(), true)],
            ..Signals::default()
        };
        assert_eq!(
            after(&[(10, sent.clone()), (20, sent)], &[]),
            "+analytics@10"
        );
    }

    #[test]
    fn the_last_region_stays_and_an_older_one_does_not_return() {
        let at = |text: &str| Signals {
            region: Region::parse(text).ok(),
            ..Signals::default()
        };
        let mut signalled = Signalled::default();
        for (time_ms, region) in [(10, "AT"), (30, "US-CA"), (20, "DE")] {
            signalled.take(&at(region), time_ms, &Decisions::new(), &purposes());
        }
        assert_eq!(
            (signalled.region.as_str(), signalled.region_ms),
            ("US-CA", 30)
        );
        let other = Signalled {
            region: "FR".into(),
            region_ms: 40,
            gpc_since_ms: 7,
            ..Signalled::default()
        };
        let joined = Signalled::joined(Some(signalled), Some(other)).unwrap();
        assert_eq!((joined.region.as_str(), joined.gpc_since_ms), ("FR", 7));
    }
}
