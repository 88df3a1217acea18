//! Acknowledged means durable, for what people decide about themselves too: a withdrawn
//! consent, a merge, its undoing and an erasure are there after the power went, and what
//! was not acknowledged was done wholly or not at all.

use std::collections::BTreeSet;

use attune_e2e::{Api, Deployment, Topology, on_both_topologies, shop};
use attune_testkit::files_with;
use serde_json::json;

use crate::lives::{EVENTS, Life, Lives, SECRET, Step};

on_both_topologies!(what_people_decided_survives_power_cuts);

async fn what_people_decided_survives_power_cuts(topology: Topology) {
    const ROUNDS: usize = 3;
    const LIVES: usize = 24;
    let mut deployment = Deployment::start(topology).await;
    let api = deployment.api();
    let mut lives = Vec::new();
    for round in 0..ROUNDS {
        let running = Lives::start(&deployment, round);
        running.ended(LIVES).await;
        deployment.kill_all().await;
        lives.extend(running.stop().await);
        deployment.restart_all().await;
        // Those of the rounds before as well: what was carried on with must not undo it.
        for life in &lives {
            holds(&api, life).await;
        }
    }
    let broken = lives.iter().filter(|life| life.unknown.is_some()).count();
    assert!(broken > 0, "the power went while nobody did anything");
    let audit = api.get("/v1/audit:verify").await.ok();
    assert_eq!(audit["intact"], true, "{audit}");
    let found = files_with(deployment.directory(), SECRET.as_bytes());
    assert!(found.is_empty(), "{found:?}");
}

/// What is seen of the two people of a life.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    /// Whether anything is known by the user id, and what: events, whether the consent is
    /// withdrawn.
    people: [Option<(BTreeSet<String>, bool)>; 2],
    is_one: bool,
}

async fn holds(api: &Api, life: &Life) {
    let seen = look(api, life).await;
    let possible: Vec<_> = life.possible().iter().map(|s| expected(life, s)).collect();
    assert!(possible.contains(&seen), "{life:#?}: {seen:#?}");
    if life.acknowledged.last() == Some(&Step::Erase) {
        for id in life.erasure["profileIds"].as_array().unwrap() {
            let path = format!("/v1/profiles/{}", id.as_str().unwrap());
            assert_eq!(api.get(&path).await.status, 404, "{life:#?}");
        }
        let reason = json!({"reason": "once more"});
        let again = api.post(&life.erase_path(), reason).await.ok();
        assert_eq!(again, life.erasure, "the proof stands");
    }
}

async fn look(api: &Api, life: &Life) -> Seen {
    let mut ids = Vec::new();
    let mut people = [None, None];
    for (seen, user) in people.iter_mut().zip(life.users()) {
        let path = format!("/v1/profiles:lookup?namespace=user_id&value={user}");
        let found = api.get(&path).await;
        if found.status == 404 {
            continue;
        }
        let profile = found.ok();
        let id = profile["profileId"].as_str().unwrap().to_owned();
        let listed = shop::timeline(api, &id).await;
        let events: BTreeSet<_> = listed.iter().cloned().collect();
        assert_eq!(events.len(), listed.len(), "no event is stored twice");
        let consents = profile["consents"].as_array().into_iter().flatten();
        let mut decided = consents.filter(|c| c["purpose"] == "personalization");
        // As protobuf's JSON has it, what is false is left out.
        let is_withdrawn = decided.any(|c| c["granted"] != true);
        *seen = Some((events, is_withdrawn));
        ids.push(id);
    }
    let is_one = matches!(&ids[..], [a, b] if a == b);
    Seen { people, is_one }
}

/// After these steps, and no others.
fn expected(life: &Life, steps: &[Step]) -> Seen {
    let done = |step| steps.contains(&step);
    let was_one = done(Step::Merge) && !done(Step::Unmerge);
    let [a, b] = life.users().map(|user| {
        let ids = (0..EVENTS).map(|n| format!("{user}-{n}"));
        ids.collect::<BTreeSet<_>>()
    });
    // Of one person the stricter holds.
    let withdrawn = done(Step::Withdraw);
    let (a, b) = match was_one {
        true => (Some((&a | &b, withdrawn)), Some((&a | &b, withdrawn))),
        false => (Some((a, withdrawn)), Some((b, false))),
    };
    let people = match (done(Step::Import), done(Step::Erase)) {
        (false, _) => [None, None],
        (true, false) => [a, b],
        // With the second all that is one with it goes.
        (true, true) => [a.filter(|_| !was_one), None],
    };
    let is_one = was_one && !done(Step::Erase);
    Seen { people, is_one }
}
