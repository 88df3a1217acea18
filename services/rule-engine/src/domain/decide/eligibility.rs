//! Whether an item may be shown to this person, here and now, and why not.

use attune_api::catalog::v1::ItemState;

use super::{ItemIndex, Placement, trace::Cause};
use crate::domain::{audience::speaks, projected::Projected};

/// In `blocked`: why an item is shown nowhere (any more) in an answer.
pub(super) const BY_REQUEST: u32 = 0;
pub(super) const THERE: u32 = 1;
/// Shown in the first placement; the others follow.
pub(super) const SHOWN: u32 = 2;

impl Placement<'_> {
    /// Whether an item may be shown here at all; notes why not.
    pub(super) fn is_eligible(&mut self, index: ItemIndex) -> bool {
        match self.eligibility(index) {
            Ok(()) => true,
            Err(cause) => {
                // What is shown here already is not kept out.
                if self.blocked.get(index) != Some(self.mark) {
                    self.tally.refuse(index, cause);
                }
                false
            }
        }
    }

    /// Cheap tests first.
    pub(super) fn eligibility(&self, index: ItemIndex) -> Result<(), Cause> {
        let items = self.scene.items;
        if !items.offerable().get(index) {
            return Err(self.unoffered(index));
        }
        if let Some(item) = items.conditional(index) {
            self.suitability(item)?;
        }
        if self.ask.item == Some(index) {
            return Err(Cause::AlreadyThere);
        }
        match self.blocked.get(index) {
            None => {}
            Some(BY_REQUEST) => return Err(Cause::ExcludedByRequest),
            Some(_) => return Err(Cause::AlreadyThere),
        }
        let kept_out = self.past.keeps_out(self.scene, self.request.now_ms, index);
        if let Some(cause) = kept_out {
            return Err(cause);
        }
        if !self.filters.request_holds(items, index) {
            return Err(Cause::RequestFilter);
        }
        if !self.filters.strategy_holds(items, index) {
            return Err(Cause::StrategyFilter);
        }
        match self.kept_out_by(index) {
            Some(rule) => Err(Cause::RuleExcluded(rule)),
            None => Ok(()),
        }
    }

    /// Why an item that cannot be offered to anyone is not.
    fn unoffered(&self, index: ItemIndex) -> Cause {
        let item = self.scene.items.get(index);
        match item.filter(|item| item.state == ItemState::Published) {
            None => Cause::NotPublished,
            Some(_) => Cause::OutOfStock,
        }
    }

    /// Whether it is the time, the language and the person for an item.
    fn suitability(&self, item: &Projected) -> Result<(), Cause> {
        if !item.is_available_at(self.request.now_ms) {
            return Err(Cause::NotAvailableNow);
        }
        if !speaks(self.request.locale, &item.locales) {
            return Err(Cause::WrongLocale);
        }
        match &item.audience {
            Some(audience) if !self.memberships.is_in(audience, self.request.scope) => {
                Err(Cause::NotInAudience)
            }
            _ => Ok(()),
        }
    }

    /// The first of the active rules that keeps the item out.
    fn kept_out_by(&self, index: ItemIndex) -> Option<u16> {
        let mut excluding = self.excluding.iter().copied();
        excluding.find(|number| {
            let rule = self.active[usize::from(*number)];
            super::targets(rule, self.scene.items, index)
        })
    }
}
