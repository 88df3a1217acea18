//! The four other services as far as the gateway can tell: they speak their contract on
//! the wire, remember what they were asked, and misbehave as told.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use attune_api::{
    catalog::v1 as catalog, messaging::v1 as messaging, profile::v1 as profile, rules::v1 as rules,
    r#type::v1::subject::Id,
};
use attune_errors::{Fault, Violations};
use bytes::{BufMut, Bytes, BytesMut};
use futures::future::BoxFuture;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use prost::Message;
use tonic::{Status, body::Body, server::NamedService, service::Routes};
use tower::Service;

/// How a peer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    #[default]
    Well,
    Down,
    Hanging,
    Shedding,
    Broken,
}

/// One call that a peer got.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    pub headers: HeaderMap,
    pub message: Bytes,
}

#[derive(Clone, Default)]
pub struct Peers(Arc<State>);

#[derive(Default)]
struct State {
    modes: Mutex<BTreeMap<&'static str, Mode>>,
    seen: Mutex<Vec<Seen>>,
}

impl Peers {
    pub fn set(&self, service: &'static str, mode: Mode) {
        self.0.modes.lock().unwrap().insert(service, mode);
    }

    /// The calls of a method so far, by its name.
    pub fn calls(&self, method: &str) -> Vec<Seen> {
        let seen = self.0.seen.lock().unwrap();
        let calls = seen.iter().filter(|seen| seen.method == method);
        calls.cloned().collect()
    }

    /// Everything that was taken in.
    pub fn ingested(&self) -> Vec<profile::IngestMessage> {
        let calls = self.calls("Ingest").into_iter();
        calls
            .flat_map(|call| {
                profile::IngestRequest::decode(call.message)
                    .unwrap()
                    .messages
            })
            .collect()
    }

    pub fn routes(&self, service: &str) -> Routes {
        match service {
            "profile" => Routes::new(Profile(self.clone())).add_service(Privacy(self.clone())),
            "catalog" => Routes::new(Catalog(self.clone())),
            "messaging" => Routes::new(Messaging(self.clone())),
            _ => Routes::new(Decisions(self.clone())).add_service(Rules(self.clone())),
        }
    }

    async fn answer(self, service: &'static str, request: Request<Body>) -> Response<Body> {
        let mode = self.0.modes.lock().unwrap().get(service).copied();
        match mode.unwrap_or_default() {
            Mode::Well => {}
            Mode::Down => {
                return Status::from(Fault::unavailable(service, Duration::ZERO)).into_http();
            }
            Mode::Hanging => std::future::pending().await,
            Mode::Shedding => {
                return Status::from(Fault::overloaded(Duration::from_millis(100))).into_http();
            }
            Mode::Broken => return Status::internal("a bug").into_http(),
        }
        let (parts, body) = request.into_parts();
        let frame = body.collect().await.unwrap().to_bytes();
        let method = parts.uri.path().rsplit('/').next().unwrap().to_owned();
        let seen = Seen {
            method,
            headers: parts.headers,
            message: frame.slice(5..),
        };
        let answer = reply(&seen);
        self.0.seen.lock().unwrap().push(seen);
        match answer {
            Ok(message) => ok(&message),
            Err(status) => status.into_http(),
        }
    }
}

fn ok(message: &[u8]) -> Response<Body> {
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap());
    frame.put_slice(message);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    let frames = [
        Ok::<_, Status>(Frame::data(frame.freeze())),
        Ok(Frame::trailers(trailers)),
    ];
    let body = Body::new(StreamBody::new(futures::stream::iter(frames)));
    Response::builder()
        .header("content-type", "application/grpc")
        .body(body)
        .unwrap()
}

macro_rules! peers {
    ($($type:ident, $service:literal, $name:literal;)*) => {$(
        #[derive(Clone)]
        struct $type(Peers);

        impl NamedService for $type {
            const NAME: &'static str = $name;
        }

        impl Service<Request<Body>> for $type {
            type Response = Response<Body>;
            type Error = Infallible;
            type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

            fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
                Poll::Ready(Ok(()))
            }

            fn call(&mut self, request: Request<Body>) -> Self::Future {
                let peers = self.0.clone();
                Box::pin(async move { Ok(peers.answer($service, request).await) })
            }
        }
    )*};
}
peers! {
    Profile, "profile", "attune.profile.v1.ProfileService";
    Privacy, "profile", "attune.profile.v1.PrivacyService";
    Catalog, "catalog", "attune.catalog.v1.CatalogService";
    Decisions, "rule-engine", "attune.rules.v1.DecisionService";
    Rules, "rule-engine", "attune.rules.v1.RuleService";
    Messaging, "messaging", "attune.messaging.v1.MessagingService";
}

