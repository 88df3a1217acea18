//! How services call each other and how they are served: one [`Channel`] type and one
//! stack of layers, the same in one process and over TCP. Carries calls; never knows
//! what they are about, and never opens a database.
//!
//! A call passes, outermost first:
//!
//! ```text
//! client   span ─ metric ─ credential ─ deadline ─┬─ in process ─┬─▶ server
//!                                                 └─ HTTP/2 ─────┘
//! server   request id ─ span ─ metric ─ panic ─ size ─ credential ─ load ─ caller
//!          ─ deadline ─ drain ─▶ the generated server
//! ```
//!
//! [`stack`] declares the order and gives the reasons.

mod actor;
mod call;
mod caller;
mod channel;
mod dial;
mod health;
mod hot;
mod internal;
pub mod layers;
pub mod metadata;
mod method;
mod serve;
pub mod stack;
mod tasks;
mod tls;
mod transport;
mod unary;
mod workspace;

pub use actor::{Actor, InvalidActor};
pub use call::{Call, RequestId};
pub use caller::{Caller, system_request};
pub use channel::{Channel, EndpointError, Peers};
pub use health::Health;
pub use hot::{Answer, Hot};
pub use internal::{Internal, InvalidPeerToken, Limits, PeerToken};
pub use method::Method;
pub use serve::{Draining, ServeOptions, internal_router, serve};
pub use tasks::{Slept, Tasks, Unfinished};
pub use tls::{Tls, TlsError, TlsFiles};
pub use unary::{Unary, answer_unary};
pub use workspace::{InvalidWorkspace, Workspace};

/// What one message between services may weigh. Generated clients and servers default
/// to 4 MiB: pass this to their `max_decoding_message_size`.
pub const MESSAGE_BYTES_MAX: usize = 16 << 20;
