//! Who is who: identifiers and their rules, what one person may come to, devices that
//! many use, and merges that are recorded and can be undone. Through the real client, on
//! SQLite and PostgreSQL.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::{collections::BTreeSet, time::Duration};

use attune_api::{
    profile::v1::{
        ListMergesRequest, LookupProfileRequest, Merge, MergeProfilesRequest, SetConsentRequest,
        UnmergeProfilesRequest,
    },
    r#type::v1::subject::Id,
};
use attune_errors::{Reason, metadata_of, reason_of, violations_of};
use attune_profile::Config;
use attune_testkit::wait_until;
use serde_json::json;
use support::*;
use tonic::Status;

async fn merge(shop: &Running, one: &str, other: &str) -> Result<Merge, Status> {
    let request = shop.request(MergeProfilesRequest {
        profile_id: one.into(),
        other_profile_id: other.into(),
        reason: "called us".into(),
    });
    let answer = shop.privacy.clone().merge_profiles(request).await?;
    Ok(answer.into_inner())
}

/// The ids of the one that stayed and of the other.
async fn unmerge(shop: &Running, merge_id: &str) -> Result<Vec<String>, Status> {
    let request = shop.request(UnmergeProfilesRequest {
        merge_id: merge_id.into(),
        reason: "two sisters".into(),
        ..UnmergeProfilesRequest::default()
    });
    let answer = shop.privacy.clone().unmerge_profiles(request).await?;
    let profiles = answer.into_inner().profiles.into_iter();
    Ok(profiles.map(|profile| profile.profile_id).collect())
}

/// The newest first, by pages of one.
async fn merges(shop: &Running, profile_id: &str) -> Vec<Merge> {
    let mut all = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = shop.request(ListMergesRequest {
            profile_id: profile_id.into(),
            page_size: 1,
            page_token,
        });
        let page = shop.privacy.clone().list_merges(request).await.unwrap();
        let page = page.into_inner();
        all.extend(page.merges);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return all;
        }
    }
}

async fn identities(shop: &Running, profile_id: &str) -> BTreeSet<String> {
    let profile = shop.profile(profile_id).await.unwrap();
    let held = profile.identities.into_iter();
    held.map(|i| format!("{}:{}", i.namespace, i.value))
        .collect()
}

async fn consent(shop: &Running, profile_id: &str, granted: bool) {
    let request = shop.request(SetConsentRequest {
        profile_id: profile_id.into(),
        purpose: "analytics".into(),
        granted,
        ..SetConsentRequest::default()
    });
    shop.client.clone().set_consent(request).await.unwrap();
}

fn fields(status: Status) -> Vec<String> {
    violations_of(&status).into_iter().map(|v| v.0).collect()
}

#[tokio::test]
async fn one_spelling_of_an_identifier_finds_what_another_brought() {
    on_both("spelling", async |shop| {
        let rows = [
            ("email", "Ann@BÜCHER.example", "ann@xn--bcher-kva.example"),
            ("phone", "+43 664 123 45 67", "+43(664)1234567"),
            (
                "device",
                "6D92078A82464BA4AE5B76104861E7DC",
                "6d92078a-8246-4ba4-ae5b-76104861e7dc",
            ),
            ("social_mastodon", "@Ann", "ann"),
        ];
        for (index, (namespace, sent, asked)) in rows.into_iter().enumerate() {
            let who = format!("{namespace}:{sent}");
            let id = shop
                .one(view(&format!("m{index}"), &[&who], 0, "tent"))
                .await;
            let request = shop.request(LookupProfileRequest {
                namespace: namespace.into(),
                value: asked.into(),
            });
            let found = shop.client.clone().lookup_profile(request).await.unwrap();
            assert_eq!(found.into_inner().profile_id, id, "{namespace}");
        }
        let status = shop
            .try_send(vec![view(
                "x",
                &["household:1", "phone:0664 1234567"],
                0,
                "tent",
            )])
            .await;
        assert_eq!(
            fields(status.unwrap_err()),
            [
                "messages[0].identities[0].namespace",
                "messages[0].identities[1].value"
            ]
        );
    })
    .await;
}

