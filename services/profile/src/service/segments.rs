//! Declaring segments, and reading what is declared. Every change takes its turn among
//! the writes, so that none of them works by what is being changed; filling a segment in
//! is `backfill`'s.

use std::sync::Arc;

use attune_api::profile::v1::{ListSegmentsResponse, Segment, SegmentState};
use attune_errors::{Fault, Violations};
use attune_expr::{Expression, Vocabulary};
use attune_storage::{
    Tx,
    resources::{self, Change, Missing, PageRequest, Table},
};
use futures::FutureExt;
use prost_types::FieldMask;

use super::{Service, Shared, declarations::Declarations};
use crate::{
    Error, convert,
    domain::{derive::Name, segments::compile},
    store::{
        self, fills,
        segments::{self, Fate},
    },
};

/// The table of segments, with what is asked of each change.
pub fn table(shared: &Arc<Shared>) -> Table<Segment> {
    let shared = shared.clone();
    Table::<Segment>::builder(&shared.database.clone())
        .check(move |tx, change| {
            let shared = shared.clone();
            async move { check(&shared, tx, change).await }.boxed()
        })
        .build()
}

async fn check(
    shared: &Shared,
    tx: &mut Tx,
    change: &Change<Segment>,
) -> Result<(), resources::Error> {
    if let Some(after) = &change.after {
        convert::segments::check(after).into_result()?;
    }
    let workspace = &change.workspace;
    let turn = store::lock_to_declare(tx).await?;
    // As it was declared before: this transaction's own revision is not to be read yet.
    let declared = shared
        .declared
        .at(&shared.database, workspace, turn.revision - 1)
        .await
        .map_err(Error::into_edit)?;
    let Some(named) = change.after.as_ref().or(change.before.as_ref()) else {
        return Ok(());
    };
    let name = Name::Segment(named.segment_id.as_str().into());
    match &change.after {
        Some(after) => check_expression(&declared, &name, &after.expression)?,
        None => refuse_if_named(&declared, &name)?,
    }
    let fate = match (&change.before, &change.after) {
        (None, _) => Fate::Made,
        (Some(_), Some(_)) => Fate::Changed,
        (Some(_), None) => Fate::Gone,
    };
    segments::changed(tx, workspace, &named.segment_id, turn.revision, fate).await?;
    let before = change.before.as_ref().map(|segment| &segment.expression);
    if fate == Fate::Gone || before != Some(&named.expression) {
        fills::begin(tx, workspace, [&name]).await?;
    }
    Ok(())
}

fn check_expression(
    declared: &Declarations,
    name: &Name,
    source: &str,
) -> Result<(), resources::Error> {
    if source.is_empty() {
        return Ok(());
    }
    let expression = compiled(declared, Some(name), source)?;
    match declared.derived.cycle_through(name, &expression) {
        Some(cycle) => {
            let rule = format!("must not lead back to itself: {cycle}");
            Err(Violations::of("segment.expression", rule).into())
        }
        None => Ok(()),
    }
}

/// An expression over what is declared; one that is being saved may name itself, which
/// is then found to be a cycle.
fn compiled(
    declared: &Declarations,
    name: Option<&Name>,
    source: &str,
) -> Result<Expression, Violations> {
    let field = match name {
        Some(_) => "segment.expression",
        None => "expression",
    };
    let own = match name {
        Some(Name::Segment(id)) => Some(id.to_string()),
        _ => None,
    };
    let vocabulary = vocabulary(declared).with_segments(own);
    compile(source, &vocabulary).map_err(|rules| {
        let mut violations = Violations::new();
        for rule in rules {
            violations.push(field, rule);
        }
        violations
    })
}

/// What an expression over a person may name.
fn vocabulary(declared: &Declarations) -> Vocabulary {
    let ids = declared.segments.ids().map(ToString::to_string);
    personal(declared.schema.vocabulary.clone(), declared).with_segments(ids)
}

/// Without what this service could only answer with no: purposes that nobody declared,
/// and subscriptions, which are kept nowhere.
pub(super) fn personal(vocabulary: Vocabulary, declared: &Declarations) -> Vocabulary {
    let purposes = declared.purposes.iter().map(|purpose| purpose.id.clone());
    vocabulary.with_purposes(purposes).with_groups([])
}

