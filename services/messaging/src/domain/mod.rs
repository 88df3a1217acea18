//! The ideas of messaging: templates and how they become words, languages, addresses,
//! what a mail looks like, and when to try again. Pure and synchronous: nothing here
//! knows of gRPC, SQL or sockets.

pub mod address;
pub mod locale;
pub mod mail;
pub mod message;
pub mod retry;
pub mod template;
