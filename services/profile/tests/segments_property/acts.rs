//! Takes steps: each as calls of the service whose turn it is.

use std::collections::BTreeSet;

use attune_api::{
    json::to_struct,
    profile::v1::{
        EraseProfileRequest, IngestMessage, IngestStatus, ListMergesRequest, LookupProfileRequest,
        MergeProfilesRequest, UnmergeProfilesRequest, ingest_message::Kind,
    },
};
use attune_errors::{Reason, metadata_of, reason_of};
use attune_storage::args;
use serde_json::{Value as Json, json};

use crate::{
    ledger::Ids,
    model::{DAY, HOUR, START},
    played::Played,
    steps::{Op, PURPOSES, Said, WHO},
    support::*,
};

impl Played {
    pub async fn play(&mut self, op: &Op) {
        self.step += 1;
        match op {
            Op::Say(said) => {
                let messages = self.messages("", said);
                let refused = refused(self.shop(), messages).await;
                self.ledger.erased(&refused);
            }
            Op::SayAtOnce(one, other) => {
                let (one, other) = (self.messages("a", one), self.messages("b", other));
                let one = refused(self.turn(0), one);
                let (one, other) = tokio::join!(one, refused(self.turn(1), other));
                self.ledger.erased(&(&one | &other));
            }
            Op::Consent(who, purpose, granted) => {
                if let Some(profile_id) = self.profile_id(*who).await {
                    let purpose = PURPOSES[*purpose];
                    self.shop().consent(&profile_id, purpose, *granted).await;
                }
            }
            Op::List(who, on) => {
                let held = identity(WHO[*who]);
                let ids = [match held.namespace.as_str() {
                    "user_id" => user(&held.value),
                    _ => anonymous(&held.value),
                }];
                let (add, remove): (&[_], &[_]) = if *on { (&ids, &[]) } else { (&[], &ids) };
                self.shop().change("vip", add, remove).await.unwrap();
            }
            Op::Merge(a, b) => self.merge(*a, *b).await,
            Op::Undo(n) => self.undo(*n).await,
            Op::Erase(who, said) => self.erase(*who, said).await,
            Op::PassHours(hours) => self.pass_to(self.now_ms() + hours * HOUR).await,
            Op::PassToDue(beside_ms) => {
                // In three centuries durations are too long to be told.
                const DUE: &str = "select due_ms from due \
                     where workspace = $1 and due_ms < $2 order by due_ms limit 1";
                let workspace = self.shop().caller.workspace.as_str();
                let arguments = args![workspace, START + 3_650 * DAY];
                if let Some(due_ms) = self.fetch(DUE, arguments).await {
                    self.pass_to(due_ms + beside_ms).await;
                }
            }
            Op::Restart(n) => self.restart(*n).await,
        }
    }

    fn messages(&mut self, request: &str, said: &[Said]) -> Vec<IngestMessage> {
        let messages = said.iter().enumerate();
        messages
            .map(|(n, said)| self.message(format!("m{}{request}-{n}", self.step), said))
            .collect()
    }

    /// Events are in the ledger from here on.
    fn message(&mut self, id: String, said: &Said) -> IngestMessage {
        let now = self.now_ms() - T0;
        let mut did = |who: &[&str], event_type, at, properties| {
            self.ledger.tell(id.clone(), event_type, T0 + at);
            event(&id, who, at, event_type, properties)
        };
        match said {
            Said::Did {
                who,
                event_type,
                category,
                revenue,
                hours_ago,
            } => {
                let properties = json!({"category": category, "revenue": revenue});
                did(&[WHO[*who]], event_type, now - hours_ago * HOUR, properties)
            }
            Said::Objected(who) => IngestMessage {
                context: to_struct(json!({"gpc": true})),
                ..did(&[WHO[*who]], "view", now, json!({"category": "stoves"}))
            },
            Said::Plans(who, pro) => {
                let plan = if *pro { json!("pro") } else { Json::Null };
                identify(&id, &[WHO[*who]], now, json!({ "plan": plan }))
            }
            Said::Both(a, b) => {
                let who = [WHO[*a], WHO[*b]];
                did(&who, "view", now, json!({"category": "tents"}))
            }
            Said::Was(a, b) => alias(&id, &[WHO[*a]], WHO[*b]),
        }
    }

    async fn profile_id(&self, who: usize) -> Option<String> {
        let held = identity(WHO[who]);
        let request = self.shop().request(LookupProfileRequest {
            namespace: held.namespace,
            value: held.value,
        });
        match self.shop().client.clone().lookup_profile(request).await {
            Ok(found) => Some(found.into_inner().profile_id),
            Err(refused) => {
                assert_eq!(reason_of(&refused), Some(Reason::ResourceNotFound));
                None
            }
        }
    }

