//! Brings a database to the schema its service expects. One file per step, the same
//! for both databases, applied once and never edited afterwards.

use sqlx::{
    AssertSqlSafe, SqlSafeStr as _,
    migrate::{Migration, MigrationType, Migrator},
};

use crate::{Error, connection::Connection};

/// Embedded migration files. Made by [`crate::migrations!`].
#[derive(Debug, Clone, Copy)]
pub struct Migrations {
    files: &'static [(&'static str, &'static str)],
}

impl Migrations {
    /// Pairs of file name (`0001_name.sql`) and text.
    pub const fn new(files: &'static [(&'static str, &'static str)]) -> Self {
        Self { files }
    }

    fn migrator(self, table: &'static str) -> Result<Migrator, Error> {
        let migrations: Option<Vec<_>> = self
            .files
            .iter()
            .map(|(file, text)| {
                let (version, name) = file.strip_suffix(".sql")?.split_once('_')?;
                Some(Migration::new(
                    version.parse().ok()?,
                    name.replace('_', " ").into(),
                    MigrationType::Simple,
                    AssertSqlSafe(*text).into_sql_str(),
                    false,
                ))
            })
            .collect();
        let Some(migrations) = migrations else {
            let misnamed = sqlx::migrate::MigrateError::Source(
                "migration files are named 0001_what_it_does.sql".into(),
            );
            return Err(misnamed.into());
        };
        let mut migrator = Migrator::with_migrations(migrations);
        migrator.dangerous_set_table_name(table);
        Ok(migrator)
    }
}

static BASE: Migrations = crate::migrations!["0001_base.sql"];

/// Applies this crate's own migrations and then the service's, each with its own
/// record of what was applied.
pub(crate) async fn run(connection: &mut Connection, service: Migrations) -> Result<(), Error> {
    for (migrations, table) in [
        (BASE, "storage_migrations"),
        (service, "service_migrations"),
    ] {
        let migrator = migrations.migrator(table)?;
        match connection {
            Connection::Sqlite(c) => migrator.run_direct(None, c, false).await?,
            Connection::Postgres(c) => migrator.run_direct(None, c, false).await?,
        }
    }
    Ok(())
}
