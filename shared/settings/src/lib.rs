//! Layered configuration: defaults, then a TOML file, the environment, and flags, the
//! later ones winning. Every fault of every layer is found before anything is reported.
//! Read once at the start; never in a request.
//!
//! A type is its own schema: `#[derive(Deserialize, JsonSchema)]` with
//! `#[serde(default, deny_unknown_fields)]`, a doc comment on each key, and bounds as
//! `#[schemars(range(min = 1, max = 100))]`. Secrets are [`Secret`].

mod check;
mod fault;
mod layers;
mod reference;
mod schema;
mod secret;

pub use fault::{Fault, Faults};
pub use layers::{Alias, Flag, Sources};
pub use reference::{Key, keys, reference};
pub use secret::Secret;

use config::Config;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

/// Reads all sources, checks each against `T`'s schema, and merges them. `check` adds
/// faults that only the merged values show; it runs even when a layer is at fault, with
/// the faulty values left out, so that one run reports everything.
pub fn load<T>(sources: &Sources, check: impl FnOnce(&T, &mut Faults)) -> Result<T, Faults>
where
    T: DeserializeOwned + JsonSchema,
{
    let schema = schema::of::<T>();
    let mut faults = Faults::default();
    let mut merged = Config::builder();
    for layer in layers::read(sources, &mut faults) {
        merged = merged.add_source(check::layer(layer, &schema, &mut faults));
    }
    let loaded = merged
        .build()
        .and_then(Config::try_deserialize::<T>)
        .map_err(|error| {
            // What the schema does not say, such as a key that must be there. Where
            // faulty values were left out it would only tell of the gaps they left.
            if faults.is_empty() {
                faults.push("", "the configuration", error.to_string());
            }
        });
    if let Ok(settings) = &loaded {
        check(settings, &mut faults);
    }
    match loaded {
        Ok(settings) if faults.is_empty() => Ok(settings),
        _ => Err(faults),
    }
}
