//! Who is asking, read from a serialized snapshot without building what the decision
//! will not look at: ids are borrowed, events become item indexes, and traits and events
//! are decoded only when an expression asks for one. Never holds on to personal data.

mod lazy;
mod wire;

use attune_api::profile::v1::Basis;

pub use lazy::LazySubject;
use wire::{Field, field, text};

use super::{
    items::{ItemIndex, Items},
    popularity::Signal,
};

/// Items of recent events that are looked at: more than any source makes use of.
const RECENT_ITEMS_MAX: usize = 24;

/// One item that the person did something with, the newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecentItem {
    pub signal: Signal,
    pub item: ItemIndex,
    pub time_ms: i64,
}

/// The parts of a snapshot that every decision reads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Subject<'a> {
    /// Empty for a stranger.
    pub profile_id: &'a str,
    pub basis: Basis,
}

/// Bytes that are no `Snapshot`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a serialized snapshot")]
pub struct Unreadable;

/// Reads a snapshot; `recent` is cleared and filled with what the person did with
/// items that have an index.
pub fn read<'a>(
    bytes: &'a [u8],
    items: &Items,
    recent: &mut Vec<RecentItem>,
) -> Result<Subject<'a>, Unreadable> {
    recent.clear();
    let mut subject = Subject {
        profile_id: "",
        basis: Basis::Full,
    };
    let mut rest = bytes;
    while !rest.is_empty() {
        match field(&mut rest)? {
            (1, Field::Bytes(id)) => subject.profile_id = text(id)?,
            (2, Field::Number(basis)) => {
                subject.basis = match Basis::try_from(basis as i32) {
                    Ok(basis @ (Basis::ContextOnly | Basis::NotPersonalized)) => basis,
                    _ => Basis::Full,
                };
            }
            (5, Field::Bytes(event)) if recent.len() < RECENT_ITEMS_MAX => {
                read_event(event, items, recent)?;
            }
            _ => {}
        }
    }
    if subject.basis != Basis::Full {
        recent.clear();
    }
    Ok(subject)
}

/// Every purchase in a snapshot of items that have an index, the newest first. A pass of
/// its own, since only decisions about what was bought need it.
pub fn purchases(
    bytes: &[u8],
    items: &Items,
    bought: &mut Vec<RecentItem>,
) -> Result<(), Unreadable> {
    bought.clear();
    let mut basis = 0;
    let mut rest = bytes;
    while !rest.is_empty() {
        match field(&mut rest)? {
            (2, Field::Number(number)) => basis = number as i32,
            (5, Field::Bytes(event)) => read_purchase(event, items, bought)?,
            _ => {}
        }
    }
    if [Basis::ContextOnly as i32, Basis::NotPersonalized as i32].contains(&basis) {
        bought.clear();
    }
    Ok(())
}

fn read_purchase(
    bytes: &[u8],
    items: &Items,
    bought: &mut Vec<RecentItem>,
) -> Result<(), Unreadable> {
    let (mut is_purchase, mut time_ms) = (false, 0);
    let start = bought.len();
    let mut rest = bytes;
    while !rest.is_empty() {
        match field(&mut rest)? {
            (1, Field::Bytes(event_type)) => {
                is_purchase = Signal::of_event(text(event_type)?) == Some(Signal::Purchase);
                // Written first: what is no purchase is not read on.
                if !is_purchase {
                    return Ok(());
                }
            }
            (2, Field::Number(time)) => time_ms = time as i64,
            (3, Field::Bytes(id)) => {
                let item = items.index_of(text(id)?);
                bought.extend(item.map(|item| RecentItem {
                    signal: Signal::Purchase,
                    item,
                    time_ms: 0,
                }));
            }
            _ => {}
        }
    }
    if !is_purchase {
        bought.truncate(start);
    }
    for purchase in &mut bought[start..] {
        purchase.time_ms = time_ms;
    }
    Ok(())
}

