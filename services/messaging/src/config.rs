//! What an operator can set about messaging. Typed and defaulted; read once at start.

use attune_settings::{Faults, Secret};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::{address, retry::RetryPolicy, template::Limits};

/// The `messaging` section.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Who e-mails are from, and the server that takes them.
    pub email: Email,
    /// How queued messages are delivered.
    pub delivery: Delivery,
    /// What rendering one template may cost.
    pub templates: Templates,
}

/// Who e-mails are from, and the server that takes them.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Email {
    /// The sender of every mail: `Shop <hello@shop.example>`. Needed with `smtp.host`.
    pub from: String,
    /// The server.
    pub smtp: Smtp,
}

/// The server that mails are handed to.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Smtp {
    /// The server that mails are handed to. Empty: no mail can be sent, and a call
    /// that wants to is refused.
    pub host: String,
    /// Where it listens: usually 587 with STARTTLS, 465 with TLS from the start.
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
    /// How the connection is encrypted: upgraded, from the start, or not at all.
    pub tls: Tls,
    /// A PEM file with the authority that signed the server's certificate, beside
    /// those that the system trusts.
    pub ca_file: String,
    /// Empty: no login.
    pub username: String,
    /// Belongs to `username`.
    pub password: Secret<String>,
    /// How this sender calls itself in EHLO. Empty: the host's name.
    pub hello_name: String,
    /// Connections that are kept open for the next mail.
    #[schemars(range(min = 0, max = 100))]
    pub idle_connections_max: usize,
    /// An idle connection is closed after this time.
    #[schemars(range(min = 1, max = 3600))]
    pub idle_seconds_max: u64,
    /// A connection is closed after this many mails, since servers tire of them.
    #[schemars(range(min = 1, max = 100_000))]
    pub mails_per_connection_max: u32,
    /// For connecting, TLS and login together.
    #[schemars(range(min = 1, max = 300))]
    pub connect_seconds_max: u64,
    /// For handing over one mail.
    #[schemars(range(min = 1, max = 600))]
    pub send_seconds_max: u64,
}

/// How the connection to the server is encrypted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tls {
    /// Begins in the clear and must be upgraded; usually port 587.
    #[default]
    Starttls,
    /// Encrypted from the start; usually port 465.
    Implicit,
    /// Never encrypted: for a relay on the same machine.
    None,
}

impl Default for Smtp {
    fn default() -> Self {
        Self {
            host: String::new(),
            port: 587,
            tls: Tls::default(),
            ca_file: String::new(),
            username: String::new(),
            password: Secret::default(),
            hello_name: String::new(),
            idle_connections_max: 8,
            idle_seconds_max: 30,
            mails_per_connection_max: 100,
            connect_seconds_max: 15,
            send_seconds_max: 60,
        }
    }
}

/// How queued messages are delivered.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Delivery {
    /// Deliveries at the same time, per process.
    #[schemars(range(min = 1, max = 1000))]
    pub concurrency_max: usize,
    /// After so many attempts a message has failed.
    #[schemars(range(min = 1, max = 1000))]
    pub attempts_max: i32,
    /// Before the second attempt; doubles with each further one.
    #[schemars(range(min = 1))]
    pub retry_delay_ms_min: i64,
    /// Between any two attempts, however many there were.
    #[schemars(range(min = 1))]
    pub retry_delay_ms_max: i64,
    /// A message that a worker took and said nothing more of is taken by another one
    /// after this time. Must be longer than connecting and sending may take.
    #[schemars(range(min = 100))]
    pub lease_ms: i64,
    /// The longest time between two looks at the queue; messages of this process are
    /// noticed at once.
    #[schemars(range(min = 10, max = 60_000))]
    pub poll_ms_max: u64,
}

impl Default for Delivery {
    fn default() -> Self {
        Self {
            concurrency_max: 8,
            attempts_max: 12,
            retry_delay_ms_min: 5_000,
            retry_delay_ms_max: 3_600_000,
            lease_ms: 180_000,
            poll_ms_max: 1_000,
        }
    }
}

impl Delivery {
    pub(crate) fn retry_policy(&self) -> RetryPolicy {
        RetryPolicy {
            attempts_max: self.attempts_max,
            delay_ms_min: self.retry_delay_ms_min,
            delay_ms_max: self.retry_delay_ms_max,
        }
    }
}

/// What rendering one template may cost.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Templates {
    /// Time for each of subject, text and html.
    #[schemars(range(min = 1, max = 60_000))]
    pub render_ms_max: u64,
    /// Size of each of subject, text and html once rendered.
    #[schemars(range(min = 1, max = 16_777_216))]
    pub output_bytes_max: usize,
    /// Templates that are rendered at the same time; others wait.
    #[schemars(range(min = 1, max = 1000))]
    pub renders_max: usize,
}

impl Default for Templates {
    fn default() -> Self {
        Self {
            render_ms_max: 500,
            output_bytes_max: 1 << 20,
            renders_max: 4,
        }
    }
}

impl Templates {
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            output_bytes_max: self.output_bytes_max,
            time_max: std::time::Duration::from_millis(self.render_ms_max),
            ..Limits::default()
        }
    }
}

impl Config {
    /// Adds what only the values together show. `path` is where this section stands.
    pub fn check(&self, path: &str, faults: &mut Faults) {
        for (key, problem) in self.problems() {
            faults.push(format!("{path}.{key}"), "the configuration", problem);
        }
    }

    pub(crate) fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        let smtp = &self.email.smtp;
        if !smtp.host.is_empty()
            && let Err(rule) = address::parse_mailbox(&self.email.from)
        {
            problems.push(("email.from", rule.to_owned()));
        }
        let local = ["localhost", "127.0.0.1", "::1"].contains(&smtp.host.as_str());
        if !smtp.username.is_empty() && smtp.tls == Tls::None && !local {
            let problem = "must not be none: the password would travel in the clear";
            problems.push(("email.smtp.tls", problem.to_owned()));
        }
        let lease_ms_min = (smtp.connect_seconds_max + smtp.send_seconds_max) * 1_000;
        let lease_ms = u64::try_from(self.delivery.lease_ms).unwrap_or(0);
        if lease_ms <= lease_ms_min {
            let problem = format!(
                "must be more than email.smtp.connect_seconds_max and send_seconds_max together, {lease_ms_min} ms"
            );
            problems.push(("delivery.lease_ms", problem));
        }
        if self.delivery.retry_delay_ms_min > self.delivery.retry_delay_ms_max {
            let problem = "must not be more than delivery.retry_delay_ms_max";
            problems.push(("delivery.retry_delay_ms_min", problem.to_owned()));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_in_order() {
        assert_eq!(Config::default().problems(), []);
    }

    #[test]
    fn every_contradiction_is_told() {
        let mut config = Config::default();
        config.email.smtp.host = "mail.example.com".into();
        config.email.smtp.username = "shop".into();
        config.email.smtp.tls = Tls::None;
        config.delivery.lease_ms = 1_000;
        config.delivery.retry_delay_ms_min = 10_000_000;
        let keys: Vec<_> = config.problems().into_iter().map(|(key, _)| key).collect();
        assert_eq!(
            keys,
            [
                "email.from",
                "email.smtp.tls",
                "delivery.lease_ms",
                "delivery.retry_delay_ms_min"
            ]
        );
    }
}
