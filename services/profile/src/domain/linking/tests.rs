//! Who messages are of, told in short: `u1` is a user id, `a1` an anonymous one.

use super::*;
use std::collections::{BTreeMap, BTreeSet};

/// Identities as `u1` (user id), `a1` (anonymous id), `e1` (custom).
fn identity(short: &str) -> Identity {
    let namespace = match &short[..1] {
        "u" => "user_id",
        "a" => "anonymous_id",
        _ => "card",
    };
    Identity::of(namespace, short)
}

fn message(text: &str) -> Message {
    let (who, kind) = match text.split_once("<-") {
        Some((who, previous)) => {
            let previous = identity(previous);
            (who, Kind::Alias { previous })
        }
        None => (text, Kind::Identify([].into())),
    };
    let mut identities: Vec<_> = who.split('+').map(identity).collect();
    identities.sort_by_key(Identity::rank);
    Message {
        id: text.into(),
        who: Who::Identities(identities),
        time_ms: 0,
        provenance: Arc::default(),
        kind,
        signals: None,
    }
}

/// Groups of identities that are one person after the messages, and for each
/// message the index of the group it went to.
fn people(messages: &[&str]) -> (Vec<String>, Vec<usize>) {
    let mut directory = Directory::default();
    let mut steps = Vec::new();
    let mut fresh = ProfileId::fresh;
    let went: Vec<_> = messages
        .iter()
        .map(|m| {
            let owner = directory.decide(&message(m), &mut fresh, &mut steps);
            owner.unwrap().profile_id
        })
        .collect();
    let mut groups: BTreeMap<ProfileId, BTreeSet<String>> = BTreeMap::new();
    for (key, holder) in &directory.origins {
        let id = Identity::from_key(key).unwrap();
        let holder = directory.living(*holder).unwrap();
        groups
            .entry(holder)
            .or_default()
            .insert(id.value().to_owned());
    }
    let order: Vec<_> = groups.keys().copied().collect();
    let shown = groups
        .into_values()
        .map(|ids| ids.into_iter().collect::<Vec<_>>().join("+"))
        .collect();
    let went = went
        .into_iter()
        .map(|id| directory.living(id).unwrap())
        .map(|id| order.iter().position(|o| *o == id).unwrap())
        .collect();
    (shown, went)
}

#[test]
fn identifiers_seen_together_are_one_person_unless_two_customers_share_them() {
    let rows: &[(&[&str], &[&str], &[usize])] = &[
        // Anonymous becomes known, whichever way round.
        (&["a1", "u1+a1", "a1"], &["a1+u1"], &[0, 0, 0]),
        (&["u1", "a1", "u1+a1"], &["a1+u1"], &[0, 0, 0]),
        (
            &["u1", "a1", "a2", "u1+a1", "u1+a2"],
            &["a1+a2+u1"],
            &[0; 5],
        ),
        // A device of another customer's is not taken over.
        (&["u1+a1", "u2+a1", "a1"], &["a1+u1", "u2"], &[0, 1, 0]),
        (
            &["u1+a1", "u2", "u2+a1", "u2+a2"],
            &["a1+u1", "a2+u2"],
            &[0, 1, 1, 1],
        ),
        // Other namespaces join what is not known, and stay with who is.
        (&["e1", "a1", "e1+a1", "u1+e1"], &["a1+e1+u1"], &[0; 4]),
        (
            &["u1+e1", "u2+a1", "e1+a1"],
            &["e1+u1", "a1+u2"],
            &[0, 1, 0],
        ),
        (&["a1", "u1", "u1+e1", "e1+a1"], &["a1+e1+u1"], &[0; 4]),
        // A new customer does not become the one who holds the card.
        (
            &["u1+e1", "a1", "u2+e1+a1"],
            &["e1+u1", "a1+u2"],
            &[0, 1, 1],
        ),
        // Alias joins whatever it is told to.
        (&["u1", "u2", "u2<-u1"], &["u1+u2"], &[0, 0, 0]),
        (&["u1<-a1", "a1"], &["a1+u1"], &[0, 0]),
        (&["a1", "u1<-a1", "u1<-a1"], &["a1+u1"], &[0, 0, 0]),
    ];
    for (messages, groups, went) in rows {
        let expected = (
            groups.iter().map(ToString::to_string).collect(),
            went.to_vec(),
        );
        assert_eq!(people(messages), expected, "{messages:?}");
    }
}

fn fresh_ids(count: usize) -> Vec<ProfileId> {
    (0..count).map(|_| ProfileId::fresh()).collect()
}

#[test]
fn the_older_id_stays_and_old_ids_lead_to_it() {
    let ids = fresh_ids(3);
    let mut directory = Directory::default();
    for id in &ids {
        directory.add_profile(*id, Standing::NEW);
    }
    let mut steps = Vec::new();
    let mut merge = |a: usize, b: usize| {
        let (a, b) = (Owner::only(ids[a]), Owner::only(ids[b]));
        directory.merge(a, b, Evidence::default(), &mut steps)
    };
    assert_eq!(merge(2, 1), ids[1]);
    assert_eq!(merge(1, 0), ids[0]);
    assert_eq!(
        ids.iter().map(|i| directory.living(*i)).collect::<Vec<_>>(),
        [Some(ids[0]); 3]
    );
    assert_eq!(directory.living(ProfileId::fresh()), None);
}
