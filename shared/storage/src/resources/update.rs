//! What a resource becomes when it is created or updated: the mask applied, the
//! stamp renewed. Pure; reads and writes nothing.

use attune_api::{DESCRIPTORS, mask, time};
use attune_errors::Violations;
use prost_reflect::DynamicMessage;
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
    // What the store fills in is never an edit.
    let mut sent = sent.clone();
    sent.stamp(None);
    let resource = match wanted {
        Some(mask) if mask.paths.iter().any(|path| path == "*") => sent,
        Some(mask) if !mask.paths.is_empty() => apply(&before.resource, &sent, mask)?,
        _ => apply(&before.resource, &sent, &populated(&sent))?,
    };
    let update_ms = time::now_ms().max(before.stamp.update_ms);
    let after = stamped(resource, before.stamp.create_ms, update_ms);
    if after.resource.id() == before.resource.id() {
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

/// The mask that an absent one stands for.
fn populated<R: Resource>(sent: &R) -> FieldMask {
    let Some(descriptor) = DESCRIPTORS.get_message_by_name(R::FULL_NAME) else {
        return FieldMask::default();
    };
    let mut dynamic = DynamicMessage::new(descriptor);
    // The same message, so its bytes are valid; if not, nothing counts as set.
    let _ = dynamic.transcode_from(sent);
    let paths = dynamic.fields().map(|(field, _)| field.name().to_owned());
    FieldMask {
        paths: paths.collect(),
    }
}

/// The etag is a hash of the content: equal content, equal etag.
fn stamped<R: Resource>(mut resource: R, create_ms: i64, update_ms: i64) -> Stored<R> {
    resource.stamp(None);
    let mut etag = blake3::hash(&resource.encode_to_vec()).to_hex();
    etag.truncate(16);
    Stored {
        resource,
        stamp: Stamp {
            etag: etag.to_string(),
            create_ms,
            update_ms,
        },
    }
}
