//! Messages in bulk, where a fault of one is its own: what can be taken is taken, what
//! cannot is told by message. Waits where a request would be refused as overload, since
//! who sends without end is slowed down by not being read.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use attune_api::profile::v1::{ImportFault, ImportResult, IngestMessage};
use attune_errors::{Violation, Violations};

use super::{
    Service,
    ingest::{self, Submission},
    schema::Schema,
};
use crate::{Error, convert::message, domain::Message};

const WAIT_MIN: Duration = Duration::from_millis(20);
const WAIT_MAX: Duration = Duration::from_secs(2);

/// What became of one message, in the order of the request.
type Settled = Result<ingest::Result, Vec<Violation>>;

impl Service {
    /// A result for each message; those that are taken are durable.
    pub async fn import(
        &self,
        workspace: &Arc<str>,
        sent: Vec<IngestMessage>,
        traceparent: &str,
        now_ms: i64,
    ) -> Result<Vec<ImportResult>, Error> {
        let ids: Vec<_> = sent.iter().map(|m| m.message_id.clone()).collect();
        let (shared, database) = (&self.shared, &self.shared.database);
        let declared = shared.declared.current(database, workspace).await?;
        let schema = &declared.schema;
        let read = message::each(sent, shared.rules(schema), now_ms)?;
        shared.quality.add(workspace, read.tally);
        let read = read.messages;
        let mut settled: BTreeMap<usize, Settled> = BTreeMap::new();
        let mut valid = Vec::with_capacity(read.len());
        for (index, read) in read.into_iter().enumerate() {
            match read {
                Ok(message) => valid.push((index, message)),
                Err(violations) => {
                    settled.insert(index, Err(violations.into_iter().collect()));
                }
            }
        }
        while !valid.is_empty() {
            let (places, messages): (Vec<_>, Vec<_>) = valid.into_iter().unzip();
            let written = self
                .ingest_patiently(workspace, &messages, schema, traceparent)
                .await;
            valid = match written {
                Ok(results) => {
                    settled.extend(places.into_iter().zip(results.into_iter().map(Ok)));
                    Vec::new()
                }
                Err(Error::Invalid(violations)) => {
                    without_faulty(places, messages, violations, &mut settled)?
                }
                Err(error) => return Err(error),
            };
        }
        let results = ids.into_iter().zip(settled.into_values());
        Ok(results.map(|(id, settled)| result(id, settled)).collect())
    }

    async fn ingest_patiently(
        &self,
        workspace: &Arc<str>,
        messages: &[Message],
        schema: &Arc<Schema>,
        traceparent: &str,
    ) -> Result<Vec<ingest::Result>, Error> {
        let mut wait = WAIT_MIN;
        loop {
            let submission = Submission {
                workspace: workspace.clone(),
                messages: messages.to_vec(),
                schema: schema.clone(),
                traceparent: traceparent.to_owned(),
            };
            match self.ingest(submission).await {
                Err(error) if error.is_overload() => {
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(WAIT_MAX);
                }
                done => return done,
            }
        }
    }
}

/// What is left to be written once those that were named are refused. A fault that names
/// no message is the request's.
fn without_faulty(
    places: Vec<usize>,
    messages: Vec<Message>,
    violations: Violations,
    settled: &mut BTreeMap<usize, Settled>,
) -> Result<Vec<(usize, Message)>, Error> {
    let mut faulty: BTreeMap<usize, Vec<Violation>> = BTreeMap::new();
    for violation in violations.iter() {
        let Some((index, field)) = named(&violation.field).filter(|(i, _)| *i < places.len())
        else {
            return Err(violations.clone().into());
        };
        let (field, rule) = (field.to_owned(), violation.rule.clone());
        faulty
            .entry(index)
            .or_default()
            .push(Violation { field, rule });
    }
    let mut rest = Vec::with_capacity(messages.len());
    for (index, (place, message)) in places.into_iter().zip(messages).enumerate() {
        match faulty.remove(&index) {
            Some(faults) => {
                settled.insert(place, Err(faults));
            }
            None => rest.push((place, message)),
        }
    }
    Ok(rest)
}

/// `messages[3].identify.traits` is about the message at 3.
fn named(field: &str) -> Option<(usize, &str)> {
    let (index, rest) = field.strip_prefix("messages[")?.split_once(']')?;
    Some((index.parse().ok()?, rest.trim_start_matches('.')))
}

fn result(message_id: String, settled: Settled) -> ImportResult {
    match settled {
        Ok(written) => ImportResult {
            message_id,
            profile_id: written.profile_id.to_string(),
            status: written.status.to_proto().into(),
            faults: Vec::new(),
        },
        Err(violations) => ImportResult {
            message_id,
            faults: violations
                .into_iter()
                .map(|Violation { field, rule }| ImportFault { field, rule })
                .collect(),
            ..ImportResult::default()
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_name_messages() {
        let rows = [
            ("messages[3].identify.traits", Some((3, "identify.traits"))),
            ("messages[0]", Some((0, ""))),
            ("messages", None),
            ("messages[x].time", None),
        ];
        for (field, expected) in rows {
            assert_eq!(named(field), expected, "{field}");
        }
    }
}
