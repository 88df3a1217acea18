//! Rules from draft to publication and back: drafts beside what is in force, versions,
//! what differs, rolling back, and all of it across replicas. Through the real client,
//! on SQLite and PostgreSQL.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use attune_api::rules::v1::{
    CreateRuleRequest, ListRuleVersionsRequest, ListRulesRequest, Rule, RuleState, RuleVersion,
    SourceKind, UpdateRuleRequest,
};
use attune_errors::Reason;
use attune_storage::{Database, Migrations, resources::Table};
use attune_testkit::{PATIENCE, TestDatabase, test_database_urls, wait_until};
use prost_types::FieldMask;
use support::*;

/// Items `a` to `c`, shown in this order by an editor's choice.
async fn window(engine: &Running) {
    let items = ["a", "b", "c"].map(|id| item(id, "x", "Halden"));
    engine.publish_items(items.into()).await;
    let chosen = serde_json::json!({"itemIds": ["a", "b", "c"]});
    let sources = [(SourceKind::Editorial, chosen)];
    engine
        .put_strategy(strategy("chosen", &sources))
        .await
        .unwrap();
    engine
        .put_placement(placement("home", "chosen"))
        .await
        .unwrap();
}

fn numbered(versions: &[RuleVersion]) -> Vec<(i64, &str, bool)> {
    let told = versions.iter();
    told.map(|v| (v.version, v.comment.as_str(), v.deleted))
        .collect()
}

#[tokio::test]
async fn a_draft_waits_beside_what_is_in_force() {
    on_both("draft", async |engine| {
        window(&engine).await;
        let home = async || engine.home(&stranger()).await[0].clone();
        let created = engine
            .put_rule(rule("p", "", pin(1, &["b"])))
            .await
            .unwrap();
        assert_eq!(
            (created.version, created.state()),
            (1, RuleState::RulePublished)
        );
        let draft = engine.draft(rule("p", "", pin(1, &["c"]))).await.unwrap();
        assert_eq!((draft.version, draft.state()), (0, RuleState::RuleDraft));
        assert!(draft.has_draft);
        assert_eq!(home().await, "b");

        let held = engine.rule("p", false).await.unwrap();
        assert_eq!((&held.etag, held.has_draft), (&created.etag, true));
        assert_eq!(engine.rule("p", true).await.unwrap().etag, draft.etag);
        let differs = ["action.pin.item_ids: [\"b\"] -> [\"c\"]"];
        assert_eq!(engine.diff("p", 0, 0).await.unwrap(), differs);

        let published = engine.publish_rules(&["p"], "").await.unwrap();
        assert_eq!((published[0].version, published[0].has_draft), (2, false));
        assert_eq!(published[0].create_time, created.create_time);
        assert_eq!(home().await, "c");
        assert_eq!(reason(engine.diff("p", 0, 0).await), Reason::WrongState);
        assert_eq!(engine.diff("p", 1, 2).await.unwrap(), differs);

        // A draft that is dropped leaves no trace.
        engine.draft(rule("p", "", pin(1, &["a"]))).await.unwrap();
        engine.discard("p").await.unwrap();
        assert_eq!(reason(engine.discard("p").await), Reason::ResourceNotFound);
        assert_eq!(home().await, "c");
        let versions = engine.versions("p").await.unwrap();
        assert_eq!(
            numbered(&versions),
            [(2, "on with it", false), (1, "", false)]
        );
        assert!(
            versions
                .iter()
                .all(|v| v.publish_time.is_some() && v.rule.is_some())
        );
    })
    .await;
}

