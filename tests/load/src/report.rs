//! What every benchmark answers with: a table for people and, as JSON, rows of
//! `{metric, unit, value, yardstick, ratio}`. Knows nothing of what was measured.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use serde::Serialize;

/// One figure. `yardstick` is what the same run measured for the thing it is held
/// against, in the same unit; `ratio` is value ÷ yardstick.
#[derive(Debug, Clone, Serialize)]
pub struct Metric {
    pub metric: String,
    pub unit: &'static str,
    pub value: f64,
    pub yardstick: Option<f64>,
    pub ratio: Option<f64>,
}

#[derive(Debug, Default)]
pub struct Report {
    metrics: Vec<Metric>,
}

impl Report {
    pub fn add(&mut self, metric: impl Into<String>, unit: &'static str, value: f64) {
        self.metrics.push(Metric {
            metric: metric.into(),
            unit,
            value,
            yardstick: None,
            ratio: None,
        });
    }

    pub fn add_against(
        &mut self,
        metric: impl Into<String>,
        unit: &'static str,
        value: f64,
        yardstick: f64,
    ) {
        self.metrics.push(Metric {
            metric: metric.into(),
            unit,
            value,
            yardstick: Some(yardstick),
            ratio: (yardstick != 0.0).then(|| value / yardstick),
        });
    }

    /// Prints the table and, if asked, writes the JSON.
    pub fn publish(&self, json: Option<&Path>) -> Result<()> {
        println!(
            "{:<40} {:>14} {:>14} {:>8}  unit",
            "metric", "value", "yardstick", "ratio"
        );
        for m in &self.metrics {
            println!(
                "{:<40} {:>14} {:>14} {:>8}  {}",
                m.metric,
                figure(m.value),
                m.yardstick.map_or_else(String::new, figure),
                m.ratio.map_or_else(String::new, |r| format!("{r:.2}")),
                m.unit
            );
        }
        if let Some(path) = json {
            fs::write(path, serde_json::to_vec_pretty(&self.metrics)?)
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }
}

fn figure(value: f64) -> String {
    if value.abs() >= 100.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    }
}
