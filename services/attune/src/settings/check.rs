//! What only the settings as a whole show to be wrong: addresses that are none, services
//! that nobody runs, trust that is missing. Finds all of it; repairs nothing.

use attune_rpc::{PeerToken, Tls};
use attune_settings::Faults;
use attune_vault::{Masters, MastersError};

use super::Settings;
use crate::serve::ServiceName;

/// What a fault of the whole is blamed on.
const MERGED: &str = "all settings together";

pub fn check(settings: &Settings, faults: &mut Faults) {
    services(settings, faults);
    listen("listen", &settings.listen, faults);
    if !settings.peers.listen.is_empty() {
        listen("peers.listen", &settings.peers.listen, faults);
    }
    database(settings, faults);
    encryption(settings, faults);
    peers(settings, faults);
    trust(settings, faults);
    settings.profile.check("profile", faults);
    settings.messaging.check("messaging", faults);
    if let Some(problem) = settings.telemetry.filter_fault() {
        faults.push("telemetry.log_filter", MERGED, problem);
    }
}

fn services(settings: &Settings, faults: &mut Faults) {
    let names = &settings.services;
    if names.is_empty() {
        faults.push("services", MERGED, "must name at least one service");
    }
    if names
        .iter()
        .enumerate()
        .any(|(i, n)| names[..i].contains(n))
    {
        faults.push("services", MERGED, "must name each service once");
    }
}

fn listen(path: &str, address: &str, faults: &mut Faults) {
    let parts = address.rsplit_once(':');
    if !parts.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok()) {
        faults.push(path, MERGED, "must be host:port");
    }
}

fn database(settings: &Settings, faults: &mut Faults) {
    let url = settings.database.url.expose();
    let known = ["postgres://", "postgresql://"];
    if !url.is_empty() && !known.iter().any(|scheme| url.starts_with(scheme)) {
        faults.push("database.url", MERGED, "must begin with postgres://");
    }
}

/// What is embedded has keys of its own; what lies elsewhere must be given them.
fn encryption(settings: &Settings, faults: &mut Faults) {
    let needed = [ServiceName::Profile, ServiceName::Messaging];
    let is_embedded = settings.database.url.is_empty();
    if !needed.iter().any(|service| settings.has(*service)) {
        return;
    }
    match (
        settings.encryption.master_keys.expose().as_str(),
        is_embedded,
    ) {
        ("", true) => {}
        ("", false) => {
            let problem = MastersError::Missing.to_string();
            faults.push("encryption.master_keys", MERGED, problem);
        }
        (text, _) => {
            if let Err(problem) = Masters::parse(text) {
                faults.push("encryption.master_keys", MERGED, problem.to_string());
            }
        }
    }
}

/// Every service that one of ours calls is here or has an address.
fn peers(settings: &Settings, faults: &mut Faults) {
    for service in ServiceName::CALLED {
        let path = format!("peers.{}", service.key());
        let mut callers = settings.services.iter();
        match settings.remote(service) {
            Some(address) if !is_endpoint(address) => {
                faults.push(path, MERGED, "must be an address such as http://host:7700");
            }
            None if !settings.has(service) && callers.any(|c| c.calls().contains(&service)) => {
                faults.push(path, MERGED, "must be set, or the service run here");
            }
            _ => {}
        }
    }
}

fn is_endpoint(address: &str) -> bool {
    let rest = address
        .strip_prefix("http://")
        .or_else(|| address.strip_prefix("https://"));
    rest.is_some_and(|rest| rest.parse::<http::uri::Authority>().is_ok())
}

fn trust(settings: &Settings, faults: &mut Faults) {
    let token = &settings.peers.token;
    if token.is_empty() {
        let alone = ServiceName::ALL
            .iter()
            .all(|service| settings.has(*service));
        if !alone {
            let problem = "must be set when services run in several processes";
            faults.push("peers.token", MERGED, problem);
        }
    } else if let Err(problem) = PeerToken::new(token.expose()) {
        faults.push("peers.token", MERGED, problem.to_string());
    }
    if let Some(Err(problem)) = settings.peers.tls.as_ref().map(Tls::load) {
        faults.push("peers.tls", MERGED, problem.to_string());
    }
}
