//! Where filters let only few items through: those items themselves, the best first.
//! Lists of the best of the whole catalog would mostly be turned down, and run out.

use super::{
    super::{ItemIndex, Scene},
    Ranking,
};
use crate::domain::{filter::SelectiveItems, plan::SourceKind};

/// Items with what they are ranked by.
pub(super) type Values = Vec<(f64, ItemIndex)>;

/// Takes what a source would, were its list as long as the catalog; false for a source
/// that has no such list, or where filters let many items through.
pub(super) fn take(ranked: &mut Ranking<'_, '_>, kind: &SourceKind, values: &mut Values) -> bool {
    let placement = &*ranked.placement;
    let Some(few) = placement.filters.selective() else {
        return false;
    };
    let (items, now_ms) = (placement.scene.items, placement.request.now_ms);
    let popularity = &placement.scene.models.popularity;
    let is_offerable = |index: &ItemIndex| items.is_offerable_at(*index, now_ms);
    // Twice the limit, for some will not be eligible.
    let max = 2 * ranked.limit;
    match kind {
        SourceKind::Popular { signal } => {
            let attention = popularity.attention(*signal);
            let value = |index| Some(index).filter(is_offerable).and_then(&attention);
            few.ranked(max, value, values);
        }
        SourceKind::Trending { signal } => {
            let surprise = popularity.surprise(*signal);
            let value = |index| Some(index).filter(is_offerable).and_then(&surprise);
            few.ranked(max, value, values);
        }
        SourceKind::New { window_ms } => {
            let youth = |index| {
                let time_ms = items.get(index)?.first_published_ms?;
                let age_ms = now_ms.saturating_sub(time_ms).max(0);
                (age_ms < *window_ms).then(|| 1.0 - age_ms as f64 / *window_ms as f64)
            };
            let value = |index| Some(index).filter(is_offerable).and_then(youth);
            few.ranked(max, value, values);
        }
        _ => return false,
    }
    let is_new = matches!(kind, SourceKind::New { .. });
    for &(value, index) in &*values {
        if ranked.is_full() {
            break;
        }
        let score = match is_new {
            true => value as f32,
            false => super::rank_score(ranked.taken),
        };
        ranked.offer(index, score, None);
    }
    true
}

/// All of them: those that people do something with, the most popular first, and then
/// the others, the newest first.
pub(in super::super) fn best_first(
    scene: &Scene<'_>,
    few: &SelectiveItems,
) -> (Vec<ItemIndex>, Vec<ItemIndex>) {
    let attention = scene.models.popularity.attention(None);
    let published = |index| Some(scene.items.get(index)?.first_published_ms? as f64);
    let indexes = |values: Values| values.into_iter().map(|(_, index)| index).collect();
    let (mut popular, mut others) = (Values::new(), Values::new());
    few.ranked(usize::MAX, &attention, &mut popular);
    let value = |index| published(index).filter(|_| attention(index).is_none());
    few.ranked(usize::MAX, value, &mut others);
    (indexes(popular), indexes(others))
}
