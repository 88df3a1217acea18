//! What the rule engine is meant to reach, and whether this run did.

use super::{
    decide::Deciding,
    reading::Reading,
    table::{Row, figure},
};

struct Goal {
    what: String,
    is: f64,
    bound: Bound,
}

enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

impl Goal {
    fn is_met(&self) -> bool {
        match self.bound {
            Bound::AtMost(max) => self.is <= max,
            Bound::AtLeast(min) => self.is >= min,
        }
    }
}

pub fn tell(share: &[Row], fifty: &[Row], reads: &[Reading], decided: Option<&Deciding>) {
    println!("\nGoals");
    let all = beside_others(share)
        .into_iter()
        .chain(at_fifty(fifty))
        .chain(reads.iter().flat_map(while_written))
        .chain(decided.into_iter().flat_map(deciding));
    for goal in all {
        let verdict = if goal.is_met() { "met" } else { "MISSED" };
        let bound = match goal.bound {
            Bound::AtMost(max) => format!("at most {max}"),
            Bound::AtLeast(min) => format!("at least {min}"),
        };
        println!("{verdict:>7}  {}: {}, {bound}", goal.what, figure(goal.is));
    }
}

const JUDGED_AT: usize = 10_000;

fn beside_others(share: &[Row]) -> Vec<Goal> {
    let Some(row) = share.iter().find(|row| row.rules == JUDGED_AT) else {
        return Vec::new();
    };
    let floor = Goal {
        what: format!("index ÷ floor at {JUDGED_AT} rules"),
        is: row.index_us / row.floor_us,
        bound: Bound::AtMost(1.5),
    };
    let faster = |(peer, times)| {
        Some(Goal {
            what: format!("{peer} ÷ index at {JUDGED_AT} rules"),
            is: row.peer_us(peer)? / row.index_us,
            bound: Bound::AtLeast(times),
        })
    };
    let others = [("a-tree", 20.0), ("zen-engine", 100.0)];
    [floor]
        .into_iter()
        .chain(others.into_iter().filter_map(faster))
        .collect()
}

fn at_fifty(fifty: &[Row]) -> Option<Goal> {
    let (first, last) = (fifty.first()?, fifty.last()?);
    (last.rules > first.rules).then(|| Goal {
        what: format!("{} rules ÷ {} rules, 50 hold", last.rules, first.rules),
        is: last.index_us / first.index_us,
        bound: Bound::AtMost(3.0),
    })
}

fn while_written(read: &Reading) -> [Goal; 2] {
    let goal = |name: &str, updated: f64, quiet: f64, again: f64| Goal {
        what: format!(
            "{name} of a read of {} rules, updated ÷ quiet (quiet ÷ quiet: {:.2})",
            read.rules,
            again / quiet
        ),
        is: updated / quiet.max(again),
        bound: Bound::AtMost(1.1),
    };
    let (quiet, again, updated) = (read.quiet, read.quiet_again, read.updated);
    [
        goal("p50", updated.p50_us, quiet.p50_us, again.p50_us),
        goal("p99", updated.p99_us, quiet.p99_us, again.p99_us),
    ]
}

fn deciding(decided: &Deciding) -> [Goal; 2] {
    let goal = |what: &str, is, max| Goal {
        what: what.into(),
        is,
        bound: Bound::AtMost(max),
    };
    [
        goal("median of Decide in µs", decided.p50_us, 100.0),
        goal("p99 of Decide in µs", decided.p99_us, 500.0),
    ]
}
