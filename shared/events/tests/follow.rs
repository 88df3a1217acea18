//! Following a log through a real client, on both databases.

// Helpers of tests fail the test.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::{future::Future, sync::Arc, time::Duration};

use attune_api::events::v1::{
    LogEntry, ProfileUpdated, ReadLogRequest, event_log_service_client::EventLogServiceClient,
    event_log_service_server::EventLogServiceServer, log_entry::Change,
};
use attune_errors::{Reason, metadata_of, reason_of, violations_of};
use attune_events::{Batch, Consumer, LogServer, LogSource, Progress};
use attune_rpc::{
    Channel, Health, Internal, PeerToken, ServeOptions, Tasks, internal_router, serve,
    system_request,
};
use attune_storage::{Database, Error, LogRecord, Migrations, Tx};
use attune_testkit::{TestDatabase, test_database_urls, wait_until};
use parking_lot::Mutex;
use prost::Message as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

static MIGRATIONS: Migrations = Migrations::new(&[]);
const DEADLINE: Duration = attune_testkit::PATIENCE;

struct Opened {
    database: Database,
    _place: TestDatabase,
}

async fn on_both<F: Future<Output = ()>>(name: &str, test: impl Fn(Opened) -> F) {
    for place in test_database_urls(name).await {
        eprintln!("on {}", place.system);
        let database = Database::open(place.url(), &MIGRATIONS).await.unwrap();
        let _place = place;
        test(Opened { database, _place }).await;
    }
}

fn internal() -> Internal {
    Internal::new(PeerToken::new("a-token-of-at-least-32-characters!").unwrap())
}

fn routes(database: &Database) -> Routes {
    let server = LogServer::new(vec![LogSource::new("profile", database.clone())]);
    Routes::new(EventLogServiceServer::new(server))
}

fn channel(database: &Database) -> Channel {
    Channel::in_process("profile", routes(database), &internal())
}

async fn publish(database: &Database, profile_id: &str) {
    let profile_id = profile_id.to_owned();
    let written: Result<(), Error> = database
        .write(move |tx: &mut Tx| {
            let entry = LogEntry {
                traceparent: "trace".into(),
                change: Some(Change::ProfileUpdated(ProfileUpdated {
                    profile_id: profile_id.clone(),
                })),
                ..LogEntry::default()
            };
            Box::pin(tx.publish(LogRecord {
                workspace: "w".into(),
                key: profile_id.clone(),
                entry: entry.encode_to_vec().into(),
            }))
        })
        .await;
    written.unwrap();
}

type Seen = Arc<Mutex<Vec<LogEntry>>>;

fn follow(channel: Channel, after_position: i64, tasks: &Tasks) -> (Seen, Progress) {
    let seen = Seen::default();
    let into = Arc::clone(&seen);
    let consumer = Consumer::new(channel, "test", "profile");
    let progress = consumer.follow(after_position, tasks, move |batch: Batch| {
        into.lock().extend(batch.entries);
        async { Ok::<_, Error>(()) }
    });
    (seen, progress)
}

