//! Messages of an ingest request: their rules, and the form in which they are decided.

use std::sync::Arc;

use attune_api::{
    profile::v1::{
        AliasMessage, EventMessage, GroupMessage, IngestMessage, Origin, Party, ingest_message,
    },
    r#type::v1 as types,
};
use attune_errors::Violations;
use attune_expr::is_identifier;
use attune_rpc::Caller;
use prost::Message as _;
use prost_types::{Struct, Value, value::Kind as ValueKind};

use super::{Rules, identity, signals::signals, text, time};
use crate::{
    domain::{
        Identity, Kind, Message, Occurrence, Provenance, Traits, Who,
        event::{Sent, event_type},
        identity::Read as Named,
        quality::Tally,
    },
    service::schema::Schema,
};

/// Messages in one request.
pub const MESSAGES_MAX: usize = 1_000;
const MESSAGE_ID_CHARS_MAX: usize = 256;
const TRAIT_ID_CHARS_MAX: usize = 128;
const SOURCE_CHARS_MAX: usize = 128;

/// Messages whose senders do not say what they are, as from the key they came with.
pub fn named(mut sent: Vec<IngestMessage>, caller: &Caller) -> Vec<IngestMessage> {
    if let Some(actor) = &caller.actor {
        for message in sent.iter_mut().filter(|message| message.source.is_empty()) {
            actor.as_str().clone_into(&mut message.source);
        }
    }
    sent
}

/// What is wrong with messages.
#[derive(Debug)]
pub struct Refused {
    pub violations: Violations,
    /// Values and events that break what is declared.
    pub tally: Tally,
}

impl From<Violations> for Refused {
    fn from(violations: Violations) -> Self {
        Self {
            violations,
            tally: Tally::default(),
        }
    }
}

/// All of them, or all that is wrong with them.
pub fn messages(
    sent: Vec<IngestMessage>,
    rules: Rules<'_>,
    now_ms: i64,
) -> Result<Vec<Message>, Refused> {
    let mut violations = Violations::new();
    let mut taken = Vec::with_capacity(sent.len());
    let read = each(sent, rules, now_ms)?;
    for (index, read) in read.messages.into_iter().enumerate() {
        match read {
            Ok(message) => taken.push(message),
            Err(own) => violations.within_item("messages", index, |all| all.extend(own)),
        }
    }
    let tally = read.tally;
    match violations.into_result() {
        Ok(()) => Ok(taken),
        Err(violations) => Err(Refused { violations, tally }),
    }
}

/// Messages as they were read.
pub struct Read {
    /// Each of them, or all that is wrong with it, by paths within the message.
    pub messages: Vec<Result<Message, Violations>>,
    /// Values and events that break what is declared.
    pub tally: Tally,
}

/// Each by itself.
pub fn each(sent: Vec<IngestMessage>, rules: Rules<'_>, now_ms: i64) -> Result<Read, Violations> {
    if sent.is_empty() || sent.len() > MESSAGES_MAX {
        return Err(Violations::of("messages", "must be 1 to 1000"));
    }
    let mut reader = Reader {
        rules,
        now_ms,
        provenance: Arc::default(),
        tally: Tally::default(),
    };
    let read = sent.into_iter().map(|message| {
        let mut violations = Violations::new();
        let message = reader.message(message, &mut violations);
        violations.into_result()?;
        // Nothing is left out without a word, so there is one.
        message.ok_or_else(|| Violations::of("", "must be a message"))
    });
    let messages = read.collect();
    let tally = reader.tally;
    Ok(Read { messages, tally })
}

/// Messages that were taken by other declarations than hold now, held against these.
pub fn against(messages: &[Message], schema: &Schema) -> Result<(), Refused> {
    let mut refused = Refused::from(Violations::new());
    for (index, message) in messages.iter().enumerate() {
        let Refused { violations, tally } = &mut refused;
        let source = &message.provenance.source;
        violations.within_item("messages", index, |violations| match &message.kind {
            Kind::Identify(traits) => violations.within("identify", |violations| {
                hold_traits(traits, schema, source, violations, tally);
            }),
            Kind::Event(event) => violations.within("event", |violations| {
                let properties = event.properties();
                let sent = (event.kind.as_str(), properties.as_ref());
                hold_event(sent, schema, source, violations, tally);
            }),
            Kind::Group { .. } | Kind::Alias { .. } | Kind::List { .. } => {}
        });
    }
    match refused.violations.is_empty() {
        true => Ok(()),
        false => Err(refused),
    }
}

fn hold_traits(
    traits: &Traits,
    schema: &Schema,
    source: &Arc<str>,
    violations: &mut Violations,
    tally: &mut Tally,
) {
    violations.within("traits", |violations| {
        for broken in schema.traits.broken(traits) {
            tally.at(source, &broken.name).rejected += 1;
            tally.source(source).rejected += 1;
            violations.push(path(&broken.name), broken.rule);
        }
    });
}

