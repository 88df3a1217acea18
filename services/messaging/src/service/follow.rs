//! Following the profile's log: who is erased there is forgotten here, with what was sent
//! to them by their id and what was sent to their addresses without one.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicI64, Ordering},
};

use attune_api::{
    events::v1::{LogEntry, log_entry::Change},
    profile::v1::{HashAddressesRequest, privacy_service_client::PrivacyServiceClient},
    time,
    r#type::v1::Identity,
};
use attune_events::Batch;
use attune_rpc::{Caller, Channel, Workspace};
use tonic::Status;

use crate::{
    Error,
    store::{Store, addresses::Unhashed, erasure::Erased},
};

/// Entries that say nothing to us until how far we read is written down again: most of
/// what the log tells is of no concern here, and reading it twice costs little.
const UNWRITTEN_MAX: i64 = 10_000;
/// Addresses asked about at once.
const PAGE: i64 = 200;
/// How far the clocks of two machines may differ.
const CLOCKS_APART_MS: i64 = 60_000;

/// Takes in what the log tells, and remembers how far it was read.
pub(crate) struct Following {
    store: Store,
    profile: PrivacyServiceClient<Channel>,
    written: AtomicI64,
}

impl Following {
    pub fn new(store: Store, profile: Channel, position: i64) -> Self {
        Self {
            store,
            profile: PrivacyServiceClient::new(profile),
            written: AtomicI64::new(position),
        }
    }

    pub async fn take(&self, batch: Batch) -> Result<(), Error> {
        let erased: Vec<_> = batch.entries.iter().filter_map(erased_in).collect();
        let unwritten = batch.position - self.written.load(Ordering::Relaxed);
        if erased.is_empty() && unwritten < UNWRITTEN_MAX {
            return Ok(());
        }
        let addressed = erased.iter().filter(|one| !one.address_keys.is_empty());
        let workspaces: BTreeSet<_> = addressed.map(|one| one.workspace.as_str()).collect();
        for workspace in workspaces {
            self.hash_addresses(workspace).await?;
        }
        self.store.erase(erased, batch.position).await?;
        self.written.store(batch.position, Ordering::Relaxed);
        Ok(())
    }

    /// Finds out what the addresses of messages to no profile are known by. Only now:
    /// sending must not wait for another service, and few messages ever need it.
    async fn hash_addresses(&self, workspace: &str) -> Result<(), Error> {
        // Its name is valid, or it would not have come to hold people.
        let Ok(name) = Workspace::new(workspace) else {
            return Ok(());
        };
        let caller = Caller::new(name);
        loop {
            let unhashed = self.store.unhashed(workspace, PAGE).await?;
            if unhashed.is_empty() {
                return Ok(());
            }
            let addresses = unhashed.iter().map(address).collect();
            let request = caller.request(HashAddressesRequest { addresses });
            let answer = self.profile.clone().hash_addresses(request).await;
            let keys = answer.map_err(Error::Profile)?.into_inner().keys;
            if keys.len() != unhashed.len() {
                let status = Status::internal("one key was expected for each address");
                return Err(Error::Profile(status));
            }
            let ids = unhashed.into_iter().map(|one| one.message_id);
            let hashed = ids.zip(keys).collect();
            self.store.set_address_keys(workspace, hashed).await?;
        }
    }
}

/// An identifier in the namespace that is named like the channel.
fn address(unhashed: &Unhashed) -> Identity {
    Identity {
        namespace: unhashed.channel.clone(),
        value: unhashed.to.clone(),
    }
}

fn erased_in(entry: &LogEntry) -> Option<Erased> {
    let Some(Change::ProfileErased(erased)) = &entry.change else {
        return None;
    };
    let commit_ms = entry.commit_time.as_ref().map(time::to_ms);
    let commit_ms = commit_ms.unwrap_or_else(time::now_ms);
    Some(Erased {
        workspace: entry.workspace.clone(),
        profile_ids: erased.profile_ids.clone(),
        address_keys: erased.address_keys.clone(),
        until_ms: commit_ms.saturating_add(CLOCKS_APART_MS),
    })
}
