//! The part of a message that is somebody's: to whom it goes, what it says and what the
//! mail server answered. Sealed with the key of the profile it was sent to; of a message
//! to nobody we know, with a key of its own.

use attune_storage::{Error, FromColumn, Row};
use attune_vault::Keys;
use bytes::Bytes;
use prost::Message as _;
use uuid::Uuid;

use crate::domain::message::{Content, Message, State};

const WORDS: &str = "message";
const ERROR: &str = "error";

/// What is sealed as one. The tags are the stored form.
#[derive(Clone, PartialEq, prost::Message)]
struct Words {
    #[prost(string, tag = "1")]
    to: String,
    #[prost(string, tag = "2")]
    subject: String,
    #[prost(string, tag = "3")]
    text: String,
    #[prost(string, tag = "4")]
    html: String,
}

/// Whose key seals a message. None for an id that this service never gave out.
pub(super) fn owner(profile_id: &str, message_id: &str) -> Option<Uuid> {
    let id = Uuid::try_parse(profile_id).or_else(|_| Uuid::try_parse(message_id));
    id.ok()
}

pub(super) fn owner_of(message: &Message) -> Result<Uuid, Error> {
    owner(&message.profile_id, &message.message_id).ok_or_else(|| broken("no id"))
}

pub(super) fn seal(keys: &Keys, message: &Message) -> Result<Bytes, Error> {
    let content = &message.content;
    let words = Words {
        to: message.to.clone(),
        subject: content.subject.clone(),
        text: content.text.clone(),
        html: content.html.clone(),
    };
    keys.seal(owner_of(message)?, WORDS, &words.encode_to_vec())
}

pub(super) fn seal_error(keys: &Keys, owner: Uuid, error: &str) -> Result<Bytes, Error> {
    keys.seal(owner, ERROR, error.as_bytes())
}

/// A message as it lies in the table.
pub(super) struct Sealed {
    pub message: Message,
    pub owner: Uuid,
    words: Bytes,
    error: Option<Bytes>,
}

/// What [`Sealed::read`] expects, in its order.
pub(super) const COLUMNS: &str = "messages.workspace, messages.message_id, channel, \
     profile_id, template_id, locale, sealed, state, attempt_count, sealed_error, create_ms, \
     due_ms, delivery_ms";

impl Sealed {
    pub fn read(row: &Row) -> Result<Self, crate::Error> {
        let state: i64 = row.get(7)?;
        let message = Message {
            workspace: row.get(0)?,
            message_id: row.get(1)?,
            channel: row.get(2)?,
            to: String::new(),
            profile_id: row.get(3)?,
            content: Content {
                template_id: row.get(4)?,
                locale: row.get(5)?,
                ..Content::default()
            },
            state: State::from_code(state).ok_or(crate::Error::StateUnknown(state))?,
            attempt_count: row.get(8)?,
            last_error: String::new(),
            create_ms: row.get(10)?,
            due_ms: row.get(11)?,
            delivery_ms: row.get(12)?,
        };
        Ok(Self {
            owner: owner_of(&message)?,
            message,
            words: row.get(6)?,
            error: row.get(9)?,
        })
    }

    /// None where the key is gone, and with it the person.
    pub fn open(self, keys: &Keys) -> Result<Option<Message>, Error> {
        if !keys.has(self.owner) {
            return Ok(None);
        }
        let mut message = self.message;
        let words = keys.open(self.owner, WORDS, &self.words)?;
        let words = Words::decode(words).map_err(|_| broken("other bytes"))?;
        message.to = words.to;
        message.content.subject = words.subject;
        message.content.text = words.text;
        message.content.html = words.html;
        if let Some(error) = &self.error {
            let error = keys.open(self.owner, ERROR, error)?;
            message.last_error = String::from_utf8_lossy(&error).into_owned();
        }
        Ok(Some(message))
    }
}

fn broken(found: &str) -> Error {
    Error::Column {
        index: 0,
        expected: <Bytes as FromColumn>::EXPECTED,
        found: found.to_owned(),
    }
}