#[tokio::test]
async fn a_value_that_is_sent_for_many_names_nobody() {
    on_both("blocked", async |shop| {
        let ann = shop
            .one(view("m1", &["u:ann", "a:undefined"], 0, "tent"))
            .await;
        let bob = shop
            .one(view("m2", &["u:bob", "a:undefined"], 0, "mat"))
            .await;
        assert_ne!(ann, bob);
        assert_eq!(identities(&shop, &bob).await, ["user_id:bob".into()].into());
        let status = shop
            .try_send(vec![
                view("m3", &["a:NULL", "u:0"], 0, "cup"),
                alias("m4", &["u:ann"], "a:unknown"),
            ])
            .await;
        assert_eq!(
            fields(status.unwrap_err()),
            [
                "messages[0].identities[0].value",
                "messages[0].identities[1].value",
                "messages[1].alias.previous.value"
            ]
        );
        // Asking about one is asking about nobody.
        assert!(shop.snapshot(anonymous("undefined")).await.is_none());
    })
    .await;
}

#[tokio::test]
async fn what_goes_beyond_a_persons_bounds_is_not_joined_and_is_told_once() {
    let mut config = Config::default();
    config.identity.profiles_max = 3;
    config.identity.identities_max = 5;
    config.identity.namespace_identities_max = 3;
    on_both_with("bounds", config, async |shop| {
        for i in 0..5 {
            let device = format!("a:d{i}");
            shop.one(view(&format!("v{i}"), &[&device], i, "tent"))
                .await;
        }
        let ann = shop.one(view("u", &["u:ann"], 10, "mat")).await;
        for i in 0..5 {
            // Three profiles at most are one person: the customer's, and two devices'.
            for again in 0..2 {
                let (id, device) = (format!("b{i}.{again}"), format!("a:d{i}"));
                let went = shop
                    .one(view(&id, &["u:ann", &device], 20 + i, "cup"))
                    .await;
                let ours = shop.snapshot(user("ann")).await.unwrap().profile_id;
                assert_eq!(went, ours);
            }
        }
        let held = identities(&shop, &ann).await;
        assert_eq!(held.len(), 3, "{held:?}");
        let recorded = merges(&shop, &ann).await;
        let refused = recorded.iter().filter(|m| m.refused);
        assert_eq!((recorded.len(), refused.count()), (5, 3));
        // Three devices in one namespace, and no fourth.
        let living = shop.snapshot(user("ann")).await.unwrap().profile_id;
        shop.one(view("c1", &["u:ann", "a:x"], 40, "map")).await;
        let kept = shop.one(view("c2", &["u:ann", "a:y"], 41, "map")).await;
        assert_eq!(kept, living);
        assert!(shop.snapshot(anonymous("x")).await.is_some());
        assert!(shop.snapshot(anonymous("y")).await.is_none());
        // Who says so expressly is told why not.
        let status = shop
            .try_send(vec![
                view("e1", &["u:ann"], 50, "rope"),
                alias("e2", &["u:ann"], "a:d4"),
                alias("e3", &["u:ann"], "a:z"),
            ])
            .await
            .unwrap_err();
        assert_eq!(
            fields(status),
            ["messages[1].alias.previous", "messages[2].alias.previous"]
        );
        // Nothing of the refused request was written.
        assert!(!shop.timeline(&ann).await.contains(&"e1".to_owned()));
        let other = shop.snapshot(anonymous("d4")).await.unwrap().profile_id;
        let status = merge(&shop, &ann, &other).await.unwrap_err();
        assert_eq!(fields(status), ["other_profile_id"]);
    })
    .await;
}