fn ids(seen: &Seen) -> Vec<String> {
    seen.lock().iter().map(|entry| entry.key.clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_sees_what_was_and_what_comes() {
    on_both("follow", async |opened: Opened| {
        let tasks = Tasks::new();
        for id in ["a", "b", "c"] {
            publish(&opened.database, id).await;
        }
        let (seen, mut progress) = follow(channel(&opened.database), 1, &tasks);
        progress.caught_up().await;
        assert_eq!(
            (ids(&seen), progress.position()),
            (vec!["b".into(), "c".into()], 3)
        );
        publish(&opened.database, "d").await;
        progress.reached(4).await;
        assert!(progress.is_caught_up());

        let last = seen.lock().last().cloned().unwrap();
        assert_eq!(
            (last.position, &*last.workspace, &*last.traceparent),
            (4, "w", "trace")
        );
        assert!(last.commit_time.is_some());
        let updated = ProfileUpdated {
            profile_id: "d".into(),
        };
        assert_eq!(last.change, Some(Change::ProfileUpdated(updated)));
        tasks.shutdown(DEADLINE).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_of_this_process_arrive_without_polling() {
    on_both("follow_at_once", async |opened: Opened| {
        let tasks = Tasks::new();
        let source = LogSource::new("profile", opened.database.clone());
        // What comes did not wait for the next look.
        let server = LogServer::new(vec![source]).polling_every(Duration::from_hours(24));
        let routes = Routes::new(EventLogServiceServer::new(server));
        let channel = Channel::in_process("profile", routes, &internal());
        let (_, mut progress) = follow(channel, 0, &tasks);
        progress.caught_up().await;
        for position in 1..=20 {
            publish(&opened.database, "a").await;
            let arrives = tokio::time::timeout(DEADLINE, progress.reached(position));
            arrives.await.expect("told of the commit");
        }
        tasks.shutdown(DEADLINE).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_of_another_process_arrive_too() {
    let place = TestDatabase::postgres("follow_shared").await;
    let ours = Database::open(place.url(), &MIGRATIONS).await.unwrap();
    let theirs = Database::open(place.url(), &MIGRATIONS).await.unwrap();
    let tasks = Tasks::new();
    let (seen, mut progress) = follow(channel(&ours), 0, &tasks);
    progress.caught_up().await;
    publish(&theirs, "a").await;
    progress.reached(1).await;
    assert_eq!(ids(&seen), ["a"]);
    tasks.shutdown(DEADLINE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_was_not_handled_comes_again() {
    on_both("follow_again", async |opened: Opened| {
        for id in ["a", "b"] {
            publish(&opened.database, id).await;
        }
        let tasks = Tasks::new();
        let attempts = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&attempts);
        let consumer = Consumer::new(channel(&opened.database), "test", "profile");
        let mut progress = consumer.follow(0, &tasks, move |batch: Batch| {
            let mut attempts = into.lock();
            attempts.push(batch.entries.iter().map(|e| e.position).collect::<Vec<_>>());
            let fails = attempts.len() < 3;
            async move { if fails { Err(Error::Closed) } else { Ok(()) } }
        });
        progress.reached(2).await;
        assert_eq!(*attempts.lock(), vec![vec![1, 2]; 3]);
        tasks.shutdown(DEADLINE).await.unwrap();
    })
    .await;
}

/// A process with the log, until it is stopped.
async fn process(place: &TestDatabase, listener: TcpListener) -> (Database, impl AsyncFn()) {
    let database = Database::open(place.url(), &MIGRATIONS).await.unwrap();
    let health = Health::new();
    let internal = Internal {
        draining: health.draining(),
        ..internal()
    };
    let router = internal_router(routes(&database), &internal, &health);
    let options = ServeOptions {
        health,
        ..ServeOptions::default()
    };
    let stop = CancellationToken::new();
    let serving = tokio::spawn(serve(
        listener,
        router,
        options,
        stop.clone().cancelled_owned(),
    ));
    let serving = Mutex::new(Some(serving));
    let (of_process, stop) = (database.clone(), stop);
    let end = async move || {
        stop.cancel();
        let serving = serving.lock().take();
        serving.unwrap().await.unwrap().unwrap();
        of_process.close().await;
    };
    (database, end)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_goes_on_when_its_source_comes_back() {
    for place in test_database_urls("follow_restart").await {
        eprintln!("on {}", place.system);
        let tasks = Tasks::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let endpoint = format!("http://{address}");
        let channel = Channel::tcp("profile", &endpoint, &internal()).unwrap();
        let (seen, mut progress) = follow(channel, 0, &tasks);

        let (database, end) = process(&place, listener).await;
        publish(&database, "a").await;
        progress.reached(1).await;
        end().await;

        let (database, end) = process(&place, TcpListener::bind(address).await.unwrap()).await;
        publish(&database, "b").await;
        progress.reached(2).await;
        assert_eq!(ids(&seen), ["a", "b"]);
        tasks.shutdown(DEADLINE).await.unwrap();
        end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_entries_are_told_and_passed_over() {
    on_both("follow_trimmed", async |opened: Opened| {
        let tasks = Tasks::new();
        for id in ["a", "b"] {
            publish(&opened.database, id).await;
        }
        let source = LogSource::new("profile", opened.database.clone());
        wait_until("the entries are older than now", DEADLINE, async || {
            source.trim_older_than(Duration::ZERO, &tasks);
            let read = opened.database.log_read(0, 10).await;
            matches!(
                read,
                Err(Error::Trimmed {
                    trimmed_position: 2
                })
            )
        })
        .await;
        publish(&opened.database, "c").await;

        let mut client = EventLogServiceClient::new(channel(&opened.database));
        let request = system_request(ReadLogRequest {
            source: "profile".into(),
            after_position: 1,
            batch_size_max: 0,
            despite_trimmed: false,
        });
        let mut responses = client.read_log(request).await.unwrap().into_inner();
        let status = responses.message().await.unwrap_err();
        assert_eq!(reason_of(&status), Some(Reason::PositionTrimmed));
        assert_eq!(
            metadata_of(&status, "oldest_position").as_deref(),
            Some("3")
        );

        let (seen, mut progress) = follow(channel(&opened.database), 0, &tasks);
        progress.reached(3).await;
        assert_eq!(ids(&seen), ["c"]);
        tasks.shutdown(DEADLINE).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_that_are_kept_for_good_reach_those_who_were_away() {
    on_both("follow_kept", async |opened: Opened| {
        let tasks = Tasks::new();
        for id in ["a", "kept", "b", "kept too", "c"] {
            publish(&opened.database, id).await;
        }
        let source = LogSource::new("profile", opened.database.clone());
        let source = source.keeping(|entry| entry.windows(4).any(|bytes| bytes == b"kept"));
        wait_until("the entries are older than now", DEADLINE, async || {
            source.trim_older_than(Duration::ZERO, &tasks);
            let read = opened.database.log_read(4, 10).await;
            matches!(
                read,
                Err(Error::Trimmed {
                    trimmed_position: 5
                })
            )
        })
        .await;
        // Nothing new yet: they are caught up all the same.
        let (seen, mut progress) = follow(channel(&opened.database), 1, &tasks);
        progress.reached(5).await;
        progress.caught_up().await;
        assert_eq!(ids(&seen), ["kept", "kept too"]);
        publish(&opened.database, "d").await;
        progress.reached(6).await;
        assert_eq!(ids(&seen), ["kept", "kept too", "d"]);
        tasks.shutdown(DEADLINE).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn bad_requests_are_refused_with_all_their_faults() {
    let place = TestDatabase::sqlite("follow_bad");
    let database = Database::open(place.url(), &MIGRATIONS).await.unwrap();
    let client = EventLogServiceClient::new(channel(&database));
    let check = async |source: &str, after_position, batch_size_max| {
        let request = system_request(ReadLogRequest {
            source: source.into(),
            after_position,
            batch_size_max,
            despite_trimmed: false,
        });
        client.clone().read_log(request).await.unwrap_err()
    };
    let status = check("profile", -1, -1).await;
    assert_eq!(reason_of(&status), Some(Reason::InvalidFields));
    let fields: Vec<_> = violations_of(&status).into_iter().map(|(f, _)| f).collect();
    assert_eq!(fields, ["after_position", "batch_size_max"]);
    assert_eq!(
        reason_of(&check("nobody", 0, 0).await),
        Some(Reason::ResourceNotFound)
    );
}
