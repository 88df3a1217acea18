//! Durable events a second through the service, in rounds that take turns with the raw
//! insert of the same rows, so that a slow minute of the machine slows both.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use attune_profile::Config;

use super::{
    opened::{Opened, REQUEST_MESSAGES},
    people::People,
    raw,
};
use crate::drive::quantile;

/// People that events are about; all are known before the first.
const PEOPLE: usize = 20_000;

/// Events a second: the median of the rounds.
#[derive(Debug, Clone, Copy)]
pub struct Rates {
    pub service: f64,
    pub raw: f64,
}

enum Raw {
    Sqlite(Box<raw::Sqlite>),
    Postgres(raw::Postgres),
}

impl Raw {
    async fn insert_after(&mut self, sequence: i64) -> Result<(Duration, usize)> {
        match self {
            Self::Sqlite(raw) => tokio::task::block_in_place(|| raw.insert_after(sequence)),
            Self::Postgres(raw) => raw.insert_after(sequence).await,
        }
    }
}

pub async fn on_sqlite(folder: &Path, events: usize, rounds: usize) -> Result<Rates> {
    let file = folder.join("ingest.db");
    let opened = Opened::at(&format!("sqlite://{}", file.display()), Config::default()).await?;
    let mut raw = Raw::Sqlite(Box::new(raw::Sqlite::beside(&file)?));
    let rates = measure(&opened, &mut raw, events, rounds).await?;
    opened.close().await?;
    Ok(rates)
}

pub async fn on_postgres(url: &str, events: usize, rounds: usize) -> Result<Rates> {
    let schema = format!("bench_{}", std::process::id());
    let opened = Opened::at(&format!("{url}?schema={schema}"), Config::default()).await?;
    let mut raw = Raw::Postgres(raw::Postgres::beside(url, &schema).await?);
    let rates = measure(&opened, &mut raw, events, rounds).await?;
    opened.close().await?;
    if let Raw::Postgres(raw) = raw {
        raw.drop_all().await?;
    }
    Ok(rates)
}

async fn measure(opened: &Opened, raw: &mut Raw, events: usize, rounds: usize) -> Result<Rates> {
    let mut people = People::new("ingest");
    let known: Vec<_> = (0..PEOPLE).map(|person| people.identify(person)).collect();
    let known = known.chunks(REQUEST_MESSAGES).map(<[_]>::to_vec);
    opened.send_all(known).await?;

    let (mut service, mut yardstick) = (Vec::new(), Vec::new());
    // The first of each warms up and is not counted.
    for round in 0..=rounds {
        let before = last_sequence(opened).await?;
        let requests: Vec<Vec<_>> = (0..events.div_ceil(REQUEST_MESSAGES))
            .map(|_| {
                (0..REQUEST_MESSAGES)
                    .map(|_| people.event(PEOPLE))
                    .collect()
            })
            .collect();
        let sent = requests.len() * REQUEST_MESSAGES;
        let begin = Instant::now();
        opened.send_all(requests.into_iter()).await?;
        let took = begin.elapsed();
        let (raw_took, rows) = raw.insert_after(before).await?;
        ensure!(rows == sent, "{sent} events were sent and {rows} are there");
        if round > 0 {
            service.push(sent as f64 / took.as_secs_f64());
            yardstick.push(rows as f64 / raw_took.as_secs_f64());
        }
    }
    Ok(Rates {
        service: median(service),
        raw: median(yardstick),
    })
}

async fn last_sequence(opened: &Opened) -> Result<i64> {
    const LAST: &str = "select coalesce(max(sequence), 0) from events";
    let row = opened.database.fetch_optional(LAST, Vec::new()).await?;
    Ok(row.map_or(Ok(0), |row| row.get(0))?)
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    quantile(&figures, 0.5)
}
