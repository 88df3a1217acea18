//! From requests to what the use cases take, with all validation of fields. Every
//! violation is told, by path; nothing here reads or writes anything.

mod audience;
pub(crate) mod characteristic;
pub(crate) mod item;
pub(crate) mod item_type;

use attune_errors::Violations;

/// The id of a resource, from the request's own field or from the body.
pub(crate) fn identify(
    request_field: &str,
    request_id: String,
    body_id: &mut String,
) -> Result<(), Violations> {
    if body_id.is_empty() {
        *body_id = request_id;
    } else if !request_id.is_empty() && request_id != *body_id {
        return Err(Violations::of(request_field, "must be the id in the body"));
    }
    Ok(())
}

/// The body of a request, which protobuf cannot require.
pub(crate) fn body<T>(field: &str, body: Option<T>) -> Result<T, Violations> {
    body.ok_or_else(|| Violations::of(field, "must be set"))
}

/// Whether a text has 1 to `max` of a-z, 0-9, `_` and what `also` allows, beginning
/// with a letter.
fn is_name(text: &str, max: usize, also: &[u8]) -> bool {
    let bytes = text.as_bytes();
    let allowed =
        |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'_' || also.contains(b);
    bytes.len() <= max
        && bytes.first().is_some_and(u8::is_ascii_lowercase)
        && bytes.iter().all(allowed)
}

/// "did you mean" for a name that is not known.
fn suggestion<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    attune_expr::nearest(name, known)
        .map(|near| format!("; did you mean `{near}`?"))
        .unwrap_or_default()
}