/// Refuses to delete what something derived reads.
pub fn refuse_if_named(declared: &Declarations, name: &Name) -> Result<(), resources::Error> {
    let Some(reader) = declared.derived.readers_of(name).next() else {
        return Ok(());
    };
    let kind_and_id = |name: &Name| match name {
        Name::Segment(id) => ("segment", id.clone()),
        Name::Trait(id) => ("trait", id.clone()),
    };
    let ((kind, id), (reader, by)) = (kind_and_id(name), kind_and_id(reader));
    Err(Fault::in_use(kind, &*id, format!("{reader}/{by}")).into())
}

impl Service {
    pub async fn create_segment(
        &self,
        workspace: &Arc<str>,
        segment: Segment,
    ) -> Result<Segment, Error> {
        let (table, of) = (self.segments.clone(), workspace.clone());
        let edit = async move { table.create(&of, segment).await };
        let segment = self.declare(move |_| edit.boxed()).await?;
        self.complete_segment(workspace, segment).await
    }

    pub async fn update_segment(
        &self,
        workspace: &Arc<str>,
        segment: Segment,
        mask: Option<FieldMask>,
        missing: Missing,
    ) -> Result<Segment, Error> {
        let (table, of) = (self.segments.clone(), workspace.clone());
        let edit = async move { table.update(&of, segment, mask, missing).await };
        let segment = self.declare(move |_| edit.boxed()).await?;
        self.complete_segment(workspace, segment).await
    }

    pub async fn delete_segment(
        &self,
        workspace: &Arc<str>,
        id: String,
        etag: String,
    ) -> Result<(), Error> {
        let (table, of) = (self.segments.clone(), workspace.clone());
        let edit = async move { table.delete(&of, &id, &etag).await };
        self.declare(move |_| edit.boxed()).await.map(drop)
    }

    pub async fn segment(&self, workspace: &str, id: &str) -> Result<Segment, Error> {
        let segment = self.segments.get(workspace, id).await?;
        self.complete_segment(workspace, segment).await
    }

    async fn complete_segment(&self, workspace: &str, segment: Segment) -> Result<Segment, Error> {
        let mut segments = self.complete_segments(workspace, vec![segment]).await?;
        // As many as were given.
        Ok(segments.pop().unwrap_or_default())
    }

    pub async fn list_segments(
        &self,
        workspace: &str,
        page: &PageRequest,
    ) -> Result<ListSegmentsResponse, Error> {
        let page = self.segments.list(workspace, page).await?;
        Ok(ListSegmentsResponse {
            segments: self.complete_segments(workspace, page.resources).await?,
            next_page_token: page.next_page_token,
        })
    }

    /// Adds how large they are, and how far they have been filled in.
    async fn complete_segments(
        &self,
        workspace: &str,
        mut segments: Vec<Segment>,
    ) -> Result<Vec<Segment>, Error> {
        let database = &self.shared.database;
        let ids: Vec<String> = segments.iter().map(|s| s.segment_id.clone()).collect();
        let counts = segments::counts(database, workspace, ids.clone()).await?;
        let fills = fills::of_segments(database, workspace, ids).await?;
        for segment in &mut segments {
            let id = &segment.segment_id;
            segment.member_count = counts.get(id).copied().unwrap_or(0);
            let fill = fills.get(&Name::Segment(id.as_str().into()));
            let state = match fill {
                Some(_) => SegmentState::Filling,
                None => SegmentState::Live,
            };
            segment.progress = fill.map_or(1.0, |fill| fill.progress());
            segment.state = state.into();
        }
        Ok(segments)
    }

    /// Compiles an expression that nobody saves.
    pub(super) async fn asked_expression(
        &self,
        workspace: &Arc<str>,
        source: &str,
    ) -> Result<(Expression, Arc<Declarations>), Error> {
        let shared = &self.shared;
        let declared = shared.declared.current(&shared.database, workspace).await?;
        let expression = compiled(&declared, None, source)?;
        Ok((expression, declared))
    }
}
