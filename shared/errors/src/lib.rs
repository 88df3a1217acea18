//! How a failure looks on the wire: `google.rpc.Status` with a stable reason, every
//! field violation at once, and what to do about it. Builds them and reads them back.
//! Never decides whether something is a failure, and never lets a driver's message out.

mod fault;
mod fit;
mod read;
mod violations;

pub use attune_api::r#type::v1::ErrorReason as Reason;
pub use fault::Fault;
pub use fit::fit_headers;
pub use read::{metadata_of, reason_of, retry_after_of, violations_of};
pub use violations::{Violation, Violations};

/// The `domain` of every `ErrorInfo` that is ours.
pub const DOMAIN: &str = "attune.dev";

/// What `Reason`'s names start with in the contract, and not on the wire.
const REASON_PREFIX: &str = "ERROR_REASON_";
