//! Liquid templates within limits: parsed when saved, with every fault at its line and
//! column, and rendered so that no template and no data can take more than a bounded
//! share of time and memory. Liquid itself has neither fuel nor escaping, and calls an
//! unknown name an error; here missing names render empty, outputs in HTML are
//! escaped, and each step is paid for from a [`Budget`](sandbox::Budget).

mod blocks;
mod data;
mod fault;
mod filters;
mod language;
mod sandbox;
mod scan;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

pub use data::{Item, RenderData};
pub use fault::SourceFault;
use liquid_core::{Language, Renderable, parser, runtime};
use sandbox::{Bounded, Budget, Sandbox};

/// What one template may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub source_bytes_max: usize,
    pub output_bytes_max: usize,
    /// One value while rendering: what a filter gives or a `capture` holds.
    pub value_bytes_max: usize,
    /// All values that one rendering makes.
    pub total_bytes_max: usize,
    /// Loop turns, filters and look-ups.
    pub steps_max: u64,
    pub time_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            source_bytes_max: 256 << 10,
            output_bytes_max: 1 << 20,
            value_bytes_max: 256 << 10,
            total_bytes_max: 16 << 20,
            steps_max: 200_000,
            time_max: Duration::from_millis(500),
        }
    }
}

/// Where the words go, which decides about escaping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    Text,
    Html,
}

/// A template that can be rendered.
#[derive(Debug)]
pub struct Compiled {
    template: runtime::Template,
}

/// Why a rendering gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    #[error("{0}")]
    LimitReached(&'static str),
    /// A value that a filter or a loop cannot work with.
    #[error("{0}")]
    Fault(String),
}

/// Parses and renders; made once.
pub struct Engine {
    limits: Limits,
    text: Language,
    html: Language,
}

impl Engine {
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            text: language::text(),
            html: language::html(),
        }
    }

    /// Parses `source`. The faults are those that can be told at once: all that the
    /// scan finds, or else the first that the parser meets.
    pub fn compile(&self, source: &str, target: Target) -> Result<Compiled, Vec<SourceFault>> {
        if source.len() > self.limits.source_bytes_max {
            let message = format!(
                "must not be longer than {} bytes",
                self.limits.source_bytes_max
            );
            return Err(vec![SourceFault::whole(message)]);
        }
        let scanned = scan::scan(source)?;
        // The author's own text first, so that a fault is told in its lines and columns.
        let parsed = parse(source, &self.text).map_err(|fault| vec![fault])?;
        let parsed = match target {
            Target::Text => parsed,
            Target::Html => parse(&scanned.escaping, &self.html).map_err(|fault| vec![fault])?,
        };
        Ok(Compiled {
            template: runtime::Template::new(parsed),
        })
    }

    /// Renders for one person. Takes up to `time_max` of this thread's time.
    pub fn render(&self, compiled: &Compiled, data: &data::Globals) -> Result<String, RenderError> {
        let budget = Budget::new(&self.limits, Instant::now());
        let sandbox = Sandbox::new(&data.0, budget);
        let mut output = Bounded::new(self.limits.output_bytes_max);
        let rendered = catch_unwind(AssertUnwindSafe(|| {
            compiled.template.render_to(&mut output, &sandbox)
        }));
        if output.overflowed() {
            return Err(RenderError::LimitReached("the output is too long"));
        }
        if let Some(limit) = sandbox.limit_reached() {
            return Err(RenderError::LimitReached(limit));
        }
        match rendered {
            Ok(Ok(())) => Ok(output.into_string()),
            Ok(Err(error)) => Err(RenderError::Fault(fault::summary(&error))),
            // Arithmetic on the edge of its range is all that is known to get here.
            Err(_) => Err(RenderError::Fault("a value is out of range".into())),
        }
    }
}

/// What a template may say about one person and one decision, made once for all parts
/// of a message.
pub fn globals(data: RenderData) -> data::Globals {
    data.into_globals()
}

fn parse(source: &str, language: &Language) -> Result<Vec<Box<dyn Renderable>>, SourceFault> {
    // The parser panics on a few inputs that its grammar lets through.
    catch_unwind(AssertUnwindSafe(|| parser::parse(source, language)))
        .map_err(|_| SourceFault::whole("cannot be parsed".into()))?
        .map_err(|error| SourceFault::of(&error, source))
}

#[cfg(test)]
mod tests;
