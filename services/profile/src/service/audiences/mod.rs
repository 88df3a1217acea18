//! Audiences: a segment's members, page by page, without those whom the purpose is not
//! allowed for, as advertising platforms take them. Who asked is on the record before
//! anything is read.

mod deliver;
mod deliveries;

pub use deliver::Deliverer;
pub use deliveries::ListAsked;

use std::sync::Arc;

use attune_api::profile::v1::ExportAudienceResponse;
use attune_errors::{Fault, Violations};
use attune_rpc::Caller;
use futures::{Stream, stream};

use super::{Service, Shared, audit::Access, consent, declarations::Declarations};
use crate::{
    Error,
    domain::{
        Identity,
        audience::{Counts, Entry, Format, Layout},
        identity::{EMAIL, Namespaces, PHONE, Read},
        preferences::Level,
    },
    store::{
        audiences, identities,
        profiles::{self, ProfileRow},
    },
};

/// Members read at once, and in one batch of a delivery.
const PAGE: i64 = 500;
/// Of a batch that is tried again, with those who came in between.
const AGAIN_MAX: i64 = 2_000;

/// Whom to put in, and how.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub segment_id: String,
    pub purpose: String,
    pub layout: Layout,
}

/// Which of the members.
#[derive(Debug, Clone, Copy)]
struct Range<'a> {
    /// Beyond this id; empty for the first.
    after: &'a str,
    /// Up to this id; empty for as many as make a page.
    until: &'a str,
}

/// Some of the members.
struct Page {
    entries: Vec<Entry>,
    counts: Counts,
    /// The last that was looked at; None where nobody was left.
    last: Option<String>,
    /// There may be more of the range beyond the last.
    is_cut: bool,
}

impl Service {
    /// The lines of a file, a page of members at a time as they are asked for.
    pub async fn export_audience(
        self: &Arc<Self>,
        caller: &Caller,
        wanted: Wanted,
        format: Format,
    ) -> Result<impl Stream<Item = Result<ExportAudienceResponse, Error>> + Send + use<>, Error>
    {
        let workspace: Arc<str> = Arc::from(caller.workspace.as_str());
        let shared = self.shared.clone();
        shared.check_wanted(&workspace, &wanted).await?;
        let about = format!("segment {} for {}", wanted.segment_id, wanted.purpose);
        let access = Access::of("ExportAudience", "").saying(about);
        shared.audit(caller, access).await?;
        let walk = Walk {
            shared,
            workspace,
            wanted,
            format,
            after: String::new(),
            counts: Counts::default(),
            begun: false,
            over: false,
        };
        Ok(stream::try_unfold(walk, async |mut walk| {
            let response = walk.step().await?;
            Ok(response.map(|response| (response, walk)))
        }))
    }
}

/// On the way through a segment.
struct Walk {
    shared: Arc<Shared>,
    workspace: Arc<str>,
    wanted: Wanted,
    format: Format,
    after: String,
    counts: Counts,
    begun: bool,
    over: bool,
}

impl Walk {
    /// The next page's lines. The first come even if there are none, and so does the
    /// last, which says that they were all.
    async fn step(&mut self) -> Result<Option<ExportAudienceResponse>, Error> {
        if self.over {
            return Ok(None);
        }
        let range = Range {
            after: &self.after,
            until: "",
        };
        let page = self
            .shared
            .audience_page(&self.workspace, &self.wanted, range)
            .await?;
        self.counts.add(page.counts);
        let layout = self.wanted.layout;
        let mut lines = match std::mem::replace(&mut self.begun, true) {
            true => String::new(),
            false => layout.header(self.format),
        };
        for entry in &page.entries {
            layout.write(entry, self.format, &mut lines);
        }
        match page.last {
            Some(last) => self.after = last,
            None => self.over = true,
        }
        Ok(Some(ExportAudienceResponse {
            lines,
            counts: Some(self.counts.into()),
        }))
    }
}

impl Shared {
    /// Whether there is such a purpose, and such a segment: how many are in it.
    async fn check_wanted(&self, workspace: &Arc<str>, wanted: &Wanted) -> Result<i64, Error> {
        let declared = self.declared.current(&self.database, workspace).await?;
        if declared.purposes.get(&wanted.purpose).is_none() {
            let rule = consent::undeclared(&wanted.purpose, &declared.purposes);
            return Err(Violations::of("purpose", rule).into());
        }
        let id = &wanted.segment_id;
        let size = audiences::size(&self.database, workspace, id).await?;
        size.ok_or_else(|| Fault::not_found("segment", id.as_str()).into())
    }

    async fn audience_page(
        &self,
        workspace: &Arc<str>,
        wanted: &Wanted,
        range: Range<'_>,
    ) -> Result<Page, Error> {
        let (database, codec) = (&self.database, &self.codec);
        let declared = self.declared.current(database, workspace).await?;
        let limit = if range.until.is_empty() {
            PAGE
        } else {
            AGAIN_MAX
        };
        let ids = audiences::members(
            database,
            workspace,
            &wanted.segment_id,
            range.after,
            range.until,
            limit,
        )
        .await?;
        let mut page = Page {
            entries: Vec::with_capacity(ids.len()),
            counts: Counts::default(),
            last: ids.last().map(ToString::to_string),
            is_cut: i64::try_from(ids.len()).is_ok_and(|count| count == limit),
        };
        let rows = profiles::living(database, codec, workspace, &ids).await?;
        let held = identities::of_profiles(database, codec, workspace, &ids).await?;
        // Both are in the order of profiles.
        let mut held = held.into_iter().peekable();
        for row in rows {
            let mut own: Vec<Identity> = Vec::new();
            while let Some((id, identity)) = held.next_if(|(id, _)| *id <= row.profile_id) {
                // Of somebody who is not among the rows it is nobody's here.
                if id == row.profile_id {
                    own.push(identity);
                }
            }
            page.take(&self.namespaces, &declared, wanted, &row, own);
        }
        Ok(page)
    }
}

impl Page {
    fn take(
        &mut self,
        namespaces: &Namespaces,
        declared: &Declarations,
        wanted: &Wanted,
        row: &ProfileRow,
        mut held: Vec<Identity>,
    ) {
        self.counts.members += 1;
        let standing = declared.purposes.standing(&row.record);
        let allowed = declared.purposes.allows(&wanted.purpose, standing.allowed);
        // Who wants no personalization wants no advertisements by what is known either.
        if !allowed || standing.level != Level::Full {
            self.counts.withheld += 1;
            return;
        }
        for namespace in [EMAIL, PHONE] {
            let may_use = declared.purposes.may_use(namespace, standing.allowed);
            if let (true, Some(text)) = (may_use, row.record.text(namespace)) {
                // As a trait it is what somebody typed, and may be anything.
                match namespaces.read(namespace, text) {
                    Ok(Read::Named(identity)) => held.push(identity),
                    Ok(Read::Blocked(_)) | Err(_) => {}
                }
            }
        }
        match wanted.layout.entry(row.profile_id, held.iter()) {
            Some(entry) => {
                self.counts.exported += 1;
                self.entries.push(entry);
            }
            None => self.counts.unmatchable += 1,
        }
    }
}
