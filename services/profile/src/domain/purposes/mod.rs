//! What a workspace declares that data may be used for, compiled: what holds for a person
//! in a region, by decision, regime or legal basis, and which traits need which purpose.
//! Pure sets of bits, so that asking costs next to nothing.

mod built_in;

use std::collections::BTreeMap;

use attune_api::profile::v1::{LegalBasis, Purpose as Declared, Regime};
use prost::Message as _;
use rustc_hash::FxHashMap;

use super::{
    Record,
    consent::{ANALYTICS, Decision, PERSONALIZATION, SENSITIVE_DATA, Signals},
    derive::{Derived, Name, Touched},
    preferences::Level,
    region::Region,
    tcf::Tcf,
};

pub use built_in::{is_built_in, with_built_in};

/// Purposes of one workspace at most: one bit each.
pub const PURPOSES_MAX: usize = 64;

/// What holds where a person decided nothing and no regime is declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefaultConsent {
    Granted,
    Denied,
}

/// Some of a workspace's purposes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PurposeSet(u64);

impl PurposeSet {
    fn one(index: usize) -> Self {
        Self(1 << (index % PURPOSES_MAX))
    }

    fn add(&mut self, index: usize) {
        self.0 |= Self::one(index).0;
    }

    pub fn has_all(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Whether as much is allowed by one declaration of a purpose as by the other.
pub fn decide_alike(one: &Declared, other: &Declared) -> bool {
    Purpose::new(one) == Purpose::new(other)
}

/// One purpose, as deciding needs it.
#[derive(Debug, Clone, PartialEq)]
pub struct Purpose {
    pub id: String,
    pub policy_version: String,
    pub tcf_purposes: Vec<u8>,
    pub withdrawn_by_gpc: bool,
    legal_basis: LegalBasis,
    reconsent: bool,
    /// By region; the key "" is everywhere else.
    regimes: BTreeMap<String, Regime>,
}

impl Purpose {
    fn new(declared: &Declared) -> Self {
        let regimes = declared.regimes.iter();
        let numbers = declared.tcf_purposes.iter();
        Self {
            id: declared.purpose_id.clone(),
            policy_version: declared.policy_version.clone(),
            tcf_purposes: numbers.filter_map(|n| u8::try_from(*n).ok()).collect(),
            withdrawn_by_gpc: declared.withdrawn_by_gpc,
            legal_basis: declared.legal_basis(),
            reconsent: declared.reconsent,
            regimes: regimes
                .filter_map(|(region, regime)| {
                    Some((region.clone(), Regime::try_from(*regime).ok()?))
                })
                .collect(),
        }
    }

    /// What a contract or a law demands is done without asking.
    fn is_necessary(&self) -> bool {
        matches!(
            self.legal_basis,
            LegalBasis::Contract | LegalBasis::LegalObligation
        )
    }

    /// A refusal always counts; a grant for another policy only until people are to be
    /// asked anew.
    fn counts(&self, decision: &Decision) -> bool {
        !decision.granted || !self.reconsent || decision.policy_version == self.policy_version
    }

    /// Whether a TCF string grants it: each of the IAB's purposes by consent, or where
    /// legitimate interest is the basis, by that.
    pub fn granted_by(&self, tcf: &Tcf) -> bool {
        let interest = self.legal_basis == LegalBasis::LegitimateInterest;
        self.tcf_purposes
            .iter()
            .all(|n| tcf.consents_to(*n) || (interest && tcf.tolerates(*n)))
    }

    /// What holds without a decision.
    fn default_in(&self, region: Option<&Region>, fallback: DefaultConsent) -> bool {
        let declared = match region {
            Some(region) => region.keys().find_map(|key| self.regimes.get(key)),
            None => self.regimes.get(""),
        };
        match declared {
            Some(Regime::OptIn) => false,
            Some(Regime::OptOut) => true,
            _ if self.legal_basis == LegalBasis::LegitimateInterest => true,
            _ => follows_config(&self.id) && fallback == DefaultConsent::Granted,
        }
    }

    fn is_regional(&self) -> bool {
        self.regimes.keys().any(|region| !region.is_empty())
    }
}

/// Whether the service's own setting is what holds without a regime.
fn follows_config(purpose: &str) -> bool {
    matches!(purpose, PERSONALIZATION | ANALYTICS)
}

/// What holds for one person, and on what it rests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// Where the person was last.
    pub allowed: PurposeSet,
    /// Of whatever region: decided, or not theirs to decide.
    settled: PurposeSet,
    /// Granted in spite of Global Privacy Control.
    insisted: PurposeSet,
    pub level: Level,
}

/// Where and how a person asks, as far as consent depends on it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// None: where they were last.
    pub region: Option<Region>,
    pub gpc: bool,
}

