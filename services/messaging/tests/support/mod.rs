//! The service as its callers see it, on a database of the test's choice, and a real
//! SMTP server in a process of its own.

// Each test binary uses a part of it, and a test's support fails the test.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use attune_api::{
    events::v1::event_log_service_server::EventLogServiceServer,
    messaging::v1::{
        GetMessageRequest, Message, SendMessageRequest,
        messaging_service_client::MessagingServiceClient,
    },
};
use attune_events::{LogServer, LogSource};
use attune_messaging::{Config, MIGRATIONS, Messaging};
use attune_profile::Profile;
use attune_rpc::{Caller, Channel, Internal, PeerToken, Peers, Tasks, Workspace};
use attune_storage::Database;
use attune_testkit::wait_until;
use attune_vault::Masters;
use tempfile::TempDir;
use tonic::{Request, Status, service::RoutesBuilder};

pub use attune_testkit::PATIENCE;

pub struct App {
    pub client: MessagingServiceClient<Channel>,
    pub database: Database,
    /// To all that is served here.
    pub channel: Channel,
    service: Messaging,
    tasks: Tasks,
}

impl App {
    /// The service, answering calls and delivering nothing yet.
    pub async fn open(url: &str, config: Config) -> App {
        Self::open_beside(url, config, Vec::new()).await
    }

    /// The same, in a process with these logs.
    pub async fn open_beside(url: &str, config: Config, logs: Vec<LogSource>) -> App {
        Self::open_among(url, config, logs, RoutesBuilder::default()).await
    }

    /// The same, in a process with the profile service.
    pub async fn open_with_profile(url: &str, config: Config, profile: &Profile) -> App {
        let mut routes = RoutesBuilder::default();
        profile.register(&mut routes);
        Self::open_among(url, config, profile.log().into_iter().collect(), routes).await
    }

    async fn open_among(
        url: &str,
        config: Config,
        logs: Vec<LogSource>,
        mut routes: RoutesBuilder,
    ) -> App {
        let database = Database::open(url, &MIGRATIONS).await.unwrap();
        let masters = Masters::parse(&"5eaf00d5".repeat(8)).unwrap();
        let service = Messaging::open(config, database.clone(), masters)
            .await
            .unwrap();
        service.register(&mut routes);
        if !logs.is_empty() {
            routes.add_service(EventLogServiceServer::new(LogServer::new(logs)));
        }
        let internal = Internal::new(PeerToken::random());
        let channel = Channel::in_process("messaging", routes.routes(), &internal);
        App {
            client: MessagingServiceClient::new(channel.clone()),
            database,
            service,
            channel,
            tasks: Tasks::new(),
        }
    }

    /// The service with its worker.
    pub async fn start(url: &str, config: Config) -> App {
        let app = Self::open(url, config).await;
        app.deliver();
        app
    }

    /// Starts the worker.
    pub fn deliver(&self) {
        let peers = Peers {
            profile: self.channel.clone(),
            catalog: self.channel.clone(),
            rule_engine: self.channel.clone(),
            messaging: self.channel.clone(),
        };
        self.service.start(&self.tasks, &peers);
    }

    pub async fn stop(self) {
        self.tasks.shutdown(PATIENCE).await.unwrap();
        self.database.close().await;
    }

    pub async fn send(&self, message: SendMessageRequest) -> Result<Message, Status> {
        let answer = self.client.clone().send_message(default(message)).await?;
        Ok(answer.into_inner())
    }

    pub async fn message(&self, message_id: &str) -> Message {
        let request = GetMessageRequest {
            message_id: message_id.to_owned(),
        };
        let answer = self.client.clone().get_message(default(request)).await;
        answer.unwrap().into_inner()
    }

    pub async fn wait_for(
        &self,
        message_id: &str,
        what: &str,
        holds: impl Fn(&Message) -> bool,
    ) -> Message {
        wait_until(what, PATIENCE, || async {
            holds(&self.message(message_id).await)
        })
        .await;
        self.message(message_id).await
    }
}

/// A call for the workspace `default`.
pub fn default<T>(message: T) -> Request<T> {
    Caller::new(Workspace::default()).request(message)
}

pub fn in_workspace<T>(workspace: &str, message: T) -> Request<T> {
    Caller::new(Workspace::new(workspace).unwrap()).request(message)
}

/// A config that names a server at this port and retries without patience.
pub fn config(port: u16) -> Config {
    let mut config = Config::default();
    config.email.from = "Fells Outdoor <hello@shop.example>".into();
    config.email.smtp.host = "localhost".into();
    config.email.smtp.port = port;
    config.email.smtp.tls = attune_messaging::Tls::None;
    config.delivery.retry_delay_ms_min = 10;
    config.delivery.retry_delay_ms_max = 50;
    config
}

/// A running SMTP server; ends with the test.
pub struct SmtpServer {
    pub port: u16,
    process: Child,
    folder: PathBuf,
}

impl SmtpServer {
    /// `arguments` as `tests/foreign/smtp_server.py` explains them.
    pub fn start(folder: &Path, arguments: &[&str]) -> SmtpServer {
        let foreign = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/foreign");
        let python = foreign.join(".venv/bin/python");
        assert!(
            python.exists(),
            "these tests need the foreign programs. Run: cargo xtask foreign"
        );
        let mut process = Command::new(python)
            .arg(foreign.join("smtp_server.py"))
            .arg(folder)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        SmtpServer {
            port: line.trim().parse().expect("the server says its port"),
            process,
            folder: folder.to_owned(),
        }
    }

    /// What was accepted so far, oldest first.
    pub fn mails(&self) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(self.folder.join("mails.ndjson"));
        let text = text.unwrap_or_default();
        // The last line may be half written.
        text.lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }
}

impl Drop for SmtpServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A self-signed certificate for `localhost` and its key, as PEM files.
pub struct Certificate {
    pub certificate: String,
    pub key: String,
    _folder: TempDir,
}

pub fn certificate() -> Certificate {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let folder = TempDir::new().unwrap();
    let write = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    Certificate {
        certificate: write("certificate.pem", made.cert.pem()),
        key: write("key.pem", made.signing_key.serialize_pem()),
        _folder: folder,
    }
}

/// A message with its own words.
pub fn plain(to: &str) -> SendMessageRequest {
    SendMessageRequest {
        channel: "email".into(),
        to: to.into(),
        content: Some(attune_api::messaging::v1::Content {
            subject: "Hello".into(),
            text: "Hello there".into(),
            ..Default::default()
        }),
        ..Default::default()
    }
}
