//! What every change of a person has in common, whoever asked for it: the steps it was
//! decided to take are carried out on the records they concern, written, told to the
//! log, and after the commit memory follows. Decides nothing about who is who.

use std::sync::Arc;

use attune_storage::Tx;
use futures::future::BoxFuture;
use tokio::{sync::oneshot, task::JoinHandle};

use super::{
    Service, Shared,
    declarations::Declarations,
    derive::{self, Again},
    follow,
    lookup::Found,
    pipeline::Job,
    remember::{self, After, HotChange},
    windows::Histories,
};
use crate::{
    Error,
    domain::{
        ProfileId,
        linking::Step,
        outcome::{self, Execution, Outcome},
    },
    store::{
        self, Turn, codec::Seals, consents, history, identities, kept::Kept, members, merges,
        outbox, profiles, timeline,
    },
};

/// Steps of one workspace on their way into the database.
pub struct Asked {
    pub workspace: Arc<str>,
    /// By request, in order.
    pub steps: Vec<Vec<Step>>,
    /// W3C trace context of each request; empty if none.
    pub traceparents: Vec<String>,
    /// What was looked up of the people they concern.
    pub found: Found,
    pub seals: Seals,
}

/// What is to be remembered after the commit.
pub struct Written {
    pub workspace: Arc<str>,
    pub outcome: Arc<Outcome>,
    pub found: Arc<Found>,
    /// What memory is to hold: found out while the database commits.
    pub hot: JoinHandle<Vec<HotChange>>,
    pub declared: Arc<Declarations>,
    pub seals: Seals,
    pub histories: Histories,
    /// The last number of the turn in which it was.
    pub turn_last: i64,
}

/// Makes this the only writer until the commit, as [`store::lock`] does, with a memory
/// that is true until then.
pub async fn begin(shared: &Shared, tx: &mut Tx, count: usize) -> Result<Turn, Error> {
    let turn = store::lock(tx, count).await?;
    follow::enter(shared, &turn).await?;
    Ok(turn)
}

/// Carries steps out, inside the transaction whose turn this is. Takes the sequence
/// numbers it needs from `turn`.
pub async fn carry_out(
    shared: &Arc<Shared>,
    tx: &mut Tx,
    turn: &mut Turn,
    asked: Asked,
) -> Result<Written, Error> {
    carry_out_and(shared, tx, turn, asked, &Again::default()).await
}

/// Brings up to date what is derived of people of whom nothing changed, as
/// [`carry_out`] does of those who did.
pub async fn look_again(
    shared: &Arc<Shared>,
    tx: &mut Tx,
    turn: &mut Turn,
    workspace: Arc<str>,
    again: &Again,
) -> Result<Written, Error> {
    let asked = Asked {
        seals: shared.codec.of(&workspace),
        workspace,
        steps: Vec::new(),
        traceparents: Vec::new(),
        found: Found::default(),
    };
    carry_out_and(shared, tx, turn, asked, again).await
}

async fn carry_out_and(
    shared: &Arc<Shared>,
    tx: &mut Tx,
    turn: &mut Turn,
    asked: Asked,
    again: &Again,
) -> Result<Written, Error> {
    let Asked {
        workspace,
        steps,
        traceparents,
        found,
        mut seals,
    } = asked;
    let declared = shared
        .declared
        .at(&shared.database, &workspace, turn.revision)
        .await?;
    let may_learn = found.may_learn(&declared.purposes);
    let needed = outcome::records_needed(&steps, &may_learn);
    let needed: Vec<_> = needed.into_iter().collect();
    let now_ms = shared.clock.now_ms();
    let execution = Execution {
        stored: profiles::stored(tx, &mut seals, &workspace, &needed).await?,
        directory: &found.directory,
        may_learn,
        traits: &declared.schema.traits,
        purposes: &declared.purposes,
        now_ms,
    };
    let mut outcome = execution.run(steps);
    seals.make(tx, outcome.created.iter().copied()).await?;
    seals.add(tx, owners(&outcome)).await?;
    move_over(tx, &seals, &workspace, &outcome, turn, now_ms).await?;
    let context = derive::Context {
        shared,
        workspace: &workspace,
        declared: &declared,
        turn,
    };
    let histories = derive::derive(&context, tx, &mut seals, &mut outcome, again).await?;
    store(tx, &seals, &workspace, &outcome, now_ms).await?;
    for telling in &outcome.tellings {
        let traceparent = traceparents.get(telling.origin).map_or("", String::as_str);
        outbox::tell(tx, &workspace, traceparent, telling).await?;
    }
    let noted = remember::note(shared, &workspace, &outcome);
    let (outcome, found) = (Arc::new(outcome), Arc::new(found));
    let after = After {
        shared: shared.clone(),
        outcome: outcome.clone(),
        found: found.clone(),
        declared: declared.clone(),
    };
    Ok(Written {
        workspace,
        outcome,
        found,
        hot: tokio::spawn(async move { after.hot(noted) }),
        declared,
        seals,
        histories,
        turn_last: turn.last,
    })
}

