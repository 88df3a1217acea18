//! Asking the profile service what is declared of people: traits, events and segments,
//! so that a name misspelt in a rule is refused when it is saved. Asked at every save,
//! for what was declared a moment ago counts; the answer is short where nothing has
//! changed. A save goes on with what is known if the profile service is silent.

use std::{sync::Arc, time::Duration};

use attune_api::profile::v1::{
    GetDeclarationsRequest, GetDeclarationsResponse, schema_service_client::SchemaServiceClient,
};
use attune_expr::Vocabulary;
use attune_rpc::{Caller, Channel};
use parking_lot::Mutex;

use crate::service::workspace::State;

/// How long a save may wait for the profile service.
const PROFILE_WAIT: Duration = Duration::from_secs(2);

/// What is declared of people in one workspace, as it was told last.
#[derive(Debug, Default)]
pub struct Declared(GetDeclarationsResponse);

impl Declared {
    /// With the declared names only; any name of a kind of which nothing is declared.
    pub fn limit(&self, vocabulary: Vocabulary) -> Vocabulary {
        // Snapshots tell of no subscriptions: a rule that asks would never hold.
        let mut vocabulary = vocabulary.with_groups([]);
        if !self.0.traits.is_empty() {
            vocabulary = vocabulary.with_declared_traits(&self.0.traits);
        }
        if !self.0.event_types.is_empty() {
            vocabulary = vocabulary.with_declared_events(&self.0.event_types);
        }
        if !self.0.segment_ids.is_empty() {
            vocabulary = vocabulary.with_segments(self.0.segment_ids.iter().cloned());
        }
        vocabulary
    }
}

/// The profile service, once it is known how to reach it.
#[derive(Default)]
pub struct Profile(Mutex<Option<Channel>>);

impl Profile {
    pub fn connect(&self, profile: Channel) {
        *self.0.lock() = Some(profile);
    }

    /// Takes in what is declared now, if one of these expressions says anything.
    pub async fn learn(&self, caller: &Caller, state: &State, expressions: &[&str]) {
        let Some(channel) = self.0.lock().clone() else {
            return;
        };
        if expressions.iter().all(|source| source.is_empty()) {
            return;
        }
        let revision = state.declared.load().0.revision;
        let request = caller.request_within(GetDeclarationsRequest { revision }, PROFILE_WAIT);
        let mut client = SchemaServiceClient::new(channel);
        match client.get_declarations(request).await {
            Ok(answer) if answer.get_ref().unchanged => {}
            Ok(answer) => state
                .declared
                .store(Arc::new(Declared(answer.into_inner()))),
            Err(status) => {
                tracing::warn!(code = ?status.code(), "declarations could not be read");
            }
        }
    }
}
