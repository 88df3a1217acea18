//! Segment's calls into messages for the profile service. What a field may hold is
//! judged there, once for every way in; here is only what the Segment spec says about
//! their meaning.

use attune_api::{
    gateway::v1::{BatchMessage, TrackRequest},
    profile::v1::{
        AliasMessage, EventMessage, GroupMessage, IdentifyMessage, IngestMessage,
        ingest_message::Kind,
    },
    time::{from_ms, to_ms},
    r#type::v1::{Identity, Subject, subject::Id},
};
use prost_types::{Struct, Timestamp, Value, value};
use uuid::Uuid;

use crate::door::Signal;

pub const USER_ID: &str = "user_id";
pub const ANONYMOUS_ID: &str = "anonymous_id";

/// What holds for all messages of one call.
#[derive(Default)]
pub struct Setting {
    pub receive_ms: i64,
    /// Whether `traits.email` is an identifier too.
    pub email_identity: bool,
    /// Of the batch; each message's own goes before it.
    pub context: Option<Struct>,
    pub sent_at: Option<Timestamp>,
    /// What the browser says that made the call; it is part of each message's context.
    pub signal: Signal,
}

/// How a message was put together, to name its fields as the caller knows them.
pub struct Shape {
    /// The field that each identity came from.
    pub identities: Vec<&'static str>,
    pub is_alias: bool,
}

/// A message for the profile service. One without a known type has no kind, which is
/// how the profile service comes to refuse it together with everything else.
pub fn message(sent: BatchMessage, setting: &Setting) -> (IngestMessage, Shape) {
    let is_alias = sent.r#type == "alias";
    let mut identities = Vec::with_capacity(3);
    let mut fields = Vec::with_capacity(3);
    let mut identify = |namespace: &str, value: String, field: &'static str| {
        if !value.is_empty() {
            identities.push(identity(namespace, value));
            fields.push(field);
        }
    };
    identify(USER_ID, sent.user_id, "user_id");
    if !is_alias {
        identify(ANONYMOUS_ID, sent.anonymous_id, "anonymous_id");
    }
    if setting.email_identity
        && sent.r#type == "identify"
        && let Some(email) = text(sent.traits.as_ref(), "email")
    {
        identify("email", email.to_lowercase(), "traits.email");
    }
    let mut context = with_defaults(sent.context, setting.context.as_ref());
    if setting.signal == Signal::Gpc {
        let set = Value {
            kind: Some(value::Kind::BoolValue(true)),
        };
        let fields = &mut context.get_or_insert_default().fields;
        fields.insert("gpc".to_owned(), set);
    }
    let sent_at = sent.sent_at.as_ref().or(setting.sent_at.as_ref());
    let time_ms = corrected_ms(sent.timestamp.as_ref(), sent_at, setting.receive_ms);
    let kind = match sent.r#type.as_str() {
        "identify" => Some(Kind::Identify(IdentifyMessage {
            traits: sent.traits,
        })),
        "track" => Some(event(sent.event, sent.properties)),
        name @ ("page" | "screen") => {
            let properties = named(sent.properties, sent.name, sent.category);
            Some(event(name.to_owned(), properties))
        }
        "group" => Some(Kind::Group(GroupMessage {
            group_id: sent.group_id,
            traits: sent.traits,
        })),
        "alias" => Some(Kind::Alias(AliasMessage {
            // Until it is known to be a user's.
            previous: Some(identity(ANONYMOUS_ID, sent.previous_id)),
        })),
        _ => None,
    };
    let message = IngestMessage {
        message_id: id_or_new(sent.message_id),
        identities,
        profile_id: String::new(),
        time: Some(from_ms(time_ms)),
        receive_time: Some(from_ms(setting.receive_ms)),
        channel: channel(context.as_ref()),
        source: text(context.as_ref(), "source")
            .unwrap_or_default()
            .to_owned(),
        context,
        kind,
        ..IngestMessage::default()
    };
    let shape = Shape {
        identities: fields,
        is_alias,
    };
    (message, shape)
}

