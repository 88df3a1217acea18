//! Decisions and signals, one after the other, and of two people who are one.

use super::*;
use crate::domain::{
    purposes::tests::purposes,
    region::Region,
    tcf::{Tcf, tests::FIRST_THREE},
};

fn decided(granted: bool, time_ms: i64) -> Decision {
    Decision {
        granted,
        time_ms,
        ..Decision::default()
    }
}

/// As a record does.
fn decide(held: &mut Decisions, purpose: String, decision: Decision) {
    let holds = held.get(&purpose);
    if holds.is_none_or(|holds| holds.gives_way_to(&decision)) {
        held.insert(purpose, decision);
    }
}

/// Sends signals one after the other and shows what is decided, `+` for a grant.
fn after(rows: &[(i64, Signals)], grants: &[(i64, &str)]) -> String {
    let purposes = purposes();
    let (mut signalled, mut held) = (Signalled::default(), Decisions::new());
    let mut steps: Vec<(i64, Option<&Signals>, &str)> = rows
        .iter()
        .map(|(at, signals)| (*at, Some(signals), ""))
        .chain(grants.iter().map(|(at, purpose)| (*at, None, *purpose)))
        .collect();
    steps.sort_by_key(|(at, ..)| *at);
    for (at, signals, purpose) in steps {
        match signals {
            Some(signals) => {
                let known = Held {
                    decisions: &held,
                    signalled: None,
                };
                for (purpose, decision) in signalled.take(signals, at, known, &purposes) {
                    decide(&mut held, purpose, decision);
                }
            }
            None => {
                held.insert(purpose.to_owned(), decided(true, at));
            }
        }
    }
    let shown = held.iter().map(|(purpose, decision)| {
        let sign = if decision.granted { "+" } else { "-" };
        format!("{sign}{purpose}@{}", decision.time_ms)
    });
    shown.collect::<Vec<_>>().join(" ")
}

fn gpc() -> Signals {
    Signals {
        gpc: true,
        ..Signals::default()
    }
}

#[test]
fn gpc_withdraws_what_was_not_granted_in_spite_of_it() {
    let both = "-analytics@10 -personalization@10";
    assert_eq!(after(&[(10, gpc())], &[]), both);
    assert_eq!(after(&[(10, gpc()), (20, gpc())], &[]), both);
    assert_eq!(after(&[(10, gpc())], &[(5, "personalization")]), both);
    let insisted = [(10, gpc()), (20, gpc())];
    assert_eq!(
        after(&insisted, &[(15, "personalization")]),
        "-analytics@10 +personalization@15"
    );
}

#[test]
fn a_repeated_string_decides_once() {
    let tcf = |raw: &str| Signals {
        tcf: Some(Tcf::decode(raw).unwrap()),
        ..Signals::default()
    };
    let (first, none) = (
        tcf(FIRST_THREE),
        tcf(&format!("{}AAAAAAAAAAAAAAAAAA", "COvFyGBOvFyGBAbAAAENAP")),
    );
    let shown = after(&[(10, first.clone()), (30, first.clone())], &[]);
    assert_eq!(
        shown,
        "-ads@10 -analytics@10 +measured@10 -personalization@10"
    );
    let shown = after(&[(10, first.clone()), (30, first.clone())], &[(20, "ads")]);
    assert_eq!(
        shown,
        "+ads@20 -analytics@10 +measured@10 -personalization@10"
    );
    let shown = after(&[(10, first), (30, none)], &[]);
    assert_eq!(
        shown,
        "-ads@30 -analytics@30 -measured@30 -personalization@30"
    );
}

/// A string as FIRST_THREE that grants none of the IAB's purposes.
fn none() -> String {
    format!("{}AAAAAAAAAAAAAAAAAA", "COvFyGBOvFyGBAbAAAENAP")
}

fn string(raw: &str) -> Signals {
    Signals {
        tcf: Some(Tcf::decode(raw).unwrap()),
        ..Signals::default()
    }
}

/// Sends strings in the order they come in, with a decision by hand in between.
fn strings(rows: &[(i64, &str)]) -> String {
    let purposes = purposes();
    let (mut signalled, mut held) = (Signalled::default(), Decisions::new());
    let mut count = 0;
    for (time_ms, sent) in rows {
        if *sent == "withdrawn" {
            decide(&mut held, "measured".to_owned(), decided(false, *time_ms));
            continue;
        }
        let known = Held {
            decisions: &held,
            signalled: None,
        };
        let decisions = signalled.take(&string(sent), *time_ms, known, &purposes);
        count += decisions.len();
        for (purpose, decision) in decisions {
            decide(&mut held, purpose, decision);
        }
    }
    let measured = &held["measured"];
    let sign = if measured.granted { "+" } else { "-" };
    format!("{sign}{} {count}", measured.time_ms)
}