#[tokio::test]
async fn a_rule_may_be_nothing_but_a_draft() {
    on_both("only_draft", async |engine| {
        window(&engine).await;
        let mut client = engine.rules.clone();
        let create = CreateRuleRequest {
            rule: Some(rule("p", "", pin(1, &["b"]))),
            draft: true,
            ..Default::default()
        };
        client
            .create_rule(engine.request(create.clone()))
            .await
            .unwrap();
        assert_eq!(engine.home(&stranger()).await[0], "a");
        let again = client.create_rule(engine.request(create)).await;
        assert_eq!(reason(again), Reason::ResourceExists);
        let taken = engine.put_rule(rule("p", "", pin(1, &["c"]))).await;
        assert_eq!(reason(taken), Reason::ResourceExists);
        assert_eq!(
            reason(engine.rule("p", false).await),
            Reason::ResourceNotFound
        );
        assert_eq!(engine.rule("p", true).await.unwrap().rule_id, "p");
        let whole = engine.diff("p", 0, 0).await.unwrap();
        assert_eq!(
            whole,
            [
                "action.pin.position:  -> 1",
                "action.pin.item_ids:  -> [\"b\"]"
            ]
        );
        // Only the draft is edited, field by field.
        let update = UpdateRuleRequest {
            rule: Some(Rule {
                priority: 4,
                ..rule("p", "", pin(2, &["c"]))
            }),
            update_mask: Some(FieldMask {
                paths: vec!["priority".into()],
            }),
            draft: true,
            ..Default::default()
        };
        let updated = client
            .update_rule(engine.request(update.clone()))
            .await
            .unwrap();
        assert_eq!(
            updated.into_inner().action,
            rule("p", "", pin(1, &["b"])).action
        );
        let published = UpdateRuleRequest {
            draft: false,
            ..update
        };
        let missing = client.update_rule(engine.request(published)).await;
        assert_eq!(reason(missing), Reason::ResourceNotFound);
        engine.discard("p").await.unwrap();
        assert_eq!(
            reason(engine.rule("p", true).await),
            Reason::ResourceNotFound
        );
        assert_eq!(reason(engine.versions("p").await), Reason::ResourceNotFound);
    })
    .await;
}

#[tokio::test]
async fn drafts_are_published_together_or_not_at_all() {
    on_both("together", async |engine| {
        window(&engine).await;
        let tagged = |id: &str, position, item| Rule {
            tags: vec!["summer".into()],
            ..rule(id, "", pin(position, &[item]))
        };
        // Each by itself is fine; only in force they would contradict each other.
        for (id, position, item) in [("p", 1, "c"), ("q", 1, "b"), ("r", 2, "a")] {
            engine.draft(tagged(id, position, item)).await.unwrap();
        }
        let refused = engine.publish_rules(&[], "summer").await.unwrap_err();
        assert_eq!(fields(&refused), ["rules[\"q\"].action.pin.position"]);
        assert_eq!(engine.home(&stranger()).await, ["a", "b", "c"]);
        assert_eq!(engine.list(ListRulesRequest::default()).await.len(), 0);

        let refused = engine
            .publish_rules(&["p", "nope", "p"], "")
            .await
            .unwrap_err();
        assert_eq!(fields(&refused), ["rule_ids[1]", "rule_ids[2]"]);
        assert_eq!(
            fields(&engine.publish_rules(&[], "").await.unwrap_err()),
            ["rule_ids"]
        );
        assert_eq!(
            fields(&engine.publish_rules(&["p"], "x").await.unwrap_err()),
            ["tag"]
        );
        assert_eq!(engine.publish_rules(&[], "winter").await.unwrap(), []);

        let fixed = tagged("q", 3, "b");
        engine.draft(fixed).await.unwrap();
        let published = engine.publish_rules(&[], "summer").await.unwrap();
        assert_eq!(published.len(), 3);
        assert_eq!(engine.home(&stranger()).await, ["c", "a", "b"]);
        // Positions change hands in one step.
        engine.draft(tagged("p", 2, "c")).await.unwrap();
        engine.draft(tagged("r", 1, "a")).await.unwrap();
        let alone = engine.publish_rules(&["p"], "").await.unwrap_err();
        assert_eq!(fields(&alone), ["rules[\"p\"].action.pin.position"]);
        engine.publish_rules(&["p", "r"], "").await.unwrap();
        assert_eq!(engine.home(&stranger()).await, ["a", "c", "b"]);
    })
    .await;
}