fn read_event(bytes: &[u8], items: &Items, recent: &mut Vec<RecentItem>) -> Result<(), Unreadable> {
    let mut signal = None;
    let mut time_ms = 0;
    let start = recent.len();
    let mut rest = bytes;
    while !rest.is_empty() {
        match field(&mut rest)? {
            (1, Field::Bytes(event_type)) => signal = Signal::of_event(text(event_type)?),
            (2, Field::Number(time)) => time_ms = time as i64,
            (3, Field::Bytes(id)) if recent.len() < RECENT_ITEMS_MAX => {
                if let Some(item) = items.index_of(text(id)?) {
                    recent.push(RecentItem {
                        signal: Signal::View,
                        item,
                        time_ms,
                    });
                }
            }
            _ => {}
        }
    }
    match signal {
        Some(signal) => {
            for item in &mut recent[start..] {
                item.signal = signal;
                item.time_ms = time_ms;
            }
        }
        None => recent.truncate(start),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use attune_expr::{Scope, SubjectScope, Value};
    use prost::Message;

    use attune_api::{
        catalog::v1::Item,
        profile::v1::{RecentEvent, Snapshot},
    };

    fn items(ids: &[&str]) -> Items {
        let mut items = Items::default();
        for id in ids {
            let item = Item {
                item_id: (*id).into(),
                ..Default::default()
            };
            items.upsert(&item, None);
        }
        items
    }

    fn event(kind: &str, time_ms: i64, ids: &[&str]) -> RecentEvent {
        RecentEvent {
            r#type: kind.into(),
            time_ms,
            item_ids: ids.iter().map(ToString::to_string).collect(),
            revenue: 9.5,
            ..Default::default()
        }
    }

    fn snapshot(basis: Basis) -> Vec<u8> {
        Snapshot {
            profile_id: "p".into(),
            basis: basis.into(),
            segments: vec!["vip".into()],
            recent_events: vec![
                event("purchase", 30, &["b", "gone", "a"]),
                event("search", 20, &["a"]),
                event("view", 10, &["a"]),
            ],
            ..Default::default()
        }
        .encode_to_vec()
    }

    #[test]
    fn recent_items_come_newest_first_and_only_those_that_say_something() {
        let items = items(&["a", "b"]);
        let mut recent = Vec::new();
        let bytes = snapshot(Basis::Full);
        let subject = read(&bytes, &items, &mut recent).unwrap();
        assert_eq!((subject.profile_id, subject.basis), ("p", Basis::Full));
        let found: Vec<_> = recent
            .iter()
            .map(|r| (r.signal, r.item, r.time_ms))
            .collect();
        let expected = [
            (Signal::Purchase, 1, 30),
            (Signal::Purchase, 0, 30),
            (Signal::View, 0, 10),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn purchases_are_all_read_with_their_times() {
        let items = items(&["a", "b"]);
        let mut bought = vec![];
        purchases(&snapshot(Basis::Full), &items, &mut bought).unwrap();
        let found: Vec<_> = bought.iter().map(|b| (b.item, b.time_ms)).collect();
        assert_eq!(found, [(1, 30), (0, 30)]);
        let mut event = event("purchase", 1, &["a"]);
        event.item_ids = vec!["a".into(); 200];
        let many = Snapshot {
            recent_events: vec![event],
            ..Default::default()
        };
        purchases(&many.encode_to_vec(), &items, &mut bought).unwrap();
        assert_eq!(bought.len(), 200);
    }

    #[test]
    fn without_consent_nothing_personal_is_read() {
        let mut recent = Vec::new();
        for basis in [Basis::ContextOnly, Basis::NotPersonalized] {
            let bytes = snapshot(basis);
            let subject = read(&bytes, &items(&["a", "b"]), &mut recent).unwrap();
            assert_eq!(subject.basis, basis);
            assert!(recent.is_empty());
            purchases(&bytes, &items(&["a", "b"]), &mut recent).unwrap();
            assert!(recent.is_empty());
        }
    }

    #[test]
    fn expressions_read_what_the_contract_wrote() {
        let wrote = Snapshot {
            traits: attune_api::json::to_struct(serde_json::json!({
                "age": 40, "name": "Ann", "sizes": [1, 2],
            })),
            segments: vec!["vip".into()],
            consents: [("analytics".to_owned(), true)].into(),
            recent_events: vec![event("view", 10, &["a"])],
            ..Default::default()
        };
        let bytes = wrote.encode_to_vec();
        let situation = SubjectScope {
            snapshot: None,
            context: None,
            channel: "web",
            now_ms: 0,
            subject_key: "p",
        };
        let subject = LazySubject::new(&bytes, situation);
        assert!(matches!(subject.profile("age"), Value::Number(age) if age == 40.0));
        assert!(matches!(subject.profile("name"), Value::Text(name) if name == "Ann"));
        assert!(matches!(subject.profile("sizes"), Value::Protos([_, _])));
        assert!(matches!(subject.profile("none"), Value::Missing));
        let known = subject.known();
        assert_eq!(known.segments, wrote.segments);
        assert_eq!(known.consents, wrote.consents);
    }

    #[test]
    fn questions_about_the_history_see_the_events_of_the_snapshot() {
        let bytes = snapshot(Basis::Full);
        let situation = SubjectScope {
            snapshot: None,
            context: None,
            channel: "web",
            now_ms: 40,
            subject_key: "p",
        };
        let subject = LazySubject::new(&bytes, situation);
        for (source, expected) in [
            (r#"events("purchase").count() == 1"#, true),
            (r#"events("view").within("20ms").exists()"#, false),
            (r#"events("search").then("purchase").exists()"#, true),
            (r#"events("purchase").then("view").exists()"#, false),
            (r#"events("purchase").sum("revenue") == 9.5"#, true),
            (
                r#"now - events("search").last().time == duration("20ms")"#,
                true,
            ),
            (r#""b" in events("purchase").last().item_ids"#, true),
        ] {
            let vocabulary = attune_expr::Vocabulary::subject();
            let expression = attune_expr::Expression::compile(source, &vocabulary).unwrap();
            assert_eq!(expression.matches(&subject), expected, "{source}");
        }
    }

    #[test]
    fn no_bytes_are_a_stranger_and_garbage_is_refused() {
        let mut recent = Vec::new();
        let items = Items::default();
        assert_eq!(read(b"", &items, &mut recent).unwrap().profile_id, "");
        for garbage in [
            &b"\xff\xff\xff"[..],
            b"\x0a\x09abc",
            b"\x0b",
            b"\x0a\x01\xff",
        ] {
            assert_eq!(read(garbage, &items, &mut recent), Err(Unreadable));
        }
    }
}
