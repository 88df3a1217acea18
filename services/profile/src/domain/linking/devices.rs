//! Identifiers of devices: who was seen with one, and when it is nobody's any more. A
//! device is not a person; which person a message is of is decided next door.

use super::{Directory, Step, evidence, refuse};
use crate::domain::{Identity, Message, Owner, ProfileId, standing::Refusal};

impl Directory {
    /// The identifiers that can be somebody's. Where there are none but those of shared
    /// devices, the device that the message is then of.
    pub(super) fn without_shared<'a>(
        &self,
        named: &'a [Identity],
    ) -> Result<Vec<&'a Identity>, Owner> {
        let mut device = None;
        let mut kept = Vec::with_capacity(named.len());
        for identity in named {
            match self.holder(identity) {
                Some(owner) if self.is_shared(owner.profile_id) => {
                    device = device.or(Some(owner));
                }
                _ => kept.push(identity),
            }
        }
        match device {
            Some(device) if kept.is_empty() => Err(device),
            _ => Ok(kept),
        }
    }

    /// A device's identifier in a message of somebody who does not hold it.
    pub(super) fn meet(
        &mut self,
        message: &Message,
        identity: &Identity,
        customer: ProfileId,
        fresh: &mut impl FnMut() -> ProfileId,
        steps: &mut Vec<Step>,
    ) {
        let Some(owner) = self.holder(identity) else {
            return;
        };
        let holder = owner.profile_id;
        if holder == customer || !self.is_known(holder) || !self.is_known(customer) {
            return;
        }
        let met = self.encounters.get(identity.key()).map_or(&[][..], |m| m);
        let mut others: Vec<_> = met.iter().map(|id| self.follow(*id)).collect();
        if others.contains(&customer) {
            return;
        }
        others.push(customer);
        others.sort_unstable();
        others.dedup();
        others.retain(|id| *id != holder);
        let customers = u32::try_from(others.len()).unwrap_or(u32::MAX);
        if customers.saturating_add(1) >= self.bounds.device_customers_max {
            self.share(message, identity, owner, fresh(), steps);
            return;
        }
        self.add_encounter(identity.key().clone(), customer);
        steps.push(Step::Meet {
            identity: identity.clone(),
            customer,
        });
    }

    /// From now on the device is nobody's. What it did until now stays whose it was.
    fn share(
        &mut self,
        message: &Message,
        identity: &Identity,
        holder: Owner,
        device: ProfileId,
        steps: &mut Vec<Step>,
    ) {
        self.encounters.remove(identity.key());
        let standing = self.living.entry(holder.profile_id).or_default();
        standing.identities = standing.identities.saturating_sub(1);
        self.counts.unlinked(holder.profile_id, identity);
        steps.push(Step::Unlink {
            identity: identity.clone(),
            owner: holder,
            device,
        });
        self.create(device, steps);
        self.link(identity.clone(), Owner::only(device), steps);
        self.living.entry(device).or_default().shared = true;
        let evidence = evidence(message);
        let device = Owner::only(device);
        refuse(holder, device, Refusal::SharedDevice, evidence, steps);
    }
}
