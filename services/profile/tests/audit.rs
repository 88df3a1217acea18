//! Whoever looks at or changes personal data leaves an entry that nobody can take back
//! unnoticed. On both databases.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests fail by panicking.

mod support;

use attune_api::{
    profile::v1::{
        AuditEntry, EraseProfileRequest, EstimateSegmentRequest, ListAuditEntriesRequest,
        ListEventsRequest, ListProfilesRequest, LookupProfileRequest, MergeProfilesRequest,
        RecordAccessRequest, SetConsentRequest, StreamSegmentMembersRequest,
        UnmergeProfilesRequest, VerifyAuditRequest, VerifyAuditResponse,
    },
    r#type::v1::subject::Id,
};
use attune_errors::{Reason, reason_of};
use attune_profile::Config;
use attune_storage::{Database, Tx, args};
use futures::{FutureExt, StreamExt, future::join_all};
use support::{Running, alias, databases, identify, on_both, user, view};

/// All entries, newest first, by pages of two.
async fn entries(service: &Running, profile_id: &str) -> Vec<AuditEntry> {
    let mut found = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = service.request(ListAuditEntriesRequest {
            page_size: 2,
            page_token,
            profile_id: profile_id.to_owned(),
        });
        let page = service.privacy.clone().list_audit_entries(request).await;
        let page = page.unwrap().into_inner();
        found.extend(page.entries);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return found;
        }
    }
}

async fn verified(service: &Running) -> VerifyAuditResponse {
    let request = service.request(VerifyAuditRequest {});
    let answer = service.privacy.clone().verify_audit(request).await;
    answer.unwrap().into_inner()
}