/// Profiles whose keys seal what is written.
fn owners(outcome: &Outcome) -> impl Iterator<Item = ProfileId> {
    let records = outcome.profiles.keys().chain(outcome.parts.keys()).copied();
    let links = outcome.links.iter().map(|(_, owner)| owner.origin_id);
    let events = outcome.timeline.iter().map(|row| row.owner.origin_id);
    let past = outcome.past.iter().map(|row| row.owner.origin_id);
    let refused = outcome.refusals.iter().map(|refused| refused.between.one);
    let confirmed = outcome
        .confirmed
        .iter()
        .map(|confirmed| confirmed.between.one);
    let merged = outcome.merges.iter().map(|merged| merged.between.one);
    let undone = outcome.undone.iter().map(|undone| undone.between.one);
    let of_merges = refused.chain(confirmed).chain(merged).chain(undone);
    let decisions = outcome.decisions.iter().map(|row| row.owner.origin_id);
    let of_rows = links.chain(events).chain(past).chain(decisions);
    records.chain(of_rows).chain(of_merges)
}

/// Events and identifiers, which lie where they belong before anything is derived.
async fn move_over(
    tx: &mut Tx,
    seals: &Seals,
    workspace: &Arc<str>,
    outcome: &Outcome,
    turn: &mut Turn,
    now_ms: i64,
) -> Result<(), Error> {
    regroup(tx, seals, workspace, outcome, now_ms).await?;
    identities::link(tx, seals, workspace, &outcome.links, now_ms).await?;
    let sequence = turn.take(outcome.timeline.len());
    timeline::append(tx, seals, workspace, &outcome.timeline, sequence).await?;
    history::append(tx, seals, workspace, &outcome.past, turn).await?;
    consents::append(tx, seals, workspace, &outcome.decisions, turn).await?;
    Ok(())
}

/// Tables whose rows move with merges, by whose identifier they came.
const KEPT: [Kept; 2] = [history::TRAIT_HISTORY, consents::CONSENT_HISTORY];

/// Who is part of whom, and whose everything is now.
async fn regroup(
    tx: &mut Tx,
    seals: &Seals,
    workspace: &Arc<str>,
    outcome: &Outcome,
    now_ms: i64,
) -> Result<(), Error> {
    for merged in &outcome.merges {
        identities::hand_over(tx, workspace, merged).await?;
        timeline::hand_over(tx, workspace, merged).await?;
        for kept in KEPT {
            kept.hand_over(tx, workspace, merged).await?;
        }
    }
    for parted in &outcome.parted {
        identities::hand_back(tx, workspace, parted).await?;
        timeline::hand_back(tx, workspace, parted).await?;
        for kept in KEPT {
            kept.hand_back(tx, workspace, parted).await?;
        }
    }
    for undone in &outcome.undone {
        merges::undo(tx, seals, workspace, undone).await?;
    }
    merges::record(tx, seals, workspace, outcome, now_ms).await?;
    identities::unlink(tx, seals, workspace, &outcome.unlinks).await?;
    identities::meet(tx, seals, workspace, &outcome.encounters).await?;
    Ok(())
}

/// What is known of people, and what is derived of them.
async fn store(
    tx: &mut Tx,
    seals: &Seals,
    workspace: &Arc<str>,
    outcome: &Outcome,
    now_ms: i64,
) -> Result<(), Error> {
    let changed = outcome.profiles.iter().chain(&outcome.parts);
    profiles::put(tx, seals, workspace, changed, now_ms).await?;
    members::moved(tx, workspace, &outcome.derivations, now_ms).await?;
    members::due(tx, workspace, &outcome.derivations.due).await?;
    Ok(())
}

/// After the commit of everything in `written`, which was one transaction.
pub async fn committed(shared: &Shared, written: &mut [Written]) {
    let told: usize = written.iter().map(|w| w.outcome.tellings.len()).sum();
    shared.follower.committed(&shared.database, told);
    for written in written {
        shared.codec.committed(&written.seals);
        remember::remember(shared, written).await;
        shared.alarm.written(&written.outcome);
        let histories = std::mem::take(&mut written.histories);
        histories.keep(shared, &written.workspace);
        shared.follower.leave(written.turn_last);
    }
}

/// A write that is no message, in its turn.
pub type InTurn = Box<dyn FnOnce(Arc<Shared>) -> BoxFuture<'static, ()> + Send>;

impl Service {
    /// Runs a write while no other of this process does, in its order among the
    /// messages around it. It opens its own transaction and, after the commit, brings
    /// memory up to date before it returns.
    pub async fn in_turn<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(Arc<Shared>) -> BoxFuture<'static, Result<T, Error>> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let work: InTurn = Box::new(move |shared| {
            Box::pin(async move {
                // Nobody listens where the caller has gone; the write stands.
                let _ = sender.send(work(shared).await);
            })
        });
        self.writer.submit(Job::Other(work)).await??;
        // Dropped unsent only where the work panicked.
        receiver
            .await
            .map_err(|_| attune_storage::Error::Panicked)?
    }
}
