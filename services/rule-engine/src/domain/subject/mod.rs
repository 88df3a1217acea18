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

/// What a snapshot tells of a person and items that have an index, the newest first.
/// Reused from one request to the next.
#[derive(Debug, Default)]
pub struct Behaviour {
    /// What they did lately.
    pub recent: Vec<RecentItem>,
    /// Every purchase, where that was asked for.
    pub bought: Vec<RecentItem>,
    /// Of the event being read.
    items: Vec<ItemIndex>,
}

/// How much of a history is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// What was done lately.
    Recent,
    /// Besides, every purchase: only decisions about what was bought need them.
    Purchases,
}

/// Reads a snapshot once; what `behaviour` held before is forgotten.
pub fn read<'a>(
    bytes: &'a [u8],
    items: &Items,
    wanted: Wanted,
    behaviour: &mut Behaviour,
) -> Result<Subject<'a>, Unreadable> {
    behaviour.clear();
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
            (5, Field::Bytes(event)) => behaviour.read_event(event, items, wanted)?,
            _ => {}
        }
    }
    if subject.basis != Basis::Full {
        behaviour.clear();
    }
    Ok(subject)
}

impl Behaviour {
    fn clear(&mut self) {
        self.recent.clear();
        self.bought.clear();
    }

    fn read_event(
        &mut self,
        bytes: &[u8],
        items: &Items,
        wanted: Wanted,
    ) -> Result<(), Unreadable> {
        let room = RECENT_ITEMS_MAX - self.recent.len();
        if room == 0 && wanted == Wanted::Recent {
            return Ok(());
        }
        let (mut signal, mut time_ms) = (None, 0);
        self.items.clear();
        let mut rest = bytes;
        while !rest.is_empty() {
            match field(&mut rest)? {
                (1, Field::Bytes(event_type)) => {
                    signal = Signal::of_event(text(event_type)?);
                    // Written first: what says nothing is not read on.
                    if !(signal == Some(Signal::Purchase) || signal.is_some() && room > 0) {
                        return Ok(());
                    }
                }
                (2, Field::Number(time)) => time_ms = time as i64,
                (3, Field::Bytes(id)) if wanted == Wanted::Purchases || self.items.len() < room => {
                    self.items.extend(items.index_of(text(id)?));
                }
                _ => {}
            }
        }
        let Some(signal) = signal else {
            return Ok(());
        };
        let done = self.items.iter().map(|item| RecentItem {
            signal,
            item: *item,
            time_ms,
        });
        self.recent.extend(done.clone().take(room));
        if signal == Signal::Purchase && wanted == Wanted::Purchases {
            self.bought.extend(done);
        }
        Ok(())
    }
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
        let mut behaviour = Behaviour::default();
        let bytes = snapshot(Basis::Full);
        let subject = read(&bytes, &items, Wanted::Recent, &mut behaviour).unwrap();
        assert_eq!((subject.profile_id, subject.basis), ("p", Basis::Full));
        assert!(behaviour.bought.is_empty());
        let found: Vec<_> = behaviour
            .recent
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
        let mut behaviour = Behaviour::default();
        let mut read_all = |bytes: &[u8]| {
            read(bytes, &items, Wanted::Purchases, &mut behaviour).unwrap();
            let bought = behaviour.bought.iter().map(|b| (b.item, b.time_ms));
            (bought.collect::<Vec<_>>(), behaviour.recent.len())
        };
        assert_eq!(
            read_all(&snapshot(Basis::Full)),
            (vec![(1, 30), (0, 30)], 3)
        );
        let mut many = event("purchase", 2, &["a"]);
        many.item_ids = vec!["a".into(); 200];
        let many = Snapshot {
            recent_events: vec![many, event("view", 1, &["b"]), event("purchase", 0, &["b"])],
            ..Default::default()
        };
        let (bought, recent_count) = read_all(&many.encode_to_vec());
        assert_eq!((bought.len(), recent_count), (201, RECENT_ITEMS_MAX));
        assert_eq!(bought[200], (1, 0));
    }

    #[test]
    fn without_consent_nothing_personal_is_read() {
        let mut behaviour = Behaviour::default();
        for basis in [Basis::ContextOnly, Basis::NotPersonalized] {
            let (bytes, items) = (snapshot(basis), items(&["a", "b"]));
            let subject = read(&bytes, &items, Wanted::Purchases, &mut behaviour).unwrap();
            assert_eq!(subject.basis, basis);
            assert!(behaviour.recent.is_empty() && behaviour.bought.is_empty());
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
        let mut behaviour = Behaviour::default();
        let items = Items::default();
        let mut read = |bytes| read(bytes, &items, Wanted::Recent, &mut behaviour);
        assert_eq!(read(b"").unwrap().profile_id, "");
        for garbage in [
            &b"\xff\xff\xff"[..],
            b"\x0a\x09abc",
            b"\x0b",
            b"\x0a\x01\xff",
        ] {
            assert_eq!(read(garbage), Err(Unreadable));
        }
    }
}
