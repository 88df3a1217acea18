//! What a write makes of an item: which fields the catalog fills in, and whether
//! anything changes at all.

use attune_api::{
    catalog::v1::{Item, ItemState},
    time,
};

/// What is stored of an item, without its content.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub etag: String,
    pub state: i32,
    pub create_ms: i64,
    pub update_ms: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Created,
    Updated,
    Unchanged,
}

/// The item as it will be stored, and what that changes. `etag_of` hashes content.
pub(crate) fn revise(
    draft: &Item,
    stored: Option<&Stored>,
    now_ms: i64,
    etag_of: impl Fn(&Item) -> String,
) -> (Item, Change) {
    let mut item = draft.clone();
    item.etag.clear();
    item.create_time = None;
    item.update_time = None;
    if item.state() == ItemState::Unspecified {
        item.state = stored.map_or(ItemState::Published.into(), |stored| stored.state);
    }
    let etag = etag_of(&item);
    let (create_ms, update_ms, change) = match stored {
        None => (now_ms, now_ms, Change::Created),
        Some(stored) if stored.etag == etag => {
            (stored.create_ms, stored.update_ms, Change::Unchanged)
        }
        // A clock that was set back must not make an item older than it was.
        Some(stored) => (
            stored.create_ms,
            now_ms.max(stored.update_ms),
            Change::Updated,
        ),
    };
    item.etag = etag;
    item.create_time = Some(time::from_ms(create_ms));
    item.update_time = Some(time::from_ms(update_ms));
    (item, change)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn etag_of(item: &Item) -> String {
        format!("{}/{}/{}", item.item_id, item.url, item.state)
    }

    fn stored(draft: &Item) -> Stored {
        let (item, _) = revise(draft, None, 5, etag_of);
        Stored {
            etag: item.etag,
            state: item.state,
            create_ms: 5,
            update_ms: 7,
        }
    }

    #[test]
    fn a_new_item_is_published_unless_it_says_otherwise() {
        let (item, change) = revise(&Item::default(), None, 5, etag_of);
        assert_eq!(
            (item.state(), change),
            (ItemState::Published, Change::Created)
        );
        assert_eq!(item.create_time, Some(time::from_ms(5)));
        let draft = Item {
            state: ItemState::Draft.into(),
            ..Default::default()
        };
        assert_eq!(revise(&draft, None, 5, etag_of).0.state(), ItemState::Draft);
    }

    #[test]
    fn an_item_that_says_no_state_keeps_its_own() {
        let archived = Item {
            state: ItemState::Archived.into(),
            ..Default::default()
        };
        let (item, change) = revise(&Item::default(), Some(&stored(&archived)), 9, etag_of);
        assert_eq!(
            (item.state(), change),
            (ItemState::Archived, Change::Unchanged)
        );
    }

    #[test]
    fn only_a_change_of_content_touches_the_time() {
        let draft = Item::default();
        let (item, change) = revise(&draft, Some(&stored(&draft)), 9, etag_of);
        assert_eq!(change, Change::Unchanged);
        assert_eq!(item.update_time, Some(time::from_ms(7)));
        let changed = Item {
            url: "https://a.example".into(),
            ..draft.clone()
        };
        let (item, change) = revise(&changed, Some(&stored(&draft)), 3, etag_of);
        assert_eq!(change, Change::Updated);
        assert_eq!(item.create_time, Some(time::from_ms(5)));
        assert_eq!(item.update_time, Some(time::from_ms(7)), "never backwards");
    }
}