#[test]
fn a_string_that_was_seen_before_grants_nothing_again() {
    let none = &none()[..];
    let rows: [(&[(i64, &str)], &str); 6] = [
        // Each string speaks of four purposes.
        (&[(10, FIRST_THREE), (20, none)], "-20 8"),
        (&[(10, none), (20, FIRST_THREE)], "+20 8"),
        // A withdrawal outlives the same string from another device, or come late.
        (
            &[
                (10, FIRST_THREE),
                (20, "withdrawn"),
                (5, none),
                (30, FIRST_THREE),
            ],
            "-20 8",
        ),
        (
            &[
                (10, FIRST_THREE),
                (12, none),
                (20, "withdrawn"),
                (30, FIRST_THREE),
            ],
            "-20 8",
        ),
        // Two devices that say different things: the stricter holds, and is not
        // recorded over and over.
        (
            &[
                (10, none),
                (20, FIRST_THREE),
                (30, none),
                (40, FIRST_THREE),
                (50, none),
                (60, FIRST_THREE),
            ],
            "-30 9",
        ),
        // Late ones are recorded once.
        (
            &[(10, FIRST_THREE), (5, none), (6, none), (7, none)],
            "+10 8",
        ),
    ];
    for (number, (rows, expected)) in rows.into_iter().enumerate() {
        assert_eq!(strings(rows), expected, "row {number}");
    }
}

#[test]
fn profiles_that_are_one_know_each_others_strings() {
    let purposes = purposes();
    let mut sides = [Signalled::default(), Signalled::default()];
    let mut held = Decisions::new();
    let nothing = Held {
        decisions: &Decisions::new(),
        signalled: None,
    };
    for (purpose, decision) in sides[0].take(&string(FIRST_THREE), 10, nothing, &purposes) {
        held.insert(purpose, decision);
    }
    let elsewhere = Signals {
        region: Region::parse("AT").ok(),
        ..Signals::default()
    };
    sides[1].take(&elsewhere, 20, nothing, &purposes);
    held.insert("measured".to_owned(), decided(false, 30));
    let [ours, theirs] = sides;
    let person = Signalled::joined(Some(ours), Some(theirs.clone())).unwrap();
    assert_eq!(person.region, "AT");
    let known = Held {
        decisions: &held,
        signalled: Some(&person),
    };
    for mut side in [person.clone(), theirs] {
        let again = side.take(&string(FIRST_THREE), 40, known, &purposes);
        assert_eq!(again, [], "after a merge, from either side");
    }
}

#[test]
fn categories_decide_about_purposes_of_their_name() {
    let sent = Signals {
        categories: vec![("analytics".into(), true), ("unheard_of".into(), true)],
        ..Signals::default()
    };
    assert_eq!(
        after(&[(10, sent.clone()), (20, sent.clone())], &[]),
        "+analytics@10"
    );
    let other = Signals {
        categories: vec![("analytics".into(), false)],
        ..Signals::default()
    };
    let back = [(10, sent.clone()), (20, other), (30, sent)];
    assert_eq!(after(&back, &[]), "+analytics@30");
}

#[test]
fn the_last_region_stays_and_an_older_one_does_not_return() {
    let at = |text: &str| Signals {
        region: Region::parse(text).ok(),
        ..Signals::default()
    };
    let mut signalled = Signalled::default();
    for (time_ms, region) in [(10, "AT"), (30, "US-CA"), (20, "DE")] {
        let held = Held {
            decisions: &Decisions::new(),
            signalled: None,
        };
        signalled.take(&at(region), time_ms, held, &purposes());
    }
    assert_eq!(
        (signalled.region.as_str(), signalled.region_ms),
        ("US-CA", 30)
    );
    let other = Signalled {
        region: "FR".into(),
        region_ms: 40,
        gpc_since_ms: 7,
        ..Signalled::default()
    };
    let joined = Signalled::joined(Some(signalled), Some(other)).unwrap();
    assert_eq!((joined.region.as_str(), joined.gpc_since_ms), ("FR", 7));
}
