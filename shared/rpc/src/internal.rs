//! What holds between our services: the credential, the limits, the certificates. The
//! same values serve and call, in one process and in five.

use std::fmt;

use http::HeaderValue;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{MESSAGE_BYTES_MAX, Tls};

/// The terms between our services.
#[derive(Debug, Clone)]
pub struct Internal {
    pub token: PeerToken,
    pub limits: Limits,
    /// Certificates of both sides, over TCP only.
    pub tls: Option<Tls>,
    /// Cancelled when the process begins to drain; [`Health::draining`](crate::Health).
    pub draining: CancellationToken,
}

impl Internal {
    pub fn new(token: PeerToken) -> Self {
        Self {
            token,
            limits: Limits::internal(),
            tls: None,
            draining: CancellationToken::new(),
        }
    }
}

/// What a server takes on.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Calls at the same time; those beyond are refused with OVERLOADED.
    pub in_flight_max: usize,
    /// What one request may weigh, in bytes.
    pub message_bytes_max: usize,
}

impl Limits {
    /// Between services.
    pub fn internal() -> Self {
        Self {
            in_flight_max: 4096,
            message_bytes_max: MESSAGE_BYTES_MAX,
        }
    }
}

/// At the public door.
impl Default for Limits {
    fn default() -> Self {
        Self {
            in_flight_max: 1024,
            message_bytes_max: 1 << 20,
        }
    }
}

/// The credential that our services show each other.
#[derive(Clone)]
pub struct PeerToken(HeaderValue);

impl PeerToken {
    /// For services in several processes, which are all given the same.
    pub fn new(token: &str) -> Result<Self, InvalidPeerToken> {
        let visible = token.bytes().all(|b| b.is_ascii_graphic());
        if !visible || !(16..=512).contains(&token.len()) {
            return Err(InvalidPeerToken);
        }
        let mut header = HeaderValue::from_str(token).map_err(|_| InvalidPeerToken)?;
        header.set_sensitive(true);
        Ok(Self(header))
    }

    /// For services in one process, of which nobody else needs to know it.
    pub fn random() -> Self {
        let token = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        // Hexadecimal digits are always a valid header value.
        let mut header = HeaderValue::from_str(&token)
            .unwrap_or_else(|_| HeaderValue::from_static("unreachable"));
        header.set_sensitive(true);
        Self(header)
    }

    pub(crate) fn matches(&self, sent: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(sent).into()
    }

    pub(crate) fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl fmt::Debug for PeerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PeerToken(redacted)")
    }
}

/// Why a text is no credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 16 to 512 visible ASCII characters")]
pub struct InvalidPeerToken;