/// Changes the database behind the service's back.
async fn tamper(database: &Database, workspace: &str, statements: &'static [&'static str]) {
    let workspace = workspace.to_owned();
    database
        .write(move |tx: &mut Tx| {
            let workspace = workspace.clone();
            async move {
                for statement in statements {
                    tx.execute(*statement, args![workspace.clone()]).await?;
                }
                Ok::<_, attune_storage::Error>(())
            }
            .boxed()
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn every_access_by_an_operator_leaves_an_entry() {
    on_both("audit-entries", async |service: Running| {
        let message = identify("m1", &["u:ann"], 0, serde_json::json!({"name": "Ann"}));
        let ann = service.one(message).await;
        service.one(view("m2", &["u:bob"], 0, "i1")).await;
        let operator = service.on_behalf_of("key-1");
        operator.profile(&ann).await.unwrap();
        let request = operator.request(LookupProfileRequest {
            namespace: "user_id".into(),
            value: "ann".into(),
        });
        operator
            .client
            .clone()
            .lookup_profile(request)
            .await
            .unwrap();
        let request = operator.request(ListProfilesRequest::default());
        operator
            .client
            .clone()
            .list_profiles(request)
            .await
            .unwrap();
        let request = operator.request(ListEventsRequest {
            profile_id: ann.clone(),
            ..Default::default()
        });
        operator.client.clone().list_events(request).await.unwrap();
        let request = operator.request(SetConsentRequest {
            profile_id: ann.clone(),
            purpose: "analytics".into(),
            granted: true,
            ..Default::default()
        });
        operator.client.clone().set_consent(request).await.unwrap();

        let all = entries(&service, "").await;
        let told: Vec<_> = all
            .iter()
            .map(|e| (e.sequence, e.action.as_str()))
            .collect();
        let expected = [
            (5, "SetConsent"),
            (4, "ListEvents"),
            (3, "ListProfiles"),
            (2, "LookupProfile"),
            (1, "GetProfile"),
        ];
        assert_eq!(told, expected);
        assert!(all.iter().all(|e| e.actor == "key-1"));
        let request_id = operator.caller.request_id.as_str();
        assert!(all.iter().all(|e| e.request_id == request_id));
        assert_eq!(
            (all[2].profile_id.as_str(), all[2].detail.as_str()),
            ("", "2 profiles")
        );
        let of_ann: Vec<_> = entries(&service, &ann)
            .await
            .iter()
            .map(|e| e.sequence)
            .collect();
        assert_eq!(of_ann, [5, 4, 2, 1]);
        let said = format!("{all:?}");
        assert!(!said.contains("ann") && !said.contains("Ann"), "{said}");
        let verified = verified(&service).await;
        assert!(verified.intact);
        assert_eq!((verified.entry_count, verified.first_sequence), (5, 1));
        assert_eq!(verified.head_hash, all[0].hash);
    })
    .await;
}

#[tokio::test]
async fn who_is_in_a_segment_is_shown_and_changed_on_the_record() {
    on_both("audit-segments", async |service: Running| {
        service.declare("guests", "").await;
        let operator = service.on_behalf_of("key-1");
        let ids = ["ann", "bea", "cleo"].map(|id| Id::UserId(id.into()));
        operator.change("guests", &ids[..2], &[]).await.unwrap();
        operator
            .change("guests", &ids[2..], &ids[..1])
            .await
            .unwrap();
        assert_eq!(operator.members("guests").await.len(), 2);
        let request = operator.request(StreamSegmentMembersRequest {
            segment_id: "guests".into(),
        });
        let mut client = operator.segment_client();
        let stream = client.stream_segment_members(request).await.unwrap();
        let streamed: Vec<_> = stream.into_inner().collect().await;
        assert_eq!(streamed.len(), 2);
        let unknown = operator.change("nobodys", &ids, &[]).await.unwrap_err();
        assert_eq!(reason_of(&unknown), Some(Reason::ResourceNotFound));

        let told = entries(&service, "").await;
        let told: Vec<_> = told
            .iter()
            .map(|e| (e.actor.as_str(), e.action.as_str(), e.detail.as_str()))
            .collect();
        let expected = [
            ("key-1", "StreamSegmentMembers", "2 profiles of guests"),
            ("key-1", "ListSegmentMembers", "2 profiles of guests"),
            ("key-1", "ChangeSegmentMembers", "2 profiles of guests"),
            ("key-1", "ChangeSegmentMembers", "2 profiles of guests"),
        ];
        assert_eq!(told, expected);
    })
    .await;
}

#[tokio::test]
async fn whoever_makes_people_one_or_two_is_told_of_both() {
    on_both("audit-merges", async |service: Running| {
        let ann = service.one(view("m1", &["u:ann"], 0, "i1")).await;
        let bea = service.one(view("m2", &["u:bea"], 0, "i1")).await;
        let operator = service.on_behalf_of("key-1");
        let request = operator.request(MergeProfilesRequest {
            profile_id: ann.clone(),
            other_profile_id: bea.clone(),
            reason: "called us".into(),
        });
        let merge = operator.privacy.clone().merge_profiles(request).await;
        let merge_id = merge.unwrap().into_inner().merge_id;
        let request = operator.request(UnmergeProfilesRequest {
            merge_id,
            reason: "mistaken".into(),
            ..UnmergeProfilesRequest::default()
        });
        let parted = operator.privacy.clone().unmerge_profiles(request).await;
        parted.unwrap();
        for id in [&ann, &bea] {
            let told = entries(&service, id).await;
            let told: Vec<_> = told.iter().map(|e| e.action.as_str()).collect();
            assert_eq!(told, ["UnmergeProfiles", "MergeProfiles"]);
        }
    })
    .await;
}

#[tokio::test]
async fn what_services_read_to_serve_customers_leaves_none() {
    on_both("audit-services", async |service: Running| {
        let ann = service.one(view("m1", &["u:ann"], 0, "i1")).await;
        service.snapshot(user("ann")).await.unwrap();
        service.profile(&ann).await.unwrap();
        assert_eq!(entries(&service, "").await, []);
        let verified = verified(&service).await;
        assert_eq!((verified.intact, verified.entry_count), (true, 0));
        service
            .on_behalf_of("key-1")
            .profile("nobody")
            .await
            .unwrap_err();
        assert_eq!(entries(&service, "").await, []);
    })
    .await;
}

#[tokio::test]
async fn entries_about_a_merged_profile_are_found_under_either_id() {
    on_both("audit-merged", async |service: Running| {
        let ann = service.one(view("m1", &["u:ann"], 0, "i1")).await;
        let stranger = service.one(view("m2", &["a:x"], 0, "i1")).await;
        let operator = service.on_behalf_of("key-1");
        operator.profile(&stranger).await.unwrap();
        service.one(alias("m3", &["u:ann"], "a:x")).await;
        operator.profile(&stranger).await.unwrap();
        for id in [&ann, &stranger] {
            let found = entries(&service, id).await;
            let about: Vec<_> = found.iter().map(|e| e.profile_id.as_str()).collect();
            assert_eq!(about, [&ann, &stranger]);
        }
    })
    .await;
}

#[tokio::test]
async fn entries_outlive_whom_they_are_about_under_each_of_their_ids() {
    on_both("audit-erased", async |service: Running| {
        let ann = service.one(view("m1", &["a:browser"], 0, "i1")).await;
        let other = service.one(view("m2", &["u:ann"], 1, "i2")).await;
        let operator = service.on_behalf_of("key-1");
        operator.profile(&other).await.unwrap();
        service.one(alias("m3", &["u:ann"], "a:browser")).await;
        operator.profile(&ann).await.unwrap();
        let request = operator.request(EraseProfileRequest {
            profile_id: other.clone(),
            ..EraseProfileRequest::default()
        });
        operator
            .privacy
            .clone()
            .erase_profile(request)
            .await
            .unwrap();
        for id in [&ann, &other] {
            let entries = entries(&service, id).await;
            let told: Vec<_> = entries.iter().map(|e| e.action.as_str()).collect();
            assert_eq!(told, ["EraseProfile", "GetProfile", "GetProfile"], "{id}");
        }
    })
    .await;
}

#[tokio::test]
async fn what_holds_of_how_many_is_told_on_the_record() {
    on_both("audit-estimate", async |service: Running| {
        service.one(view("m1", &["u:ann"], 0, "i1")).await;
        let operator = service.on_behalf_of("key-1");
        let estimate = EstimateSegmentRequest {
            expression: "profile.email == 'ann@example.org'".into(),
            ..EstimateSegmentRequest::default()
        };
        let estimate = operator.request(estimate);
        let mut segments = operator.segment_client();
        segments.estimate_segment(estimate).await.unwrap();
        let [entry] = &entries(&service, "").await[..] else {
            panic!("one entry");
        };
        assert_eq!(
            (entry.action.as_str(), entry.detail.as_str()),
            ("EstimateSegment", "0 profiles")
        );
    })
    .await;
}

#[tokio::test]
async fn other_services_put_on_the_record_who_looks_at_what_they_keep() {
    on_both("audit-others", async |service: Running| {
        let ann = service.one(view("m1", &["u:ann"], 0, "i1")).await;
        let access = |action: &str, profile_id: &str, detail: &str| RecordAccessRequest {
            action: action.into(),
            profile_id: profile_id.into(),
            detail: detail.into(),
        };
        // Nobody asked.
        let request = service.request(access("GetMessage", &ann, ""));
        service
            .privacy
            .clone()
            .record_access(request)
            .await
            .unwrap();
        let operator = service.on_behalf_of("key-1");
        for access in [
            access("GetMessage", &ann, "message 7"),
            access("ListDecisions", "", "3 decisions"),
        ] {
            let request = operator.request(access);
            operator
                .privacy
                .clone()
                .record_access(request)
                .await
                .unwrap();
        }
        let long = "x".repeat(300);
        let request = operator.request(access("look at", "ann", &long));
        let refused = operator.privacy.clone().record_access(request).await;
        let fields = attune_errors::violations_of(&refused.unwrap_err());
        let fields: Vec<_> = fields.iter().map(|(field, _)| field.as_str()).collect();
        assert_eq!(fields, ["action", "profile_id", "detail"]);
        let told = entries(&service, "").await;
        let told: Vec<_> = told
            .iter()
            .map(|e| (e.action.as_str(), e.profile_id.as_str(), e.detail.as_str()))
            .collect();
        let expected = [
            ("ListDecisions", "", "3 decisions"),
            ("GetMessage", ann.as_str(), "message 7"),
        ];
        assert_eq!(told, expected);
    })
    .await;
}

#[tokio::test]
async fn tampering_is_found_where_it_was_done() {
    const ROWS: [(&str, &[&str], i64); 9] = [
        (
            "changed",
            &["update audit_entries set actor = 'x' where workspace = $1 and sequence = 3"],
            3,
        ),
        (
            "cleared",
            &["update audit_entries set profile_id = '' where workspace = $1 and sequence = 1"],
            1,
        ),
        (
            "deleted",
            &["delete from audit_entries where workspace = $1 and sequence = 2"],
            2,
        ),
        (
            "shortened",
            &["delete from audit_entries where workspace = $1 and sequence = 5"],
            5,
        ),
        (
            "beheaded",
            &["delete from audit_entries where workspace = $1 and sequence = 1"],
            1,
        ),
        (
            "closed",
            &[
                "delete from audit_entries where workspace = $1 and sequence = 3",
                "update audit_entries set sequence = 3 where workspace = $1 and sequence = 4",
                "update audit_entries set sequence = 4 where workspace = $1 and sequence = 5",
            ],
            3,
        ),
        (
            "inserted",
            &[
                "update audit_entries set sequence = 6 where workspace = $1 and sequence = 5",
                "update audit_entries set sequence = 5 where workspace = $1 and sequence = 4",
                "insert into audit_entries select workspace, 4, time_ms, actor, action, \
                 profile_id, request_id, detail, hash from audit_entries \
                 where workspace = $1 and sequence = 2",
            ],
            4,
        ),
        (
            "reordered",
            &[
                "update audit_entries set sequence = 100 where workspace = $1 and sequence = 2",
                "update audit_entries set sequence = 2 where workspace = $1 and sequence = 3",
                "update audit_entries set sequence = 3 where workspace = $1 and sequence = 100",
            ],
            2,
        ),
        (
            "appended",
            &[
                "insert into audit_entries select workspace, 6, time_ms, actor, action, \
               profile_id, request_id, detail, hash from audit_entries \
               where workspace = $1 and sequence = 5",
            ],
            6,
        ),
    ];
    on_both("audit-tamper", async |service: Running| {
        for (workspace, statements, at) in ROWS {
            let service = service.in_workspace(workspace);
            let ann = service.one(view("m1", &["u:ann"], 0, "i1")).await;
            for number in 0..5 {
                let operator = service.on_behalf_of(&format!("key-{number}"));
                operator.profile(&ann).await.unwrap();
            }
            assert!(verified(&service).await.intact);
            tamper(&service.database, workspace, statements).await;
            let found = verified(&service).await;
            assert_eq!(
                (found.intact, found.broken_sequence),
                (false, at),
                "{workspace}"
            );
        }
        let elsewhere = service.in_workspace("untouched");
        assert!(verified(&elsewhere).await.intact);
    })
    .await;
}

#[tokio::test]
async fn processes_append_to_one_chain() {
    for database in databases("audit-processes").await {
        let config = Config::default();
        let one = Running::open(database.url(), database.system, config.clone()).await;
        let other = match database.system {
            "postgres" => Running::open(database.url(), database.system, config).await,
            // An embedded database has one process.
            _ => one.in_workspace("default"),
        };
        let ann = one.one(view("m1", &["u:ann"], 0, "i1")).await;
        let reads = (0..60).map(|number| {
            let service = if number % 2 == 0 { &one } else { &other };
            let operator = service.on_behalf_of(&format!("key-{number}"));
            let ann = ann.clone();
            async move { operator.profile(&ann).await.unwrap() }
        });
        // With writes of another kind among them, which take the same turns.
        let writes = (0..20).map(|number| {
            let service = if number % 2 == 0 { &other } else { &one };
            service.one(view(&format!("w{number}"), &["u:bob"], number, "i1"))
        });
        futures::join!(join_all(reads), join_all(writes));
        let verified = verified(&other).await;
        assert_eq!((verified.intact, verified.entry_count), (true, 60));
        let mut actors: Vec<_> = entries(&one, "")
            .await
            .into_iter()
            .map(|e| e.actor)
            .collect();
        actors.sort();
        actors.dedup();
        assert_eq!(actors.len(), 60);
    }
}

#[tokio::test]
async fn a_page_token_of_another_list_is_refused() {
    on_both("audit-token", async |service: Running| {
        let request = service.request(ListAuditEntriesRequest {
            page_size: -1,
            page_token: "eA".into(),
            profile_id: String::new(),
        });
        let status = service.privacy.clone().list_audit_entries(request).await;
        let status = status.unwrap_err();
        assert_eq!(reason_of(&status), Some(Reason::InvalidFields));
        assert_eq!(attune_errors::violations_of(&status).len(), 2);
    })
    .await;
}
