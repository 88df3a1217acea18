//! What an event costs among live segments: as many services as there are numbers of
//! segments, of which ten read the event each time, and rounds of the same events that
//! take turns among them.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use attune_api::profile::v1::{
    CreateSegmentRequest, GetSegmentRequest, Segment, SegmentState,
    segment_service_client::SegmentServiceClient,
};
use attune_profile::Config;
use attune_rpc::Channel;
use futures::{StreamExt, TryStreamExt, stream};

use super::{
    opened::{Opened, REQUEST_MESSAGES},
    people::People,
};
use crate::drive::quantile;

/// Segments that read the events, however many others there are.
const READING: usize = 10;
const PEOPLE: usize = 5_000;
const CREATED_AT_A_TIME: usize = 16;
const LIVE_WITHIN: Duration = Duration::from_secs(120);

/// Microseconds per event, the median of the rounds.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    pub segments: usize,
    pub event_us: f64,
}

pub async fn measure(
    folder: &Path,
    sizes: &[usize],
    events: usize,
    rounds: usize,
) -> Result<Vec<Cost>> {
    let mut all = Vec::with_capacity(sizes.len());
    for size in sizes {
        let url = format!("sqlite://{}/segments-{size}.db", folder.display());
        let opened = Opened::at(&url, Config::default()).await?;
        // Before there is anybody, so that filling them in takes no time.
        create(&opened, *size).await?;
        let mut people = People::new("segments");
        let known: Vec<_> = (0..PEOPLE).map(|person| people.identify(person)).collect();
        let known = known.chunks(REQUEST_MESSAGES).map(<[_]>::to_vec);
        opened.send_all(known).await?;
        all.push((*size, opened, people, Vec::with_capacity(rounds)));
    }
    // The first round warms up and is not counted.
    for round in 0..=rounds {
        for (_, opened, people, times_us) in &mut all {
            let requests: Vec<Vec<_>> = (0..events.div_ceil(REQUEST_MESSAGES))
                .map(|_| (0..REQUEST_MESSAGES).map(|_| people.view(PEOPLE)).collect())
                .collect();
            let sent = requests.len() * REQUEST_MESSAGES;
            let begin = Instant::now();
            opened.send_all(requests.into_iter()).await?;
            if round > 0 {
                times_us.push(begin.elapsed().as_secs_f64() * 1e6 / sent as f64);
            }
        }
    }
    let mut costs = Vec::with_capacity(all.len());
    for (segments, opened, _, mut times_us) in all {
        ensure!(
            member_count(&opened, &id(0)).await? > 0,
            "the events were not read by any segment"
        );
        opened.close().await?;
        times_us.sort_by(f64::total_cmp);
        costs.push(Cost {
            segments,
            event_us: quantile(&times_us, 0.5),
        });
    }
    Ok(costs)
}

fn id(n: usize) -> String {
    format!("s{n}")
}

/// The first ten hold for who viewed one thing, two, three …; the others ask for events
/// that nobody sends.
fn expression(n: usize) -> String {
    match n < READING {
        true => format!("events(\"view\").within(\"30d\").count() >= {}", n + 1),
        false => format!("events(\"visit_{n}\").within(\"30d\").count() >= 1"),
    }
}

async fn create(opened: &Opened, count: usize) -> Result<()> {
    let client = SegmentServiceClient::new(opened.channel.clone());
    let create = |n| {
        let request = opened.caller.request(CreateSegmentRequest {
            segment_id: id(n),
            segment: Some(Segment {
                expression: expression(n),
                ..Segment::default()
            }),
        });
        let mut client = client.clone();
        async move { client.create_segment(request).await.map(drop) }
    };
    stream::iter(0..count)
        .map(create)
        .buffer_unordered(CREATED_AT_A_TIME)
        .try_collect::<()>()
        .await?;
    let begin = Instant::now();
    for n in 0..count {
        while !is_live(client.clone(), opened, n).await? {
            ensure!(begin.elapsed() < LIVE_WITHIN, "a segment stays unfilled");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    Ok(())
}

async fn is_live(
    mut client: SegmentServiceClient<Channel>,
    opened: &Opened,
    n: usize,
) -> Result<bool> {
    let segment_id = id(n);
    let request = opened.caller.request(GetSegmentRequest { segment_id });
    let segment = client.get_segment(request).await?.into_inner();
    Ok(segment.state() == SegmentState::Live)
}

async fn member_count(opened: &Opened, segment_id: &str) -> Result<i64> {
    let mut client = SegmentServiceClient::new(opened.channel.clone());
    let segment_id = segment_id.to_owned();
    let request = opened.caller.request(GetSegmentRequest { segment_id });
    Ok(client.get_segment(request).await?.into_inner().member_count)
}
