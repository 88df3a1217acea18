//! People who are imported, withdraw their consent, are found to be one, are parted again
//! and are erased, one step after another and many at a time; and how far each has come.
//! A step that was not acknowledged is where a life ends.

use std::{
    mem,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use attune_api::{
    json::to_struct,
    profile::v1::{
        EventMessage, IdentifyMessage, ImportMessagesRequest, ImportMessagesResponse,
        IngestMessage, IngestStatus, import_service_client::ImportServiceClient,
        ingest_message::Kind,
    },
    r#type::v1::Identity,
};
use attune_e2e::{ADMIN_KEY, Answer, Api, Deployment, PATIENCE, wait_until};
use serde_json::{Value, json};
use tokio::{sync::mpsc, task::JoinSet};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Streaming, transport::Channel};

/// What every life says that nobody may find in clear.
pub const SECRET: &str = "whispers-of-lives";

/// The first of two people is whom most of it happens to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Both, with [`EVENTS`] events each.
    Import,
    Withdraw,
    Merge,
    Unmerge,
    /// By the id of the second, who may be part of the first.
    Erase,
}

/// Of each of the two.
pub const EVENTS: usize = 2;

const COURSES: [&[Step]; 6] = [
    &[Step::Import, Step::Withdraw],
    &[Step::Import, Step::Merge],
    &[Step::Import, Step::Withdraw, Step::Merge, Step::Unmerge],
    &[Step::Import, Step::Erase],
    &[Step::Import, Step::Merge, Step::Erase],
    &[Step::Import, Step::Merge, Step::Unmerge, Step::Erase],
];

#[derive(Debug, Clone, Default)]
pub struct Life {
    /// User ids are this, `-a` and `-b`.
    pub name: String,
    pub acknowledged: Vec<Step>,
    /// Asked for and not acknowledged: it was carried out, or not at all.
    pub unknown: Option<Step>,
    /// Profiles, as long as both were people of their own.
    pub profiles: Vec<String>,
    merge_id: String,
    /// The proof, once erased.
    pub erasure: Value,
}

impl Life {
    pub fn users(&self) -> [String; 2] {
        [format!("{}-a", self.name), format!("{}-b", self.name)]
    }

    /// What has to hold: after the last step that was acknowledged, or after the next.
    pub fn possible(&self) -> Vec<Vec<Step>> {
        let next = self.unknown.map(|step| {
            let done = self.acknowledged.iter().copied();
            done.chain([step]).collect()
        });
        [self.acknowledged.clone()]
            .into_iter()
            .chain(next)
            .collect()
    }

    async fn take(&mut self, step: Step, api: &Api, imports: &mut Imports) -> bool {
        let (path, body) = match step {
            Step::Import => {
                let Some(profiles) = imports.send(self.messages()).await else {
                    return false;
                };
                self.profiles = vec![profiles[0].clone(), profiles[EVENTS + 1].clone()];
                return true;
            }
            Step::Withdraw => {
                let path = format!("/v1/profiles/{}/consents/personalization", self.profiles[0]);
                return is_done(api.try_put(&path, &json!({"granted": false})).await).is_some();
            }
            Step::Merge => {
                let [a, b] = [&self.profiles[0], &self.profiles[1]];
                (
                    "/v1/profiles:merge".to_owned(),
                    json!({"profileId": a, "otherProfileId": b}),
                )
            }
            Step::Unmerge => (
                "/v1/profiles:unmerge".to_owned(),
                json!({"mergeId": self.merge_id}),
            ),
            Step::Erase => (self.erase_path(), json!({"reason": "asked for"})),
        };
        let Some(done) = is_done(api.try_post(&path, &body).await) else {
            return false;
        };
        match step {
            Step::Merge => self.merge_id = done["mergeId"].as_str().unwrap().to_owned(),
            Step::Erase => self.erasure = done,
            _ => {}
        }
        true
    }

    pub fn erase_path(&self) -> String {
        format!("/v1/profiles/{}:erase", self.profiles[1])
    }

    /// A trait and events of each.
    fn messages(&self) -> Vec<IngestMessage> {
        let mut messages = Vec::new();
        for user in self.users() {
            let traits = to_struct(json!({"secret": format!("{SECRET} {user}")}));
            let known = Kind::Identify(IdentifyMessage { traits });
            messages.push(message(&user, "known", known));
            for n in 0..EVENTS {
                let event = EventMessage {
                    name: "Tapped".into(),
                    properties: to_struct(json!({"note": format!("{SECRET} {n}")})),
                };
                messages.push(message(&user, &n.to_string(), Kind::Event(event)));
            }
        }
        messages
    }
}

