//! Declaring what data may be used for. Every edit takes its turn among the writers and
//! raises the revision, so that the very next write and, in this process, the very next
//! snapshot go by it. What a purpose may look like is `convert`'s.

use std::sync::Arc;

use attune_api::{profile::v1::Purpose, time};
use attune_errors::{Fault, Violations};
use attune_storage::{
    Tx,
    resources::{self, Missing, Page, PageRequest, Resource, Stamp, etag_of},
};
use futures::FutureExt;
use prost_types::FieldMask;

use super::{Service, Shared};
use crate::{
    Error, convert,
    domain::purposes::{PURPOSES_MAX, decide_alike, is_built_in, with_built_in},
    store::{self, fills, purposes},
};

/// An edit of purposes, as it was asked for.
#[derive(Debug, Clone)]
pub enum Edit {
    Create(Purpose),
    Update {
        purpose: Purpose,
        mask: Option<FieldMask>,
        missing: Missing,
    },
    Delete {
        purpose_id: String,
        etag: String,
    },
}

/// What an edit comes to.
enum Change {
    Put(Purpose, Stamp),
    Delete(Purpose),
}

impl Change {
    fn purpose_id(&self) -> &str {
        match self {
            Self::Put(purpose, _) | Self::Delete(purpose) => &purpose.purpose_id,
        }
    }

    /// Whether it makes a difference to what is allowed of anybody.
    fn decides_otherwise(&self, stored: &[Purpose]) -> bool {
        match self {
            Self::Put(after, _) => {
                find(stored, &after.purpose_id).is_none_or(|before| !decide_alike(&before, after))
            }
            Self::Delete(_) => true,
        }
    }
}

impl Service {
    pub async fn purpose(&self, workspace: &str, id: &str) -> Result<Purpose, Error> {
        let stored = purposes::all(&self.shared.database, workspace).await?;
        find(&stored, id).ok_or_else(|| Fault::not_found(Purpose::KIND, id).into())
    }

    pub async fn list_purposes(
        &self,
        workspace: &str,
        request: &PageRequest,
    ) -> Result<Page<Purpose>, Error> {
        let (size, after) = request.resolve(Purpose::KIND)?;
        let stored = purposes::all(&self.shared.database, workspace).await?;
        let all = with_built_in(&stored).into_iter().map(stamped);
        let rest = all.filter(|purpose| purpose.purpose_id > after).collect();
        Ok(Page::cut(Purpose::KIND, size, rest, Purpose::id))
    }

    /// The purpose as it is now; a deleted one as it was.
    pub async fn edit_purpose(&self, workspace: Arc<str>, edit: Edit) -> Result<Purpose, Error> {
        let asked = Arc::new((workspace, edit));
        self.in_turn(move |shared| async move { write(&shared, asked).await }.boxed())
            .await
    }
}

async fn write(shared: &Arc<Shared>, asked: Arc<(Arc<str>, Edit)>) -> Result<Purpose, Error> {
    let writing = shared.clone();
    let (purpose, revision) = shared
        .database
        .write(move |tx| {
            let (shared, asked) = (writing.clone(), asked.clone());
            async move {
                let turn = store::lock_to_declare(tx).await?;
                let (workspace, edit) = &*asked;
                let stored = purposes::all_within(tx, workspace).await?;
                let change = decide(&stored, edit.clone())?;
                if change.decides_otherwise(&stored) {
                    let before = turn.revision - 1;
                    fill_again(&shared, tx, workspace, change.purpose_id(), before).await?;
                }
                let purpose = carry_out(tx, workspace, change).await?;
                Ok::<_, Error>((purpose, turn.revision))
            }
            .boxed()
        })
        .await?;
    shared.declared.raise(revision);
    shared.fills.wake();
    Ok(purpose)
}

/// Has everything that is derived by what a purpose allows derived anew of everybody.
/// What reads which is as it was at the revision before: this edit changes none of it.
async fn fill_again(
    shared: &Shared,
    tx: &mut Tx,
    workspace: &Arc<str>,
    purpose_id: &str,
    revision: i64,
) -> Result<(), Error> {
    let database = &shared.database;
    let declared = shared.declared.at(database, workspace, revision).await?;
    let names = declared.derived.governed_by(purpose_id);
    Ok(fills::begin(tx, workspace, names).await?)
}

async fn carry_out(tx: &mut Tx, workspace: &str, change: Change) -> Result<Purpose, Error> {
    match change {
        Change::Put(mut purpose, stamp) => {
            purposes::put(tx, workspace, &purpose, &stamp).await?;
            purpose.stamp(Some(stamp));
            Ok(purpose)
        }
        Change::Delete(purpose) => {
            purposes::delete(tx, workspace, &purpose.purpose_id).await?;
            Ok(purpose)
        }
    }
}

fn decide(stored: &[Purpose], edit: Edit) -> Result<Change, Error> {
    let kind = Purpose::KIND;
    match edit {
        Edit::Create(purpose) => match find(stored, &purpose.purpose_id) {
            Some(_) => Err(Fault::exists(kind, purpose.purpose_id).into()),
            None => put(stored, purpose, None),
        },
        Edit::Update {
            purpose,
            mask,
            missing,
        } => match find(stored, &purpose.purpose_id) {
            Some(before) => {
                check_etag(&before, &purpose.etag)?;
                let after = resources::merge(&before, &purpose, mask.as_ref())?;
                put(stored, after, Some(&before))
            }
            None if missing == Missing::Create && purpose.etag.is_empty() => {
                put(stored, purpose, None)
            }
            None => Err(Fault::not_found(kind, purpose.purpose_id).into()),
        },
        Edit::Delete { purpose_id, etag } => match find(stored, &purpose_id) {
            Some(_) if is_built_in(&purpose_id) => Err(Fault::wrong_state(kind, "built in").into()),
            Some(before) => {
                check_etag(&before, &etag)?;
                Ok(Change::Delete(before))
            }
            None => Err(Fault::not_found(kind, purpose_id).into()),
        },
    }
}

fn put(stored: &[Purpose], mut after: Purpose, before: Option<&Purpose>) -> Result<Change, Error> {
    convert::purposes::check(&after)?;
    if before.is_none() && with_built_in(stored).len() >= PURPOSES_MAX {
        let rule = format!("must not be more than {PURPOSES_MAX} in a workspace");
        return Err(Violations::of("purpose", rule).into());
    }
    after.stamp(None);
    let now_ms = time::now_ms();
    let times = before.and_then(|b| b.create_time.as_ref()).map(time::to_ms);
    let stamp = Stamp {
        etag: etag_of(&after),
        create_ms: times.unwrap_or(now_ms),
        update_ms: now_ms,
    };
    Ok(Change::Put(after, stamp))
}

fn check_etag(held: &Purpose, sent: &str) -> Result<(), Error> {
    if sent.is_empty() || sent == held.etag {
        return Ok(());
    }
    Err(Fault::etag_mismatch(Purpose::KIND, &held.purpose_id).into())
}

fn find(stored: &[Purpose], id: &str) -> Option<Purpose> {
    let mut all = with_built_in(stored).into_iter();
    all.find(|purpose| purpose.purpose_id == id).map(stamped)
}

/// What exists from the start has an etag too, so that the first edit can be guarded.
fn stamped(mut purpose: Purpose) -> Purpose {
    if purpose.etag.is_empty() {
        purpose.etag = etag_of(&purpose);
    }
    purpose
}
