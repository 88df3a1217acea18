//! A rule compiled: when it is in force, what it aims at and what it does.

use std::sync::Arc;

use super::ConditionId;
use crate::domain::{filter::ItemFilter, items::ItemIndex};

#[derive(Debug)]
pub struct RulePlan {
    pub id: Arc<str>,
    /// What a customer could be told of it.
    pub label: Arc<str>,
    /// None means always.
    pub condition: Option<ConditionId>,
    /// None means every item.
    pub targets: Option<Arc<ItemFilter>>,
    pub action: RuleAction,
    pub channels: Vec<String>,
    pub start_ms: Option<i64>,
    pub end_ms: Option<i64>,
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
    /// Whether it is in force, its condition aside.
    pub fn is_in_force(&self, channel: &str, now_ms: i64) -> bool {
        self.start_ms.is_none_or(|start| start <= now_ms)
            && self.end_ms.is_none_or(|end| now_ms < end)
            && (self.channels.is_empty() || self.channels.iter().any(|c| c == channel))
    }
}

/// A rule before it is placed: where it applies and how strongly.
#[derive(Debug)]
pub struct PlacedRule {
    pub plan: Arc<RulePlan>,
    /// Empty means every placement.
    pub placements: Vec<String>,
    pub priority: i32,
}
