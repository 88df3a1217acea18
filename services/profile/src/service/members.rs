//! Who is in a segment: listed page by page, streamed, counted over time, and put on
//! lists or taken off them by name.

use std::sync::Arc;

use attune_api::{
    profile::v1::{
        ListSegmentMembersResponse, ListSegmentSizesResponse, SegmentMember, SegmentSize,
    },
    time::from_ms,
};
use attune_errors::Violations;
use attune_rpc::Caller;
use attune_storage::{
    Tx,
    resources::{Page, PageRequest},
};
use futures::{FutureExt, Stream, stream};

use super::{
    Service, Shared,
    audit::Access,
    ingest::Submission,
    lookup,
    write::{self, Asked, Written},
};
use crate::{
    Error,
    convert::segments::ListChange,
    domain::{Kind, Message, ProfileId, Provenance, Who, derive::Rule},
    store::{members, segments},
};

/// Members read at once for a stream.
const STREAM_PAGE: i64 = 1_000;

/// A change of a list on its way in.
#[derive(Debug)]
pub struct Listing {
    pub workspace: Arc<str>,
    pub change: ListChange,
    pub traceparent: String,
}

/// How many people came onto a list, and how many went off it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Listed {
    pub added: i32,
    pub removed: i32,
}

impl Service {
    pub async fn members(
        &self,
        workspace: &str,
        segment_id: &str,
        page: &PageRequest,
    ) -> Result<ListSegmentMembersResponse, Error> {
        let list = format!("segment_members/{segment_id}");
        let (size, after) = page.resolve(&list)?;
        self.segments.get(workspace, segment_id).await?;
        let database = &self.shared.database;
        let limit = i64::from(size) + 1;
        let read = members::page(database, workspace, segment_id, &after, limit).await?;
        let read = read.into_iter().map(member).collect();
        let page = Page::cut(&list, size, read, |m: &SegmentMember| &m.profile_id);
        Ok(ListSegmentMembersResponse {
            members: page.resources,
            next_page_token: page.next_page_token,
        })
    }

    /// All members in the order of their ids, read as the stream is. Begins only after it
    /// is on the record, with how many there are then.
    pub async fn stream_members(
        &self,
        caller: &Caller,
        segment_id: String,
    ) -> Result<impl Stream<Item = Result<SegmentMember, Error>> + use<>, Error> {
        let workspace = caller.workspace.as_str();
        let count = self.segment(workspace, &segment_id).await?.member_count;
        let access = Access::of_members("StreamSegmentMembers", &segment_id, count);
        self.shared.audit(caller, access).await?;
        let (shared, workspace) = (self.shared.clone(), workspace.to_owned());
        let pages = stream::try_unfold(Some(String::new()), move |after| {
            let (shared, workspace) = (shared.clone(), workspace.clone());
            let segment_id = segment_id.clone();
            async move {
                let Some(after) = after else {
                    return Ok(None);
                };
                let database = &shared.database;
                let page = members::page(database, &workspace, &segment_id, &after, STREAM_PAGE);
                let page = page.await?;
                let last = page.last().map(|(id, _)| id.to_string());
                Ok::<_, Error>((!page.is_empty()).then_some((page, last)))
            }
        });
        let members = futures::TryStreamExt::map_ok(pages, |page| {
            stream::iter(page.into_iter().map(|row| Ok(member(row))))
        });
        Ok(futures::TryStreamExt::try_flatten(members))
    }

    pub async fn segment_sizes(
        &self,
        workspace: &str,
        segment_id: &str,
        start_ms: i64,
        end_ms: i64,
    ) -> Result<ListSegmentSizesResponse, Error> {
        self.segments.get(workspace, segment_id).await?;
        let database = &self.shared.database;
        let sizes = segments::sizes(database, workspace, segment_id, start_ms, end_ms).await?;
        let sizes = sizes.into_iter().map(|size| SegmentSize {
            time: Some(from_ms(size.hour_ms)),
            member_count: size.member_count,
            entered_count: size.entered_count,
            left_count: size.left_count,
        });
        Ok(ListSegmentSizesResponse {
            sizes: sizes.collect(),
        })
    }

    /// All of the change, or none of it; on the record before it is made.
    pub async fn change_list(&self, caller: &Caller, listing: Listing) -> Result<Listed, Error> {
        let change = &listing.change;
        let count = change.add.len() + change.remove.len();
        // An entry names only what there is.
        self.segments
            .get(&listing.workspace, &change.segment_id)
            .await?;
        let access = Access::of_members("ChangeSegmentMembers", &change.segment_id, count);
        self.shared.audit(caller, access).await?;
        let listing = Arc::new(listing);
        self.in_turn(move |shared| async move { write(&shared, listing).await }.boxed())
            .await
    }
}

