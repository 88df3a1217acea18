//! A rule compiled: when it is in force, what it aims at and what it does.

use std::{cmp::Reverse, sync::Arc};

use super::ConditionId;
use crate::domain::{filter::ItemFilter, items::ItemIndex, schedule::Schedule};

#[derive(Debug, Clone)]
pub struct RulePlan {
    /// Of this rule and no other of this process, small, and the same after an edit:
    /// what counters are kept by.
    pub number: u32,
    pub id: Arc<str>,
    /// What a customer could be told of it.
    pub label: Arc<str>,
    /// The higher goes first.
    pub priority: i32,
    /// None means always.
    pub condition: Option<ConditionId>,
    /// None means every item.
    pub targets: Option<Arc<ItemFilter>>,
    pub action: RuleAction,
    /// Empty means every placement.
    pub placements: Vec<Arc<str>>,
    /// Empty means every channel.
    pub channels: Vec<String>,
    pub schedule: Schedule,
    /// Only the first rule of a group applies in a placement.
    pub exclusion_group: Option<GroupId>,
    pub budget: Option<Budget>,
    pub person_cap: Option<PersonCap>,
    pub tags: Vec<Arc<str>>,
}

/// An exclusion group of a workspace.
pub type GroupId = u32;

/// Exposures after which a rule rests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    pub exposure_max: u64,
    /// The count starts anew with each [`Schedule::period_of`] so many days; None means
    /// never.
    pub days: Option<u16>,
}

/// Exposures to one person within a rolling period after which a rule leaves the
/// person alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PersonCap {
    pub exposure_max: u32,
    pub days: u16,
}

#[derive(Debug, Clone, PartialEq)]
pub enum RuleAction {
    /// Multiplies; a bury is a factor below 1.
    Scale(f64),
    Pin {
        /// 0 is the first slot.
        position: usize,
        items: Vec<ItemIndex>,
    },
    Include {
        items: Vec<ItemIndex>,
    },
    Exclude,
}

impl RulePlan {
    /// A rule that does this everywhere, always and to every item.
    pub fn new(number: u32, id: &str, action: RuleAction) -> Self {
        Self {
            number,
            id: id.into(),
            label: id.into(),
            priority: 0,
            condition: None,
            targets: None,
            action,
            placements: Vec::new(),
            channels: Vec::new(),
            schedule: Schedule::default(),
            exclusion_group: None,
            budget: None,
            person_cap: None,
            tags: Vec::new(),
        }
    }

    /// The order in which rules come: the highest priority first, then by id.
    pub fn rank(&self) -> (Reverse<i32>, &str) {
        (Reverse(self.priority), &self.id)
    }

    pub fn is_on(&self, channel: &str) -> bool {
        self.channels.is_empty() || self.channels.iter().any(|c| c == channel)
    }
}
