//! What a message's context says about consent: where the person is, Global Privacy
//! Control, an IAB TCF string, and the choices of a consent manager, as Segment's clients
//! send them. What is shaped otherwise is somebody else's and says nothing here.

use attune_errors::Violations;
use prost_types::{Struct, Value, value::Kind};

use crate::domain::{consent::Signals, region::Region, tcf::Tcf};

/// Purposes that a consent manager may speak of in one message.
const CATEGORIES_MAX: usize = 64;

/// None where the context says nothing.
pub fn signals(context: &Struct, violations: &mut Violations) -> Option<Signals> {
    let consent = object(context, "consent");
    let location = object(context, "location");
    let in_consent = |name: &str| consent.and_then(|consent| text(consent, name));
    let raw = in_consent("tcf").or_else(|| in_consent("tcString"));
    let tcf = raw.and_then(|raw| match Tcf::decode(raw) {
        Ok(tcf) => Some(tcf),
        Err(fault) => {
            violations.push("consent.tcf", fault.to_string());
            None
        }
    });
    let signals = Signals {
        region: location.and_then(|location| {
            let part = text(location, "region").unwrap_or_default();
            Region::of_location(text(location, "country")?, part)
        }),
        gpc: is_set(context, "gpc") || consent.is_some_and(|consent| is_set(consent, "gpc")),
        tcf,
        categories: consent.map_or_else(Vec::new, categories),
    };
    (!signals.says_nothing()).then_some(signals)
}

/// By purpose; a category's name is put as a purpose's id would be.
fn categories(consent: &Struct) -> Vec<(String, bool)> {
    let Some(preferences) = object(consent, "categoryPreferences") else {
        return Vec::new();
    };
    let decided = preferences.fields.iter().take(CATEGORIES_MAX);
    decided
        .filter_map(|(name, value)| match value.kind {
            Some(Kind::BoolValue(granted)) => {
                Some((crate::domain::event::snake_case(name), granted))
            }
            _ => None,
        })
        .collect()
}

fn object<'a>(fields: &'a Struct, name: &str) -> Option<&'a Struct> {
    match &fields.fields.get(name)?.kind {
        Some(Kind::StructValue(inner)) => Some(inner),
        _ => None,
    }
}

fn text<'a>(fields: &'a Struct, name: &str) -> Option<&'a str> {
    match &fields.fields.get(name)?.kind {
        Some(Kind::StringValue(text)) if !text.is_empty() => Some(text),
        _ => None,
    }
}

/// Truth as senders write it: `Sec-GPC` is the text `1`.
fn is_set(fields: &Struct, name: &str) -> bool {
    match fields.fields.get(name) {
        Some(Value {
            kind: Some(Kind::BoolValue(set)),
        }) => *set,
        Some(Value {
            kind: Some(Kind::NumberValue(number)),
        }) => *number == 1.0,
        Some(Value {
            kind: Some(Kind::StringValue(text)),
        }) => text == "1" || text == "true",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::tcf::tests::FIRST_THREE;
    use attune_api::json::to_struct;
    use serde_json::json;

    fn read(context: serde_json::Value) -> (Option<Signals>, Vec<String>) {
        let mut violations = Violations::new();
        let signals = signals(&to_struct(context).unwrap(), &mut violations);
        let faults = violations.iter().map(|v| v.field.clone()).collect();
        (signals, faults)
    }

    #[test]
    fn a_context_says_what_it_says_about_consent() {
        let (all, _) = read(json!({
            "gpc": true,
            "location": {"country": "us", "region": "CA"},
            "consent": {
                "tcf": FIRST_THREE,
                "categoryPreferences": {"Analytics": true, "Marketing Email": false, "odd": "yes"},
            },
        }));
        let all = all.unwrap();
        assert_eq!(all.region, Region::parse("US-CA").ok());
        assert!(all.gpc && all.tcf.is_some());
        assert_eq!(
            all.categories,
            [
                ("analytics".to_owned(), true),
                ("marketing_email".to_owned(), false)
            ]
        );
        for (context, gpc) in [
            (json!({"consent": {"gpc": "1"}}), true),
            (json!({"gpc": 1}), true),
            (json!({"gpc": false}), false),
            (json!({"gpc": {"a": 1}}), false),
        ] {
            let (signals, _) = read(context);
            assert_eq!(signals.is_some_and(|s| s.gpc), gpc);
        }
        assert_eq!(read(json!({"ip": "1.1.1.1", "location": "home"})).0, None);
    }

    #[test]
    fn a_broken_string_is_a_fault() {
        let (_, faults) = read(json!({"consent": {"tcf": "CO nonsense"}}));
        assert_eq!(faults, ["consent.tcf"]);
    }
}
