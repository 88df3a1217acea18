//! What can happen to people, drawn at random. Knows no service.

use proptest::prelude::*;

/// By whose identifiers people speak.
pub const WHO: [&str; 6] = ["u:p0", "u:p1", "u:p2", "a:d0", "a:d1", "a:d2"];

/// `marketing_email` is read by name; without `personalization` no trait may be read.
pub const PURPOSES: [&str; 2] = ["marketing_email", "personalization"];

/// A message by one of [`WHO`].
#[derive(Debug, Clone)]
pub enum Said {
    Did {
        who: usize,
        event_type: &'static str,
        category: &'static str,
        revenue: u32,
        hours_ago: i64,
    },
    /// A view by a browser that sends Global Privacy Control.
    Objected(usize),
    /// Of the plan `pro`, or of none any more.
    Plans(usize, bool),
    /// By a user id and a device, which may make two people one.
    Both(usize, usize),
    /// That one was the other before.
    Was(usize, usize),
}

#[derive(Debug, Clone)]
pub enum Op {
    /// In one request.
    Say(Vec<Said>),
    /// Two requests at the same time, on two replicas where there are two.
    SayAtOnce(Vec<Said>, Vec<Said>),
    Consent(usize, usize, bool),
    List(usize, bool),
    Merge(usize, usize),
    /// Undoes the n-th merge, whoever made it, if there is one that is not undone.
    Undo(usize),
    /// Erases somebody while messages come in.
    Erase(usize, Vec<Said>),
    PassHours(i64),
    /// To the moment at which somebody has to be looked at, or next to it.
    PassToDue(i64),
    /// Closes the n-th replica and opens it again on the same database.
    Restart(usize),
}

fn said() -> impl Strategy<Value = Said> {
    let who = 0..WHO.len();
    let event_type = prop_oneof![Just("view"), Just("purchase"), Just("search")];
    let category = prop_oneof![Just("tents"), Just("stoves")];
    // Times meet: what is told later is then the later.
    let hours_ago = prop_oneof![3 => Just(0), 2 => (0i64..60).prop_map(|n| n * 6)];
    let did = (who.clone(), event_type, category, 0u32..30, hours_ago).prop_map(
        |(who, event_type, category, revenue, hours_ago)| Said::Did {
            who,
            event_type,
            category,
            revenue,
            hours_ago,
        },
    );
    prop_oneof![
        16 => did,
        1 => who.clone().prop_map(Said::Objected),
        2 => (who.clone(), any::<bool>()).prop_map(|(who, pro)| Said::Plans(who, pro)),
        2 => (0usize..3, 3usize..6).prop_map(|(user, device)| Said::Both(user, device)),
        2 => (who, 1..WHO.len()).prop_map(|(a, on)| Said::Was(a, (a + on) % WHO.len())),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let who = 0..WHO.len();
    let many = |most| prop::collection::vec(said(), 1..=most);
    let perhaps = prop::collection::vec(said(), 0..3);
    prop_oneof![
        7 => many(3).prop_map(Op::Say),
        2 => (many(3), many(3)).prop_map(|(one, other)| Op::SayAtOnce(one, other)),
        2 => (who.clone(), 0..PURPOSES.len(), any::<bool>())
            .prop_map(|(who, purpose, granted)| Op::Consent(who, purpose, granted)),
        2 => (who.clone(), prop::bool::weighted(0.7)).prop_map(|(who, on)| Op::List(who, on)),
        2 => (who.clone(), who.clone()).prop_map(|(a, b)| Op::Merge(a, b)),
        2 => (0usize..6).prop_map(Op::Undo),
        1 => (who, perhaps).prop_map(|(who, said)| Op::Erase(who, said)),
        2 => (1i64..30).prop_map(|n| Op::PassHours(n * 6)),
        3 => (-1i64..=1).prop_map(Op::PassToDue),
        1 => (0usize..2).prop_map(Op::Restart),
    ]
}

pub fn ops() -> impl Strategy<Value = Vec<Op>> {
    prop::collection::vec(op(), 1..40)
}