#[tokio::test]
async fn an_earlier_version_comes_back_as_a_new_one() {
    on_both("rollback", async |engine| {
        window(&engine).await;
        let home = async || engine.home(&stranger()).await[0].clone();
        engine
            .put_rule(rule("p", "", pin(1, &["b"])))
            .await
            .unwrap();
        let update = UpdateRuleRequest {
            rule: Some(rule("p", "", pin(1, &["c"]))),
            ..Default::default()
        };
        let mut client = engine.rules.clone();
        let second = client
            .update_rule(engine.request(update.clone()))
            .await
            .unwrap();
        // The same again is no new version.
        let again = client.update_rule(engine.request(update)).await.unwrap();
        assert_eq!(
            (again.get_ref().version, again.get_ref()),
            (2, second.get_ref())
        );
        let stale = engine.rollback("p", 1, "stale").await;
        assert_eq!(reason(stale), Reason::EtagMismatch);
        let back = engine
            .rollback("p", 1, &second.get_ref().etag)
            .await
            .unwrap();
        assert_eq!((back.version, home().await), (3, "b".to_owned()));

        engine.remove("p").await.unwrap();
        assert_eq!(home().await, "a");
        assert_eq!(
            reason(engine.rule("p", true).await),
            Reason::ResourceNotFound
        );
        let versions = engine.versions("p").await.unwrap();
        let expected = [
            (4, "", true),
            (3, "back", false),
            (2, "", false),
            (1, "", false),
        ];
        assert_eq!(numbered(&versions), expected);
        for version in [0, 4, 5] {
            let refused = engine.rollback("p", version, "").await.unwrap_err();
            assert_eq!(fields(&refused), ["version"], "{version}");
        }
        let back = engine.rollback("p", 2, "").await.unwrap();
        assert_eq!((back.version, home().await), (5, "c".to_owned()));
        let gone = engine.diff("p", 2, 4).await.unwrap();
        assert_eq!(
            gone,
            [
                "action.pin.position: 1 -> ",
                "action.pin.item_ids: [\"c\"] -> "
            ]
        );
        // A rule made anew under the same id goes on counting.
        engine.remove("p").await.unwrap();
        let anew = engine
            .put_rule(rule("p", "", pin(1, &["b"])))
            .await
            .unwrap();
        assert_eq!(anew.version, 7);
    })
    .await;
}

#[tokio::test]
async fn rules_are_listed_by_tag_placement_and_draft() {
    on_both("lists", async |engine| {
        window(&engine).await;
        engine
            .put_placement(placement("basket", "chosen"))
            .await
            .unwrap();
        for (number, (tag, places)) in [("x", vec!["home"]), ("y", vec!["basket"]), ("x", vec![])]
            .into_iter()
            .enumerate()
        {
            let tagged = Rule {
                tags: vec![tag.into()],
                placements: places.into_iter().map(Into::into).collect(),
                ..rule(&format!("r{number}"), "", boost(2.0))
            };
            engine.put_rule(tagged).await.unwrap();
        }
        engine.draft(rule("r1", "", boost(3.0))).await.unwrap();
        engine.draft(rule("r9", "", boost(3.0))).await.unwrap();
        let check = async |tag: &str, placement: &str, drafts, expected: &[&str]| {
            let request = ListRulesRequest {
                page_size: 1,
                tag: tag.into(),
                placement: placement.into(),
                drafts,
                ..Default::default()
            };
            assert_eq!(engine.list(request).await, expected, "{tag} {placement}");
        };
        check("", "", false, &["r0", "r1", "r2"]).await;
        check("x", "", false, &["r0", "r2"]).await;
        check("", "basket", false, &["r1", "r2"]).await;
        check("x", "basket", false, &["r2"]).await;
        check("", "", true, &["r1", "r9"]).await;
        check("nope", "", true, &[]).await;
        // A token of another list is refused.
        let mut client = engine.rules.clone();
        let first = ListRulesRequest {
            page_size: 1,
            ..Default::default()
        };
        let page = client.list_rules(engine.request(first)).await.unwrap();
        let other = ListRulesRequest {
            page_token: page.into_inner().next_page_token,
            tag: "x".into(),
            ..Default::default()
        };
        let refused = client.list_rules(engine.request(other)).await.unwrap_err();
        assert_eq!(fields(&refused), ["page_token"]);
    })
    .await;
}