/// The events of a personalize call; one that names nobody is the subject's.
pub fn events_of(
    subject: &Subject,
    events: Vec<TrackRequest>,
    setting: &Setting,
) -> (Vec<IngestMessage>, Vec<Shape>) {
    let message_of = |event: TrackRequest| {
        let sent = BatchMessage {
            r#type: "track".to_owned(),
            message_id: event.message_id,
            user_id: event.user_id,
            anonymous_id: event.anonymous_id,
            event: event.event,
            properties: event.properties,
            context: event.context,
            timestamp: event.timestamp,
            sent_at: event.sent_at,
            ..BatchMessage::default()
        };
        let (mut message, shape) = message(sent, setting);
        if message.identities.is_empty() {
            let (namespace, value) = match subject.id.clone() {
                Some(Id::ProfileId(id)) => {
                    message.profile_id = id;
                    return (message, shape);
                }
                Some(Id::UserId(id)) => (USER_ID.to_owned(), id),
                Some(Id::AnonymousId(id)) => (ANONYMOUS_ID.to_owned(), id),
                Some(Id::Identity(id)) => (id.namespace, id.value),
                None => return (message, shape),
            };
            message.identities.push(Identity { namespace, value });
        }
        (message, shape)
    };
    events.into_iter().map(message_of).unzip()
}

fn identity(namespace: &str, value: String) -> Identity {
    Identity {
        namespace: namespace.to_owned(),
        value,
    }
}

fn event(name: String, properties: Option<Struct>) -> Kind {
    Kind::Event(EventMessage { name, properties })
}

/// Without an id a call is taken every time it is sent.
fn id_or_new(id: String) -> String {
    if id.is_empty() {
        Uuid::now_v7().to_string()
    } else {
        id
    }
}

/// A page's name and category are properties like any other.
fn named(properties: Option<Struct>, name: String, category: String) -> Option<Struct> {
    let mut properties = properties.unwrap_or_default();
    for (key, text) in [("name", name), ("category", category)] {
        if !text.is_empty() {
            let value = Value {
                kind: Some(value::Kind::StringValue(text)),
            };
            properties.fields.entry(key.to_owned()).or_insert(value);
        }
    }
    Some(properties)
}

fn with_defaults(own: Option<Struct>, defaults: Option<&Struct>) -> Option<Struct> {
    let Some(defaults) = defaults else {
        return own;
    };
    let mut own = own.unwrap_or_default();
    for (key, value) in &defaults.fields {
        if !own.fields.contains_key(key) {
            own.fields.insert(key.clone(), value.clone());
        }
    }
    Some(own)
}

/// The sender's clock is off by the time between sending and receiving, as far as can
/// be known: the way itself counts as nothing.
fn corrected_ms(
    timestamp: Option<&Timestamp>,
    sent_at: Option<&Timestamp>,
    receive_ms: i64,
) -> i64 {
    match (timestamp, sent_at) {
        (None, _) => receive_ms,
        (Some(time), None) => to_ms(time),
        (Some(time), Some(sent_at)) => {
            let skew = receive_ms.saturating_sub(to_ms(sent_at));
            to_ms(time).saturating_add(skew)
        }
    }
}

/// What the sender says, else what its library is for, else `api`.
fn channel(context: Option<&Struct>) -> String {
    if let Some(channel) = text(context, "channel") {
        return channel.to_owned();
    }
    let library = context
        .and_then(|c| c.fields.get("library"))
        .and_then(|v| match &v.kind {
            Some(value::Kind::StructValue(library)) => text(Some(library), "name"),
            Some(value::Kind::StringValue(name)) => Some(name.as_str()),
            _ => None,
        });
    let library = library.unwrap_or_default().to_lowercase();
    const APP: [&str; 8] = [
        "ios",
        "swift",
        "android",
        "kotlin",
        "react-native",
        "flutter",
        "xamarin",
        "unity",
    ];
    if library.contains("analytics.js") || library.contains("analytics-next") {
        "web".to_owned()
    } else if APP.iter().any(|app| library.contains(app)) {
        "app".to_owned()
    } else {
        "api".to_owned()
    }
}

