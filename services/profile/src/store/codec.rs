//! The one place where what is known about a person becomes bytes and keys, and back.
//! What a profile owns is sealed with that profile's key; what it is found by is hashed
//! with a secret. Nothing personal reaches a table by any other way.

use std::{fmt, sync::Arc};

use attune_api::profile::v1::{Event, RecentEvent};
use attune_storage::{Database, Error, FromColumn, Row, Tx};
use attune_vault::{IndexOf, KeyRing, Keys, Masters};
use bytes::Bytes;
use prost::Message;

use super::consents::Entry;
use crate::domain::{Identity, Owner, ProfileId, Record, merge::Evidence, record::Timed};

/// What a value is sealed as: it opens as nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// A profile's record, also what it says by itself where others are part of it.
    Record,
    Event,
    /// The part of an event that snapshots hold.
    Recent,
    /// `namespace:value`
    Identity,
    /// A value that a trait had.
    PastTrait,
    /// A decision about consent, with its evidence.
    Decision,
    /// What showed that two profiles are one person.
    Evidence,
}

impl Field {
    const fn name(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::Event => "event",
            Self::Recent => "recent",
            Self::Identity => "identity",
            Self::PastTrait => "past trait",
            Self::Decision => "decision",
            Self::Evidence => "evidence",
        }
    }
}

/// Seals and opens for all workspaces. Cheap to clone.
#[derive(Clone)]
pub struct Codec(Arc<KeyRing>);

impl Codec {
    /// `bytes_max` is the memory for keys of profiles in use.
    pub async fn open(
        database: &Database,
        masters: Masters,
        bytes_max: u64,
    ) -> Result<Self, Error> {
        let ring = KeyRing::open(database, masters, bytes_max).await?;
        Ok(Self(Arc::new(ring)))
    }

    /// For one read or one write in a workspace; holds no keys yet.
    pub fn of(&self, workspace: &Arc<str>) -> Seals {
        let index = self.0.index();
        Seals {
            identities: index.of(workspace, "identity"),
            messages: index.of(workspace, "message"),
            addresses: index.of(workspace, "address"),
            keys: self.0.none(workspace),
            ring: self.0.clone(),
        }
    }

    /// With those keys of some profiles that are in memory.
    pub fn held(
        &self,
        workspace: &Arc<str>,
        profile_ids: impl IntoIterator<Item = ProfileId>,
    ) -> Seals {
        let mut seals = self.of(workspace);
        let owners = profile_ids.into_iter().map(ProfileId::uuid);
        self.0.take(&mut seals.keys, owners);
        seals
    }

    /// With the keys of some profiles, for a read.
    pub async fn read(
        &self,
        database: &Database,
        workspace: &str,
        profile_ids: impl IntoIterator<Item = ProfileId>,
    ) -> Result<Seals, Error> {
        let mut seals = self.of(&Arc::from(workspace));
        let owners = profile_ids.into_iter().map(ProfileId::uuid);
        seals.keys = self.0.read(database, workspace, owners).await?;
        Ok(seals)
    }

    /// What an identifier is found by.
    pub fn identity_key(&self, workspace: &str, identity: &Identity) -> String {
        let index = self.0.index().of(workspace, "identity");
        index.hash(identity.key())
    }

    /// After the commit of a write: its keys are worth remembering.
    pub fn committed(&self, seals: &Seals) {
        self.0.committed(&seals.keys);
    }

    /// Destroys the keys of profiles, inside a write.
    pub async fn destroy(
        &self,
        tx: &mut Tx,
        workspace: &str,
        profile_ids: &[ProfileId],
    ) -> Result<(), Error> {
        let owners: Vec<_> = profile_ids.iter().map(|id| id.uuid()).collect();
        self.0.destroy(tx, workspace, &owners).await
    }

    /// After keys were destroyed, here or elsewhere.
    pub fn forget(&self, workspace: &Arc<str>, profile_ids: impl IntoIterator<Item = ProfileId>) {
        let owners = profile_ids.into_iter().map(ProfileId::uuid);
        self.0.forget(workspace, owners);
    }
}

/// What one read or write in a workspace seals and opens, with the keys it asked for. A
/// value belongs to the profile it came by (its origin), whoever that is part of now.
#[derive(Clone)]
pub struct Seals {
    ring: Arc<KeyRing>,
    keys: Keys,
    identities: IndexOf,
    messages: IndexOf,
    addresses: IndexOf,
}

impl fmt::Debug for Seals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.keys.fmt(f)
    }
}

impl Seals {
    /// Reads the keys of profiles, to open or seal what is theirs.
    pub async fn add(
        &mut self,
        tx: &mut Tx,
        profile_ids: impl IntoIterator<Item = ProfileId>,
    ) -> Result<(), Error> {
        let owners = profile_ids.into_iter().map(ProfileId::uuid);
        self.ring.add(tx, &mut self.keys, owners).await
    }

    /// Whether a profile's key is at hand.
    pub fn has(&self, profile_id: ProfileId) -> bool {
        self.keys.has(profile_id.uuid())
    }

    /// Makes the keys of profiles that this write creates.
    pub async fn make(
        &mut self,
        tx: &mut Tx,
        profile_ids: impl IntoIterator<Item = ProfileId>,
    ) -> Result<(), Error> {
        let owners = profile_ids.into_iter().map(ProfileId::uuid);
        self.ring.make(tx, &mut self.keys, owners).await
    }

