//! The use cases of messaging. Decides what happens in which order; leaves words to
//! the domain, rows to the store and sockets to the worker.

pub(crate) mod follow;
mod messages;
mod templates;

use std::sync::Arc;

use attune_api::messaging::v1::Template;
use attune_events::AccessRecord;
use attune_storage::{Database, resources};
use attune_vault::KeyRing;
use tokio::sync::Notify;

use crate::{
    config::Config,
    convert,
    domain::{
        message::Content,
        template::{Engine, RenderData},
    },
    metrics::Metrics,
    store::Store,
};
use templates::Renderer;

/// A template is to be put into words.
#[derive(Debug)]
pub(crate) struct RenderTemplate {
    pub template_id: String,
    pub locale: String,
    pub data: RenderData,
}

/// A message is to be queued.
#[derive(Debug)]
pub(crate) struct SendMessage {
    pub request_id: Option<String>,
    pub channel: String,
    pub to: String,
    pub profile_id: String,
    pub words: Words,
}

#[derive(Debug)]
pub(crate) enum Words {
    Template(RenderTemplate),
    Content(Content),
}

/// What all use cases work with.
pub(crate) struct UseCases {
    pub templates: resources::Table<Template>,
    pub store: Store,
    pub renderer: Renderer,
    /// Where it is written who looked at whose messages.
    pub record: AccessRecord,
    /// Tells the worker that there is something to deliver.
    pub wake: Arc<Notify>,
    pub metrics: Metrics,
    /// Whether there is a mail server to hand messages to.
    pub can_send: bool,
    pub content_bytes_max: usize,
}

impl UseCases {
    pub fn new(config: &Config, database: &Database, keys: KeyRing) -> Self {
        let engine = Arc::new(Engine::new(config.templates.limits()));
        let checking = Arc::clone(&engine);
        let templates = resources::Table::builder(database)
            .check(move |_, change: &resources::Change<Template>| {
                let template = change.after.clone();
                let engine = Arc::clone(&checking);
                Box::pin(async move { check(template, engine).await })
            })
            .build();
        let metrics = Metrics::new();
        Self {
            templates,
            store: Store::new(database, keys),
            renderer: Renderer::new(engine, config.templates.renders_max, metrics.clone()),
            record: AccessRecord::default(),
            wake: Arc::new(Notify::new()),
            metrics,
            can_send: !config.email.smtp.host.is_empty(),
            content_bytes_max: config.templates.output_bytes_max,
        }
    }
}

/// On a thread of its own: a long template takes milliseconds to parse.
async fn check(template: Option<Template>, engine: Arc<Engine>) -> Result<(), resources::Error> {
    let Some(template) = template else {
        return Ok(());
    };
    let checked = tokio::task::spawn_blocking(move || convert::check_template(&template, &engine));
    match checked.await {
        Ok(checked) => Ok(checked?),
        Err(error) => Err(attune_errors::Fault::internal(&error, "").into()),
    }
}