#[tokio::test]
async fn a_device_of_several_customers_is_nobodys() {
    on_both("shared", async |shop| {
        let ann = shop.one(view("m1", &["u:ann", "a:kiosk"], 1, "tent")).await;
        shop.one(view("m2", &["u:bob", "a:kiosk"], 2, "mat")).await;
        // Twice the same customer is one.
        shop.one(view("m3", &["u:bob", "a:kiosk"], 3, "mat")).await;
        assert_eq!(shop.one(view("m4", &["a:kiosk"], 4, "cup")).await, ann);
        shop.one(view("m5", &["u:cyd", "a:kiosk"], 5, "map")).await;
        let kiosk = shop.one(view("m6", &["a:kiosk"], 6, "rope")).await;
        let seen = shop.snapshot(anonymous("kiosk")).await.unwrap();
        assert_eq!(
            (seen.profile_id.as_str(), items_of(&seen)),
            (&*kiosk, vec!["rope".into()])
        );
        assert_eq!(shop.timeline(&ann).await, ["m4", "m1"]);
        assert_eq!(identities(&shop, &ann).await, ["user_id:ann".into()].into());
        let recorded = merges(&shop, &ann).await;
        assert!(recorded[0].refused && recorded[0].merged_profile_id == kiosk);
        // It joins nobody any more, whoever names it.
        for (id, who) in [("m7", "u:dan"), ("m8", "u:ann"), ("m9", "email:e@x.org")] {
            let went = shop.one(view(id, &[who, "a:kiosk"], 7, "tent")).await;
            assert_ne!(went, kiosk);
        }
        assert_eq!(shop.one(view("m10", &["a:kiosk"], 8, "cup")).await, kiosk);
        let status = shop
            .try_send(vec![alias("m11", &["u:ann"], "a:kiosk")])
            .await;
        assert_eq!(fields(status.unwrap_err()), ["messages[0].alias.previous"]);
        assert!(merge(&shop, &ann, &kiosk).await.is_err());
    })
    .await;
}

#[tokio::test]
async fn undoing_a_merge_restores_both_sides() {
    on_both("unmerge", async |shop| {
        let phone = shop.one(view("m1", &["a:phone"], 1, "tent")).await;
        shop.one(identify("m2", &["a:phone"], 2, json!({"city": "Wien"})))
            .await;
        let ann = shop
            .one(identify(
                "m3",
                &["u:ann"],
                3,
                json!({"name": "Ann", "city": "Graz"}),
            ))
            .await;
        shop.one(view("m4", &["u:ann"], 4, "mat")).await;
        consent(&shop, &phone, true).await;
        consent(&shop, &ann, false).await;
        let mut before = Vec::new();
        for id in [&phone, &ann] {
            before.push(shop.profile(id).await.unwrap());
        }
        // A message joins them, and more comes after.
        let both = shop.one(view("m5", &["u:ann", "a:phone"], 5, "lamp")).await;
        assert_eq!(both, phone);
        assert!(!shop.profile(&both).await.unwrap().consents[0].granted);
        shop.one(view("m6", &["a:phone"], 6, "cup")).await;
        shop.one(identify("m7", &["u:ann"], 7, json!({"plan": "pro"})))
            .await;
        shop.one(view("m8", &["u:ann", "a:new"], 8, "rope")).await;
        let [made] = &merges(&shop, &ann).await[..] else {
            panic!("one merge")
        };
        assert_eq!((&made.profile_id, &made.merged_profile_id), (&phone, &ann));
        assert!(made.evidence.contains("m5") && made.evidence.contains("user_id:ann"));
        let parted = unmerge(&shop, &made.merge_id).await.unwrap();
        assert_eq!(parted, [phone.clone(), ann.clone()]);
        // What came after stays with the identifier it came by.
        for (id, timeline, held, traits) in [
            (
                &phone,
                vec!["m6", "m1"],
                vec!["anonymous_id:phone"],
                json!({"city": "Wien"}),
            ),
            (
                &ann,
                vec!["m8", "m5", "m4"],
                vec!["anonymous_id:new", "user_id:ann"],
                json!({"city": "Graz", "name": "Ann", "plan": "pro"}),
            ),
        ] {
            assert_eq!(shop.timeline(id).await, timeline, "{}", shop.system);
            let held: BTreeSet<_> = held.into_iter().map(str::to_owned).collect();
            assert_eq!(identities(&shop, id).await, held);
            let seen = shop.snapshot(Id::ProfileId(id.clone())).await.unwrap();
            assert_eq!(traits_of(&seen), traits);
        }
        let mut after = Vec::new();
        for id in [&phone, &ann] {
            after.push(shop.profile(id).await.unwrap());
        }
        for (before, after) in before.iter().zip(&after) {
            assert_eq!(before.consents, after.consents);
            assert_eq!(before.create_time, after.create_time);
        }
        let seen = shop.snapshot(user("ann")).await.unwrap();
        assert_eq!(items_of(&seen), ["rope", "lamp", "mat"]);
        // Named together again they stay apart, which is recorded.
        let went = shop.one(view("m9", &["u:ann", "a:phone"], 9, "map")).await;
        assert_eq!(went, ann);
        assert_eq!(shop.one(view("m10", &["a:phone"], 10, "map")).await, phone);
        let recorded = merges(&shop, &phone).await;
        let states: Vec<_> = recorded.iter().map(|m| (m.undone, m.refused)).collect();
        assert_eq!(states, [(false, true), (true, false)]);
        assert!(recorded[1].evidence.contains("two sisters"));
        let status = unmerge(&shop, &made.merge_id).await.unwrap_err();
        assert_eq!(reason_of(&status), Some(Reason::WrongState));
        let status = unmerge(&shop, &recorded[0].merge_id).await.unwrap_err();
        assert_eq!(reason_of(&status), Some(Reason::WrongState));
        let status = unmerge(&shop, "what").await.unwrap_err();
        assert_eq!(reason_of(&status), Some(Reason::ResourceNotFound));
        // Until somebody says so expressly.
        shop.one(alias("m11", &["u:ann"], "a:phone")).await;
        assert_eq!(shop.timeline(&ann).await.len(), 7);
        let again = &merges(&shop, &ann).await[0];
        unmerge(&shop, &again.merge_id).await.unwrap();
        let made = merge(&shop, &ann, &phone).await.unwrap();
        assert_eq!((made.profile_id, made.refused), (phone.clone(), false));
        let status = merge(&shop, &ann, &phone).await.unwrap_err();
        assert_eq!(fields(status), ["other_profile_id"]);
        assert_eq!(shop.one(view("m12", &["u:ann"], 12, "x")).await, phone);
    })
    .await;
}

