//! Changing the master key: everything that a former one wraps is put under the present
//! one, in the databases of all services that have such keys. Services may run
//! meanwhile. Never shows a key, but for one that is made to be shown.

use anyhow::Context;
use attune_storage::Migrations;
use attune_vault::rotate as rewrap;
use clap::Subcommand;

use crate::{
    cli::SettingsArgs,
    serve::{Databases, ServiceName, masters},
    settings::Settings,
};

#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Print a new master key.
    Generate,
    /// Put the keys of all people under a new master key: with embedded databases one
    /// that is made now, else the first of `encryption.master_keys`, which all services
    /// must have been started with. What was interrupted goes on where it was.
    Rotate(SettingsArgs),
}

/// Services that keep keys of people.
const KEEPERS: [(ServiceName, &Migrations); 2] = [
    (ServiceName::Profile, &attune_profile::MIGRATIONS),
    (ServiceName::Messaging, &attune_messaging::MIGRATIONS),
];

pub async fn rotate(settings: Settings) -> anyhow::Result<()> {
    let masters = masters(&settings)?;
    if masters.begin_rotation()? {
        println!("a new master key was made");
    } else if masters.count() == 1 {
        println!("there is one master key: put the new one before it to change over to it");
    }
    let databases = Databases::default();
    for (service, migrations) in KEEPERS {
        let database = databases.open(&settings, service, migrations).await?;
        let name = service.as_str();
        let rotated = rewrap(&database, &masters)
            .await
            .with_context(|| format!("the keys of {name} cannot be put under the master key"))?;
        // Under the former key they are in the log file still.
        database.empty_log_file().await?;
        let (new, kept) = (rotated.rewrapped, rotated.kept);
        println!("{name}: {new} keys changed over, {kept} were there already");
    }
    databases.close().await;
    if masters.end_rotation()? {
        println!("the former master key is gone from the data directory");
    } else if masters.count() > 1 {
        println!("the other keys of encryption.master_keys are no longer needed");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use attune_vault::{KeyRing, Masters};

    #[tokio::test]
    async fn a_rotation_leaves_one_new_master_key_that_opens_everything() {
        let directory = tempfile::tempdir().unwrap();
        let settings = Settings {
            data_dir: directory.path().to_owned(),
            ..Settings::default()
        };
        let databases = Databases::default();
        let (service, migrations) = KEEPERS[0];
        let database = databases.open(&settings, service, migrations).await;
        let database = database.unwrap();
        let opens = async |masters: Masters| {
            let opened = KeyRing::open(&database, masters, 1_024).await;
            opened.is_ok()
        };
        assert!(opens(masters(&settings).unwrap()).await);
        let key_file = || std::fs::read_to_string(directory.path().join("master.key")).unwrap();
        let mut former = key_file();
        for _ in 0..2 {
            rotate(settings.clone()).await.unwrap();
            let present = key_file();
            assert_eq!(present.lines().count(), 1);
            assert_ne!(present, former);
            assert!(opens(masters(&settings).unwrap()).await);
            assert!(!opens(Masters::parse(&former).unwrap()).await);
            former = present;
        }
        databases.close().await;
    }
}
