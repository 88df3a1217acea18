//! The generated service trait, one method each: who calls, what it means, do it, say
//! it. Decides nothing.

use std::sync::Arc;

use attune_api::messaging::v1::{self as pb, messaging_service_server::MessagingService};
use attune_errors::Violations;
use attune_events::Access;
use attune_rpc::Caller;
use attune_storage::resources::{Missing, PageRequest};
use tonic::{Request, Response, Status};

use crate::{Error, convert, service::UseCases};

pub(crate) struct Rpc(pub Arc<UseCases>);

type Answer<T> = Result<Response<T>, Status>;

/// Who calls, and what for.
fn open<T>(request: Request<T>) -> Result<(Caller, Arc<str>, T), Status> {
    let caller = Caller::of(&request)?;
    let workspace = Arc::from(caller.workspace.as_str());
    Ok((caller, workspace, request.into_inner()))
}

fn answer<T>(caller: &Caller, result: Result<T, impl Into<Error>>) -> Answer<T> {
    match result {
        Ok(message) => Ok(Response::new(message)),
        Err(error) => Err(error.into().into_status(caller.request_id.as_str())),
    }
}

#[tonic::async_trait]
impl MessagingService for Rpc {
    async fn create_template(
        &self,
        request: Request<pb::CreateTemplateRequest>,
    ) -> Answer<pb::Template> {
        let (caller, workspace, request) = open(request)?;
        let created = match convert::created_template(request) {
            Ok(template) => self.0.templates.create(&workspace, template).await,
            Err(violations) => Err(violations.into()),
        };
        answer(&caller, created)
    }

    async fn get_template(&self, request: Request<pb::GetTemplateRequest>) -> Answer<pb::Template> {
        let (caller, workspace, request) = open(request)?;
        let found = self.0.templates.get(&workspace, &request.template_id);
        answer(&caller, found.await)
    }

    async fn list_templates(
        &self,
        request: Request<pb::ListTemplatesRequest>,
    ) -> Answer<pb::ListTemplatesResponse> {
        let (caller, workspace, request) = open(request)?;
        let page = PageRequest {
            page_size: request.page_size,
            page_token: request.page_token,
        };
        let listed = self.0.templates.list(&workspace, &page).await;
        let listed = listed.map(|page| pb::ListTemplatesResponse {
            templates: page.resources,
            next_page_token: page.next_page_token,
        });
        answer(&caller, listed)
    }

    async fn update_template(
        &self,
        request: Request<pb::UpdateTemplateRequest>,
    ) -> Answer<pb::Template> {
        let (caller, workspace, request) = open(request)?;
        let Some(template) = request.template else {
            let violations = Violations::of("template", "must be set");
            return answer(&caller, Err(Error::Invalid(violations)));
        };
        let missing = Missing::allowed(request.allow_missing);
        let updated = self
            .0
            .templates
            .update(&workspace, template, request.update_mask, missing);
        answer(&caller, updated.await)
    }

    async fn delete_template(&self, request: Request<pb::DeleteTemplateRequest>) -> Answer<()> {
        let (caller, workspace, request) = open(request)?;
        let deleted = self
            .0
            .templates
            .delete(&workspace, &request.template_id, &request.etag);
        answer(&caller, deleted.await.map(drop))
    }

    async fn render_template(
        &self,
        request: Request<pb::RenderTemplateRequest>,
    ) -> Answer<pb::Content> {
        let (caller, _, request) = open(request)?;
        let rendered = match convert::render_template(request) {
            Ok(request) => self.0.render(&caller.workspace, request).await,
            Err(violations) => Err(violations.into()),
        };
        answer(&caller, rendered.map(convert::content))
    }

    async fn send_message(&self, request: Request<pb::SendMessageRequest>) -> Answer<pb::Message> {
        let (caller, _, request) = open(request)?;
        let sent = match convert::send_message(request, self.0.content_bytes_max) {
            Ok(request) => self.0.send(&caller.workspace, request).await,
            Err(violations) => Err(violations.into()),
        };
        answer(&caller, sent.map(convert::message))
    }

    async fn get_message(&self, request: Request<pb::GetMessageRequest>) -> Answer<pb::Message> {
        let (caller, _, request) = open(request)?;
        let message = self.0.message(&caller.workspace, &request.message_id);
        let message = match message.await {
            Ok(message) => message,
            Err(error) => return answer(&caller, Err(error)),
        };
        let access = Access {
            action: "GetMessage",
            profile_id: message.profile_id.clone(),
            detail: format!("message {}", message.message_id),
        };
        self.0.record.looked(&caller, access).await?;
        Ok(Response::new(convert::message(message)))
    }
}