#[tokio::test]
async fn versions_come_in_pages() {
    on_both("pages", async |engine| {
        window(&engine).await;
        for factor in 2..12 {
            let update = UpdateRuleRequest {
                rule: Some(rule("r", "", boost(f64::from(factor)))),
                allow_missing: true,
                ..Default::default()
            };
            let mut client = engine.rules.clone();
            client.update_rule(engine.request(update)).await.unwrap();
        }
        let mut seen = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = engine.request(ListRuleVersionsRequest {
                rule_id: "r".into(),
                page_size: 4,
                page_token,
            });
            let page = engine
                .rules
                .clone()
                .list_rule_versions(request)
                .await
                .unwrap();
            let page = page.into_inner();
            seen.extend(page.versions.into_iter().map(|v| v.version));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        assert_eq!(seen, (1..=10).rev().collect::<Vec<_>>());
    })
    .await;
}

#[tokio::test]
async fn rules_survive_a_restart_and_reach_other_replicas() {
    on_both("again", async |engine| {
        window(&engine).await;
        engine
            .put_rule(rule("p", "", pin(1, &["b"])))
            .await
            .unwrap();
        engine.draft(rule("p", "", pin(1, &["c"]))).await.unwrap();
        if engine.system == "sqlite" {
            engine.stop().await;
        }
        let other = engine.replica().await;
        assert_eq!(other.home(&stranger()).await[0], "b");
        other.publish_rules(&["p"], "").await.unwrap();
        assert_eq!(other.home(&stranger()).await[0], "c");
        if engine.system == "sqlite" {
            return;
        }
        // The first process has not looked yet, and is not misled: it finds the pin
        // that the other one published.
        let overlapping = engine
            .put_rule(rule("q", "", pin(1, &["a"])))
            .await
            .unwrap_err();
        assert_eq!(fields(&overlapping), ["rule.action.pin.position"]);
        wait_until("it was seen", PATIENCE, || async {
            engine.home(&stranger()).await[0] == "c"
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn concurrent_edits_all_count() {
    on_both("concurrent", async |engine| {
        window(&engine).await;
        let saves = (0..40).map(|number| {
            let engine = engine.in_workspace("default");
            tokio::spawn(async move {
                // Half of them want the same position.
                let position = if number % 2 == 0 { 1 } else { number };
                let wanted = rule(&format!("r{number}"), "", pin(position, &["b"]));
                engine.put_rule(wanted).await.is_ok()
            })
        });
        let mut saved = 0;
        for save in saves.collect::<Vec<_>>() {
            saved += usize::from(save.await.unwrap());
        }
        // One of those for the first slot, and the nineteen others.
        assert_eq!(saved, 20);
        let listed = engine.list(ListRulesRequest::default()).await;
        assert_eq!(listed.len(), 20);
    })
    .await;
}

#[tokio::test]
async fn rules_of_before_versions_were_kept_are_their_own_first_version() {
    const FIRST: Migrations = Migrations::new(&[(
        "0001_rule_engine.sql",
        include_str!("../migrations/0001_rule_engine.sql"),
    )]);
    for test in test_database_urls("before").await {
        let database = Database::open(test.url(), &FIRST).await.unwrap();
        let old: Table<Rule> = Table::new(&database);
        let stored = old
            .create(&"default".into(), rule("p", "", boost(2.0)))
            .await;
        let stored = stored.unwrap();
        database.close().await;
        let logs = TestDatabase::sqlite("logs");
        let engine = Running::open(test.url(), test.system, Logs::open(&logs).await).await;
        let rule = engine.rule("p", false).await.unwrap();
        assert_eq!((rule.version, &rule.etag), (1, &stored.etag));
        assert_eq!(rule.create_time, stored.create_time);
        let versions = engine.versions("p").await.unwrap();
        assert_eq!(numbered(&versions), [(1, "", false)]);
        assert_eq!(versions[0].publish_time, stored.update_time);
    }
}
