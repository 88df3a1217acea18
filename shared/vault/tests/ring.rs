//! Keys of people in a database, on SQLite and PostgreSQL.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use attune_storage::{Database, Error, Migrations, Tx};
use attune_testkit::test_database_urls;
use attune_vault::{KeyRing, Keys, Masters, rotate};
use uuid::Uuid;

static MIGRATIONS: Migrations = Migrations::new(&[(
    "0001_vault.sql",
    "create table data_keys (workspace text not null, owner text not null, \
     wrapped bytea not null, primary key (workspace, owner)); \
     create table vault_secrets (name text primary key, wrapped bytea not null);",
)]);

async fn on_both<F>(name: &str, test: impl Fn(Database, &'static str) -> F)
where
    F: Future<Output = ()>,
{
    for place in test_database_urls(name).await {
        let database = Database::open(place.url(), &MIGRATIONS).await.unwrap();
        test(database.clone(), place.system).await;
        database.close().await;
    }
}

fn masters() -> Masters {
    Masters::parse(&Masters::generate()).unwrap()
}

async fn open(database: &Database, masters: &Masters) -> Arc<KeyRing> {
    let ring = KeyRing::open(database, masters.clone(), 1 << 20).await;
    Arc::new(ring.unwrap())
}

async fn ensure(database: &Database, ring: &Arc<KeyRing>, owners: Vec<Uuid>) -> Keys {
    let writing = ring.clone();
    let keys = database
        .write(move |tx: &mut Tx| {
            let (ring, owners) = (writing.clone(), owners.clone());
            Box::pin(async move {
                let mut keys = ring.none(&"shop".into());
                ring.ensure(tx, &mut keys, owners).await?;
                Ok::<_, Error>(keys)
            })
        })
        .await
        .unwrap();
    ring.committed(&keys);
    keys
}

async fn destroy(database: &Database, ring: &Arc<KeyRing>, owner: Uuid) {
    let writing = ring.clone();
    database
        .write(move |tx: &mut Tx| {
            let ring = writing.clone();
            Box::pin(async move { ring.destroy(tx, "shop", &[owner]).await })
        })
        .await
        .unwrap();
    ring.forget(&"shop".into(), [owner]);
}

#[tokio::test]
async fn what_was_sealed_opens_after_a_restart_and_not_without_the_key() {
    on_both("vault_restart", async |database, system| {
        let masters = masters();
        let ring = open(&database, &masters).await;
        let (ann, bob) = (Uuid::now_v7(), Uuid::now_v7());
        let keys = ensure(&database, &ring, vec![ann, bob, ann]).await;
        let sealed = keys.seal(ann, "name", b"Ann").unwrap();
        assert!(keys.open(bob, "name", &sealed).is_err());
        let again = open(&database, &masters).await;
        let name = |ring: &KeyRing| ring.index().of("shop", "name").hash("Ann");
        assert_eq!(name(&again), name(&ring), "{system}");
        let read = again.read(&database, "shop", [ann]).await.unwrap();
        assert_eq!(&read.open(ann, "name", &sealed).unwrap()[..], b"Ann");
        // Owners are those of a workspace.
        let other = again.read(&database, "other", [ann]).await.unwrap();
        assert!(!other.has(ann));
        for ring in [&ring, &again] {
            destroy(&database, ring, ann).await;
            let read = ring.read(&database, "shop", [ann, bob]).await.unwrap();
            assert!(!read.has(ann) && read.has(bob), "{system}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_key_is_made_once_however_many_ask() {
    on_both("vault_race", async |database, system| {
        let masters = masters();
        let owner = Uuid::now_v7();
        let rings = [
            open(&database, &masters).await,
            open(&database, &masters).await,
        ];
        let (one, other) = tokio::join!(
            ensure(&database, &rings[0], vec![owner]),
            ensure(&database, &rings[1], vec![owner]),
        );
        let sealed = one.seal(owner, "x", b"x").unwrap();
        assert!(other.open(owner, "x", &sealed).is_ok(), "{system}");
    })
    .await;
}

#[tokio::test]
async fn a_key_that_was_not_committed_is_not_remembered() {
    on_both("vault_rollback", async |database, system| {
        let ring = open(&database, &masters()).await;
        let owner = Uuid::now_v7();
        let writing = ring.clone();
        let failed = database
            .write(move |tx: &mut Tx| {
                let ring = writing.clone();
                Box::pin(async move {
                    let mut keys = ring.none(&"shop".into());
                    ring.ensure(tx, &mut keys, [owner]).await?;
                    Err::<(), _>(Error::Overloaded)
                })
            })
            .await;
        assert!(failed.is_err());
        let read = ring.read(&database, "shop", [owner]).await.unwrap();
        assert!(!read.has(owner), "{system}");
    })
    .await;
}

#[tokio::test]
async fn after_a_rotation_the_former_master_opens_nothing() {
    on_both("vault_rotation", async |database, system| {
        let (old, new) = (Masters::generate(), Masters::generate());
        let ring = open(&database, &Masters::parse(&old).unwrap()).await;
        let owners: Vec<_> = (0..2_500).map(|_| Uuid::now_v7()).collect();
        let keys = ensure(&database, &ring, owners.clone()).await;
        let sealed = keys.seal(owners[7], "x", b"x").unwrap();
        let both = Masters::parse(&format!("{new} {old}")).unwrap();
        let first = rotate(&database, &both).await.unwrap();
        assert_eq!((first.rewrapped, first.kept), (2_501, 0), "{system}");
        let again = rotate(&database, &both).await.unwrap();
        assert_eq!((again.rewrapped, again.kept), (0, 2_501));
        let ring = open(&database, &Masters::parse(&new).unwrap()).await;
        let keys = ring.read(&database, "shop", owners.clone()).await.unwrap();
        assert!(owners.iter().all(|o| keys.has(*o)));
        assert!(keys.open(owners[7], "x", &sealed).is_ok());
        let refused = KeyRing::open(&database, Masters::parse(&old).unwrap(), 1 << 20).await;
        assert!(refused.is_err());
    })
    .await;
}
