//! What the layers know about the call in hand, kept as one extension of the request
//! so that a layer can add its part without another allocation.

use std::{fmt, time::Instant};

use http::{Extensions, HeaderValue};
use uuid::Uuid;

use crate::{Actor, Method, Workspace};

/// One call on its way through the server stack. Each field is set by one layer.
#[derive(Clone)]
pub struct Call {
    pub method: &'static Method,
    pub request_id: RequestId,
    /// When it arrived.
    pub begin: Instant,
    /// When the caller stops waiting.
    pub deadline: Option<Instant>,
    /// Between services, from metadata; at the public door, from the key.
    pub workspace: Option<Workspace>,
    /// Who asked, likewise. Absent where one of our services asks for itself.
    pub actor: Option<Actor>,
}

impl Call {
    /// The call that the extensions belong to; absent outside the stack.
    pub fn of(extensions: &Extensions) -> Option<&Call> {
        extensions.get()
    }

    /// As [`Call::of`], for a layer that has something to add.
    pub fn of_mut(extensions: &mut Extensions) -> Option<&mut Call> {
        extensions.get_mut()
    }
}

/// Names one request: 1 to 128 visible ASCII characters.
#[derive(Clone, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

impl RequestId {
    const LENGTH_MAX: usize = 128;

    /// A new one, sortable by time.
    pub fn mint() -> Self {
        let mut buffer = Uuid::encode_buffer();
        let text = Uuid::now_v7().as_hyphenated().encode_lower(&mut buffer);
        // Hexadecimal digits and hyphens are always a valid header value.
        Self(HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("unknown")))
    }

    /// The one that a caller sent, if it is fit to be repeated in logs.
    pub(crate) fn sent(value: &HeaderValue) -> Option<Self> {
        let fits = (1..=Self::LENGTH_MAX).contains(&value.len());
        let visible = value.as_bytes().iter().all(u8::is_ascii_graphic);
        (fits && visible).then(|| Self(value.clone()))
    }

    pub(crate) fn header(&self) -> HeaderValue {
        self.0.clone()
    }

    pub fn as_str(&self) -> &str {
        // Checked to be visible ASCII when it was made.
        self.0.to_str().unwrap_or_default()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
