//! Puts decisions and items together, as the bytes that they are. Synchronous and
//! without a copy of any item.

use std::{collections::HashMap, sync::LazyLock};

use attune_api::{
    catalog::v1::Item,
    messaging::v1::Content,
    rules::v1::{Reason, ReasonKind},
};
use bytes::Bytes;
use prost::Message;
use tonic::Status;

use super::wire;

/// The items of an answer, each once, and where they go.
pub struct Wanted {
    pub ids: Vec<Bytes>,
    /// Index into `ids` for each slot of each placement, in order.
    places: Vec<usize>,
}

impl Wanted {
    pub fn of(decided: &[wire::PlacementDecision]) -> Self {
        if let [only] = decided {
            // A decision shows no item twice.
            let ids: Vec<_> = only.slots.iter().map(|slot| slot.item_id.clone()).collect();
            let places = (0..ids.len()).collect();
            return Self { ids, places };
        }
        let mut ids: Vec<Bytes> = Vec::new();
        let mut known: HashMap<&Bytes, usize> = HashMap::new();
        let slots = decided.iter().flat_map(|decision| &decision.slots);
        let places = slots
            .map(|slot| {
                *known.entry(&slot.item_id).or_insert_with(|| {
                    ids.push(slot.item_id.clone());
                    ids.len() - 1
                })
            })
            .collect();
        Self { ids, places }
    }
}

/// What the catalog gave for each slot, in order. Items that it no longer has are None.
pub struct Items {
    by_slot: Vec<Option<Bytes>>,
}

impl Items {
    pub fn nothing(_: Wanted) -> Self {
        let by_slot = Vec::new();
        Self { by_slot }
    }

    /// The catalog answers in the order of the request and lists what is missing.
    pub fn found(wanted: &Wanted, found: wire::BatchGetItemsResponse) -> Result<Self, Status> {
        let complete = found.items.len() + found.missing_item_ids.len() == wanted.ids.len();
        if !complete {
            return Err(Status::internal("the catalog's answer does not add up"));
        }
        let mut items = found.items.into_iter();
        let mut missing = found.missing_item_ids.iter().peekable();
        let by_id: Vec<Option<Bytes>> = wanted
            .ids
            .iter()
            .map(|id| match missing.next_if(|missing| *missing == id) {
                Some(_) => None,
                None => items.next(),
            })
            .collect();
        let by_slot = wanted.places.iter().map(|&i| by_id[i].clone()).collect();
        Ok(Self { by_slot })
    }

    /// The catalog could not be asked: items with their id alone.
    pub fn unknown(wanted: Wanted) -> Self {
        let bare = |&i: &usize| Some(bare_item(&wanted.ids[i]));
        let by_slot = wanted.places.iter().map(bare).collect();
        Self { by_slot }
    }

    /// For each placement in turn, its slots' items.
    pub fn by_slot(&self) -> impl Iterator<Item = &Option<Bytes>> {
        self.by_slot.iter()
    }
}

/// An `Item` with nothing but its id.
fn bare_item(id: &Bytes) -> Bytes {
    let item = Item {
        item_id: String::from_utf8_lossy(id).into_owned(),
        ..Item::default()
    };
    item.encode_to_vec().into()
}

/// Why a stand-in is shown.
static FALLBACK: LazyLock<Bytes> = LazyLock::new(|| {
    let reason = Reason {
        kind: ReasonKind::Fallback.into(),
        text: "Popular with others".to_owned(),
        weight: 1.0,
        ..Reason::default()
    };
    reason.encode_to_vec().into()
});

/// A slot without a decision behind it, and so without a token.
pub fn fallback_slot(item_id: Bytes) -> wire::Slot {
    wire::Slot {
        item_id,
        score: 0.0,
        reasons: vec![FALLBACK.clone()],
        token: Bytes::new(),
    }
}

/// Slots whose item is gone from the catalog are left out.
pub fn placements(
    decided: Vec<wire::PlacementDecision>,
    items: &Items,
    contents: Vec<Option<Content>>,
) -> Vec<wire::PersonalizedPlacement> {
    let mut items = items.by_slot();
    let mut contents = contents.into_iter();
    let mut placement = |decision: wire::PlacementDecision| {
        let slots = decision.slots.into_iter().zip(items.by_ref());
        wire::PersonalizedPlacement {
            placement: decision.placement,
            decision_id: decision.decision_id,
            strategy: decision.strategy,
            variants: Vec::new(),
            slots: slots.filter_map(personalized).collect(),
            content: contents.next().flatten(),
            degraded: decision.fallback,
            explanation: decision.explanation,
        }
    };
    let mut all = Vec::with_capacity(decided.len());
    for decision in decided {
        all.push(placement(decision));
    }
    all
}

fn personalized((slot, item): (wire::Slot, &Option<Bytes>)) -> Option<wire::PersonalizedSlot> {
    Some(wire::PersonalizedSlot {
        item: Some(item.clone()?),
        score: slot.score,
        reasons: slot.reasons,
        token: slot.token,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decision(ids: &[&'static str]) -> wire::PlacementDecision {
        let slots = ids
            .iter()
            .map(|id| fallback_slot(Bytes::from_static(id.as_bytes())));
        wire::PlacementDecision {
            slots: slots.collect(),
            ..Default::default()
        }
    }

    fn response(items: &[&'static str], missing: &[&'static str]) -> wire::BatchGetItemsResponse {
        let bytes = |ids: &[&'static str]| {
            let ids = ids.iter().map(|id| Bytes::from_static(id.as_bytes()));
            ids.collect()
        };
        wire::BatchGetItemsResponse {
            items: bytes(items),
            missing_item_ids: bytes(missing),
        }
    }

    #[test]
    fn every_item_is_asked_for_once_and_put_in_all_its_places() {
        let decided = vec![decision(&["a", "b"]), decision(&["b", "c", "a"])];
        let wanted = Wanted::of(&decided);
        assert_eq!(wanted.ids, ["a", "b", "c"]);
        let items = Items::found(&wanted, response(&["A", "C"], &["b"])).unwrap();
        let placed = placements(decided, &items, vec![None, None]);
        let shown: Vec<Vec<_>> = placed
            .iter()
            .map(|p| p.slots.iter().flat_map(|s| s.item.clone()).collect())
            .collect();
        assert_eq!(shown, [vec!["A"], vec!["C", "A"]]);
    }

    #[test]
    fn an_answer_that_does_not_add_up_is_no_answer() {
        let wanted = Wanted::of(&[decision(&["a", "b"])]);
        assert!(Items::found(&wanted, response(&["A"], &[])).is_err());
    }
}
