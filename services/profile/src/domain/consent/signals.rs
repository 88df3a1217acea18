//! The signals in which a person says what they decide: Global Privacy Control, TCF
//! strings, a consent manager's choices, and where they are. Senders repeat them with
//! every message; here is known which are new. The tags are the stored form.

use super::{Decision, Decisions, Held};
use crate::domain::{
    purposes::{Purpose, Purposes},
    region::Region,
    tcf::Tcf,
};

/// Sources of decisions that were read from signals.
const GPC: &str = "gpc";
pub const TCF: &str = "tcf";
const CATEGORIES: &str = "category_preferences";

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
        let hash = hash_of([tcf.raw.as_bytes()]);
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
        let parts = categories.iter();
        let hash = hash_of(parts.flat_map(|(purpose, granted)| {
            let granted: &[u8] = if *granted { b"+" } else { b"-" };
            [purpose.as_bytes(), granted]
        }));
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

/// Stored, so it is one that stays the same. Never 0, which stands for none.
fn hash_of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> u64 {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&part.len().to_le_bytes()).update(part);
    }
    let mut half = [0; 8];
    half.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    u64::from_le_bytes(half).max(1)
}
