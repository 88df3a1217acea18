//! What the addresses of people are known by outside of this service: a keyed hash, under
//! a secret that stays here. Services that keep what was sent to an address ask for it,
//! and an erasure names those of the person. Never tells an address.

use std::{collections::BTreeSet, sync::Arc};

use attune_storage::{Error, Tx};

use super::{Service, Shared};
use crate::{
    domain::{
        ProfileId,
        identity::{EMAIL, Identity, Namespaces, PHONE, Read},
    },
    store::{codec::Seals, identities, profiles},
};

/// Addresses that an erasure names at most. A person has a few; who comes to more is a
/// mistake of the senders.
const ADDRESSES_MAX: usize = 1_000;

impl Service {
    /// In the order of the addresses, each `(namespace, value)`; empty for what is none.
    pub fn address_keys<'a>(
        &self,
        workspace: &str,
        addresses: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Vec<String> {
        let seals = self.shared.codec.of(&Arc::from(workspace));
        let namespaces = &self.shared.namespaces;
        addresses
            .map(
                |(namespace, value)| match read(namespaces, namespace, value) {
                    Some(address) => seals.address_key(&address),
                    None => String::new(),
                },
            )
            .collect()
    }
}

/// The keys of a living person's addresses: of every identifier that is one, whatever it
/// was sent as (many shops' user ids are e-mail addresses), and of the traits that hold
/// one. To be asked before the person's own keys are destroyed.
pub async fn of_person(
    shared: &Shared,
    tx: &mut Tx,
    workspace: &Arc<str>,
    living: ProfileId,
) -> Result<Vec<String>, Error> {
    let mut seals: Seals = shared.codec.of(workspace);
    let mut found = BTreeSet::new();
    let namespaces = &shared.namespaces;
    for (identity, _) in identities::of_person(tx, &mut seals, workspace, living).await? {
        let namespace = match identity.namespace() {
            PHONE => PHONE,
            _ => EMAIL,
        };
        found.extend(read(namespaces, namespace, identity.value()));
    }
    let sides = profiles::stored(tx, &mut seals, workspace, &[living]).await?;
    for stored in sides.values() {
        for namespace in [EMAIL, PHONE] {
            let told = stored.said().text(namespace);
            found.extend(told.and_then(|value| read(namespaces, namespace, value)));
        }
    }
    let keys = found.iter().map(|address| seals.address_key(address));
    Ok(keys.take(ADDRESSES_MAX).collect())
}

/// None for what is no address, or one that names nobody.
fn read(namespaces: &Namespaces, namespace: &str, value: &str) -> Option<Identity> {
    if ![EMAIL, PHONE].contains(&namespace) {
        return None;
    }
    match namespaces.read(namespace, value) {
        Ok(Read::Named(address)) => Some(address),
        Ok(Read::Blocked(_)) | Err(_) => None,
    }
}