fn reply(seen: &Seen) -> Result<Vec<u8>, Status> {
    let message = seen.message.clone();
    let answer = match seen.method.as_str() {
        "GetSnapshot" => snapshot(&read(message)).encode_to_vec(),
        "Ingest" => ingest(read(message))?.encode_to_vec(),
        "GetProfile" => get_profile(read(message))?.encode_to_vec(),
        "ListEvents" => profile::ListEventsResponse::default().encode_to_vec(),
        "ListConsentHistory" => profile::ListConsentHistoryResponse::default().encode_to_vec(),
        "GetPreferences" | "UpdatePreferences" => profile::Preferences {
            language: "de".into(),
            ..Default::default()
        }
        .encode_to_vec(),
        "ExportProfile" => profile::ExportPart {
            kind: "profile".into(),
            data: None,
        }
        .encode_to_vec(),
        "EraseProfile" => profile::Erasure {
            erasure_id: "e1".into(),
            ..Default::default()
        }
        .encode_to_vec(),
        "LookupProfile" => lookup(read(message))?.encode_to_vec(),
        "SetConsent" => profile::Consent::default().encode_to_vec(),
        "Decide" => decide(read(message))?.encode_to_vec(),
        "RecordOutcomes" => recorded(&read(message)).encode_to_vec(),
        "GetPlacement" => rules::Placement {
            fallback_item_ids: vec!["e1".into(), "e2".into()],
            ..Default::default()
        }
        .encode_to_vec(),
        "GetRule" => rule(seen)?.encode_to_vec(),
        "BatchGetItems" => items(read(message)).encode_to_vec(),
        "RenderTemplate" => render(read(message))?.encode_to_vec(),
        other => return Err(Status::unimplemented(other)),
    };
    Ok(answer)
}

fn read<M: Message + Default>(message: Bytes) -> M {
    M::decode(message).unwrap()
}

/// Only the user `ann` is known.
fn snapshot(request: &profile::GetSnapshotRequest) -> profile::GetSnapshotResponse {
    let basis = profile::Basis::Full.into();
    let id = request.subject.as_ref().and_then(|s| s.id.as_ref());
    if id != Some(&Id::UserId("ann".into())) {
        return profile::GetSnapshotResponse {
            basis,
            ..Default::default()
        };
    }
    let traits = attune_api::json::to_struct(serde_json::json!({"name": "Ann"}));
    let snapshot = profile::Snapshot {
        profile_id: "p-ann".into(),
        traits,
        ..Default::default()
    };
    profile::GetSnapshotResponse {
        found: true,
        profile_id: "p-ann".into(),
        basis,
        segments: vec!["vip".into()],
        snapshot: snapshot.encode_to_vec().into(),
    }
}

/// Refuses as the profile service does, with its paths.
fn ingest(request: profile::IngestRequest) -> Result<profile::IngestResponse, Status> {
    use profile::ingest_message::Kind;
    let mut found = Violations::new();
    for (i, message) in request.messages.iter().enumerate() {
        found.within_item("messages", i, |found| {
            if message.identities.is_empty() && message.profile_id.is_empty() {
                found.push("identities", "must not be empty without a profile_id");
            }
            if message.time.as_ref().is_some_and(|t| t.seconds < 0) {
                found.push("time", "must not be before 1970-01-01");
            }
            match &message.kind {
                None => found.push("", "must be one of identify, event, group and alias"),
                Some(Kind::Event(event)) if event.name.is_empty() => {
                    found.push("event.name", "must be 1 to 256 characters");
                }
                Some(Kind::Group(group)) if group.group_id.is_empty() => {
                    found.push("group.group_id", "must be set");
                }
                Some(_) => {}
            }
        });
    }
    found.into_result()?;
    Ok(profile::IngestResponse::default())
}

