//! What a resource becomes when it is created or updated: the mask applied, the
//! stamp renewed. Pure; reads and writes nothing.

use attune_api::{mask, time};
use attune_errors::Violations;
use prost::Message;
use prost_types::FieldMask;

use super::{Error, Resource, Stamp, Stored};

pub(super) fn created<R: Resource>(resource: &R) -> Stored<R> {
    let now_ms = time::now_ms();
    stamped(resource.clone(), now_ms, now_ms)
}

/// The stored resource with the fields of `sent` that the mask names.
pub(super) fn merged<R: Resource>(
    before: &Stored<R>,
    sent: &R,
    wanted: Option<&FieldMask>,
) -> Result<Stored<R>, Error> {
    let resource = merge(&before.resource, sent, wanted)?;
    let update_ms = time::now_ms().max(before.stamp.update_ms);
    Ok(stamped(resource, before.stamp.create_ms, update_ms))
}

/// What an update makes of a resource, its stamp left off: the fields that `wanted`
/// names; without it, those that are set in `sent`; with `*`, all. For resources that
/// are not in a [`super::Table`] too.
pub fn merge<R: Resource>(before: &R, sent: &R, wanted: Option<&FieldMask>) -> Result<R, Error> {
    // What the store fills in is never an edit.
    let mut sent = sent.clone();
    sent.stamp(None);
    let mut after = match wanted {
        Some(mask) if mask.paths.iter().any(|path| path == "*") => sent,
        Some(mask) if !mask.paths.is_empty() => apply(before, &sent, mask)?,
        _ => apply(before, &sent, &mask::populated(R::FULL_NAME, &sent))?,
    };
    after.stamp(None);
    if after.id() == before.id() {
        return Ok(after);
    }
    let moved = Violations::of("update_mask", "must not name the resource's id");
    Err(Error::Invalid(moved))
}

fn apply<R: Resource>(target: &R, source: &R, mask: &FieldMask) -> Result<R, Error> {
    mask::apply(R::FULL_NAME, target, source, mask).map_err(|unknown| {
        let mut violations = Violations::new();
        for path in unknown {
            let rule = format!("must name fields of {}; it has no `{}`", R::KIND, path.0);
            violations.push("update_mask", rule);
        }
        Error::Invalid(violations)
    })
}

/// A hash of the content, stamp left off: equal content, equal etag.
pub fn etag_of(content: &impl Message) -> String {
    let mut etag = blake3::hash(&content.encode_to_vec()).to_hex();
    etag.truncate(16);
    etag.to_string()
}

fn stamped<R: Resource>(mut resource: R, create_ms: i64, update_ms: i64) -> Stored<R> {
    resource.stamp(None);
    Stored {
        stamp: Stamp {
            etag: etag_of(&resource),
            create_ms,
            update_ms,
        },
        resource,
    }
}
