//! Telling the record of access, which the profile service keeps, who looks at what
//! another service knows of a person. Whoever cannot be put on the record does not see.

use std::{sync::OnceLock, time::Duration};

use attune_api::profile::v1::{RecordAccessRequest, privacy_service_client::PrivacyServiceClient};
use attune_errors::Fault;
use attune_rpc::{Caller, Channel};
use tonic::Status;

/// How long an answer may wait for its entry.
const WAIT: Duration = Duration::from_secs(5);
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What an operator is about to see.
#[derive(Debug, Clone)]
pub struct Access {
    /// The method, e.g. `GetMessage`.
    pub action: &'static str,
    /// Whose it is; empty for a list of many, or where nobody is known.
    pub profile_id: String,
    /// Never a personal value.
    pub detail: String,
}

/// The record, once it is known how to reach it.
#[derive(Debug, Default)]
pub struct AccessRecord(OnceLock<Channel>);

impl AccessRecord {
    /// From now on accesses can be recorded.
    pub fn connect(&self, profile: Channel) {
        // Connected once, at the start; a second time leads to the same place.
        let _ = self.0.set(profile);
    }

    /// To be called before the answer is given. Nothing is recorded of what our services
    /// ask for themselves, or for customers as they always do.
    pub async fn looked(&self, caller: &Caller, access: Access) -> Result<(), Status> {
        if caller.actor.is_none() {
            return Ok(());
        }
        let Some(channel) = self.0.get() else {
            return Err(Fault::unavailable("profile", RETRY_AFTER).into());
        };
        let Access {
            action,
            profile_id,
            detail,
        } = access;
        let request = RecordAccessRequest {
            action: action.to_owned(),
            profile_id,
            detail,
        };
        let request = caller.request_within(request, WAIT);
        let mut record = PrivacyServiceClient::new(channel.clone());
        record.record_access(request).await.map(drop)
    }
}