    async fn merge(&self, a: usize, b: usize) {
        let ids = (self.profile_id(a).await, self.profile_id(b).await);
        let (Some(profile_id), Some(other_profile_id)) = ids else {
            return;
        };
        if profile_id == other_profile_id {
            return;
        }
        let request = self.shop().request(MergeProfilesRequest {
            profile_id,
            other_profile_id,
            reason: String::new(),
        });
        let mut client = self.shop().privacy.clone();
        if let Err(refused) = client.merge_profiles(request).await {
            // As with messages: one of them is such a device.
            assert_eq!(reason_of(&refused), Some(Reason::InvalidFields));
        }
    }

    async fn undo(&self, n: usize) {
        let mut stand = BTreeSet::new();
        for profile in self.people().await {
            let request = self.shop().request(ListMergesRequest {
                profile_id: profile.profile_id,
                ..ListMergesRequest::default()
            });
            let merges = self.shop().privacy.clone().list_merges(request).await;
            let merges = merges.unwrap().into_inner().merges.into_iter();
            let merges = merges.filter(|merge| !merge.undone && !merge.refused);
            stand.extend(merges.map(|merge| merge.merge_id));
        }
        if stand.is_empty() {
            return;
        }
        let merge_id = stand.iter().nth(n % stand.len()).unwrap().clone();
        let mut with_merge_ids = Vec::new();
        // With one after the other of what else says that the two are one.
        loop {
            let request = self.shop().request(UnmergeProfilesRequest {
                merge_id: merge_id.clone(),
                with_merge_ids: with_merge_ids.clone(),
                ..UnmergeProfilesRequest::default()
            });
            let mut client = self.shop().privacy.clone();
            let Err(refused) = client.unmerge_profiles(request).await else {
                return;
            };
            assert_eq!(reason_of(&refused), Some(Reason::StillJoined));
            let by = metadata_of(&refused, "merge_ids").unwrap();
            let by: Vec<_> = by.split(',').map(str::to_owned).collect();
            with_merge_ids.push(by[n % by.len()].clone());
        }
    }

    /// What comes in meanwhile is erased with the person or stays with somebody new,
    /// as its turn comes; as much goes as the proof says.
    async fn erase(&mut self, who: usize, meanwhile: &[Said]) {
        let Some(profile_id) = self.profile_id(who).await else {
            return;
        };
        let theirs: Ids = self
            .shop()
            .timeline(&profile_id)
            .await
            .into_iter()
            .collect();
        let messages = self.messages("", meanwhile);
        let request = self.shop().request(EraseProfileRequest {
            profile_id,
            reason: "asked for".into(),
        });
        let mut client = self.shop().privacy.clone();
        let (erased, refused) = tokio::join!(
            client.erase_profile(request),
            refused(self.turn(1), messages)
        );
        self.ledger.erased(&refused);
        let erasure = erased.unwrap().into_inner();
        let gone = &self.ledger.ids() - &self.listed().await;
        assert!(theirs.is_subset(&gone), "{theirs:?} of which went {gone:?}");
        assert_eq!(erasure.event_count as usize, gone.len(), "{gone:?}");
        self.ledger.erased(&gone);
        for id in &erasure.profile_ids {
            let refused = self.shop().profile(id).await.unwrap_err();
            assert_eq!(reason_of(&refused), Some(Reason::ResourceNotFound));
        }
    }

    /// All events of all people.
    pub async fn listed(&self) -> Ids {
        let mut ids = Ids::new();
        for profile in self.people().await {
            for id in self.shop().timeline(&profile.profile_id).await {
                assert!(ids.insert(id.clone()), "{id} is told of two people");
            }
        }
        ids
    }
}

/// Sends one request. Its ids where it is refused, of which nothing is taken then: one
/// may be known by a device that several customers came to use, and be somebody before.
async fn refused(shop: &Running, messages: Vec<IngestMessage>) -> Ids {
    if messages.is_empty() {
        return Ids::new();
    }
    let ids = messages.iter().map(|m| m.message_id.clone()).collect();
    let may_be = messages
        .iter()
        .any(|m| matches!(m.kind, Some(Kind::Alias(_))));
    match shop.try_send(messages).await {
        Ok(results) => {
            let taken = statuses(&results);
            assert!(
                taken.iter().all(|s| *s == IngestStatus::Accepted),
                "{results:?}"
            );
            Ids::new()
        }
        Err(told) => {
            assert!(
                may_be && reason_of(&told) == Some(Reason::InvalidFields),
                "{told}"
            );
            ids
        }
    }
}
