//! HTTP at the public door: JSON transcoding, OpenAPI, gRPC-Web, CORS and the plain
//! paths, all on one port with gRPC. Translates; decides nothing about a call.

mod decode;
mod encode;
mod frames;
mod front;
mod json;
mod openapi;
mod path;
mod request;
mod routes;
mod scalar;
mod status;
mod template;
mod transcode;
mod well_known;

#[cfg(test)]
mod tests;

pub use front::router;
pub use routes::{Fault as RouteFault, Routes};
