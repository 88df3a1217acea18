//! The methods of the contract, looked up by path once per call, so that spans and
//! metrics carry a bounded set of names whatever a stranger sends.

use std::sync::LazyLock;

use http::Request;
use opentelemetry::KeyValue;
use rustc_hash::FxHashMap;

use crate::Call;

/// One method of the contract, or [`Method::other`].
#[derive(Debug)]
pub struct Method {
    /// `attune.profile.v1.ProfileService/GetSnapshot`
    pub name: &'static str,
    /// Streams for as long as the client listens, and so is ended when we drain.
    pub endless: bool,
    /// Takes more than one message.
    pub takes_stream: bool,
    /// The attributes of a metric of a call that went well, made once.
    pub(crate) attributes_ok: [KeyValue; 3],
}

/// They wait for news and never finish by themselves.
const ENDLESS: [&str; 2] = [
    "attune.events.v1.EventLogService/ReadLog",
    "grpc.health.v1.Health/Watch",
];

/// Served beside our own contract.
const FOREIGN: [&str; 4] = [
    "grpc.health.v1.Health/Check",
    "grpc.health.v1.Health/Watch",
    "grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

static OTHER: LazyLock<Method> = LazyLock::new(|| Method::named("_OTHER"));

static METHODS: LazyLock<FxHashMap<String, Method>> = LazyLock::new(|| {
    let services = attune_api::DESCRIPTORS.services();
    services
        .flat_map(|service| service.methods().collect::<Vec<_>>())
        .map(|method| {
            let name = format!("{}/{}", method.parent_service().full_name(), method.name());
            (name, method.is_client_streaming())
        })
        .chain(FOREIGN.map(|name| (name.to_owned(), name.ends_with("ServerReflectionInfo"))))
        // Leaked once per process: names are wanted as `&'static str` by spans.
        .map(|(name, takes_stream)| Method {
            takes_stream,
            ..Method::named(name.leak())
        })
        .map(|method| (format!("/{}", method.name), method))
        .collect()
});

impl Method {
    /// The method at an HTTP path such as `/attune.profile.v1.ProfileService/Ingest`.
    pub fn at(path: &str) -> &'static Method {
        METHODS.get(path).unwrap_or(&OTHER)
    }

    /// The method of a request, which the server's stack looks up once.
    pub(crate) fn of<B>(request: &Request<B>) -> &'static Method {
        match Call::of(request.extensions()) {
            Some(call) => call.method,
            None => Self::at(request.uri().path()),
        }
    }

    /// Stands for every path that the contract does not know.
    pub fn other() -> &'static Method {
        &OTHER
    }

    fn named(name: &'static str) -> Self {
        Self {
            name,
            endless: ENDLESS.contains(&name),
            takes_stream: false,
            attributes_ok: [
                KeyValue::new("rpc.system.name", "grpc"),
                KeyValue::new("rpc.method", name),
                KeyValue::new("rpc.response.status_code", "OK"),
            ],
        }
    }
}
