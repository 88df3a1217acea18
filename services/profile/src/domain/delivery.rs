//! An audience on its way to a destination: how far it is, what an answer means for it,
//! and when a batch is tried again. Pure; sends nothing and reads no clock.

use std::time::Duration;

use super::audience::{Counts, Layout};

/// The longest wait between two attempts.
const WAIT_MAX: Duration = Duration::from_secs(600);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Delivering,
    Delivered,
    Failed,
    Cancelled,
}

impl State {
    /// As it is stored.
    pub fn number(self) -> i64 {
        match self {
            Self::Delivering => 1,
            Self::Delivered => 2,
            Self::Failed => 3,
            Self::Cancelled => 4,
        }
    }

    pub fn of(number: i64) -> Option<Self> {
        let all = [
            Self::Delivering,
            Self::Delivered,
            Self::Failed,
            Self::Cancelled,
        ];
        all.into_iter().find(|state| state.number() == number)
    }
}

/// What is sent of whom, to where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    pub delivery_id: String,
    pub segment_id: String,
    pub purpose: String,
    pub layout: Layout,
    pub destination: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    pub order: Order,
    pub state: State,
    /// The last member that was dealt with; empty at the start.
    pub after: String,
    /// The last member of the batch that is being tried; empty where none was.
    pub until: String,
    pub batch_count: i64,
    pub attempt_count: i64,
    pub failure: String,
    /// Members when it began.
    pub total: i64,
    pub counts: Counts,
    pub next_ms: i64,
    pub create_ms: i64,
    pub update_ms: i64,
}

/// How a destination answered a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Taken,
    /// It will not take it at another time either.
    Refused(String),
    /// It may take it later, perhaps after the time it asked for.
    Busy(String, Option<Duration>),
}

impl Delivery {
    pub fn new(order: Order, total: i64, now_ms: i64) -> Self {
        Self {
            order,
            state: State::Delivering,
            after: String::new(),
            until: String::new(),
            batch_count: 0,
            attempt_count: 0,
            failure: String::new(),
            total,
            counts: Counts::default(),
            next_ms: now_ms,
            create_ms: now_ms,
            update_ms: now_ms,
        }
    }

    /// The share of members that were dealt with, 0..1. Members that came since it began
    /// may have been dealt with too.
    pub fn progress(&self) -> f64 {
        match self.state {
            State::Delivered => 1.0,
            _ if self.total == 0 => 0.0,
            _ => (self.counts.members as f64 / self.total as f64).min(1.0),
        }
    }

    /// What the batch is known again by, whenever it is tried.
    pub fn message_id(&self, workspace: &str) -> String {
        let (id, batch) = (&self.order.delivery_id, self.batch_count + 1);
        format!("{workspace}.{id}.{}.{batch}", self.create_ms)
    }

    /// A batch ends with this member.
    pub fn passed(&mut self, last: String, counts: Counts) {
        self.after = last;
        self.until = String::new();
        self.attempt_count = 0;
        self.failure = String::new();
        self.counts.add(counts);
    }

    /// There are no members left.
    pub fn finished(&mut self) {
        self.state = State::Delivered;
    }

    /// What an answer to the batch that is on its way makes of it.
    pub fn answered(&mut self, answer: Answer, counts: Counts, attempts_max: i64, now_ms: i64) {
        match answer {
            Answer::Taken => {
                let last = std::mem::take(&mut self.until);
                self.batch_count += 1;
                self.passed(last, counts);
            }
            Answer::Refused(why) => {
                self.state = State::Failed;
                self.attempt_count += 1;
                self.failure = why;
            }
            Answer::Busy(why, asked) => {
                self.attempt_count += 1;
                self.failure = why;
                if self.attempt_count >= attempts_max {
                    self.state = State::Failed;
                }
                let wait = asked.unwrap_or_default().max(self.backoff()).min(WAIT_MAX);
                let wait_ms = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
                self.next_ms = now_ms.saturating_add(wait_ms);
            }
        }
    }

    /// 1, 2, 4 … seconds.
    fn backoff(&self) -> Duration {
        let doublings = u32::try_from(self.attempt_count - 1).unwrap_or(0).min(16);
        Duration::from_secs(1 << doublings).min(WAIT_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery() -> Delivery {
        let order = Order {
            delivery_id: "d".into(),
            segment_id: "vips".into(),
            purpose: "advertising".into(),
            layout: Layout::Hashed,
            destination: "ads".into(),
        };
        Delivery {
            until: "p5".into(),
            ..Delivery::new(order, 10, 1_000)
        }
    }

    fn two() -> Counts {
        Counts {
            members: 3,
            exported: 2,
            withheld: 1,
            unmatchable: 0,
        }
    }

    #[test]
    fn a_taken_batch_moves_on_and_the_next_has_another_id() {
        let mut delivery = delivery();
        let first = delivery.message_id("w");
        delivery.answered(Answer::Taken, two(), 3, 2_000);
        assert_eq!(
            (delivery.after.as_str(), delivery.until.as_str()),
            ("p5", "")
        );
        assert_eq!(delivery.counts, two());
        assert_ne!(delivery.message_id("w"), first);
        assert_eq!(delivery.progress(), 0.3);
    }

    #[test]
    fn what_is_busy_is_tried_again_later_and_later_and_then_given_up() {
        let mut delivery = delivery();
        let id = delivery.message_id("w");
        let busy = |asked| Answer::Busy("503".into(), asked);
        delivery.answered(busy(None), two(), 3, 0);
        assert_eq!(
            (delivery.state, delivery.next_ms),
            (State::Delivering, 1_000)
        );
        delivery.answered(busy(Some(Duration::from_secs(30))), two(), 3, 0);
        assert_eq!(
            (delivery.state, delivery.next_ms),
            (State::Delivering, 30_000)
        );
        assert_eq!(delivery.message_id("w"), id);
        delivery.answered(busy(None), two(), 3, 0);
        assert_eq!((delivery.state, delivery.next_ms), (State::Failed, 4_000));
        assert_eq!(delivery.counts, Counts::default());
        assert_eq!(delivery.failure, "503");
    }

    #[test]
    fn what_is_refused_is_not_tried_again() {
        let mut delivery = delivery();
        delivery.answered(Answer::Refused("410".into()), two(), 3, 0);
        assert_eq!(delivery.state, State::Failed);
        assert_eq!(delivery.until, "p5");
    }
}
