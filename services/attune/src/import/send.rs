//! Batches to the gateway, over its public gRPC API. A batch is taken whole or refused
//! whole: rows that the answer names are rejected and the rest is sent again; what is
//! busy or away is tried again for a while. Every message can be sent twice.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use attune_api::{
    catalog::v1::{
        BatchUpsertItemsRequest, CharacteristicDefinition, CharacteristicType,
        CreateItemTypeRequest, GetItemTypeRequest, ItemType, UpdateItemTypeRequest,
        catalog_service_client::CatalogServiceClient,
    },
    gateway::v1::{BatchRequest, collection_service_client::CollectionServiceClient},
    profile::v1::{ChangeSegmentMembersRequest, segment_service_client::SegmentServiceClient},
};
use attune_errors::{Reason, reason_of, retry_after_of, violations_of};
use tonic::{
    Code, Request, Status,
    metadata::{Ascii, MetadataValue},
    transport::{Channel, Endpoint},
};

use super::{build::Record, mapping::ItemTypeSpec, rejects::Reject, state::Counts};

/// How long one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// How long what is busy or away is waited for.
const PATIENCE: Duration = Duration::from_secs(120);
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// A row on its way.
#[derive(Debug, Clone)]
pub struct Outgoing {
    pub line: u64,
    pub raw: String,
    pub record: Box<Record>,
}

/// What became of a batch.
#[derive(Debug, Default)]
pub struct Outcome {
    pub counts: Counts,
    pub rejects: Vec<Reject>,
}

/// The gateway.
#[derive(Clone)]
pub struct Gateway {
    channel: Channel,
    authorization: Option<MetadataValue<Ascii>>,
}

/// Why sending ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the endpoint is no address such as http://127.0.0.1:7700")]
    Endpoint(#[source] tonic::transport::Error),
    #[error("the key has characters that no key has")]
    Key,
    #[error("the server answered: {}", .0.message())]
    Refused(Box<Status>),
    #[error("characteristic {name} is declared as {declared} and exists as {existing}")]
    TypeDiffers {
        name: String,
        declared: String,
        existing: String,
    },
    #[error("characteristic {name}: {declared} is no type")]
    TypeUnknown { name: String, declared: String },
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        Self::Refused(Box::new(status))
    }
}

impl Gateway {
    /// Connects when it is first needed.
    pub fn new(endpoint: &str, key: &str) -> Result<Self, Error> {
        let endpoint = Endpoint::from_shared(endpoint.to_owned()).map_err(Error::Endpoint)?;
        // A refused batch names its rows in the trailers.
        let channel = endpoint.http2_max_header_list_size(1 << 20).connect_lazy();
        let authorization = match key {
            "" => None,
            key => Some(format!("Bearer {key}").parse().map_err(|_| Error::Key)?),
        };
        Ok(Self {
            channel,
            authorization,
        })
    }

    /// Creates the type, or adds what it lacks. What it has besides stays.
    pub async fn declare(&self, spec: &ItemTypeSpec) -> Result<(), Error> {
        let declared = item_type(spec)?;
        let found = self
            .patiently(|| async {
                let item_type_id = declared.item_type_id.clone();
                let request = self.request(GetItemTypeRequest { item_type_id });
                self.catalog().get_item_type(request).await
            })
            .await;
        match found {
            Ok(found) => self.extend(found, declared).await,
            Err(status) if status.code() == Code::NotFound => {
                self.patiently(|| async {
                    let request = self.request(CreateItemTypeRequest {
                        item_type_id: declared.item_type_id.clone(),
                        item_type: Some(declared.clone()),
                    });
                    self.catalog().create_item_type(request).await
                })
                .await?;
                Ok(())
            }
            Err(status) => Err(status.into()),
        }
    }

    async fn extend(&self, mut found: ItemType, declared: ItemType) -> Result<(), Error> {
        let before = found.characteristics.len();
        for new in declared.characteristics {
            match found.characteristics.iter().find(|c| c.name == new.name) {
                None => found.characteristics.push(new),
                Some(old) if old.r#type == new.r#type => {}
                Some(old) => {
                    return Err(Error::TypeDiffers {
                        declared: new.r#type().as_str_name().to_owned(),
                        existing: old.r#type().as_str_name().to_owned(),
                        name: new.name,
                    });
                }
            }
        }
        if found.characteristics.len() > before {
            self.patiently(|| async {
                let request = self.request(UpdateItemTypeRequest {
                    item_type: Some(found.clone()),
                    ..UpdateItemTypeRequest::default()
                });
                self.catalog().update_item_type(request).await
            })
            .await?;
        }
        Ok(())
    }

