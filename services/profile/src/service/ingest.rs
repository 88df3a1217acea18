//! Taking in messages. A request waits for room and its turn; the batch it becomes part
//! of is looked up, decided, written and told in one transaction, and memory follows
//! after the commit and before the answer.

use std::sync::Arc;

use attune_api::profile::v1::IngestStatus;
use attune_errors::Violations;
use attune_storage::Tx;
use futures::FutureExt;

use super::{
    Service, Shared, ahead,
    declarations::Declarations,
    lookup::{self, Found},
    pipeline::Job,
    schema::Schema,
    write::{self, Asked, Written},
};
use crate::{
    Error,
    convert::message,
    domain::{
        Kind, Message, Owner, ProfileId, Who,
        linking::{Directory, NotTaken, Step},
        purposes::Purposes,
        quality::{self, Tally},
    },
    store::{Turn, timeline},
};

/// One request's messages.
#[derive(Debug)]
pub struct Submission {
    pub workspace: Arc<str>,
    pub messages: Vec<Message>,
    /// What the messages were held against.
    pub schema: Arc<Schema>,
    /// W3C trace context of the call; empty if none.
    pub traceparent: String,
}

/// What became of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Result {
    pub profile_id: ProfileId,
    pub status: Status,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Accepted,
    Duplicate,
}

impl Status {
    pub fn to_proto(self) -> IngestStatus {
        match self {
            Self::Accepted => IngestStatus::Accepted,
            Self::Duplicate => IngestStatus::Duplicate,
        }
    }
}

type Results = std::result::Result<Vec<Result>, Error>;

/// With the place of each submission in the batch.
type Answers = Vec<(usize, Results)>;

impl Service {
    /// All of the messages, or none. Returns after they are durable and the next
    /// snapshot shows them.
    pub async fn ingest(&self, submission: Submission) -> Results {
        let count = u32::try_from(submission.messages.len()).unwrap_or(u32::MAX);
        let _room = self
            .room
            .try_acquire_many(count)
            .map_err(|_| Error::Overloaded)?;
        ahead::seal(&self.shared, &submission);
        // Held until the answer: it is freed here then, and not in the turn.
        let submission = Arc::new(submission);
        let job = Job::Messages(submission.clone());
        self.writer.submit(job).await?
    }
}

/// Writes one batch; an answer for each submission.
pub async fn write(shared: &Arc<Shared>, submissions: Vec<Arc<Submission>>) -> Vec<Results> {
    let count = submissions.len();
    let parts = by_workspace(submissions);
    let parts = Arc::new(parts);
    let presuming = shared.presumption.holds();
    let mut written = attempt(shared, &parts, presuming).await;
    if let Err(Error::Storage(error)) = &written
        && presuming
        && error.is_unique_violation()
    {
        // Something was seen before, and nothing is written yet.
        shared.presumption.failed();
        written = attempt(shared, &parts, false).await;
    }
    let mut answers: Vec<Results> = Vec::new();
    match written {
        Ok(written) => {
            let (mut written, of_parts): (Vec<_>, Vec<_>) = written.into_iter().unzip();
            write::committed(shared, &mut written).await;
            answers.resize_with(count, || Ok(Vec::new()));
            let of_parts = parts.iter().zip(of_parts);
            for (written, (part, of_part)) in written.iter().zip(of_parts) {
                measure(shared, written, part, &of_part);
                for (index, results) in of_part {
                    answers[index] = results;
                }
            }
        }
        Err(error) => answers.resize_with(count, || Err(error.clone())),
    }
    answers
}

fn measure(shared: &Shared, written: &Written, part: &Part, answers: &Answers) {
    let mut tally = written
        .outcome
        .tally
        .declared(&written.declared.schema.traits);
    for (submission, (_, answer)) in part.submissions.iter().zip(answers) {
        let messages = submission.1.messages.iter();
        for (message, result) in messages.zip(answer.iter().flatten()) {
            count(&mut tally, message, result.status);
        }
    }
    shared.quality.add(&written.workspace, tally);
    let answers = answers
        .iter()
        .filter_map(|(_, answer)| answer.as_ref().ok());
    let results: Vec<&Result> = answers.flatten().collect();
    let accepted = results.iter().filter(|r| r.status == Status::Accepted);
    let accepted = accepted.count();
    let outcome = &written.outcome;
    shared.metrics.messages(accepted, results.len() - accepted);
    shared.metrics.written(
        outcome.timeline.len(),
        outcome.created.len(),
        outcome.merges.len(),
    );
    for refused in &outcome.refusals {
        shared.metrics.refused(refused.refusal.name());
    }
}

