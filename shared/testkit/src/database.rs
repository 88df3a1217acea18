//! Fresh databases for one test, gone after it. A missing PostgreSQL fails the test,
//! which is never skipped: code that was not run on it is not known to work on it.

use std::{env, fs, path::Path};

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tempfile::TempDir;

/// An empty database; keep it until the test ends, since dropping it removes it.
pub struct TestDatabase {
    /// `sqlite` or `postgres`, to say where a test failed.
    pub system: &'static str,
    url: String,
    _guard: Guard,
}

// The fields are only for their Drop.
#[allow(dead_code)]
enum Guard {
    Folder(TempDir),
    Postgres(Cleanup),
}

impl TestDatabase {
    /// As `attune_storage::Database::open` takes it. On PostgreSQL, services that
    /// share it append `?schema=NAME`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A database of its own for one of several services in the same test.
    pub fn url_of(&self, service: &str) -> String {
        match &self._guard {
            Guard::Folder(folder) => {
                format!("sqlite://{}/{service}.db", folder.path().display())
            }
            Guard::Postgres(_) => format!("{}?schema={}", self.url, service.replace('-', "_")),
        }
    }

    pub fn sqlite(name: &str) -> Self {
        let folder = TempDir::with_prefix("attune-test-").expect("a temporary folder");
        Self {
            system: "sqlite",
            url: format!("sqlite://{}/{name}.db", folder.path().display()),
            _guard: Guard::Folder(folder),
        }
    }

    pub async fn postgres(name: &str) -> Self {
        let base = postgres_url();
        let plain = name.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        let database = format!(
            "t_{:.30}_{}",
            plain.to_ascii_lowercase(),
            uuid::Uuid::new_v4().simple()
        );
        run(&base, format!("create database {database}"))
            .await
            .unwrap_or_else(|error| {
                panic!("PostgreSQL does not answer ({error}). Run: cargo xtask postgres start")
            });
        let (server, _) = base.rsplit_once('/').expect("the address names a database");
        Self {
            system: "postgres",
            url: format!("{server}/{database}"),
            _guard: Guard::Postgres(Cleanup { base, database }),
        }
    }
}

/// An empty database on each system. Run the same test on both.
pub async fn test_database_urls(name: &str) -> [TestDatabase; 2] {
    [
        TestDatabase::sqlite(name),
        TestDatabase::postgres(name).await,
    ]
}

/// From the environment, or as `cargo xtask postgres start` left it.
fn postgres_url() -> String {
    if let Ok(url) = env::var("ATTUNE_TEST_POSTGRES_URL") {
        return url;
    }
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"),
        Into::into,
    );
    fs::read_to_string(target.join("postgres/url"))
        .unwrap_or_else(|_| {
            panic!(
                "these tests need PostgreSQL. Run: cargo xtask postgres start \
                 (or set ATTUNE_TEST_POSTGRES_URL)"
            )
        })
        .trim()
        .to_owned()
}

async fn run(url: &str, sql: String) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect(url).await?;
    connection.execute(AssertSqlSafe(sql)).await?;
    connection.close().await
}

struct Cleanup {
    base: String,
    database: String,
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        let sql = format!("drop database if exists {} with (force)", self.database);
        let base = std::mem::take(&mut self.base);
        // A thread with its own runtime, since the test's may be gone or be this thread.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime
                .block_on(run(&base, sql))
                .map_err(std::io::Error::other)
        });
        if !matches!(dropping.join(), Ok(Ok(()))) {
            eprintln!("the test database {} was left behind", self.database);
        }
    }
}
