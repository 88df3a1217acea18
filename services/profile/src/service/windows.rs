//! Gets ready what expressions ask about the histories of some people, exactly and in
//! bulk: columns that were held from the last write with this one's events added, and
//! the timeline, read once for all that is not held; or as it was committed, for whoever
//! only looks. Decides nothing.

use std::sync::Arc;

use attune_api::profile::v1::RecentEvent;
use attune_expr::{Aggregate, EventRef};
use attune_storage::Tx;
use prost::Message as _;
use rustc_hash::{FxHashMap, FxHashSet};

use super::Shared;
use crate::{
    Error,
    domain::{
        ProfileId,
        outcome::TimelineRow,
        scope::History,
        windows::{Column, Windows, since_ms},
    },
    store::{
        Turn,
        codec::Seals,
        timeline::{self, Past, Reading},
    },
};

/// Of one person, the newest events at most that are looked at one by one, for what
/// columns cannot answer. A judgement's own budget ends before.
const EVENTS_MAX: usize = 100_000;

/// A person about whose history questions may be asked.
#[derive(Debug)]
pub struct Wanted {
    pub profile_id: ProfileId,
    pub aggregates: Vec<Arc<Aggregate>>,
    pub past: Since,
}

/// What is known of a person's events before this write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// There were none.
    None,
    /// Those that are held, and on the timeline.
    Held,
    /// Others than those that are held, as after a merge.
    Moved,
}

/// A write, on whose timeline its own events are by now.
pub struct Writing<'w> {
    pub shared: &'w Shared,
    pub tx: &'w mut Tx,
    pub seals: &'w mut Seals,
    pub workspace: &'w Arc<str>,
    pub turn: &'w Turn,
    pub timeline: &'w [TimelineRow],
    pub now_ms: i64,
}

/// The histories of some people, for as long as a write.
#[derive(Debug, Default)]
pub struct Histories {
    /// Of the declarations that were asked for.
    revision: i64,
    people: FxHashMap<ProfileId, History>,
    /// Whose columns are worth holding.
    active: FxHashSet<ProfileId>,
    /// Whom nothing is known about.
    nobody: History,
}

impl Histories {
    /// What is asked of each of the people, once.
    pub async fn prepare(writing: Writing<'_>, wanted: &[Wanted]) -> Result<Self, Error> {
        let mut histories = Self {
            revision: writing.turn.revision,
            ..Self::default()
        };
        histories.take_held(&writing, wanted);
        let missing = histories.missing(&writing, wanted);
        histories.read(writing, missing).await?;
        Ok(histories)
    }

    pub fn of(&self, profile_id: ProfileId) -> &History {
        self.people.get(&profile_id).unwrap_or(&self.nobody)
    }

    /// After the commit: holds the columns of those who are about.
    pub fn keep(&self, shared: &Shared, workspace: &str) {
        for (profile_id, history) in &self.people {
            if self.active.contains(profile_id) && !history.windows.is_empty() {
                let key = shared.memory.profile_key(workspace, *profile_id);
                let windows = history.windows.clone();
                shared.histories.give_back(key, self.revision, windows);
            }
        }
    }

    /// Columns that are held, of everyone who did something now, with what it was.
    fn take_held(&mut self, writing: &Writing<'_>, wanted: &[Wanted]) {
        let Writing {
            shared, workspace, ..
        } = writing;
        let revision = self.revision;
        let held = |profile_id| {
            let key = shared.memory.profile_key(workspace, profile_id);
            shared.histories.take(key, revision)
        };
        for Wanted {
            profile_id, past, ..
        } in wanted
        {
            let windows = held(*profile_id).filter(|_| *past == Since::Held);
            if let Some(windows) = windows {
                self.active.insert(*profile_id);
                self.people.entry(*profile_id).or_default().windows = windows;
            }
        }
        let asked: FxHashSet<_> = wanted.iter().map(|wanted| wanted.profile_id).collect();
        for row in writing.timeline {
            let profile_id = row.owner.profile_id;
            if self.active.insert(profile_id)
                && !asked.contains(&profile_id)
                && let Some(windows) = held(profile_id)
            {
                self.people.entry(profile_id).or_default().windows = windows;
            }
            if let Some(history) = self.people.get_mut(&profile_id)
                && history.windows.read_type(&row.event.kind)
                && let Ok(event) = RecentEvent::decode(row.event.recent.bytes.clone())
            {
                let windows = Arc::make_mut(&mut history.windows);
                windows.add(EventRef::from(&event), writing.now_ms);
            }
        }
    }

    /// What has to be read, after which there is an empty column for each question.
    fn missing(&mut self, writing: &Writing<'_>, wanted: &[Wanted]) -> Missing {
        let mut missing = Missing::new(writing.now_ms);
        // Most people of a batch are asked the same.
        let mut columns_of = FxHashMap::default();
        for wanted in wanted {
            let history = self.people.entry(wanted.profile_id).or_default();
            let held = &writing.shared.histories;
            missing.add(wanted, &history.windows, |aggregate| {
                columns_of
                    .entry(Arc::as_ptr(aggregate))
                    .or_insert_with(|| held.column(aggregate))
                    .clone()
            });
        }
        missing
    }