fn count(tally: &mut Tally, message: &Message, status: Status) {
    let counts = tally.source(&message.provenance.source);
    match (status, &message.kind) {
        (Status::Duplicate, _) => counts.duplicate += 1,
        (Status::Accepted, Kind::Identify(traits)) => {
            counts.accepted += i64::try_from(traits.len()).unwrap_or(i64::MAX);
        }
        (Status::Accepted, Kind::Event(event)) => {
            counts.accepted += 1;
            counts.late += i64::from(event.receive_ms - event.time_ms >= quality::LATE_MS);
        }
        (Status::Accepted, Kind::Group { .. } | Kind::Alias { .. } | Kind::List { .. }) => {}
    }
}

/// One workspace's part of a batch.
struct Part {
    workspace: Arc<str>,
    /// With the place of each in the batch.
    submissions: Vec<(usize, Arc<Submission>)>,
}

fn by_workspace(submissions: Vec<Arc<Submission>>) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    for (index, submission) in submissions.into_iter().enumerate() {
        match parts
            .iter_mut()
            .find(|p| p.workspace == submission.workspace)
        {
            Some(part) => part.submissions.push((index, submission)),
            None => parts.push(Part {
                workspace: submission.workspace.clone(),
                submissions: vec![(index, submission)],
            }),
        }
    }
    parts
}

/// `presuming` that all messages are new: fails with a unique violation where one is not.
async fn attempt(
    shared: &Arc<Shared>,
    parts: &Arc<Vec<Part>>,
    presuming: bool,
) -> std::result::Result<Vec<(Written, Answers)>, Error> {
    let (trying, parts) = (shared.clone(), parts.clone());
    let write = shared.database.write(move |tx| {
        let (shared, parts) = (trying.clone(), parts.clone());
        async move { write_parts(&shared, tx, &parts, presuming).await }.boxed()
    });
    write.await
}

async fn write_parts(
    shared: &Arc<Shared>,
    tx: &mut Tx,
    parts: &[Part],
    presuming: bool,
) -> std::result::Result<Vec<(Written, Answers)>, Error> {
    let submissions = parts.iter().flat_map(|part| &part.submissions);
    let count: usize = submissions.map(|(_, s)| s.messages.len()).sum();
    let mut turn = write::begin(shared, tx, count).await?;
    let mut written = Vec::with_capacity(parts.len());
    for part in parts {
        written.push(write_part(shared, tx, part, &mut turn, presuming).await?);
    }
    Ok(written)
}

async fn write_part(
    shared: &Arc<Shared>,
    tx: &mut Tx,
    part: &Part,
    turn: &mut Turn,
    presuming: bool,
) -> std::result::Result<(Written, Answers), Error> {
    let submissions = part.submissions.iter().map(|(_, s)| &**s);
    let seals = shared.codec.of(&part.workspace);
    let mut found =
        lookup::look_up(shared, tx, &seals, &part.workspace, submissions, presuming).await?;
    let database = &shared.database;
    let declared = shared.declared.at(database, &part.workspace, turn.revision);
    let decided = decide(shared, &*declared.await?, &mut found, part);
    let now_ms = shared.clock.now_ms();
    timeline::remember(tx, &seals, &part.workspace, &decided.others, now_ms).await?;
    let traceparents = part.submissions.iter().map(|(_, s)| s.traceparent.clone());
    let asked = Asked {
        workspace: part.workspace.clone(),
        steps: decided.steps,
        traceparents: traceparents.collect(),
        found,
        seals,
    };
    let written = write::carry_out(shared, tx, turn, asked).await?;
    Ok((written, decided.answers))
}

/// What a batch comes to before records are looked at.
#[derive(Default)]
struct Decided {
    /// By submission.
    steps: Vec<Vec<Step>>,
    answers: Answers,
    /// Messages that are no events.
    others: Vec<(Arc<str>, ProfileId)>,
}