/// What is known, without their record, of whether a person may be learned from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Learning {
    /// What [`Record::learning`] says.
    Decided(Option<bool>),
    /// What was found under purposes of this fingerprint.
    Found { may: bool, fingerprint: u64 },
}

/// The purposes of a workspace, and what traits need of them.
#[derive(Debug, Clone)]
pub struct Purposes {
    /// In the order of their ids.
    all: Box<[Purpose]>,
    default: DefaultConsent,
    regional: bool,
    /// No regime, policy or basis that a decision alone does not settle.
    plain: bool,
    by_gpc: PurposeSet,
    personalization: PurposeSet,
    learning: PurposeSet,
    /// Traits that need something else than personalization; None is never granted.
    traits: FxHashMap<String, Option<PurposeSet>>,
    /// What segments and computed traits are judged by besides personalization, where
    /// they are.
    conclusions: FxHashMap<Name, PurposeSet>,
    fingerprint: u64,
}

/// A trait's terms, as its schema declares them.
#[derive(Debug, Clone, Copy)]
pub struct TraitTerms<'a> {
    pub trait_id: &'a str,
    /// Empty means personalization.
    pub purpose: &'a str,
    pub sensitive: bool,
}

impl Purposes {
    /// Of what is stored, which may have changed what exists from the start, and of
    /// declared traits.
    pub fn new<'a>(
        stored: &[Declared],
        traits: impl IntoIterator<Item = TraitTerms<'a>>,
        default: DefaultConsent,
    ) -> Self {
        let all: Box<[Purpose]> = with_built_in(stored).iter().map(Purpose::new).collect();
        let set = |wanted: &dyn Fn(&Purpose) -> bool| {
            let mut set = PurposeSet::default();
            let places = all.iter().enumerate().filter(|(_, p)| wanted(p));
            places.for_each(|(index, _)| set.add(index));
            set
        };
        let (personalization, by_gpc) = (
            set(&|p| p.id == PERSONALIZATION),
            set(&|p| p.withdrawn_by_gpc),
        );
        let mut purposes = Self {
            regional: all.iter().any(Purpose::is_regional),
            plain: all.iter().filter(|p| follows_config(&p.id)).all(|p| {
                p.regimes.is_empty() && !p.reconsent && p.legal_basis == LegalBasis::Consent
            }),
            learning: personalization.or(set(&|p| p.id == ANALYTICS)),
            by_gpc,
            personalization,
            traits: FxHashMap::default(),
            conclusions: FxHashMap::default(),
            fingerprint: 0,
            default,
            all,
        };
        let mut hasher = blake3::Hasher::new();
        for declared in with_built_in(stored) {
            hasher.update(&declared.encode_length_delimited_to_vec());
        }
        for terms in traits {
            let needed = purposes.needed(terms);
            if needed != Some(personalization) {
                hasher.update(terms.trait_id.as_bytes());
                hasher.update(&needed.map_or(u64::MAX, |set| set.0).to_le_bytes());
                purposes.traits.insert(terms.trait_id.to_owned(), needed);
            }
        }
        purposes.fingerprint = short(&hasher);
        purposes
    }

    /// Knowing what is derived in the workspace, and from what.
    pub fn with_conclusions(mut self, derived: &Derived) -> Self {
        for (index, purpose) in self.all.iter().enumerate() {
            let one = PurposeSet::one(index);
            // Without personalization nothing of all this is shown anyway.
            if self.personalization.has_all(one) {
                continue;
            }
            let governed = self.traits.iter().filter(|(_, needed)| {
                let needed = needed.unwrap_or_default();
                needed.has_all(one)
            });
            let touched = Touched {
                traits: governed.map(|(id, _)| id.as_str()).collect(),
                consents: [purpose.id.as_str()].into(),
                ..Touched::default()
            };
            for name in derived.following(&touched) {
                let by = self.conclusions.entry(name.clone()).or_default();
                *by = by.or(one);
            }
        }
        let mut conclusions: Vec<_> = self.conclusions.iter().collect();
        conclusions.sort_unstable_by_key(|(name, _)| *name);
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.fingerprint.to_le_bytes());
        for (name, by) in &conclusions {
            let (kind, id) = match name {
                Name::Trait(id) => (0, id),
                Name::Segment(id) => (1, id),
            };
            hasher.update(&[kind]).update(id.as_bytes()).update(&[0]);
            hasher.update(&by.0.to_le_bytes());
        }
        if !conclusions.is_empty() {
            self.fingerprint = short(&hasher);
        }
        self
    }

    /// Whether something derived may be shown where less is allowed than what it was
    /// judged by: not if it was judged by something that is withheld here. What it would
    /// be without that, nobody has judged.
    pub fn may_conclude(&self, name: &Name, judged: PurposeSet, allowed: PurposeSet) -> bool {
        let withheld = judged.without(allowed);
        let by = self.conclusions.get(name).copied().unwrap_or_default();
        by.without(withheld) == by
    }

    fn needed(&self, terms: TraitTerms<'_>) -> Option<PurposeSet> {
        let purpose = match terms.purpose {
            "" => PERSONALIZATION,
            purpose => purpose,
        };
        let mut set = self.set_of(purpose)?;
        if terms.sensitive {
            set = set.or(self.set_of(SENSITIVE_DATA)?);
        }
        Some(set)
    }

    fn set_of(&self, id: &str) -> Option<PurposeSet> {
        self.index(id).map(PurposeSet::one)
    }

    fn index(&self, id: &str) -> Option<usize> {
        self.all.binary_search_by(|p| p.id.as_str().cmp(id)).ok()
    }

    pub fn get(&self, id: &str) -> Option<&Purpose> {
        self.all.get(self.index(id)?)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Purpose> {
        self.all.iter()
    }

    /// Equal where the same is declared; what was made under another is out of date.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// Whether it matters where people are.
    pub fn is_regional(&self) -> bool {
        self.regional
    }

    /// What holds for a person where they were last.
    pub fn standing(&self, record: &Record) -> Standing {
        let signalled = record.signalled.as_ref();
        let region = signalled.and_then(|s| Region::parse(&s.region).ok());
        let gpc_since_ms = signalled.map_or(0, |s| s.gpc_since_ms);
        let mut standing = Standing {
            level: record.level(),
            ..Standing::default()
        };
        for (index, purpose) in self.all.iter().enumerate() {
            let decision = record.consents.get(&purpose.id);
            let decision = decision.filter(|decision| purpose.counts(decision));
            let allowed = match decision {
                _ if purpose.is_necessary() => true,
                Some(decision) => decision.granted,
                None => purpose.default_in(region.as_ref(), self.default),
            };
            if allowed {
                standing.allowed.add(index);
            }
            if decision.is_some() || purpose.is_necessary() {
                standing.settled.add(index);
            }
            let insisted = |decision: &Decision| {
                decision.granted && gpc_since_ms != 0 && decision.time_ms > gpc_since_ms
            };
            if decision.is_some_and(insisted) {
                standing.insisted.add(index);
            }
        }
        standing
    }

    /// What holds for somebody of whom nothing is known.
    pub fn of_a_stranger(&self, asked: &Asked) -> PurposeSet {
        self.here(&self.standing(&Record::default()), asked)
    }

    /// What holds as a person asks.
    pub fn here(&self, standing: &Standing, asked: &Asked) -> PurposeSet {
        let allowed = match &asked.region {
            Some(region) if self.regional => {
                let settled = standing.allowed.and(standing.settled);
                settled.or(self.defaults_in(region).without(standing.settled))
            }
            _ => standing.allowed,
        };
        match asked.gpc {
            true => allowed.without(self.by_gpc.without(standing.insisted)),
            false => allowed,
        }
    }

    fn defaults_in(&self, region: &Region) -> PurposeSet {
        let mut set = PurposeSet::default();
        let places = self.all.iter().enumerate();
        places
            .filter(|(_, purpose)| purpose.default_in(Some(region), self.default))
            .for_each(|(index, _)| set.add(index));
        set
    }

    pub fn personalizes(&self, allowed: PurposeSet) -> bool {
        allowed.has_all(self.personalization)
    }

    /// Whether what a person does may be learned from.
    pub fn may_learn(&self, standing: &Standing) -> bool {
        standing.level == Level::Full && standing.allowed.has_all(self.learning)
    }

    /// The same as [`Purposes::may_learn`] from less than a record; None where that does
    /// not settle it.
    pub fn may_learn_by(&self, known: Learning) -> Option<bool> {
        match known {
            Learning::Decided(decided) => {
                let granted = self.default == DefaultConsent::Granted;
                self.plain.then(|| decided.unwrap_or(granted))
            }
            Learning::Found { may, fingerprint } => {
                (fingerprint == self.fingerprint).then_some(may)
            }
        }
    }

    /// Whether signals can decide anything.
    pub fn heed(&self, signals: &Signals) -> bool {
        (self.regional && signals.region.is_some())
            || (self.by_gpc != PurposeSet::default() && signals.gpc)
            || signals.tcf.is_some()
            || !signals.categories.is_empty()
    }

    /// Whether a purpose is among what is allowed.
    pub fn allows(&self, id: &str, allowed: PurposeSet) -> bool {
        self.set_of(id)
            .is_some_and(|purpose| allowed.has_all(purpose))
    }

    /// Whether a trait may be used.
    pub fn may_use(&self, trait_id: &str, allowed: PurposeSet) -> bool {
        match self.traits.get(trait_id) {
            Some(needed) => needed.is_some_and(|needed| allowed.has_all(needed)),
            None => self.personalizes(allowed),
        }
    }

    /// For a snapshot: what is allowed, and what was refused.
    pub fn shown(&self, allowed: PurposeSet, record: &Record) -> BTreeMap<String, bool> {
        let all = self.all.iter().enumerate();
        all.filter_map(|(index, purpose)| {
            let allowed = allowed.has_all(PurposeSet::one(index));
            let decided = record.consents.contains_key(&purpose.id);
            (allowed || decided).then(|| (purpose.id.clone(), allowed))
        })
        .collect()
    }

    /// Those of a snapshot, where less is allowed than it was made for.
    pub fn narrowed(&self, allowed: PurposeSet, shown: &mut BTreeMap<String, bool>) {
        for (index, purpose) in self.all.iter().enumerate() {
            if let Some(shown) = shown.get_mut(&purpose.id) {
                *shown = allowed.has_all(PurposeSet::one(index));
            }
        }
    }
}

/// Enough of a hash to tell apart what one process meets.
fn short(hasher: &blake3::Hasher) -> u64 {
    let mut half = [0; 8];
    half.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    u64::from_le_bytes(half)
}

#[cfg(test)]
pub mod tests;