    async fn read(&mut self, writing: Writing<'_>, mut missing: Missing) -> Result<(), Error> {
        // Whoever was nobody before has done all there is in this write.
        for row in writing.timeline {
            if let Some(open) = missing.of.get_mut(&row.owner.profile_id)
                && open.past == Since::None
                && let Ok(event) = RecentEvent::decode(row.event.recent.bytes.clone())
            {
                open.add(event, writing.now_ms);
            }
        }
        let open = &mut missing.of;
        let (tx, seals) = (writing.tx, writing.seals);
        let reading = Reading::Within { tx, seals };
        let of = writing.workspace;
        timeline::past(reading, of, &missing.past, |profile_id, event| {
            if let Some(open) = open.get_mut(&profile_id) {
                open.add(event, writing.now_ms);
            }
        })
        .await?;
        self.close(missing);
        Ok(())
    }

    fn close(&mut self, missing: Missing) {
        for (profile_id, open) in missing.of {
            let history = self.people.entry(profile_id).or_default();
            Arc::make_mut(&mut history.windows).absorb(open.windows);
            history.events = newest_first(open.events);
        }
    }
}

/// What some questions ask of the histories of some people, as it was committed last, to
/// be looked at and held by nobody.
pub async fn look_up(
    shared: &Shared,
    workspace: &str,
    profile_ids: &[ProfileId],
    aggregates: &[Arc<Aggregate>],
    now_ms: i64,
) -> Result<Histories, Error> {
    let mut missing = Missing::new(now_ms);
    for profile_id in profile_ids {
        let wanted = Wanted {
            profile_id: *profile_id,
            aggregates: aggregates.to_vec(),
            past: Since::Held,
        };
        let column = |aggregate: &Arc<Aggregate>| shared.histories.column(aggregate);
        missing.add(&wanted, &Windows::default(), column);
    }
    let (database, codec) = (&shared.database, &shared.codec);
    let reading = Reading::Committed { database, codec };
    let open = &mut missing.of;
    timeline::past(reading, workspace, &missing.past, |profile_id, event| {
        if let Some(open) = open.get_mut(&profile_id) {
            open.add(event, now_ms);
        }
    })
    .await?;
    let mut histories = Histories::default();
    histories.close(missing);
    Ok(histories)
}

/// What is neither held nor known.
struct Missing {
    of: FxHashMap<ProfileId, Open>,
    past: Past,
    now_ms: i64,
}

/// Columns and events of one person that are being read.
struct Open {
    windows: Windows,
    /// Types that are wanted event by event, and since when.
    types: FxHashMap<String, i64>,
    events: Vec<RecentEvent>,
    past: Since,
}

impl Open {
    fn add(&mut self, event: RecentEvent, now_ms: i64) {
        self.windows.add(EventRef::from(&event), now_ms);
        let since_ms = self.types.get(&event.r#type);
        if since_ms.is_some_and(|since_ms| event.time_ms >= *since_ms) {
            self.events.push(event);
        }
        if self.events.len() >= 2 * EVENTS_MAX {
            self.events.drain(..EVENTS_MAX);
        }
    }
}

impl Missing {
    fn new(now_ms: i64) -> Self {
        Self {
            of: FxHashMap::default(),
            past: Past::default(),
            now_ms,
        }
    }

    /// What is asked of somebody that `held` does not cover; `column` says what answers a
    /// question, if a column does.
    fn add(
        &mut self,
        wanted: &Wanted,
        held: &Windows,
        mut column: impl FnMut(&Arc<Aggregate>) -> Option<Column>,
    ) {
        let mut columns: Vec<(Column, i64)> = Vec::new();
        let mut types: FxHashMap<String, i64> = FxHashMap::default();
        for aggregate in &wanted.aggregates {
            let since_ms = since_ms(aggregate, self.now_ms);
            match column(aggregate) {
                Some(_) if held.cover(aggregate, self.now_ms) => {}
                Some(column) => match columns.iter_mut().find(|(held, _)| *held == column) {
                    Some((_, held_ms)) => *held_ms = since_ms.min(*held_ms),
                    None => columns.push((column, since_ms)),
                },
                None => {
                    for event_type in aggregate.event_types() {
                        let held = types.entry(event_type.to_owned()).or_insert(since_ms);
                        *held = since_ms.min(*held);
                    }
                }
            }
        }
        self.open(wanted, columns, types);
    }

    fn open(
        &mut self,
        wanted: &Wanted,
        columns: Vec<(Column, i64)>,
        types: FxHashMap<String, i64>,
    ) {
        if columns.is_empty() && types.is_empty() {
            return;
        }
        if wanted.past != Since::None {
            self.past.profile_ids.push(wanted.profile_id);
            let of_columns = columns.iter().map(|(c, ms)| (c.source.event_type(), *ms));
            let of_events = types
                .iter()
                .map(|(event_type, ms)| (event_type.as_str(), *ms));
            for (event_type, since_ms) in of_columns.chain(of_events) {
                self.past.since_ms = self.past.since_ms.min(since_ms);
                if !self.past.types.iter().any(|known| known == event_type) {
                    self.past.types.push(event_type.to_owned());
                }
            }
        }
        let open = self.of.entry(wanted.profile_id).or_insert_with(|| Open {
            windows: Windows::default(),
            types: FxHashMap::default(),
            events: Vec::new(),
            past: wanted.past,
        });
        for (column, since_ms) in columns {
            open.windows.put(column, since_ms, self.now_ms, []);
        }
        for (event_type, since_ms) in types {
            let held = open.types.entry(event_type).or_insert(since_ms);
            *held = since_ms.min(*held);
        }
    }
}

/// Events in the order of the timeline, turned round; those of a batch come as they were
/// written, which may be another.
fn newest_first(mut events: Vec<RecentEvent>) -> Vec<RecentEvent> {
    let first = events.len().saturating_sub(EVENTS_MAX);
    events.drain(..first);
    events.reverse();
    events.sort_by_key(|event| std::cmp::Reverse(event.time_ms));
    events
}
