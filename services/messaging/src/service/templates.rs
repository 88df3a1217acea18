//! Putting templates into words: which variant, compiled once, rendered on a thread
//! where it can take its time.

use std::{sync::Arc, time::Instant};

use attune_api::messaging::v1::{Template, TemplateVariant};
use attune_rpc::Workspace;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tokio::sync::Semaphore;

use super::{RenderTemplate, UseCases};
use crate::{
    Error,
    domain::{
        locale,
        message::Content,
        template::{Compiled, Engine, RenderData, RenderError, Target, globals},
    },
    metrics::Metrics,
};

/// Compiled templates that are kept; all are dropped when there are more.
const COMPILED_MAX: usize = 1_000;

impl UseCases {
    pub async fn render(
        &self,
        workspace: &Workspace,
        request: RenderTemplate,
    ) -> Result<Content, Error> {
        let stored = self
            .templates
            .get(workspace.as_str(), &request.template_id)
            .await?;
        self.renderer.render(workspace, stored, request).await
    }
}

pub(crate) struct Renderer {
    engine: Arc<Engine>,
    metrics: Metrics,
    /// Bounds how many threads render.
    permits: Arc<Semaphore>,
    compiled: Mutex<FxHashMap<(Workspace, String), Arc<CompiledTemplate>>>,
}

struct CompiledTemplate {
    etag: String,
    template_id: String,
    default_locale: String,
    variants: Vec<CompiledVariant>,
}

struct CompiledVariant {
    locale: String,
    parts: [Part; 3],
}

/// One of subject, text and html.
struct Part {
    name: &'static str,
    /// None where the variant leaves it out.
    compiled: Option<Compiled>,
}

impl Renderer {
    pub fn new(engine: Arc<Engine>, renders_max: usize, metrics: Metrics) -> Self {
        Self {
            engine,
            metrics,
            permits: Arc::new(Semaphore::new(renders_max.max(1))),
            compiled: Mutex::default(),
        }
    }

    async fn render(
        &self,
        workspace: &Workspace,
        stored: Template,
        request: RenderTemplate,
    ) -> Result<Content, Error> {
        let cached = self.cached(workspace, &stored);
        // The semaphore is never closed, so a permit always comes.
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok();
        let engine = Arc::clone(&self.engine);
        let started = Instant::now();
        let (compiled, content) = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let compiled = match cached {
                Some(compiled) => compiled,
                None => Arc::new(compile(&engine, stored)?),
            };
            let content = words(&engine, &compiled, &request.locale, request.data)?;
            Ok::<_, Error>((compiled, content))
        })
        .await??;
        self.metrics.rendered(started.elapsed());
        self.keep(workspace, compiled);
        Ok(content)
    }

    fn cached(&self, workspace: &Workspace, stored: &Template) -> Option<Arc<CompiledTemplate>> {
        let key = (workspace.clone(), stored.template_id.clone());
        let compiled = self.compiled.lock().get(&key).cloned()?;
        (compiled.etag == stored.etag).then_some(compiled)
    }

    fn keep(&self, workspace: &Workspace, compiled: Arc<CompiledTemplate>) {
        let key = (workspace.clone(), compiled.template_id.clone());
        let mut kept = self.compiled.lock();
        if kept.len() >= COMPILED_MAX && !kept.contains_key(&key) {
            kept.clear();
        }
        kept.insert(key, compiled);
    }
}

fn compile(engine: &Engine, template: Template) -> Result<CompiledTemplate, Error> {
    let id = &template.template_id;
    let variants = template
        .variants
        .into_iter()
        .map(|variant| compile_variant(engine, id, variant))
        .collect::<Result<_, _>>()?;
    Ok(CompiledTemplate {
        etag: template.etag,
        template_id: template.template_id,
        default_locale: template.default_locale,
        variants,
    })
}

fn compile_variant(
    engine: &Engine,
    template_id: &str,
    variant: TemplateVariant,
) -> Result<CompiledVariant, Error> {
    let part = |name, source: &str, target| -> Result<Part, Error> {
        // It was parsed when it was saved, so only a narrowed language fails here.
        let compile = || engine.compile(source, target);
        let compiled = (!source.is_empty()).then(compile).transpose();
        let compiled = compiled.map_err(|faults| Error::Render {
            template_id: template_id.to_owned(),
            locale: variant.locale.clone(),
            part: name,
            cause: RenderError::Fault(faults.first().map(ToString::to_string).unwrap_or_default()),
        })?;
        Ok(Part { name, compiled })
    };
    let parts = [
        part("subject", &variant.subject, Target::Text)?,
        part("text", &variant.text, Target::Text)?,
        part("html", &variant.html, Target::Html)?,
    ];
    Ok(CompiledVariant {
        locale: variant.locale,
        parts,
    })
}

fn words(
    engine: &Engine,
    template: &CompiledTemplate,
    wanted: &str,
    data: RenderData,
) -> Result<Content, Error> {
    let locales: Vec<&str> = template.variants.iter().map(|it| &*it.locale).collect();
    let chosen = locale::choose(&locales, wanted, &template.default_locale);
    // A template is stored only with a variant in its default locale.
    let Some(variant) = chosen.and_then(|index| template.variants.get(index)) else {
        return Err(Error::not_found("template variant", wanted));
    };
    let globals = globals(data);
    let [subject, text, html] = &variant.parts;
    let render = |part: &Part| match &part.compiled {
        None => Ok(String::new()),
        Some(compiled) => engine
            .render(compiled, &globals)
            .map_err(|cause| Error::Render {
                template_id: template.template_id.clone(),
                locale: variant.locale.clone(),
                part: part.name,
                cause,
            }),
    };
    Ok(Content {
        template_id: template.template_id.clone(),
        locale: variant.locale.clone(),
        subject: one_line(&render(subject)?),
        text: render(text)?,
        html: render(html)?,
    })
}

/// Authors break lines between tags, and names may hold anything.
fn one_line(subject: &str) -> String {
    let words = subject.split(|c: char| c.is_whitespace() || c.is_control());
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    words.join(" ")
}