fn decide(shared: &Shared, declared: &Declarations, found: &mut Found, part: &Part) -> Decided {
    let mut decided = Decided::default();
    for (index, submission) in &part.submissions {
        let mut steps = Vec::new();
        let refused = strangers(&found.directory, &submission.messages)
            .or_else(|| outdated(shared, &declared.schema, submission));
        let answer = match refused {
            Some(violations) => Err(violations.into()),
            None => {
                let (purposes, others) = (&declared.purposes, &mut decided.others);
                decide_all(found, submission, purposes, &mut steps, others)
            }
        };
        decided.steps.push(steps);
        decided.answers.push((*index, answer));
    }
    for (_, answer) in &mut decided.answers {
        for result in answer.iter_mut().flatten() {
            // A later message of the batch may have merged it.
            let living = found.directory.living(result.profile_id);
            result.profile_id = living.unwrap_or(result.profile_id);
        }
    }
    decided
}

/// Profile ids that nobody has.
fn strangers(directory: &Directory, messages: &[Message]) -> Option<Violations> {
    let mut violations = Violations::new();
    for (index, message) in messages.iter().enumerate() {
        match message.who {
            Who::Profile(id) if directory.living(id).is_none() => {
                let field = format!("messages[{index}].profile_id");
                violations.push(field, "must be the id of an existing profile");
            }
            _ => {}
        }
    }
    (!violations.is_empty()).then_some(violations)
}

/// What breaks declarations that were changed while the messages waited.
fn outdated(shared: &Shared, schema: &Arc<Schema>, sent: &Submission) -> Option<Violations> {
    if Arc::ptr_eq(schema, &sent.schema) {
        return None;
    }
    let refused = message::against(&sent.messages, schema).err()?;
    shared.quality.add(&sent.workspace, refused.tally);
    Some(refused.violations)
}

/// What becomes of a submission's messages. One that says what cannot be refuses them
/// all, and then nothing of them was decided.
fn decide_all(
    found: &mut Found,
    submission: &Submission,
    purposes: &Purposes,
    steps: &mut Vec<Step>,
    others: &mut Vec<(Arc<str>, ProfileId)>,
) -> Results {
    let messages = &submission.messages;
    let may_refuse = |m: &Message| matches!(m.kind, Kind::Alias { .. });
    // Only then is there a way back to be kept.
    let before = messages
        .iter()
        .any(may_refuse)
        .then(|| found.directory.clone());
    let (steps_before, others_before) = (steps.len(), others.len());
    let mut results = Vec::with_capacity(messages.len());
    let mut decided_ids = Vec::with_capacity(messages.len());
    let mut violations = Violations::new();
    for (index, message) in messages.iter().enumerate() {
        if let Some(profile_id) = found.seen.get(&message.id) {
            results.push(Result {
                profile_id: *profile_id,
                status: Status::Duplicate,
            });
            continue;
        }
        let decided = found
            .directory
            .decide(message, &mut ProfileId::fresh, steps);
        let owner = match decided {
            Ok(owner) => owner,
            // Ruled out by `strangers` for the ids that were looked up.
            Err(NotTaken::Nobody) => continue,
            Err(NotTaken::Alias(refusal)) => {
                let field = format!("messages[{index}].alias.previous");
                violations.push(field, refusal.rule());
                continue;
            }
        };
        heed(message, owner, purposes, steps);
        found.seen.insert(message.id.clone(), owner.profile_id);
        decided_ids.push(&message.id);
        if !matches!(message.kind, Kind::Event(_)) {
            others.push((message.id.clone(), owner.origin_id));
        }
        results.push(Result {
            profile_id: owner.profile_id,
            status: Status::Accepted,
        });
    }
    if let (false, Some(before)) = (violations.is_empty(), before) {
        found.directory = before;
        steps.truncate(steps_before);
        others.truncate(others_before);
        for id in decided_ids {
            found.seen.remove(id);
        }
    }
    violations.into_result()?;
    Ok(results)
}

/// What a message says about consent holds for what it tells: it comes before the last
/// step, which is that.
fn heed(message: &Message, owner: Owner, purposes: &Purposes, steps: &mut Vec<Step>) {
    let Some(signals) = message.signals.clone().filter(|s| purposes.heed(s)) else {
        return;
    };
    let signal = Step::Signal {
        owner,
        signals,
        time_ms: message.time_ms,
    };
    let at = match message.kind {
        Kind::Alias { .. } => steps.len(),
        _ => steps.len().saturating_sub(1),
    };
    steps.insert(at, signal);
}