#[tokio::test]
async fn any_merge_of_a_chain_can_be_undone() {
    on_both("chain", async |shop| {
        let mut ids = Vec::new();
        for i in 0..4 {
            let who = format!("u:u{i}");
            ids.push(shop.one(view(&format!("m{i}"), &[&who], i, "tent")).await);
        }
        // 3 joins 2, 2 joins 1, 1 joins 0.
        let mut made = Vec::new();
        for i in (0..3).rev() {
            made.push(merge(&shop, &ids[i + 1], &ids[i]).await.unwrap());
        }
        assert_eq!(shop.timeline(&ids[3]).await, ["m3", "m2", "m1", "m0"]);
        // The middle one: what was joined to the other side goes with it.
        let parted = unmerge(&shop, &made[1].merge_id).await.unwrap();
        assert_eq!(parted, [ids[0].clone(), ids[2].clone()]);
        assert_eq!(shop.timeline(&ids[3]).await, ["m3", "m2"]);
        assert_eq!(shop.timeline(&ids[1]).await, ["m1", "m0"]);
        let seen = shop.snapshot(user("u3")).await.unwrap();
        assert_eq!(seen.profile_id, ids[2]);
        unmerge(&shop, &made[0].merge_id).await.unwrap();
        unmerge(&shop, &made[2].merge_id).await.unwrap();
        for (i, id) in ids.iter().enumerate() {
            assert_eq!(shop.timeline(id).await, [format!("m{i}")]);
            let seen = shop.snapshot(user(&format!("u{i}"))).await.unwrap();
            assert_eq!(&seen.profile_id, id);
        }
    })
    .await;
}

