//! Sources of what has changed lately: items that are new, cheaper than they were or in
//! stock again. Of what changed, what the person showed interest in comes first.

use super::{super::ItemIndex, Ranking};
use crate::domain::items::NO_CATEGORY;

/// Changes that one decision looks at, the latest first.
const LOOKED_AT_MAX: usize = 1024;
/// What the change of an item counts that the person had to do with, that is of a
/// category which they had to do with, or neither.
const OWN: f32 = 1.0;
const SAME_CATEGORY: f32 = 0.6;
const OTHER: f32 = 0.3;
/// A reduction that counts in full.
const DEEP: f64 = 0.5;

/// By age: 1 for what was published just now, 0 at the window's end.
pub(super) fn take_new(ranked: &mut Ranking<'_, '_>, window_ms: i64) {
    let now_ms = ranked.placement.request.now_ms;
    for &(time_ms, index) in ranked.placement.scene.items.newest() {
        let age_ms = now_ms.saturating_sub(time_ms).max(0);
        if age_ms >= window_ms || ranked.is_full() {
            break;
        }
        ranked.offer(index, youth(age_ms, window_ms), None);
    }
}

/// The deeper the reduction, the better, from a share of the price on.
pub(super) fn take_dropped(ranked: &mut Ranking<'_, '_>, window_ms: i64, share_min: f64) {
    let items = ranked.placement.scene.items;
    let now_ms = ranked.placement.request.now_ms;
    let value_of = |index| {
        let drop = items.changes().drop_of(index)?;
        let is_within = now_ms.saturating_sub(drop.time_ms) < window_ms;
        let share = drop.share();
        (is_within && share >= share_min).then(|| 0.5 + 0.5 * (share / DEEP).min(1.0) as f32)
    };
    let latest = items.changes().dropped().take(LOOKED_AT_MAX);
    let latest = latest.take_while(|(time_ms, _)| now_ms.saturating_sub(*time_ms) < window_ms);
    take_by_interest(ranked, latest.map(|(_, index)| index), value_of);
}

/// The more recent, the better.
pub(super) fn take_restocked(ranked: &mut Ranking<'_, '_>, window_ms: i64) {
    let items = ranked.placement.scene.items;
    let now_ms = ranked.placement.request.now_ms;
    let age_of = |time_ms: i64| now_ms.saturating_sub(time_ms).max(0);
    let value_of = |index| {
        let age_ms = age_of(items.changes().restocked_ms(index)?);
        (age_ms < window_ms).then(|| 0.5 + 0.5 * youth(age_ms, window_ms))
    };
    let latest = items.changes().restocked().take(LOOKED_AT_MAX);
    let latest = latest.take_while(|(time_ms, _)| age_of(*time_ms) < window_ms);
    take_by_interest(ranked, latest.map(|(_, index)| index), value_of);
}

fn youth(age_ms: i64, window_ms: i64) -> f32 {
    1.0 - age_ms as f32 / window_ms as f32
}

/// In three rounds: the person's own items, however long ago they changed within the
/// window; then their categories; then the rest.
fn take_by_interest(
    ranked: &mut Ranking<'_, '_>,
    latest: impl Iterator<Item = ItemIndex> + Clone,
    value_of: impl Fn(ItemIndex) -> Option<f32>,
) {
    let items = ranked.placement.scene.items;
    let recent = ranked.placement.request.recent;
    let is_own = |index| recent.iter().any(|recent| recent.item == index);
    let is_near = |index| {
        let leaf = items.leaf_of(index);
        leaf != NO_CATEGORY && recent.iter().any(|r| items.leaf_of(r.item) == leaf)
    };
    for (at, own) in recent.iter().enumerate() {
        let is_first = recent[..at].iter().all(|earlier| earlier.item != own.item);
        if is_first
            && !ranked.is_full()
            && let Some(value) = value_of(own.item)
        {
            ranked.offer(own.item, OWN * value, None);
        }
    }
    for (interest, is_wanted) in [(SAME_CATEGORY, true), (OTHER, false)] {
        if is_wanted && recent.is_empty() {
            continue;
        }
        for index in latest.clone() {
            if ranked.is_full() {
                return;
            }
            if is_near(index) == is_wanted
                && !is_own(index)
                && let Some(value) = value_of(index)
            {
                ranked.offer(index, interest * value, None);
            }
        }
    }
}