    /// Sends a batch until each of its rows is taken or rejected.
    pub async fn send(&self, rows: Vec<Outgoing>) -> Result<Outcome, Error> {
        let mut outcome = Outcome::default();
        // Parts that are still to be sent; a part that is refused for no row of its own
        // is halved until the row stands alone.
        let mut parts = vec![rows];
        while let Some(mut part) = parts.pop() {
            if part.is_empty() {
                continue;
            }
            let status = match self.patiently(|| self.call(&part)).await {
                Ok(counts) => {
                    outcome.counts.add(counts);
                    continue;
                }
                Err(status) => status,
            };
            if !is_about_rows(&status) {
                return Err(status.into());
            }
            let named = rows_named(&status, &part);
            if named.is_empty() && part.len() > 1 {
                let second = part.split_off(part.len() / 2);
                parts.extend([second, part]);
                continue;
            }
            let mut rest = Vec::with_capacity(part.len());
            for (index, row) in part.into_iter().enumerate() {
                match named.get(&index) {
                    Some(reason) => outcome.reject(row, reason.clone()),
                    None if named.is_empty() => outcome.reject(row, status.message().to_owned()),
                    None => rest.push(row),
                }
            }
            parts.push(rest);
        }
        Ok(outcome)
    }

    async fn call(&self, rows: &[Outgoing]) -> Result<tonic::Response<Counts>, Status> {
        let mut items = Vec::new();
        let mut batch = Vec::new();
        let mut members = ChangeSegmentMembersRequest::default();
        for row in rows {
            match &*row.record {
                Record::Item(item) => items.push(item.clone()),
                Record::Message(message) => batch.push(message.clone()),
                Record::Member(member) => {
                    members.segment_id.clone_from(&member.segment_id);
                    match member.leaves {
                        true => members.remove.push(member.subject.clone()),
                        false => members.add.push(member.subject.clone()),
                    }
                }
            }
        }
        let mut counts = Counts::default();
        if !items.is_empty() {
            let request = self.request(BatchUpsertItemsRequest { items });
            let answer = self
                .catalog()
                .batch_upsert_items(request)
                .await?
                .into_inner();
            let count = |n: i32| u64::try_from(n).unwrap_or(0);
            counts.accepted += count(answer.created_count) + count(answer.updated_count);
            counts.unchanged += count(answer.unchanged_count);
        }
        if !batch.is_empty() {
            let accepted = batch.len() as u64;
            let request = self.request(BatchRequest {
                batch,
                ..BatchRequest::default()
            });
            let mut client = CollectionServiceClient::new(self.channel.clone());
            client.batch(request).await?;
            counts.accepted += accepted;
        }
        let sent = members.add.len() + members.remove.len();
        if sent > 0 {
            let mut client = SegmentServiceClient::new(self.channel.clone());
            let request = self.request(members);
            let answer = client.change_segment_members(request).await?.into_inner();
            let changed = answer.added_count + answer.removed_count;
            let changed = u64::try_from(changed).unwrap_or(0);
            counts.accepted += changed;
            counts.unchanged += (sent as u64).saturating_sub(changed);
        }
        Ok(tonic::Response::new(counts))
    }

    fn catalog(&self) -> CatalogServiceClient<Channel> {
        CatalogServiceClient::new(self.channel.clone())
    }

    fn request<M>(&self, message: M) -> Request<M> {
        let mut request = Request::new(message);
        request.set_timeout(CALL_TIMEOUT);
        if let Some(authorization) = &self.authorization {
            let metadata = request.metadata_mut();
            metadata.insert("authorization", authorization.clone());
        }
        request
    }

