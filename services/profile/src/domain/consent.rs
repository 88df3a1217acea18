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
    /// When the last string was first seen.
    #[prost(int64, tag = "6")]
    pub tcf_ms: i64,
    /// Hashes of strings seen before the last, the newest first: each of a person's
    /// devices repeats its own, and none of that is a decision.
    #[prost(fixed64, repeated, tag = "7")]
    pub tcf_before: Vec<u64>,
    /// When the last category preferences were first seen.
    #[prost(int64, tag = "8")]
    pub categories_ms: i64,
    /// Hash of the last category preferences that came late.
    #[prost(fixed64, tag = "9")]
    pub categories_late: u64,
}

/// Strings of a person that are known again: a few devices, each with one or two.
const STRINGS_KNOWN_MAX: usize = 16;

/// Whether a string was seen before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Never,
    /// From this device or another.
    Before,
    Last,
}

impl Signalled {
    /// What is kept of both: the later region, and the later first signal, which fewer
    /// grants outlive.
    pub fn joined(ours: Option<Self>, theirs: Option<Self>) -> Option<Self> {
        let (Some(ours), Some(theirs)) = (&ours, &theirs) else {
            return ours.or(theirs);
        };
        let later = |is: bool| match is {
            true => theirs,
            false => ours,
        };
        let region = later(theirs.region_ms > ours.region_ms);
        let tcf = later((theirs.tcf_ms, theirs.tcf != 0) > (ours.tcf_ms, ours.tcf != 0));
        let newer = (theirs.categories_ms, theirs.categories != 0);
        let categories = later(newer > (ours.categories_ms, ours.categories != 0));
        let mut joined = Self {
            region: region.region.clone(),
            region_ms: region.region_ms,
            gpc_since_ms: ours.gpc_since_ms.max(theirs.gpc_since_ms),
            tcf: tcf.tcf,
            tcf_ms: tcf.tcf_ms,
            tcf_before: Vec::new(),
            categories: categories.categories,
            categories_ms: categories.categories_ms,
            categories_late: categories.categories_late,
        };
        for side in [ours, theirs] {
            for hash in [side.tcf].iter().chain(&side.tcf_before) {
                joined.know(*hash);
            }
        }
        Some(joined)
    }

    /// Takes note of signals and says what they decide, given what holds of the person
    /// already, whichever of their profiles said it.
    pub fn take(
        &mut self,
        signals: &Signals,
        time_ms: i64,
        held: Held<'_>,
        purposes: &Purposes,
    ) -> Vec<(String, Decision)> {
        if let Some(region) = &signals.region {
            self.be_in(region, time_ms);
        }
        let mut decisions = Vec::new();
        if let Some(tcf) = &signals.tcf {
            decisions.extend(self.by_string(tcf, time_ms, held, purposes));
        }
        if !signals.categories.is_empty() && self.is_new_choice(&signals.categories, time_ms) {
            decisions.extend(self.by_categories(&signals.categories, time_ms, purposes));
        }
        let held = held.decisions;
        // Last, for of two decisions of one moment the later is held.
        if signals.gpc {
            decisions.extend(self.by_gpc(time_ms, held, purposes));
        }
        decisions
    }

    /// A string that was seen before says nothing new, but for what it refuses and a
    /// string has granted since: then one device says no and another yes, or the person
    /// took back within a day what they had granted, which makes the same string again.
    fn by_string(
        &mut self,
        tcf: &Tcf,
        time_ms: i64,
        held: Held<'_>,
        purposes: &Purposes,
    ) -> Vec<(String, Decision)> {
        let hash = hash_of(&tcf.raw);
        let known = held.signalled;
        let seen = match () {
            () if self.tcf == hash => Seen::Last,
            () if self.tcf_before.contains(&hash) => Seen::Before,
            () if known.is_some_and(|k| k.tcf == hash || k.tcf_before.contains(&hash)) => {
                Seen::Before
            }
            () => Seen::Never,
        };
        match time_ms < self.tcf_ms {
            // It came late, after one that is newer.
            true => self.know(hash),
            false if seen != Seen::Last => {
                let before = std::mem::replace(&mut self.tcf, hash);
                self.tcf_ms = time_ms;
                self.tcf_before.retain(|known| *known != hash);
                self.know(before);
            }
            false => {}
        }
        let mut decisions = match seen {
            Seen::Last => Vec::new(),
            Seen::Never | Seen::Before => by_tcf(tcf, TCF, time_ms, purposes),
        };
        if seen == Seen::Before {
            decisions.retain(|(purpose, decision)| {
                let held = held.decisions.get(purpose);
                let by_string = held.filter(|held| held.granted && held.source == TCF);
                !decision.granted && by_string.is_some_and(|held| held.gives_way_to(decision))
            });
        }
        decisions
    }

    /// Notes a string as one that was seen before the last.
    fn know(&mut self, hash: u64) {
        if hash != 0 && hash != self.tcf && !self.tcf_before.contains(&hash) {
            self.tcf_before.insert(0, hash);
            self.tcf_before.truncate(STRINGS_KNOWN_MAX);
        }
    }

