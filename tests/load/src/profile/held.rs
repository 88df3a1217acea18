//! What people cost to keep: many are taken in whole, and the growth of memory and files
//! is divided among them. Then they are read again, for the rate of snapshots.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use attune_api::{
    profile::v1::GetSnapshotRequest,
    r#type::v1::{Subject, subject::Id},
};
use attune_profile::Config;
use rand::{RngExt, SeedableRng, rngs::SmallRng};

use super::{
    opened::Opened,
    people::{EVENTS_EACH, People, user_id},
};

const PEOPLE_PER_REQUEST: usize = 25;
const READERS: usize = 4;

#[derive(Debug, Clone, Copy)]
pub struct Held {
    pub people: usize,
    /// Growth of the process's anonymous resident memory, with all of them in use.
    pub hot_bytes: f64,
    /// Files of the database, the log among them.
    pub disk_bytes: f64,
    /// What the log of changes takes of that.
    pub log_bytes: f64,
    pub snapshots_per_second: f64,
    pub snapshot_bytes: f64,
    pub fill: Duration,
}

pub async fn measure(folder: &Path, count: usize, time: Duration) -> Result<Held> {
    let file = folder.join("held.db");
    // All of them stay hot, however much that takes.
    let config = Config {
        hot_profiles_mib: ((count as u64 * 16_384) >> 20).max(64),
        hot_identities_mib: ((count as u64 * 256) >> 20).max(64),
        ..Config::default()
    };
    let opened = Opened::at(&format!("sqlite://{}", file.display()), config).await?;
    // Some people first, so that what is there whoever comes, such as the database's own
    // cache of pages, is there before: each of the others costs what is measured.
    let mut people = People::new("held");
    let first = count / 5;
    let begin = Instant::now();
    opened.send_all(whole(&mut people, 0..first)).await?;
    let (memory, disk) = (anonymous_bytes()?, disk_bytes(folder)?);
    opened.send_all(whole(&mut people, first..count)).await?;
    let fill = begin.elapsed();
    let per = |bytes: u64| bytes as f64 / (count - first) as f64;
    let hot_bytes = per(anonymous_bytes()?.saturating_sub(memory));
    let disk_bytes = per(disk_bytes(folder)?.saturating_sub(disk));
    let (snapshots_per_second, snapshot_bytes) = read(&opened, count, time).await?;
    let log_bytes = log_bytes(&opened).await? as f64 / count as f64;
    opened.close().await?;
    Ok(Held {
        people: count,
        hot_bytes,
        disk_bytes,
        log_bytes,
        snapshots_per_second,
        snapshot_bytes,
        fill,
    })
}

/// People with all that is to be known of them, some in each request.
fn whole(
    people: &mut People,
    range: std::ops::Range<usize>,
) -> impl Iterator<Item = Vec<attune_api::profile::v1::IngestMessage>> {
    let end = range.end;
    range.step_by(PEOPLE_PER_REQUEST).map(move |first| {
        let of_request = first..(first + PEOPLE_PER_REQUEST).min(end);
        let mut messages = Vec::with_capacity(PEOPLE_PER_REQUEST * (EVENTS_EACH + 1));
        for person in of_request {
            messages.push(people.identify(person));
            messages.extend((0..EVENTS_EACH).map(|_| people.event_of(person)));
        }
        messages
    })
}

/// Snapshots a second of people picked by chance, each found by user id; and their
/// average size.
async fn read(opened: &Opened, count: usize, time: Duration) -> Result<(f64, f64)> {
    let begin = Instant::now();
    let readers = (0..READERS).map(|reader| {
        let (mut client, caller) = (opened.client.clone(), opened.caller.clone());
        tokio::spawn(async move {
            let mut random = SmallRng::seed_from_u64(reader as u64);
            let (mut reads, mut bytes) = (0_u64, 0_u64);
            while begin.elapsed() < time {
                let id = Id::UserId(user_id(random.random_range(0..count)));
                let subject = Some(Subject { id: Some(id) });
                let request = caller.request(GetSnapshotRequest {
                    subject,
                    ..GetSnapshotRequest::default()
                });
                let answer = client.get_snapshot(request).await?.into_inner();
                ensure!(answer.found, "somebody is missing");
                reads += 1;
                bytes += answer.snapshot.len() as u64;
            }
            Ok((reads, bytes))
        })
    });
    let (mut reads, mut bytes) = (0, 0);
    for reader in readers.collect::<Vec<_>>() {
        let (more_reads, more_bytes) = reader.await??;
        reads += more_reads;
        bytes += more_bytes;
    }
    let seconds = begin.elapsed().as_secs_f64();
    Ok((reads as f64 / seconds, bytes as f64 / reads.max(1) as f64))
}

async fn log_bytes(opened: &Opened) -> Result<u64> {
    const BYTES: &str = "select coalesce(sum(length(entry) + length(key) \
         + length(workspace) + 24), 0) from log";
    let row = opened.database.fetch_optional(BYTES, Vec::new()).await?;
    let bytes: i64 = row.map_or(Ok(0), |row| row.get(0))?;
    Ok(u64::try_from(bytes)?)
}

/// Memory of this process that is no file's, so not the database's mapped pages.
fn anonymous_bytes() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let kib: u64 = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))
        .and_then(|rest| rest.trim().strip_suffix("kB"))
        .context("no RssAnon")?
        .trim()
        .parse()?;
    Ok(kib * 1024)
}

fn disk_bytes(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("held.db") {
            bytes += entry.metadata()?.len();
        }
    }
    Ok(bytes)
}