fn message(user: &str, id: &str, kind: Kind) -> IngestMessage {
    IngestMessage {
        message_id: format!("{user}-{id}"),
        identities: vec![Identity {
            namespace: "user_id".into(),
            value: user.to_owned(),
        }],
        kind: Some(kind),
        ..IngestMessage::default()
    }
}

/// None where nobody acknowledged it.
fn is_done(answer: Option<Answer>) -> Option<Value> {
    let answer = answer?;
    // Whoever answers while others are gone says that it is they.
    assert!(answer.is_ok() || answer.status >= 500, "{}", answer.text);
    answer.is_ok().then_some(answer.body)
}

/// A stream of messages that is opened again where it broke off.
struct Imports {
    url: String,
    open: Option<(
        mpsc::Sender<ImportMessagesRequest>,
        Streaming<ImportMessagesResponse>,
    )>,
}

impl Imports {
    /// The profiles of the messages, once they are acknowledged.
    async fn send(&mut self, messages: Vec<IngestMessage>) -> Option<Vec<String>> {
        let (requests, answers) = match self.open.take() {
            Some(open) => open,
            None => self.connect().await?,
        };
        let mut open = (requests, answers);
        open.0.send(ImportMessagesRequest { messages }).await.ok()?;
        let results = open.1.message().await.ok()??.results;
        self.open = Some(open);
        let taken = results.iter().all(|r| r.status() == IngestStatus::Accepted);
        assert!(taken, "{results:?}");
        Some(results.into_iter().map(|r| r.profile_id).collect())
    }

    async fn connect(
        &self,
    ) -> Option<(
        mpsc::Sender<ImportMessagesRequest>,
        Streaming<ImportMessagesResponse>,
    )> {
        let channel = Channel::from_shared(self.url.clone()).unwrap();
        let mut client = ImportServiceClient::new(channel.connect().await.ok()?);
        let (requests, stream) = mpsc::channel(1);
        let mut request = Request::new(ReceiverStream::new(stream));
        let key = format!("Bearer {ADMIN_KEY}").parse().unwrap();
        request.metadata_mut().insert("authorization", key);
        let answers = client.import_messages(request).await.ok()?;
        Some((requests, answers.into_inner()))
    }
}

/// Lives that are lived until told to stop.
pub struct Lives {
    ended: Arc<Mutex<Vec<Life>>>,
    stopped: Arc<AtomicBool>,
    workers: JoinSet<()>,
}

impl Lives {
    const AT_ONCE: usize = 6;

    /// `round` tells them from those of other rounds.
    pub fn start(deployment: &Deployment, round: usize) -> Self {
        let mut lives = Self {
            ended: Arc::default(),
            stopped: Arc::default(),
            workers: JoinSet::new(),
        };
        for worker in 0..Self::AT_ONCE {
            let (api, url) = (deployment.api(), deployment.url());
            let (ended, stopped) = (lives.ended.clone(), lives.stopped.clone());
            lives.workers.spawn(async move {
                let mut imports = Imports { url, open: None };
                // Nobody does the same as the others at the same time.
                for (n, course) in COURSES.iter().cycle().skip(worker).enumerate() {
                    if stopped.load(Ordering::Relaxed) {
                        return;
                    }
                    let name = format!("life-{round}-{worker}-{n}");
                    let life = live(name, course, &api, &mut imports).await;
                    let is_broken = life.unknown.is_some();
                    ended.lock().unwrap().push(life);
                    if is_broken {
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                }
            });
        }
        lives
    }

    /// Waits until so many have come to their end.
    pub async fn ended(&self, count: usize) {
        wait_until("lives come to their end", PATIENCE, || async {
            self.ended.lock().unwrap().len() >= count
        })
        .await;
    }

    pub async fn stop(mut self) -> Vec<Life> {
        self.stopped.store(true, Ordering::Relaxed);
        while let Some(worker) = self.workers.join_next().await {
            worker.unwrap();
        }
        mem::take(&mut *self.ended.lock().unwrap())
    }
}

async fn live(name: String, course: &[Step], api: &Api, imports: &mut Imports) -> Life {
    let mut life = Life {
        name,
        ..Life::default()
    };
    for step in course {
        if !life.take(*step, api, imports).await {
            life.unknown = Some(*step);
            break;
        }
        life.acknowledged.push(*step);
    }
    life
}