    /// Whether a consent manager's choices are others than it sent last, or, where they
    /// came late, than came late last. Going back to former ones is a choice too: they
    /// bear no date, so that it looks the same again.
    fn is_new_choice(&mut self, categories: &[(String, bool)], time_ms: i64) -> bool {
        let hash = hash_of(categories);
        if time_ms < self.categories_ms {
            return hash != self.categories
                && std::mem::replace(&mut self.categories_late, hash) != hash;
        }
        if self.categories == hash {
            return false;
        }
        self.categories = hash;
        self.categories_ms = time_ms;
        true
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

/// Never 0, which stands for none.
fn hash_of(signal: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = FxHasher::default();
    signal.hash(&mut hasher);
    hasher.finish().max(1)
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

    /// As a record does.
    fn decide(held: &mut Decisions, purpose: String, decision: Decision) {
        let holds = held.get(&purpose);
        if holds.is_none_or(|holds| holds.gives_way_to(&decision)) {
            held.insert(purpose, decision);
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
                    let known = Held {
                        decisions: &held,
                        signalled: None,
                    };
                    for (purpose, decision) in signalled.take(signals, at, known, &purposes) {
                        decide(&mut held, purpose, decision);
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

    /// A string as FIRST_THREE that grants none of the IAB's purposes.
    fn none() -> String {
        format!("{}AAAAAAAAAAAAAAAAAA", "COvFyGBOvFyGBAbAAAENAP")
    }

    fn string(raw: &str) -> Signals {
        Signals {
            tcf: Some(Tcf::decode(raw).unwrap()),
            ..Signals::default()
        }
    }

    /// Sends strings in the order they come in, with a decision by hand in between.
    fn strings(rows: &[(i64, &str)]) -> String {
        let purposes = purposes();
        let (mut signalled, mut held) = (Signalled::default(), Decisions::new());
        let mut count = 0;
        for (time_ms, sent) in rows {
            if *sent == "withdrawn" {
                decide(&mut held, "measured".to_owned(), decided(false, *time_ms));
                continue;
            }
            let known = Held {
                decisions: &held,
                signalled: None,
            };
            let decisions = signalled.take(&string(sent), *time_ms, known, &purposes);
            count += decisions.len();
            for (purpose, decision) in decisions {
                decide(&mut held, purpose, decision);
            }
        }
        let measured = &held["measured"];
        let sign = if measured.granted { "+" } else { "-" };
        format!("{sign}{} {count}", measured.time_ms)
    }

    #[test]
    fn a_string_that_was_seen_before_grants_nothing_again() {
        let none = &none()[..];
        let rows: [(&[(i64, &str)], &str); 6] = [
            // Each string speaks of four purposes.
            (&[(10, FIRST_THREE), (20, none)], "-20 8"),
            (&[(10, none), (20, FIRST_THREE)], "+20 8"),
            // A withdrawal outlives the same string from another device, or come late.
            (
                &[
                    (10, FIRST_THREE),
                    (20, "withdrawn"),
                    (5, none),
                    (30, FIRST_THREE),
                ],
                "-20 8",
            ),
            (
                &[
                    (10, FIRST_THREE),
                    (12, none),
                    (20, "withdrawn"),
                    (30, FIRST_THREE),
                ],
                "-20 8",
            ),
            // Two devices that say different things: the stricter holds, and is not
            // recorded over and over.
            (
                &[
                    (10, none),
                    (20, FIRST_THREE),
                    (30, none),
                    (40, FIRST_THREE),
                    (50, none),
                    (60, FIRST_THREE),
                ],
                "-30 9",
            ),
            // Late ones are recorded once.
            (
                &[(10, FIRST_THREE), (5, none), (6, none), (7, none)],
                "+10 8",
            ),
        ];
        for (number, (rows, expected)) in rows.into_iter().enumerate() {
            assert_eq!(strings(rows), expected, "row {number}");
        }
    }

    #[test]
    fn profiles_that_are_one_know_each_others_strings() {
        let purposes = purposes();
        let mut sides = [Signalled::default(), Signalled::default()];
        let mut held = Decisions::new();
        let nothing = Held {
            decisions: &Decisions::new(),
            signalled: None,
        };
        for (purpose, decision) in sides[0].take(&string(FIRST_THREE), 10, nothing, &purposes) {
            held.insert(purpose, decision);
        }
        let elsewhere = Signals {
            region: Region::parse("AT").ok(),
            ..Signals::default()
        };
        sides[1].take(&elsewhere, 20, nothing, &purposes);
        held.insert("measured".to_owned(), decided(false, 30));
        let [ours, theirs] = sides;
        let person = Signalled::joined(Some(ours), Some(theirs.clone())).unwrap();
        assert_eq!(person.region, "AT");
        let known = Held {
            decisions: &held,
            signalled: Some(&person),
        };
        for mut side in [person.clone(), theirs] {
            let again = side.take(&string(FIRST_THREE), 40, known, &purposes);
            assert_eq!(again, [], "after a merge, from either side");
        }
    }

    #[test]
    fn categories_decide_about_purposes_of_their_name() {
        let sent = Signals {
            categories: vec![("analytics".into(), true), ("unheard_of".into(), true)],
            ..Signals::default()
        };
        assert_eq!(
            after(&[(10, sent.clone()), (20, sent.clone())], &[]),
            "+analytics@10"
        );
        let other = Signals {
            categories: vec![("analytics".into(), false)],
            ..Signals::default()
        };
        let back = [(10, sent.clone()), (20, other), (30, sent)];
        assert_eq!(after(&back, &[]), "+analytics@30");
    }

    #[test]
    fn the_last_region_stays_and_an_older_one_does_not_return() {
        let at = |text: &str| Signals {
            region: Region::parse(text).ok(),
            ..Signals::default()
        };
        let mut signalled = Signalled::default();
        for (time_ms, region) in [(10, "AT"), (30, "US-CA"), (20, "DE")] {
            let held = Held {
                decisions: &Decisions::new(),
                signalled: None,
            };
            signalled.take(&at(region), time_ms, held, &purposes());
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
