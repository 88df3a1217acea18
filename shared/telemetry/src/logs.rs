//! Log lines on standard error, as text or JSON, each with the ids of the trace that
//! it belongs to. Spans' fields are not repeated on the lines: the trace has them.

use std::fmt::{self, Write as _};

use opentelemetry::{Context, trace::TraceContextExt};
use serde_json::{Map, Value};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    Layer,
    field::RecordFields,
    filter::FilterFn,
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::Writer,
        time::{FormatTime, SystemTime},
    },
    registry::LookupSpan,
};

use crate::LogFormat;

/// Writes log lines to standard error.
pub fn layer<S>(format: LogFormat) -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .fmt_fields(NoSpanFields)
        .event_format(Line(format))
}

/// Lines are made of events; spans are for the exporter.
pub fn no_spans() -> FilterFn<fn(&Metadata<'_>) -> bool> {
    FilterFn::new(|metadata| !metadata.is_span())
}

/// Keeps the formatter from rendering every span's fields, which no line shows.
struct NoSpanFields;

impl<'w> FormatFields<'w> for NoSpanFields {
    fn format_fields<R: RecordFields>(&self, _: Writer<'w>, _: R) -> fmt::Result {
        Ok(())
    }
}

struct Line(LogFormat);

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let mut fields = Fields::default();
        event.record(&mut fields);
        let line = match self.0 {
            LogFormat::Json => json(event, time, fields),
            LogFormat::Text => text(event, &time, &fields)?,
        };
        writeln!(writer, "{line}")
    }
}

/// The ids of the current trace and span, in hexadecimal.
fn trace_ids() -> Option<(String, String)> {
    Context::map_current(|context| {
        let span = context.span();
        let ids = span.span_context();
        ids.is_valid()
            .then(|| (ids.trace_id().to_string(), ids.span_id().to_string()))
    })
}

fn json(event: &Event<'_>, time: String, fields: Fields) -> String {
    let metadata = event.metadata();
    let mut line = Map::new();
    line.insert("timestamp".into(), time.into());
    line.insert("level".into(), metadata.level().as_str().into());
    line.insert("target".into(), metadata.target().into());
    line.insert("message".into(), fields.message.into());
    if let Some((trace_id, span_id)) = trace_ids() {
        line.insert("trace_id".into(), trace_id.into());
        line.insert("span_id".into(), span_id.into());
    }
    for (name, value) in fields.others {
        // Ours win, so that a field cannot pretend to be the time or the trace.
        line.entry(name).or_insert(value);
    }
    Value::Object(line).to_string()
}

fn text(event: &Event<'_>, time: &str, fields: &Fields) -> Result<String, fmt::Error> {
    let metadata = event.metadata();
    let mut line = format!(
        "{time} {:>5} {}: {}",
        metadata.level(),
        metadata.target(),
        fields.message.escape_debug()
    );
    for (name, value) in &fields.others {
        write!(line, " {name}={value}")?;
    }
    if let Some((trace_id, span_id)) = trace_ids() {
        write!(line, " trace_id={trace_id} span_id={span_id}")?;
    }
    Ok(line)
}

/// An event's fields with their types, in the order in which they were given.
#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(String, Value)>,
}

impl Fields {
    fn add(&mut self, field: &Field, value: impl Into<Value>) {
        self.others.push((field.name().to_owned(), value.into()));
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let value = format!("{value:?}");
        match field.name() {
            "message" => self.message = value,
            _ => self.add(field, value),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            _ => self.add(field, value),
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value);
    }

    fn record_error(&mut self, field: &Field, error: &(dyn std::error::Error + 'static)) {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        self.add(field, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::propagation::server_context;
    use std::sync::{Arc, Mutex};
    use tracing_subscriber::layer::SubscriberExt;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, log: impl FnOnce()) -> String {
        let sink = Sink::default();
        let writer = sink.clone();
        let layer = tracing_subscriber::fmt::layer()
            .with_writer(move || writer.clone())
            .fmt_fields(NoSpanFields)
            .event_format(Line(format));
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, log);
        String::from_utf8(sink.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn lines_carry_the_trace_in_both_formats() {
        let log = || {
            let _entered = server_context(&http::HeaderMap::new()).attach();
            tracing::info!(rows = 3, "stored");
        };
        let line: Value = serde_json::from_str(&logged(LogFormat::Json, log)).unwrap();
        assert_eq!(
            (&line["message"], &line["rows"]),
            (&"stored".into(), &3.into())
        );
        assert_eq!(line["trace_id"].as_str().unwrap().len(), 32);
        assert_eq!(line["span_id"].as_str().unwrap().len(), 16);
        let line = logged(LogFormat::Text, log);
        assert!(line.contains("stored rows=3 trace_id="), "{line}");
    }

    #[test]
    fn a_value_cannot_forge_a_line() {
        let log = || tracing::info!(name = "a\nb", "bad\nname");
        for format in [LogFormat::Json, LogFormat::Text] {
            assert_eq!(logged(format, log).lines().count(), 1);
        }
    }
}