fn member((profile_id, enter_ms): (ProfileId, i64)) -> SegmentMember {
    SegmentMember {
        profile_id: profile_id.to_string(),
        enter_time: Some(from_ms(enter_ms)),
    }
}

async fn write(shared: &Arc<Shared>, listing: Arc<Listing>) -> Result<Listed, Error> {
    let tried = shared.clone();
    let (listed, mut written) = shared
        .database
        .write(move |tx| {
            let (shared, listing) = (tried.clone(), listing.clone());
            async move { carry_out(&shared, tx, &listing).await }.boxed()
        })
        .await?;
    write::committed(shared, std::slice::from_mut(&mut written)).await;
    Ok(listed)
}

async fn carry_out(
    shared: &Arc<Shared>,
    tx: &mut Tx,
    listing: &Listing,
) -> Result<(Listed, Written), Error> {
    let mut turn = write::begin(shared, tx, 0).await?;
    let Listing {
        workspace, change, ..
    } = listing;
    let declared = shared
        .declared
        .at(&shared.database, workspace, turn.revision)
        .await?;
    let (segment_id, born) = listed_by_name(&declared.segments, &change.segment_id)?;
    let mut submission = submission(listing, &segment_id, born, shared.clock.now_ms());
    submission.schema = declared.schema.clone();
    let seals = shared.codec.of(workspace);
    let asked = [&submission].into_iter();
    let mut found = lookup::look_up(shared, tx, &seals, workspace, asked, false).await?;
    let mut steps = Vec::new();
    let mut violations = Violations::new();
    for (index, message) in submission.messages.iter().enumerate() {
        let is_added = index < change.add.len();
        // Whoever nobody knows is on no list.
        if !is_added && found.directory.held(&message.who).is_none() {
            continue;
        }
        let decided = found
            .directory
            .decide(message, &mut ProfileId::fresh, &mut steps);
        if decided.is_err() {
            let (field, index) = match is_added {
                true => ("add", index),
                false => ("remove", index - change.add.len()),
            };
            let field = format!("{field}[{index}].profile_id");
            violations.push(field, "must be the id of an existing profile");
        }
    }
    violations.into_result()?;
    let asked = Asked {
        workspace: workspace.clone(),
        steps: vec![steps],
        traceparents: vec![listing.traceparent.clone()],
        found,
        seals,
    };
    let written = write::carry_out(shared, tx, &mut turn, asked).await?;
    Ok((count(&written, &segment_id), written))
}

/// The id of a segment that people are put on by name, and when it was made.
fn listed_by_name(
    segments: &crate::domain::segments::Segments,
    id: &str,
) -> Result<(Arc<str>, i64), Error> {
    match segments.get(id) {
        Some(Rule::List { born }) => Ok((id.into(), *born)),
        Some(Rule::Expression(_)) => {
            let rule = "must be a list: the members of this segment are those its expression \
                        holds for";
            Err(Violations::of("segment_id", rule).into())
        }
        None => Err(Error::segment_not_found(id)),
    }
}

fn submission(listing: &Listing, segment_id: &Arc<str>, born: i64, now_ms: i64) -> Submission {
    let ListChange { add, remove, .. } = &listing.change;
    let message = |who: &Who, member| Message {
        id: "".into(),
        who: who.clone(),
        time_ms: now_ms,
        provenance: Arc::new(Provenance::default()),
        signals: None,
        kind: Kind::List {
            segment_id: segment_id.clone(),
            member,
            born,
        },
    };
    let added = add.iter().map(|who| message(who, true));
    let removed = remove.iter().map(|who| message(who, false));
    Submission {
        workspace: listing.workspace.clone(),
        messages: added.chain(removed).collect(),
        schema: Arc::default(),
        traceparent: String::new(),
    }
}

/// What came of it, as the members say.
fn count(written: &Written, segment_id: &Arc<str>) -> Listed {
    let derivations = &written.outcome.derivations;
    let of = |moves: &[(Arc<str>, ProfileId)]| {
        let count = moves.iter().filter(|(id, _)| id == segment_id).count();
        i32::try_from(count).unwrap_or(i32::MAX)
    };
    Listed {
        added: of(&derivations.entered),
        removed: of(&derivations.left),
    }
}