    /// Reads the keys of profiles, and makes those that are missing.
    pub async fn ensure(
        &mut self,
        tx: &mut Tx,
        profile_ids: impl IntoIterator<Item = ProfileId>,
    ) -> Result<(), Error> {
        let owners = profile_ids.into_iter().map(ProfileId::uuid);
        self.ring.ensure(tx, &mut self.keys, owners).await
    }

    pub fn seal(&self, owner: ProfileId, field: Field, plain: &[u8]) -> Result<Bytes, Error> {
        self.keys.seal(owner.uuid(), field.name(), plain)
    }

    pub fn open(&self, owner: ProfileId, field: Field, sealed: &[u8]) -> Result<Bytes, Error> {
        self.keys.open(owner.uuid(), field.name(), sealed)
    }

    pub fn record_bytes(&self, owner: ProfileId, record: &Record) -> Result<Bytes, Error> {
        self.seal(owner, Field::Record, &record.encode_to_vec())
    }

    pub fn record(&self, owner: ProfileId, sealed: &[u8]) -> Result<Record, Error> {
        let plain = self.open(owner, Field::Record, sealed)?;
        decode(&plain, "a stored profile")
    }

    pub fn event(&self, owner: ProfileId, sealed: &[u8]) -> Result<Event, Error> {
        let plain = self.open(owner, Field::Event, sealed)?;
        decode(&plain, "a stored event")
    }

    /// The part of an event that snapshots hold.
    pub fn recent(&self, owner: ProfileId, sealed: &[u8]) -> Result<RecentEvent, Error> {
        let plain = self.open(owner, Field::Recent, sealed)?;
        decode(&plain, "a stored event")
    }

    pub fn trait_value_bytes(&self, owner: ProfileId, value: &Timed) -> Result<Bytes, Error> {
        self.seal(owner, Field::PastTrait, &value.encode_to_vec())
    }

    pub fn trait_value(&self, owner: ProfileId, sealed: &[u8]) -> Result<Timed, Error> {
        let plain = self.open(owner, Field::PastTrait, sealed)?;
        decode(&plain, "a stored value of a trait")
    }

    pub fn evidence_bytes(&self, owner: ProfileId, evidence: &Evidence) -> Result<Bytes, Error> {
        self.seal(owner, Field::Evidence, &evidence.encode_to_vec())
    }

    pub fn evidence(&self, owner: ProfileId, sealed: &[u8]) -> Result<Evidence, Error> {
        let plain = self.open(owner, Field::Evidence, sealed)?;
        decode(&plain, "a stored merge's evidence")
    }

    pub fn decision_bytes(&self, owner: ProfileId, entry: &Entry) -> Result<Bytes, Error> {
        self.seal(owner, Field::Decision, &entry.encode_to_vec())
    }

    pub fn decision(&self, owner: ProfileId, sealed: &[u8]) -> Result<Entry, Error> {
        let plain = self.open(owner, Field::Decision, sealed)?;
        decode(&plain, "a stored decision")
    }

    /// What an identifier is found by.
    pub fn identity_key(&self, identity: &Identity) -> String {
        self.identities.hash(identity.key())
    }

    pub fn identity_bytes(&self, owner: ProfileId, identity: &Identity) -> Result<Bytes, Error> {
        self.seal(owner, Field::Identity, identity.key().as_bytes())
    }

    pub fn identity(&self, owner: ProfileId, sealed: &[u8]) -> Result<Identity, Error> {
        let plain = self.open(owner, Field::Identity, sealed)?;
        let key = std::str::from_utf8(&plain).ok();
        key.and_then(Identity::from_key)
            .ok_or_else(|| broken(0, "a stored identity", "other text"))
    }

    /// What an address is known by outside: another hash than that of the identifier, so
    /// that who has the one cannot look up the other.
    pub fn address_key(&self, address: &Identity) -> String {
        self.addresses.hash(address.key())
    }

    /// What a message is known again by: senders put what they like into its id.
    pub fn message_key(&self, message_id: &str) -> String {
        self.messages.hash(message_id)
    }
}

/// Rows with whose they are, by their first column, and what opens them. Rows of people
/// who were erased since they were read are left out.
pub async fn owned<'a>(
    database: &Database,
    codec: &Codec,
    workspace: &str,
    rows: &'a [Row],
) -> Result<(Vec<(ProfileId, &'a Row)>, Seals), Error> {
    let mut owned: Vec<_> = rows
        .iter()
        .map(|row| Ok((profile_id(row, 0)?, row)))
        .collect::<Result<_, Error>>()?;
    let owners: Vec<_> = owned.iter().map(|(owner, _)| *owner).collect();
    let seals = codec.read(database, workspace, owners).await?;
    owned.retain(|(owner, _)| seals.has(*owner));
    Ok((owned, seals))
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

/// A living profile's id column and, after it, that of the origin: null where it is the
/// same.
pub fn owner(row: &Row, index: usize) -> Result<Owner, Error> {
    let profile_id = profile_id(row, index)?;
    let origin_id = profile_id_or_null(row, index + 1)?;
    Ok(Owner {
        profile_id,
        origin_id: origin_id.unwrap_or(profile_id),
    })
}

/// A column of `count(*)`.
pub fn count(row: &Row, index: usize) -> Result<u32, Error> {
    Ok(u32::try_from(row.get::<i64>(index)?).unwrap_or(u32::MAX))
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