#[tokio::test]
async fn what_hangs_on_a_side_goes_with_it_whoever_lived_when_it_came() {
    on_both("hangs", async |shop| {
        let [ann, card, mail] = ["u:ann", "loyalty_card:7", "email:ann@shop.example"];
        let mut ids = Vec::new();
        for (i, who) in (0..).zip([ann, card, mail]) {
            ids.push(shop.one(view(&format!("m{i}"), &[who], i, "tent")).await);
        }
        shop.one(view("both", &[ann, card], 10, "mat")).await;
        // To whoever lives: but it was the card that the address was named with.
        shop.one(view("paid", &[card, mail], 11, "mat")).await;
        let [second, first] = &merges(&shop, &ids[0]).await[..] else {
            panic!("two merges")
        };
        assert_eq!(second.profile_id, ids[0]);
        assert_eq!(second.between_profile_ids, ids[1..]);
        let parted = unmerge(&shop, &first.merge_id).await.unwrap();
        assert_eq!(parted, ids[..2]);
        assert_eq!(shop.timeline(&ids[2]).await, ["paid", "m2", "m1"]);
        assert_eq!(shop.timeline(&ids[0]).await, ["both", "m0"]);
        // Each side lists what is about it.
        let of_ann = merges(&shop, &ids[0]).await;
        assert_eq!(of_ann.len(), 1);
        assert_eq!(merges(&shop, &ids[1]).await.len(), 2);
        // The two who were parted are kept apart, whoever they are part of.
        assert_eq!(shop.one(view("x", &[ann, mail], 12, "cup")).await, ids[0]);
        assert_eq!(merges(&shop, &ids[0]).await.len(), 2);
    })
    .await;
}

#[tokio::test]
async fn what_was_seen_together_stays_together_until_all_that_says_so_is_undone() {
    on_both("together", async |shop| {
        let who = ["u:ann", "loyalty_card:7", "email:ann@shop.example"];
        let [ann, card, mail] = who;
        let mut ids = Vec::new();
        for (i, who) in (0..).zip(who) {
            ids.push(shop.one(view(&format!("m{i}"), &[who], i, "tent")).await);
        }
        // All in one request, and each more than once.
        let named = [[ann, card], [card, mail], [ann, mail]].into_iter().cycle();
        let messages = (0..).zip(named).take(9);
        let messages = messages.map(|(i, named)| view(&format!("n{i}"), &named, 10 + i, "mat"));
        shop.send(messages.collect()).await;
        shop.one(view("again", &[ann, mail], 20, "mat")).await;
        let recorded = merges(&shop, &ids[0]).await;
        let confirms: Vec<_> = recorded.iter().map(|merge| merge.confirms).collect();
        assert_eq!(confirms, [true, false, false]);
        assert!(recorded[0].evidence.contains("one person already"));
        let [third, second, first] = [0, 1, 2].map(|i| recorded[i].merge_id.as_str());
        let refused = unmerge(&shop, first).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
        assert_eq!(reason_of(&refused), Some(Reason::StillJoined));
        let by = metadata_of(&refused, "merge_ids").unwrap();
        assert_eq!(by, format!("{third},{second}"));
        assert_eq!(shop.timeline(&ids[1]).await.len(), 13);
        let together = async |merge_id: &str, with: &[&str]| {
            let request = shop.request(UnmergeProfilesRequest {
                merge_id: merge_id.into(),
                with_merge_ids: with.iter().map(ToString::to_string).collect(),
                ..UnmergeProfilesRequest::default()
            });
            let answer = shop.privacy.clone().unmerge_profiles(request).await?;
            let profiles = answer.into_inner().profiles.into_iter();
            Ok::<_, Status>(profiles.map(|p| p.profile_id).collect::<Vec<_>>())
        };
        let bob = shop.one(view("bob", &["u:bob"], 30, "cup")).await;
        let dan = shop.one(view("dan", &["a:dan"], 31, "cup")).await;
        let other = merge(&shop, &bob, &dan).await.unwrap().merge_id;
        let refused = together(first, &[&other, second, first]).await.unwrap_err();
        assert_eq!(fields(refused), ["with_merge_ids[0]"]);
        let refused = together(first, &[""]).await.unwrap_err();
        assert_eq!(fields(refused), ["with_merge_ids[0]"]);
        assert_eq!(together(first, &[third]).await.unwrap(), ids[..2]);
        assert_eq!(shop.timeline(&ids[0]).await.len(), 8);
        unmerge(&shop, second).await.unwrap();
        for (id, count) in ids.iter().zip([8, 4, 1]) {
            assert_eq!(shop.timeline(id).await.len(), count);
        }
    })
    .await;
}

