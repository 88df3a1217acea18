//! Queueing messages and telling how they stand.

use std::sync::Arc;

use attune_api::time::now_ms;
use attune_rpc::Workspace;
use uuid::Uuid;

use super::{SendMessage, UseCases, Words};
use crate::{
    Error,
    domain::{
        message::{Message, State},
        template::RenderError,
    },
    store::{NewMessage, Queued},
};

impl UseCases {
    /// Queues a message and answers once it is durable. A request that was made before
    /// is answered with the message it made then, whatever it says now.
    pub async fn send(
        &self,
        workspace: &Workspace,
        request: SendMessage,
    ) -> Result<Message, Error> {
        if !self.can_send {
            let setting = "messaging.email.smtp.host";
            return Err(Error::NotConfigured { setting });
        }
        if let Some(request_id) = &request.request_id
            && let Some(before) = self
                .store
                .by_request(workspace.as_str(), request_id)
                .await?
        {
            return Ok(before);
        }
        let content = match request.words {
            Words::Content(content) => content,
            Words::Template(render) => self.render(workspace, render).await?,
        };
        if content.text.trim().is_empty() && content.html.trim().is_empty() {
            return Err(Error::Render {
                template_id: content.template_id,
                locale: content.locale,
                part: "text",
                cause: RenderError::Fault("nothing is left to be read".into()),
            });
        }
        let now = now_ms();
        let message = Message {
            workspace: workspace.as_str().to_owned(),
            message_id: Uuid::now_v7().to_string(),
            channel: request.channel,
            to: request.to,
            profile_id: request.profile_id,
            content,
            state: State::Queued,
            attempt_count: 0,
            last_error: String::new(),
            create_ms: now,
            due_ms: now,
            delivery_ms: None,
        };
        let new = NewMessage {
            message,
            request_id: request.request_id,
        };
        let (wake, metrics) = (Arc::clone(&self.wake), self.metrics.clone());
        let queued = self.store.queue(new, move |queued| {
            if matches!(queued, Queued::New(_)) {
                metrics.queued();
                wake.notify_one();
            }
        });
        match queued.await? {
            Queued::New(message) | Queued::Before(message) => Ok(message),
        }
    }

    pub async fn message(&self, workspace: &Workspace, message_id: &str) -> Result<Message, Error> {
        let message = self.store.get(workspace.as_str(), message_id).await?;
        message.ok_or_else(|| Error::not_found("message", message_id))
    }
}
