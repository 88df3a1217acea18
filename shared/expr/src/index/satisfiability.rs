//! What can be proved of expressions without a subject: that one never holds, or that
//! two never hold together. What is not proved may still be so.

use super::{names::Names, normal};
use crate::Expression;

impl Expression {
    /// Whether it is proved that it holds for nobody.
    pub fn never_holds(&self) -> bool {
        let mut names = Names::default();
        let conjunctions = normal::of(self.root(), &mut names);
        conjunctions.iter().all(|c| c.is_contradictory(&names))
    }

    /// Whether it is proved that no subject satisfies both.
    pub fn excludes(&self, other: &Self) -> bool {
        let mut names = Names::default();
        let ours = normal::of(self.root(), &mut names);
        let theirs = normal::of(other.root(), &mut names);
        ours.iter().all(|a| {
            theirs
                .iter()
                .all(|b| a.and(b).is_none_or(|both| both.is_contradictory(&names)))
        })
    }
}
