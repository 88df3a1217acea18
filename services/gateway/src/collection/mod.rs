//! Taking in behaviour as Segment's clients send it: every call becomes messages for
//! the profile service, which judges them and makes them durable before the answer.

mod rpc;

use std::collections::HashSet;

use attune_api::{
    gateway::v1::{BatchMessage, BatchRequest},
    profile::v1::{IngestMessage, IngestRequest, LookupProfileRequest, ingest_message::Kind},
    time,
};
use attune_errors::Violations;
use attune_rpc::Caller;
use tonic::{Code, Status};

use crate::{
    Error,
    clients::Clients,
    convert::{
        collection::{self as convert, Setting, USER_ID},
        verdict,
    },
    door::Signal,
};

#[derive(Clone)]
pub struct Collection {
    clients: Clients,
    email_identity: bool,
}

impl Collection {
    pub fn new(clients: Clients, email_identity: bool) -> Self {
        Self {
            clients,
            email_identity,
        }
    }

    /// One call.
    async fn collect(
        &self,
        caller: &Caller,
        message: BatchMessage,
        signal: Signal,
    ) -> Result<(), Error> {
        let setting = self.setting(signal);
        let (message, shape) = convert::message(message, &setting);
        let sent = self.ingest(caller, vec![message]).await;
        sent.map_err(|status| verdict::rename_single(status, &shape).into())
    }

    /// Many calls: all of them are taken, or none.
    async fn batch(
        &self,
        caller: &Caller,
        request: BatchRequest,
        signal: Signal,
    ) -> Result<(), Error> {
        const MESSAGES_MAX: usize = 500;
        if !(1..=MESSAGES_MAX).contains(&request.batch.len()) {
            let rule = format!("must be 1 to {MESSAGES_MAX}");
            return Err(Violations::of("batch", rule).into());
        }
        let setting = Setting {
            context: request.context,
            sent_at: request.sent_at,
            ..self.setting(signal)
        };
        let messages = request.batch.into_iter();
        let (messages, shapes): (Vec<_>, Vec<_>) =
            messages.map(|m| convert::message(m, &setting)).unzip();
        let sent = self.ingest(caller, messages).await;
        sent.map_err(|status| verdict::rename(status, "batch", &shapes).into())
    }

    fn setting(&self, signal: Signal) -> Setting {
        Setting {
            receive_ms: time::now_ms(),
            email_identity: self.email_identity,
            context: None,
            sent_at: None,
            signal,
        }
    }

    async fn ingest(
        &self,
        caller: &Caller,
        mut messages: Vec<IngestMessage>,
    ) -> Result<(), Status> {
        self.resolve_aliases(caller, &mut messages).await?;
        let request = caller.request(IngestRequest { messages });
        self.clients.profile.clone().ingest(request).await?;
        Ok(())
    }

    /// The specification lets `previousId` be a user id or an anonymous id and does not
    /// say which: it is a user id if a profile, or this very call, has it as one.
    async fn resolve_aliases(
        &self,
        caller: &Caller,
        messages: &mut [IngestMessage],
    ) -> Result<(), Status> {
        if !messages
            .iter()
            .any(|m| matches!(m.kind, Some(Kind::Alias(_))))
        {
            return Ok(());
        }
        let mut users: HashSet<String> = HashSet::new();
        for message in messages {
            if let Some(Kind::Alias(alias)) = &mut message.kind
                && let Some(previous) = &mut alias.previous
                && !previous.value.is_empty()
                && (users.contains(&previous.value)
                    || self.is_user(caller, &previous.value).await?)
            {
                previous.namespace = USER_ID.to_owned();
            }
            let ids = message.identities.iter();
            users.extend(
                ids.filter(|i| i.namespace == USER_ID)
                    .map(|i| i.value.clone()),
            );
        }
        Ok(())
    }

    async fn is_user(&self, caller: &Caller, id: &str) -> Result<bool, Status> {
        // Nobody gets to see whose it is, so nobody looked.
        let request = caller.unattended().request(LookupProfileRequest {
            namespace: USER_ID.to_owned(),
            value: id.to_owned(),
        });
        match self.clients.profile.clone().lookup_profile(request).await {
            Ok(_) => Ok(true),
            // Also an id that cannot be one: the profile service will say so.
            Err(status) if matches!(status.code(), Code::NotFound | Code::InvalidArgument) => {
                Ok(false)
            }
            Err(status) => Err(status),
        }
    }
}