#[tokio::test]
async fn the_bound_of_a_namespace_holds_also_within_a_request_and_for_merges() {
    let mut config = Config::default();
    config.identity.namespace_identities_max = 3;
    on_both_with("namespace", config, async |shop| {
        let held = async |who: &str| {
            let living = shop.snapshot(user(who)).await.unwrap().profile_id;
            let held = identities(&shop, &living).await.into_iter();
            held.filter(|i| i.starts_with("anonymous_id:")).count()
        };
        let linked = |who: &str, from: usize, to: usize| {
            let messages = (from..to).map(|i| {
                let (id, device) = (format!("{who}{i}"), format!("a:{who}{i}"));
                view(&id, &[&format!("u:{who}"), &device], 0, "tent")
            });
            messages.collect::<Vec<_>>()
        };
        // Somebody new, somebody known, and several who come together, each in one request.
        shop.send(linked("ann", 0, 6)).await;
        assert_eq!(held("ann").await, 3);
        shop.send(linked("bob", 0, 2)).await;
        shop.send(linked("bob", 2, 6)).await;
        assert_eq!(held("bob").await, 3);
        let status = merge(
            &shop,
            &shop.snapshot(user("ann")).await.unwrap().profile_id,
            &{ shop.snapshot(user("bob")).await.unwrap().profile_id },
        )
        .await
        .unwrap_err();
        assert_eq!(fields(status), ["other_profile_id"]);
        let mut messages: Vec<_> = (0..3)
            .map(|i| {
                view(
                    &format!("d{i}"),
                    &[&format!("a:d{i}"), "email:e@shop.example"],
                    0,
                    "x",
                )
            })
            .collect();
        messages.extend(linked("eve", 0, 2));
        messages.push(view("last", &["u:eve", "email:e@shop.example"], 0, "x"));
        shop.send(messages).await;
        assert_eq!(held("eve").await, 2);
        let refused = merges(&shop, &shop.snapshot(user("eve")).await.unwrap().profile_id).await;
        assert!(refused[0].refused && refused[0].evidence.contains("more identifiers"));
    })
    .await;
}

#[tokio::test]
async fn replicas_hear_of_merges_that_were_undone() {
    let postgres = databases("parted_replicas").await.into_iter();
    let postgres = postgres.last().unwrap();
    let one = Running::open(postgres.url(), "postgres", Config::default()).await;
    let two = Running::open(postgres.url(), "postgres", Config::default()).await;
    let phone = one.one(view("m1", &["a:phone"], 1, "tent")).await;
    let ann = one.one(view("m2", &["u:ann"], 2, "mat")).await;
    let made = merge(&one, &ann, &phone).await.unwrap();
    wait_until("the merge", Duration::from_secs(10), async || {
        two.snapshot(user("ann")).await.unwrap().profile_id == phone
    })
    .await;
    unmerge(&one, &made.merge_id).await.unwrap();
    // A writer knows at once, and a reader as soon as the log says so.
    assert_eq!(two.one(view("m3", &["u:ann"], 3, "cup")).await, ann);
    wait_until("the unmerge", Duration::from_secs(10), async || {
        items_of(&two.snapshot(user("ann")).await.unwrap()) == ["cup", "mat"]
    })
    .await;
    assert_eq!(two.timeline(&phone).await, ["m1"]);
}

#[tokio::test]
async fn overlapping_identities_from_two_processes_end_in_one_person() {
    let postgres = databases("race_replicas").await.into_iter();
    let postgres = postgres.last().unwrap();
    let one = Running::open(postgres.url(), "postgres", Config::default()).await;
    let two = Running::open(postgres.url(), "postgres", Config::default()).await;
    let sent = (0..24).map(|i| {
        let shop = if i % 2 == 0 { &one } else { &two };
        let (a, b) = (format!("a:d{}", i % 8), format!("a:d{}", (i + 1) % 8));
        async move { shop.one(alias(&format!("m{i}"), &[&a], &b)).await }
    });
    futures::future::join_all(sent).await;
    let mut ids = BTreeSet::new();
    for i in 0..8 {
        let request = one.request(LookupProfileRequest {
            namespace: "anonymous_id".into(),
            value: format!("d{i}"),
        });
        let found = one.client.clone().lookup_profile(request).await.unwrap();
        ids.insert(found.into_inner().profile_id);
    }
    assert_eq!(ids.len(), 1);
    let recorded = merges(&two, ids.first().unwrap()).await;
    assert!(recorded.iter().all(|m| !m.refused && !m.undone));
}
