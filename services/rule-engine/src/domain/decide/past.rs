//! What a person's past with items means where a strategy is at work: which items it
//! keeps from them, and how worn the others are. Costs nothing for whom nothing is
//! known.

use super::{ItemIndex, Request, Scene, places::Places, trace::Cause};
use crate::domain::{
    caps::{self, CapScope},
    exposures::{History, Kind, key_of, since_s},
    plan::{PlacementPlan, StrategyPlan},
};

/// People stock up before they run out: the share of the time that one unit lasts
/// after which it may be shown again.
const DUE_SHARE: f64 = 0.75;
const DAY_MS: f64 = 86_400_000.0;

const DISMISSED: u32 = 0;
const CAPPED: u32 = 1;

#[derive(Debug, Default)]
pub(super) struct Past {
    /// Where the items that were bought are in `bought_ms`: the same for every placement
    /// of a request, and put down when the first of them asks.
    bought: Places,
    /// When each was bought last.
    bought_ms: Vec<i64>,
    is_bought_known: bool,
    /// The strategy at work keeps them out.
    keeps_bought: bool,
    /// Items with why they are kept out.
    kept_out: Places,
    /// Exposures in vain.
    worn: Counts,
    counts: Counts,
}

/// How often each of some items.
#[derive(Debug, Default)]
struct Counts {
    places: Places,
    counts: Vec<(ItemIndex, u32)>,
}

impl Counts {
    fn clear(&mut self) {
        self.places.clear();
        self.counts.clear();
    }

    fn add(&mut self, items: impl Iterator<Item = ItemIndex>) {
        for item in items {
            let next = self.counts.len() as u32;
            match self.places.get_or_insert(item, next) {
                Some(at) => self.counts[at as usize].1 += 1,
                None => self.counts.push((item, 1)),
            }
        }
    }

    fn of(&self, item: ItemIndex) -> Option<u32> {
        let at = self.places.get(item)?;
        Some(self.counts[at as usize].1)
    }
}

impl Past {
    /// For another request.
    pub fn begin_request(&mut self) {
        self.is_bought_known = false;
    }

    /// For a strategy at work in a placement.
    pub fn begin(&mut self, request: &Request<'_>, plan: &PlacementPlan, strategy: &StrategyPlan) {
        self.kept_out.clear();
        self.worn.clear();
        self.keeps_bought = !strategy.eligibility.allow_bought;
        if self.keeps_bought && !self.is_bought_known {
            self.look_up_bought(request);
        }
        let Some(history) = request.history else {
            return;
        };
        let days = strategy.eligibility.dismissed_days;
        let since = days.map_or(0, |days| since_s(request.now_ms, days));
        for item in history.dismissed(since) {
            self.kept_out.get_or_insert(item, DISMISSED);
        }
        self.cap(history, plan, request.now_ms);
        if let Some(fatigue) = strategy.fatigue {
            let since = since_s(request.now_ms, fatigue.days);
            self.worn.add(history.shown_in_vain(since));
        }
    }

    /// Why the item is kept from the person, if it is.
    pub fn keeps_out(&self, scene: &Scene<'_>, now_ms: i64, index: ItemIndex) -> Option<Cause> {
        // Of all that was bought, only what comes up is asked whether it is due.
        if self.keeps_bought
            && let Some(bought_ms) = self.bought_ms(index)
            && !is_due(scene, index, now_ms.saturating_sub(bought_ms))
        {
            return Some(Cause::AlreadyBought);
        }
        Some(match self.kept_out.get(index)? {
            DISMISSED => Cause::Dismissed,
            _ => Cause::Capped,
        })
    }

    pub fn has_worn(&self) -> bool {
        !self.worn.counts.is_empty()
    }

    /// How often the item was shown in vain, if it was.
    pub fn exposures_in_vain(&self, index: ItemIndex) -> Option<u32> {
        self.worn.of(index)
    }

    fn bought_ms(&self, index: ItemIndex) -> Option<i64> {
        let at = self.bought.get(index)?;
        Some(self.bought_ms[at as usize])
    }

    fn look_up_bought(&mut self, request: &Request<'_>) {
        self.is_bought_known = true;
        self.bought.clear();
        self.bought_ms.clear();
        let events = request.bought.iter().map(|past| (past.item, past.time_ms));
        let tokens = request.history.into_iter().flat_map(History::converted);
        for (item, time_ms) in events.chain(tokens) {
            let next = self.bought_ms.len() as u32;
            match self.bought.get_or_insert(item, next) {
                Some(at) => {
                    let latest_ms = &mut self.bought_ms[at as usize];
                    *latest_ms = time_ms.max(*latest_ms);
                }
                None => self.bought_ms.push(time_ms),
            }
        }
    }

    fn cap(&mut self, history: &History, plan: &PlacementPlan, now_ms: i64) {
        for cap in plan.caps.iter().filter(|cap| cap.scope == CapScope::Item) {
            self.counts.clear();
            let since = since_s(now_ms, cap.limit.days.into());
            self.counts.add(history.shown(since));
            for (item, count) in &self.counts.counts {
                if *count >= cap.limit.exposure_max {
                    self.kept_out.get_or_insert(*item, CAPPED);
                }
            }
        }
    }
}

/// Whether an item that was bought so long ago may be shown again.
fn is_due(scene: &Scene<'_>, item: ItemIndex, ago_ms: i64) -> bool {
    if !scene.models.is_replenishable(scene.items, item) {
        return false;
    }
    let declared = scene.items.get(item);
    let lasts_days = declared.map_or(0.0, |item| f64::from(item.replenishment_days));
    ago_ms as f64 >= DUE_SHARE * lasts_days * DAY_MS
}

/// Whether the person has seen enough of the placement or of its channel.
pub(super) fn is_placement_capped(request: &Request<'_>, plan: &PlacementPlan) -> bool {
    let Some(history) = request.history else {
        return false;
    };
    plan.caps.iter().any(|cap| {
        let (kind, name) = match cap.scope {
            CapScope::Item => return false,
            CapScope::Placement => (Kind::Placement, &*plan.id),
            CapScope::Channel => (Kind::Channel, request.channel),
        };
        caps::is_reached(history, cap.limit, kind, key_of(name), request.now_ms)
    })
}