fn hold_event(
    (event_type, properties): (&str, Option<&Struct>),
    schema: &Schema,
    source: &Arc<str>,
    violations: &mut Violations,
    tally: &mut Tally,
) {
    let broken = schema.event_types.broken(event_type, properties);
    if !broken.is_empty() {
        tally.source(source).rejected += 1;
    }
    violations.within("properties", |violations| {
        for broken in broken {
            violations.push(path(&broken.name), broken.rule);
        }
    });
}

/// A name as part of a field's path.
fn path(name: &str) -> String {
    match is_identifier(name) {
        true => name.to_owned(),
        false => {
            let shown: String = name.chars().take(32).collect();
            format!("[{shown:?}]")
        }
    }
}

struct Reader<'a> {
    rules: Rules<'a>,
    now_ms: i64,
    /// Of the message before, which most of a request have in common.
    provenance: Arc<Provenance>,
    /// Of what breaks the schema.
    tally: Tally,
}

impl Reader<'_> {
    fn message(&mut self, sent: IngestMessage, violations: &mut Violations) -> Option<Message> {
        self.message_id(&sent.message_id, violations);
        let who = self.who(&sent.identities, &sent.profile_id, violations);
        let received = sent.receive_time.as_ref();
        let receive_ms = received
            .and_then(|sent| {
                time(
                    "receive_time",
                    sent,
                    self.now_ms,
                    self.rules.config,
                    violations,
                )
            })
            .unwrap_or(self.now_ms);
        let time_ms = match &sent.time {
            Some(sent) => time("time", sent, receive_ms, self.rules.config, violations),
            None => Some(receive_ms),
        };
        text("channel", &sent.channel, violations);
        let mut signalled = None;
        if let Some(context) = &sent.context {
            violations.within("context", |v| {
                self.values(context, v);
                signalled = signals(context, v).map(Arc::new);
            });
        }
        let id: Arc<str> = sent.message_id.as_str().into();
        let provenance = self.provenance(&sent, violations);
        let event = |message: EventMessage| Sent {
            event_id: sent.message_id,
            name: message.name,
            time_ms: time_ms.unwrap_or_default(),
            receive_ms,
            channel: sent.channel,
            properties: message.properties,
            context: sent.context,
        };
        let kind = self.kind(sent.kind, event, violations);
        Some(Message {
            id,
            who: who?,
            time_ms: time_ms?,
            provenance: provenance?,
            kind: kind?,
            signals: signalled,
        })
    }

    fn message_id(&self, id: &str, violations: &mut Violations) {
        let fits = (1..=MESSAGE_ID_CHARS_MAX).contains(&id.chars().count());
        if !fits || id.chars().any(char::is_control) {
            violations.push(
                "message_id",
                "must be 1 to 256 characters without control characters",
            );
        }
    }

    fn provenance(
        &mut self,
        sent: &IngestMessage,
        violations: &mut Violations,
    ) -> Option<Arc<Provenance>> {
        let before = violations.len();
        let source = &sent.source;
        if source.chars().count() > SOURCE_CHARS_MAX || source.chars().any(char::is_control) {
            violations.push(
                "source",
                "must be at most 128 characters without control characters",
            );
        }
        let (party, origin) = (Party::try_from(sent.party), Origin::try_from(sent.origin));
        if party.is_err() {
            violations.push("party", "must be one of the parties that there are");
        }
        if origin.is_err() {
            violations.push("origin", "must be one of the origins that there are");
        }
        let (Ok(party), Ok(origin)) = (party, origin) else {
            return None;
        };
        let held = &self.provenance;
        if *held.source != **source || (held.party, held.origin) != (party, origin) {
            self.provenance = Arc::new(Provenance {
                source: source.as_str().into(),
                party,
                origin,
            });
        }
        (violations.len() == before).then(|| self.provenance.clone())
    }

    fn kind(
        &mut self,
        sent: Option<ingest_message::Kind>,
        event: impl FnOnce(EventMessage) -> Sent,
        violations: &mut Violations,
    ) -> Option<Kind> {
        use ingest_message::Kind as Sort;
        match sent {
            None => {
                violations.push("", "must be one of identify, event, group and alias");
                None
            }
            Some(Sort::Identify(identify)) => violations.within("identify", |v| {
                let traits = self.traits(identify.traits, v);
                let source = &self.provenance.source;
                hold_traits(&traits, self.rules.schema, source, v, &mut self.tally);
                Some(Kind::Identify(traits))
            }),
            Some(Sort::Event(message)) => violations.within("event", |v| {
                self.event(&message, v);
                v.is_empty()
                    .then(|| Kind::Event(Arc::new(Occurrence::new(event(message)))))
            }),
            Some(Sort::Group(group)) => violations.within("group", |v| self.group(group, v)),
            Some(Sort::Alias(alias)) => violations.within("alias", |v| self.previous(alias, v)),
        }
    }

    fn event(&mut self, event: &EventMessage, violations: &mut Violations) {
        let (name, kind) = (&event.name, event_type(&event.name));
        if name.chars().count() > super::TEXT_CHARS_MAX || kind.is_empty() {
            violations.push(
                "name",
                "must be 1 to 256 characters with at least one letter or digit",
            );
        }
        if let Some(properties) = &event.properties {
            violations.within("properties", |v| self.values(properties, v));
        }
        let (sent, source) = (
            (kind.as_str(), event.properties.as_ref()),
            &self.provenance.source,
        );
        hold_event(sent, self.rules.schema, source, violations, &mut self.tally);
    }

    fn group(&self, group: GroupMessage, violations: &mut Violations) -> Option<Kind> {
        if group.group_id.is_empty() {
            violations.push("group_id", "must be set");
        }
        text("group_id", &group.group_id, violations);
        Some(Kind::Group {
            traits: self.traits(group.traits, violations),
            group_id: group.group_id,
        })
    }

    fn traits(&self, traits: Option<Struct>, violations: &mut Violations) -> Traits {
        let Some(traits) = traits else {
            return Traits::from([]);
        };
        violations.within("traits", |violations| {
            self.values(&traits, violations);
            let named = traits.fields.keys();
            let misnamed = named.filter(|id| {
                let chars = id.chars().count();
                chars == 0 || chars > TRAIT_ID_CHARS_MAX || id.chars().any(char::is_control)
            });
            for id in misnamed {
                violations.push(
                    path(id),
                    "must have a name of 1 to 128 characters without control characters",
                );
            }
        });
        let present = |value: Value| match value.kind {
            None | Some(ValueKind::NullValue(_)) => None,
            _ => Some(value),
        };
        let traits = traits.fields.into_iter();
        traits.map(|(id, value)| (id, present(value))).collect()
    }

    /// Bounded, and without numbers that JSON does not have.
    fn values(&self, fields: &Struct, violations: &mut Violations) {
        let bytes_max = self.rules.config.properties_bytes_max;
        if fields.encoded_len() > bytes_max {
            violations.push("", format!("must be at most {bytes_max} bytes"));
        }
        for (name, value) in &fields.fields {
            if !is_finite(value) {
                let shown: String = name.chars().take(32).collect();
                violations.push(shown, "must hold finite numbers only");
            }
        }
    }

    fn who(
        &self,
        sent: &[types::Identity],
        profile_id: &str,
        violations: &mut Violations,
    ) -> Option<Who> {
        match (sent, profile_id) {
            ([], "") => {
                violations.push("identities", "must not be empty without a profile_id");
                None
            }
            ([], id) => match id.parse() {
                Ok(id) => Some(Who::Profile(id)),
                Err(_) => {
                    violations.push("profile_id", "must be the id of an existing profile");
                    None
                }
            },
            (sent, "") => self.identities(sent, violations).map(Who::Identities),
            _ => {
                violations.push("profile_id", "must be empty beside identities");
                None
            }
        }
    }

    /// The strongest first. Those that are sent for many are passed over where others
    /// say who it is.
    fn identities(
        &self,
        sent: &[types::Identity],
        violations: &mut Violations,
    ) -> Option<Vec<Identity>> {
        let mut taken: Vec<Identity> = Vec::with_capacity(sent.len());
        let mut blocked = Vec::new();
        let before = violations.len();
        for (index, sent) in sent.iter().enumerate() {
            violations.within_item("identities", index, |violations| {
                match identity(sent, self.rules.namespaces, violations) {
                    Some(Named::Named(identity)) => {
                        if taken.iter().any(|t| t.namespace() == identity.namespace()) {
                            violations.push("namespace", "must be named once");
                        }
                        taken.push(identity);
                    }
                    Some(Named::Blocked(broken)) => blocked.push((index, broken)),
                    None => {}
                }
            });
        }
        if blocked.len() == sent.len() {
            for (index, broken) in blocked {
                violations.within_item("identities", index, |violations| {
                    violations.push(broken.field, broken.rule);
                });
            }
        }
        taken.sort_by_key(Identity::rank);
        (violations.len() == before).then_some(taken)
    }

    fn previous(&self, alias: AliasMessage, violations: &mut Violations) -> Option<Kind> {
        let Some(sent) = alias.previous else {
            violations.push("previous", "must be set");
            return None;
        };
        violations.within("previous", |violations| {
            match identity(&sent, self.rules.namespaces, violations)? {
                Named::Named(previous) => Some(Kind::Alias { previous }),
                Named::Blocked(broken) => {
                    violations.push(broken.field, broken.rule);
                    None
                }
            }
        })
    }
}

/// Recursion is bounded by the decoder's own limit of 100 levels.
fn is_finite(value: &Value) -> bool {
    match &value.kind {
        Some(ValueKind::NumberValue(n)) => n.is_finite(),
        Some(ValueKind::StructValue(fields)) => fields.fields.values().all(is_finite),
        Some(ValueKind::ListValue(list)) => list.values.iter().all(is_finite),
        _ => true,
    }
}
