//! Delivery to a real SMTP server process, with the faults that such servers have, on
//! both databases.

mod support;

use std::{
    collections::HashMap,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use attune_api::messaging::v1::{Content, DeliveryState};
use attune_messaging::{Config, Tls};
use attune_testkit::{ReservedPort, TestDatabase, test_database_urls, wait_until};
use support::{App, PATIENCE, SmtpServer, certificate, config, plain};
use tempfile::TempDir;

#[tokio::test]
async fn a_mail_arrives_whole_by_every_kind_of_connection() {
    let certificate = certificate();
    let pem = [
        "--certificate",
        &certificate.certificate,
        "--key",
        &certificate.key,
    ];
    for database in test_database_urls("smtp_tls").await {
        for (tls, name, login) in [
            (Tls::None, "none", None),
            (Tls::Starttls, "starttls", Some("shop:s3cret")),
            (Tls::Implicit, "implicit", Some("shop:s3cret")),
        ] {
            let folder = TempDir::new().unwrap();
            let mut arguments = vec!["--tls", name];
            arguments.extend(pem);
            arguments.extend(login.map(|login| ["--login", login]).into_iter().flatten());
            let server = SmtpServer::start(folder.path(), &arguments);
            let mut config = config(server.port);
            config.email.smtp.tls = tls;
            if login.is_some() {
                config.email.smtp.ca_file = certificate.certificate.clone();
                config.email.smtp.username = "shop".into();
                config.email.smtp.password = "s3cret".to_owned().into();
            }
            let app = App::start(&database.url_of(name), config).await;
            let mut request = plain("ann@example.com");
            request.content = Some(Content {
                locale: "de".into(),
                subject: "Grüße".into(),
                text: "Schöne Zelte".into(),
                html: "<p>Schöne Zelte</p>".into(),
                ..Default::default()
            });
            let sent = app.send(request).await.unwrap();
            let delivered = app
                .wait_for(&sent.message_id, "the mail is delivered", |it| {
                    it.state() == DeliveryState::Delivered
                })
                .await;
            assert_eq!(
                (delivered.attempt_count, delivered.last_error.as_str()),
                (1, "")
            );
            assert!(delivered.delivery_time.is_some() && delivered.next_attempt_time.is_none());

            let mails = server.mails();
            assert_eq!(mails.len(), 1, "{name} on {}", database.system);
            let mail = &mails[0];
            assert_eq!(mail["from"], "hello@shop.example");
            assert_eq!(mail["to"], serde_json::json!(["ann@example.com"]));
            assert_eq!(mail["encrypted"], tls != Tls::None);
            assert_eq!(mail["login"].as_str(), login.map(|_| "shop"));
            let text = mail["data"].as_str().unwrap();
            for part in [
                "From: \"Fells Outdoor\" <hello@shop.example>",
                "To: ann@example.com",
                &format!("Message-ID: <{}@shop.example>", sent.message_id),
                "Content-Type: multipart/alternative",
                "Content-Type: text/plain; charset=utf-8",
                "Content-Type: text/html; charset=utf-8",
            ] {
                assert!(text.contains(part), "{part} in\n{text}");
            }
            app.stop().await;
        }
    }
}

#[tokio::test]
async fn a_refusal_that_may_pass_is_tried_again() {
    for database in test_database_urls("smtp_transient").await {
        let folder = TempDir::new().unwrap();
        let server = SmtpServer::start(folder.path(), &[]);
        let app = App::start(database.url(), config(server.port)).await;
        let sent = app.send(plain("busy-3@example.com")).await.unwrap();
        let refused = app
            .wait_for(&sent.message_id, "a refusal is seen", |it| {
                it.state() == DeliveryState::Delivered || it.last_error.contains("451")
            })
            .await;
        assert!(refused.attempt_count >= 1);
        let delivered = app
            .wait_for(&sent.message_id, "the mail is delivered", |it| {
                it.state() == DeliveryState::Delivered
            })
            .await;
        assert_eq!(
            (delivered.attempt_count, delivered.last_error.as_str()),
            (4, "")
        );
        app.stop().await;
    }
}

#[tokio::test]
async fn a_refusal_for_good_fails_at_once() {
    for database in test_database_urls("smtp_permanent").await {
        let folder = TempDir::new().unwrap();
        let server = SmtpServer::start(folder.path(), &[]);
        let app = App::start(database.url(), config(server.port)).await;
        let sent = app.send(plain("gone@example.com")).await.unwrap();
        let failed = app
            .wait_for(&sent.message_id, "the message fails", |it| {
                it.state() == DeliveryState::Failed
            })
            .await;
        assert_eq!(failed.attempt_count, 1);
        assert!(failed.last_error.contains("550"), "{}", failed.last_error);
        assert!(server.mails().is_empty());
        app.stop().await;
    }
}

#[tokio::test]
async fn attempts_come_to_an_end() {
    for database in test_database_urls("smtp_attempts").await {
        let folder = TempDir::new().unwrap();
        let server = SmtpServer::start(folder.path(), &[]);
        let mut config = config(server.port);
        config.delivery.attempts_max = 3;
        let app = App::start(database.url(), config).await;
        let sent = app.send(plain("busy-99@example.com")).await.unwrap();
        let failed = app
            .wait_for(&sent.message_id, "the message fails", |it| {
                it.state() == DeliveryState::Failed
            })
            .await;
        assert_eq!(failed.attempt_count, 3);
        assert!(failed.last_error.contains("451"), "{}", failed.last_error);
        app.stop().await;
    }
}

#[tokio::test]
async fn a_server_that_is_away_gets_the_mail_when_it_is_back() {
    for database in test_database_urls("smtp_away").await {
        let folder = TempDir::new().unwrap();
        let port = ReservedPort::new();
        let app = App::start(database.url(), config(port.port())).await;
        let sent = app.send(plain("ann@example.com")).await.unwrap();
        let waiting = app
            .wait_for(&sent.message_id, "an attempt failed", |it| {
                !it.last_error.is_empty()
            })
            .await;
        assert_eq!(waiting.state(), DeliveryState::Queued);
        assert!(waiting.next_attempt_time.is_some());

        let server = SmtpServer::start(folder.path(), &["--port", &port.port().to_string()]);
        app.wait_for(&sent.message_id, "the mail is delivered", |it| {
            it.state() == DeliveryState::Delivered
        })
        .await;
        assert_eq!(server.mails().len(), 1);
        app.stop().await;
    }
}

#[tokio::test]
async fn a_server_that_cannot_prove_who_it_is_gets_nothing() {
    let certificate = certificate();
    for database in test_database_urls("smtp_untrusted").await {
        let folder = TempDir::new().unwrap();
        let arguments = [
            "--tls",
            "starttls",
            "--certificate",
            &certificate.certificate,
            "--key",
            &certificate.key,
        ];
        let server = SmtpServer::start(folder.path(), &arguments);
        let mut config = config(server.port);
        config.email.smtp.tls = Tls::Starttls;
        let app = App::start(database.url(), config).await;
        let sent = app.send(plain("ann@example.com")).await.unwrap();
        let waiting = app
            .wait_for(&sent.message_id, "an attempt failed", |it| {
                !it.last_error.is_empty()
            })
            .await;
        assert!(
            waiting.last_error.contains("certificate"),
            "{}",
            waiting.last_error
        );
        assert!(server.mails().is_empty());
        app.stop().await;
    }
}

#[tokio::test]
async fn a_connection_serves_many_mails() {
    for database in test_database_urls("smtp_pool").await {
        let folder = TempDir::new().unwrap();
        let server = SmtpServer::start(folder.path(), &[]);
        let mut config = config(server.port);
        config.delivery.concurrency_max = 1;
        config.email.smtp.mails_per_connection_max = 10;
        let app = App::open(database.url(), config).await;
        for i in 0..30 {
            app.send(plain(&format!("ann{i}@example.com")))
                .await
                .unwrap();
        }
        app.deliver();
        wait_until("all mails are delivered", PATIENCE, || async {
            server.mails().len() == 30
        })
        .await;
        let mut mails_by_connection: HashMap<u64, usize> = HashMap::new();
        for mail in server.mails() {
            *mails_by_connection
                .entry(mail["connection"].as_u64().unwrap())
                .or_default() += 1;
        }
        let counts: Vec<_> = mails_by_connection.into_values().collect();
        assert_eq!(counts, [10, 10, 10], "on {}", database.system);
        app.stop().await;
    }
}

#[tokio::test]
async fn workers_side_by_side_send_each_message_once() {
    let database = TestDatabase::postgres("smtp_side_by_side").await;
    let folder = TempDir::new().unwrap();
    let server = SmtpServer::start(folder.path(), &[]);
    let one = App::open(database.url(), config(server.port)).await;
    let other = App::open(database.url(), config(server.port)).await;
    let calls = (0..200).map(|i| one.send(plain(&format!("ann{i}@example.com"))));
    let mut sent = Vec::new();
    for message in futures::future::join_all(calls).await {
        sent.push(message.unwrap().message_id);
    }
    one.deliver();
    other.deliver();
    for message_id in &sent {
        one.wait_for(message_id, "the mail is delivered", |it| {
            it.state() == DeliveryState::Delivered
        })
        .await;
    }
    assert_eq!(server.mails().len(), 200);
    one.stop().await;
    other.stop().await;
}

/// Set for the process that is to be killed: database and port.
const VICTIM: &str = "ATTUNE_TEST_VICTIM";

/// Does nothing unless it is run by the test below.
#[tokio::test]
async fn victim() {
    let Ok(given) = std::env::var(VICTIM) else {
        return;
    };
    let (port, url) = given.split_once(' ').unwrap();
    let app = App::start(url, impatient(port.parse().unwrap())).await;
    for i in 0..10_000 {
        // Slow enough that some are being sent at any moment.
        let sent = app
            .send(plain(&format!("slow-20-{i}@example.com")))
            .await
            .unwrap();
        println!("acknowledged {}", sent.message_id);
    }
}

fn impatient(port: u16) -> Config {
    let mut config = config(port);
    config.email.smtp.connect_seconds_max = 1;
    config.email.smtp.send_seconds_max = 1;
    config.delivery.lease_ms = 2_100;
    config.delivery.concurrency_max = 32;
    config
}

#[tokio::test]
async fn what_was_acknowledged_is_delivered_though_the_process_is_killed() {
    for database in test_database_urls("smtp_killed").await {
        let folder = TempDir::new().unwrap();
        let server = SmtpServer::start(folder.path(), &[]);
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "victim", "--nocapture"])
            .env(VICTIM, format!("{} {}", server.port, database.url()))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut acknowledged = Vec::new();
        for line in BufReader::new(victim.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            if let Some(id) = line.strip_prefix("acknowledged ") {
                acknowledged.push(id.to_owned());
            }
            if acknowledged.len() == 60 {
                // SIGKILL on Unix: nothing is flushed, nothing said.
                victim.kill().unwrap();
            }
        }
        victim.wait().unwrap();
        assert!(acknowledged.len() >= 60);

        let app = App::start(database.url(), impatient(server.port)).await;
        for message_id in &acknowledged {
            app.wait_for(message_id, "the mail is delivered", |it| {
                it.state() == DeliveryState::Delivered
            })
            .await;
        }
        let mails = server.mails();
        for message_id in &acknowledged {
            let header = format!("Message-ID: <{message_id}@shop.example>");
            let copies = mails.iter().filter(|mail| {
                let text = mail["data"].as_str().unwrap_or_default();
                text.contains(&header)
            });
            assert!(copies.count() >= 1, "{message_id} on {}", database.system);
        }
        app.stop().await;
    }
}
