//! The one place where what is known about a person becomes bytes and keys, and back:
//! what is to be encrypted one day is encrypted here.

use std::sync::Arc;

use attune_api::profile::v1::Event;
use attune_storage::{Error, FromColumn, Row};
use bytes::Bytes;
use prost::Message;

use crate::domain::{Identity, ProfileId, Record, record::Timed};

pub fn record_bytes(record: &Record) -> Bytes {
    record.encode_to_vec().into()
}

pub fn record(bytes: &[u8]) -> Result<Record, Error> {
    decode(bytes, "a stored profile")
}

pub fn trait_value_bytes(value: &Timed) -> Bytes {
    value.encode_to_vec().into()
}

pub fn trait_value(bytes: &[u8]) -> Result<Timed, Error> {
    decode(bytes, "a stored trait value")
}

pub fn event(bytes: &[u8]) -> Result<Event, Error> {
    decode(bytes, "a stored event")
}

/// What an identifier is found by.
pub fn identity_key(identity: &Identity) -> Arc<str> {
    identity.key().clone()
}

pub fn identity(key: &str) -> Result<Identity, Error> {
    Identity::from_key(key).ok_or_else(|| broken(0, "a stored identity", "other text"))
}

/// An id column.
pub fn profile_id(row: &Row, index: usize) -> Result<ProfileId, Error> {
    let text: String = row.get(index)?;
    text.parse()
        .map_err(|_| broken(index, "a profile id", "other text"))
}

/// An id column that may be null.
pub fn profile_id_or_null(row: &Row, index: usize) -> Result<Option<ProfileId>, Error> {
    let text: Option<String> = row.get(index)?;
    text.map(|t| {
        t.parse()
            .map_err(|_| broken(index, "a profile id", "other text"))
    })
    .transpose()
}

fn decode<M: Message + Default>(bytes: &[u8], expected: &'static str) -> Result<M, Error> {
    M::decode(bytes).map_err(|_| broken(0, expected, <Bytes as FromColumn>::EXPECTED))
}

fn broken(index: usize, expected: &'static str, found: &str) -> Error {
    Error::Column {
        index,
        expected,
        found: found.to_owned(),
    }
}