    /// Tries again what is busy or away, as long after as it asks for.
    async fn patiently<T, F>(&self, call: impl Fn() -> F) -> Result<T, Status>
    where
        F: Future<Output = Result<tonic::Response<T>, Status>>,
    {
        let began = Instant::now();
        let mut backoff = BACKOFF_MIN;
        loop {
            let status = match call().await {
                Ok(answer) => return Ok(answer.into_inner()),
                Err(status) => status,
            };
            let passing = matches!(
                status.code(),
                Code::Unavailable
                    | Code::ResourceExhausted
                    | Code::DeadlineExceeded
                    | Code::Aborted
            );
            if !passing || began.elapsed() > PATIENCE {
                return Err(status);
            }
            let asked = retry_after_of(&status).unwrap_or_default();
            tokio::time::sleep(asked.max(backoff)).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }
}

impl Outcome {
    fn reject(&mut self, row: Outgoing, reason: String) {
        self.counts.rejected += 1;
        self.rejects.push(Reject {
            line: row.line,
            reason,
            raw: row.raw,
        });
    }
}

/// Whether leaving rows out can help.
fn is_about_rows(status: &Status) -> bool {
    matches!(
        reason_of(status),
        Some(Reason::InvalidFields | Reason::PayloadTooLarge)
    ) || status.code() == Code::OutOfRange
}

/// Rows that violations name, with what they say: `items[17].price` is about row 17.
fn rows_named(status: &Status, rows: &[Outgoing]) -> BTreeMap<usize, String> {
    let mut named: BTreeMap<usize, String> = BTreeMap::new();
    for (field, rule) in violations_of(status) {
        let Some((index, rest)) = row_of(&field, rows) else {
            continue;
        };
        let said = match rest {
            "" => rule,
            rest => format!("{rest} {rule}"),
        };
        let reason = named.entry(index).or_default();
        if !reason.is_empty() {
            reason.push_str("; ");
        }
        reason.push_str(&said);
    }
    named
}

fn row_of<'a>(field: &'a str, rows: &[Outgoing]) -> Option<(usize, &'a str)> {
    let (list, rest) = field.split_once('[')?;
    let (index, rest) = rest.split_once(']')?;
    // Each of the lists has the rows that it is made of, in their order.
    let is_of = |row: &Outgoing| match &*row.record {
        Record::Item(_) => list == "items",
        Record::Message(_) => list == "batch",
        Record::Member(member) if member.leaves => list == "remove",
        Record::Member(_) => list == "add",
    };
    let index: usize = index.parse().ok()?;
    let mut of_list = rows.iter().enumerate().filter(|(_, row)| is_of(row));
    let (at, _) = of_list.nth(index)?;
    Some((at, rest.trim_start_matches('.')))
}

fn item_type(spec: &ItemTypeSpec) -> Result<ItemType, Error> {
    let mut characteristics = Vec::with_capacity(spec.characteristics.len());
    for declared in &spec.characteristics {
        let kind = CharacteristicType::from_str_name(&declared.kind).ok_or_else(|| {
            Error::TypeUnknown {
                name: declared.name.clone(),
                declared: declared.kind.clone(),
            }
        })?;
        characteristics.push(CharacteristicDefinition {
            name: declared.name.clone(),
            r#type: kind.into(),
            facet: declared.facet,
            searchable: declared.searchable,
            enum_values: declared.enum_values.clone(),
        });
    }
    Ok(ItemType {
        item_type_id: spec.item_type_id.clone(),
        display_name: spec.display_name.clone(),
        characteristics,
        ..ItemType::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::build::Member;
    use attune_api::{catalog::v1::Item, r#type::v1::Subject};
    use attune_errors::{Fault, Violations};

    fn outgoing(record: Record) -> Outgoing {
        Outgoing {
            line: 1,
            raw: String::new(),
            record: Box::new(record),
        }
    }

    fn member(leaves: bool) -> Outgoing {
        outgoing(Record::Member(Member {
            segment_id: "vips".into(),
            subject: Subject::default(),
            leaves,
        }))
    }

    fn status(violations: &[(&str, &str)]) -> Status {
        let mut all = Violations::new();
        for (field, rule) in violations {
            all.push(field, *rule);
        }
        Fault::invalid(all).into()
    }

    #[test]
    fn violations_name_the_rows_they_are_about() {
        let items = [(); 3].map(|()| outgoing(Record::Item(Item::default())));
        let status = status(&[
            ("items[2].price.amount", "must be finite"),
            ("items[2].title", "must be set"),
            ("items[0]", "must be set"),
            ("items[9]", "is beyond the batch"),
            ("batch[1]", "is of another list"),
            ("items", "must be 1 to 1000"),
        ]);
        let expected = [
            (0, "must be set".to_owned()),
            (
                2,
                "price.amount must be finite; title must be set".to_owned(),
            ),
        ];
        assert_eq!(rows_named(&status, &items), BTreeMap::from(expected));
        assert!(is_about_rows(&status));
        assert!(is_about_rows(&Fault::payload_too_large(5).into()));
        assert!(!is_about_rows(&Fault::key_missing().into()));
    }

    #[test]
    fn each_list_of_members_counts_for_itself() {
        let rows = [false, true, false, true].map(member);
        let status = status(&[
            ("add[1].identity", "a"),
            ("remove[1]", "b"),
            ("add[2]", "c"),
        ]);
        let expected = [(2, "identity a".to_owned()), (3, "b".to_owned())];
        assert_eq!(rows_named(&status, &rows), BTreeMap::from(expected));
    }
}
