//! What the person bought before and is due again, by their own rhythm and by that of
//! everybody who buys the item.

use smallvec::SmallVec;

use super::{super::ItemIndex, Ranking};
use crate::domain::replenishment::{OwnPurchases, SAME_ERRAND_MS};

/// Below this the moment is wrong.
const DUE_MIN: f32 = 0.02;

/// One item's purchases while they are gone through, the newest first.
struct Own {
    item: ItemIndex,
    purchases: OwnPurchases,
    earliest_ms: i64,
}

pub(super) fn take_due(ranked: &mut Ranking<'_, '_>) {
    let request = ranked.placement.request;
    let scene = ranked.placement.scene;
    let mut bought: SmallVec<[Own; 32]> = SmallVec::new();
    for purchase in request.bought {
        let held = bought.iter_mut().find(|own| own.item == purchase.item);
        match held {
            Some(own) => {
                let gap_ms = own.earliest_ms.saturating_sub(purchase.time_ms);
                if gap_ms >= SAME_ERRAND_MS {
                    own.purchases.gaps.add(gap_ms);
                    own.earliest_ms = purchase.time_ms;
                }
            }
            None => bought.push(Own {
                item: purchase.item,
                purchases: OwnPurchases {
                    since_ms: request.now_ms.saturating_sub(purchase.time_ms).max(0),
                    ..OwnPurchases::default()
                },
                earliest_ms: purchase.time_ms,
            }),
        }
    }
    let due = bought.iter().map(|own| {
        let due = scene.models.due(scene.items, own.item, &own.purchases);
        (due, own.item)
    });
    let mut due: SmallVec<[(f32, ItemIndex); 32]> =
        due.filter(|(due, _)| *due >= DUE_MIN).collect();
    due.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    for (due, item) in due {
        if ranked.is_full() {
            break;
        }
        ranked.offer(item, due, None);
    }
}