fn text<'a>(fields: Option<&'a Struct>, name: &str) -> Option<&'a str> {
    match &fields?.fields.get(name)?.kind {
        Some(value::Kind::StringValue(text)) if !text.is_empty() => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use attune_api::json::to_struct;
    use serde_json::json;

    fn at(ms: i64) -> Option<Timestamp> {
        Some(from_ms(ms))
    }

    #[test]
    fn times_are_corrected_for_the_senders_clock() {
        let rows = [
            // timestamp, sent at, received, expected
            (None, None, 5_000, 5_000),
            (None, at(1_000), 5_000, 5_000),
            (at(1_000), None, 5_000, 1_000),
            // A clock that is an hour behind.
            (at(1_000), at(2_000), 3_602_000, 3_601_000),
            // A clock that is ahead.
            (at(9_000), at(9_500), 5_000, 4_500),
        ];
        for (timestamp, sent_at, receive_ms, expected) in rows {
            let found = corrected_ms(timestamp.as_ref(), sent_at.as_ref(), receive_ms);
            assert_eq!(found, expected, "{timestamp:?} {sent_at:?}");
        }
    }

    #[test]
    fn the_channel_is_what_is_said_or_what_the_library_is_for() {
        let rows = [
            (json!({}), "api"),
            (json!({"channel": "store"}), "store"),
            (json!({"library": {"name": "analytics.js"}}), "web"),
            (json!({"library": {"name": "analytics-ios"}}), "app"),
            (json!({"library": {"name": "analytics-android"}}), "app"),
            (
                json!({"library": {"name": "@segment/analytics-node"}}),
                "api",
            ),
            (json!({"channel": "", "library": 7}), "api"),
        ];
        for (context, expected) in rows {
            let context = to_struct(context).unwrap();
            assert_eq!(channel(Some(&context)), expected, "{context:?}");
        }
    }

    #[test]
    fn a_page_is_an_event_with_its_name_among_the_properties() {
        let sent = BatchMessage {
            r#type: "page".into(),
            user_id: "u".into(),
            name: "Home".into(),
            properties: to_struct(json!({"url": "/"})),
            ..Default::default()
        };
        let (message, _) = message(sent, &Setting::default());
        let Some(Kind::Event(event)) = message.kind else {
            panic!("no event");
        };
        assert_eq!(event.name, "page");
        assert_eq!(
            event.properties,
            to_struct(json!({"name": "Home", "url": "/"}))
        );
    }

    #[test]
    fn an_email_is_an_identity_only_where_it_is_set_to_be() {
        for (email_identity, expected) in [(false, 1), (true, 2)] {
            let sent = BatchMessage {
                r#type: "identify".into(),
                user_id: "u".into(),
                traits: to_struct(json!({"email": "Ann@Example.com"})),
                ..Default::default()
            };
            let setting = Setting {
                email_identity,
                ..Default::default()
            };
            let (message, _) = message(sent, &setting);
            assert_eq!(message.identities.len(), expected);
        }
    }

    #[test]
    fn the_batchs_context_fills_what_a_message_does_not_say() {
        let own = to_struct(json!({"ip": "1.1.1.1"}));
        let defaults = to_struct(json!({"ip": "2.2.2.2", "locale": "de"}));
        let both = with_defaults(own, defaults.as_ref());
        assert_eq!(both, to_struct(json!({"ip": "1.1.1.1", "locale": "de"})));
    }

    #[test]
    fn what_the_browser_says_is_part_of_the_context() {
        for (signal, expected) in [
            (Signal::None, None),
            (Signal::Gpc, to_struct(json!({"gpc": true}))),
        ] {
            let setting = Setting {
                signal,
                ..Setting::default()
            };
            let (message, _) = message(BatchMessage::default(), &setting);
            assert_eq!(message.context, expected);
        }
    }
}
