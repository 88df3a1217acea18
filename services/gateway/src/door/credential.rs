//! The key in a request's headers: as a bearer token, or as the user name of HTTP's
//! basic authentication, which is how Segment's SDKs send it.

use attune_errors::Fault;
use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderMap, header};

/// The secret that was shown.
pub fn secret(headers: &HeaderMap) -> Result<std::borrow::Cow<'_, str>, Fault> {
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        return Err(Fault::key_missing());
    };
    let text = value.to_str().map_err(|_| Fault::key_invalid())?;
    let (scheme, rest) = text.split_once(' ').unwrap_or((text, ""));
    let rest = rest.trim();
    if rest.is_empty() {
        return Err(Fault::key_missing());
    }
    if scheme.eq_ignore_ascii_case("bearer") {
        return Ok(rest.into());
    }
    if scheme.eq_ignore_ascii_case("basic") {
        return user_name(rest)
            .map(Into::into)
            .ok_or_else(Fault::key_invalid);
    }
    Err(Fault::key_invalid())
}

fn user_name(encoded: &str) -> Option<String> {
    let bytes = BASE64_STANDARD.decode(encoded).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (user, _) = text.split_once(':').unwrap_or((&text, ""));
    (!user.is_empty()).then(|| user.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use attune_errors::Reason;

    #[test]
    fn a_key_is_read_from_both_schemes() {
        let rows = [
            (None, Err(Reason::KeyMissing)),
            (Some("Bearer k1"), Ok("k1")),
            (Some("bearer  k1 "), Ok("k1")),
            (Some("Basic azE6"), Ok("k1")),
            (Some("basic azE6cGFzcw=="), Ok("k1")),
            (Some("Bearer"), Err(Reason::KeyMissing)),
            (Some("Basic ?"), Err(Reason::KeyInvalid)),
            (Some("Basic Og=="), Err(Reason::KeyInvalid)),
            (Some("Digest k1"), Err(Reason::KeyInvalid)),
        ];
        for (header, expected) in rows {
            let mut headers = HeaderMap::new();
            if let Some(text) = header {
                headers.insert(header::AUTHORIZATION, text.parse().unwrap());
            }
            let found = secret(&headers).map_err(|fault| fault.reason());
            assert_eq!(found.as_deref(), expected.as_ref().copied(), "{header:?}");
        }
    }
}