/// Only `p-ann` and `p-known` exist.
fn get_profile(request: profile::GetProfileRequest) -> Result<profile::Profile, Status> {
    let profile_id = request.profile_id;
    if ["p-ann", "p-known"].contains(&profile_id.as_str()) {
        return Ok(profile::Profile {
            profile_id,
            ..Default::default()
        });
    }
    Err(Fault::not_found("profile", profile_id).into())
}

/// Only the user `known` exists.
fn lookup(request: profile::LookupProfileRequest) -> Result<profile::Profile, Status> {
    if (request.namespace.as_str(), request.value.as_str()) == ("user_id", "known") {
        return Ok(profile::Profile {
            profile_id: "p-known".into(),
            ..Default::default()
        });
    }
    Err(Fault::not_found("profile", request.value).into())
}

/// Shows i1, i2, … but `gone` at the second place of the placement `gone`. The
/// placement `mail` has a template, and `nowhere` does not exist.
fn decide(request: rules::DecideRequest) -> Result<rules::DecideResponse, Status> {
    let mut found = Violations::new();
    let known = !request.snapshot.is_empty();
    let decide = |(index, wanted): (usize, &rules::PlacementRequest)| {
        if wanted.placement == "nowhere" {
            found.push(format!("placements[{index}].placement"), "does not exist");
        }
        let count = if wanted.count == 0 { 10 } else { wanted.count };
        let ids = (1..=count).map(|n| match (wanted.placement.as_str(), n) {
            ("gone", 2) => "gone".to_owned(),
            _ => format!("i{n}"),
        });
        let slots = ids.filter(|id| !request.exclude_item_ids.contains(id));
        let slot = |id: String| rules::Slot {
            token: format!("token-{id}"),
            item_id: id,
            score: 0.5,
            reasons: vec![rules::Reason {
                kind: rules::ReasonKind::Source.into(),
                text: if known { "For you" } else { "For all" }.into(),
                ..Default::default()
            }],
        };
        let template = match wanted.placement.as_str() {
            "mail" => "welcome",
            "broken-mail" => "broken",
            _ => "",
        };
        rules::PlacementDecision {
            placement: wanted.placement.clone(),
            decision_id: format!("d-{index}"),
            strategy: "default".into(),
            slots: slots.map(slot).collect(),
            template: template.into(),
            fallback: false,
            ..rules::PlacementDecision::default()
        }
    };
    let placements = request.placements.iter().enumerate().map(decide).collect();
    found.into_result()?;
    Ok(rules::DecideResponse { placements })
}

fn recorded(request: &rules::RecordOutcomesRequest) -> rules::RecordOutcomesResponse {
    rules::RecordOutcomesResponse {
        accepted_count: i32::try_from(request.outcomes.len()).unwrap(),
        duplicate_count: 0,
    }
}

/// Tells in its name for whom it was asked.
fn rule(seen: &Seen) -> Result<rules::Rule, Status> {
    let request: rules::GetRuleRequest = read(seen.message.clone());
    if request.rule_id == "missing" {
        return Err(Fault::not_found("rule", request.rule_id).into());
    }
    let workspace = &seen.headers["attune-workspace"];
    Ok(rules::Rule {
        rule_id: request.rule_id,
        display_name: workspace.to_str().unwrap().to_owned(),
        ..Default::default()
    })
}

fn items(request: catalog::BatchGetItemsRequest) -> catalog::BatchGetItemsResponse {
    let (missing, present): (Vec<_>, Vec<_>) =
        request.item_ids.into_iter().partition(|id| id == "gone");
    let item = |id: String| catalog::Item {
        title: [(String::new(), format!("Title of {id}"))].into(),
        item_id: id,
        ..Default::default()
    };
    catalog::BatchGetItemsResponse {
        items: present.into_iter().map(item).collect(),
        missing_item_ids: missing,
    }
}

fn render(request: messaging::RenderTemplateRequest) -> Result<messaging::Content, Status> {
    if request.template_id == "broken" {
        return Err(Fault::not_found("template", "broken").into());
    }
    let data = request.data.unwrap();
    let titles: Vec<_> = data.items.iter().map(|i| i.title.as_str()).collect();
    let profile = attune_api::json::from_struct(&data.profile.unwrap_or_default());
    Ok(messaging::Content {
        template_id: request.template_id,
        text: format!("{profile} {}", titles.join(", ")),
        ..Default::default()
    })
}
