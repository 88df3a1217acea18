//! The placement, strategy and rules under load: a home page as a merchandiser
//! would set it up.

use anyhow::Result;
use attune_api::rules::v1::{
    Action, Boost, Bury, Diversity, Placement, Rule, Source, SourceKind, Strategy,
    UpdatePlacementRequest, UpdateRuleRequest, UpdateStrategyRequest, action,
    rule_service_client::RuleServiceClient,
};

use crate::{server::Server, shop::connect};

/// Creates or replaces these placements with one strategy, and `rules`.
pub async fn put(server: &Server, placements: &[&str], rules: Vec<Rule>) -> Result<()> {
    let mut client = RuleServiceClient::new(connect(server).await?);
    let strategy = UpdateStrategyRequest {
        strategy: Some(home_strategy()),
        allow_missing: true,
        ..Default::default()
    };
    client.update_strategy(strategy).await?;
    for id in placements {
        let placement = UpdatePlacementRequest {
            placement: Some(Placement {
                placement_id: (*id).into(),
                strategy: "home".into(),
                ..Default::default()
            }),
            allow_missing: true,
            ..Default::default()
        };
        client.update_placement(placement).await?;
    }
    for rule in rules {
        let rule = UpdateRuleRequest {
            rule: Some(rule),
            allow_missing: true,
            ..Default::default()
        };
        client.update_rule(rule).await?;
    }
    Ok(())
}

fn home_strategy() -> Strategy {
    let kinds = [
        (SourceKind::Popular, 1.0),
        (SourceKind::Trending, 0.5),
        (SourceKind::RecentlyViewed, 0.6),
        (SourceKind::AlsoBought, 1.0),
        (SourceKind::Similar, 0.8),
        (SourceKind::New, 0.2),
    ];
    Strategy {
        strategy_id: "home".into(),
        sources: kinds
            .map(|(kind, weight)| Source {
                kind: kind.into(),
                weight,
                params: None,
            })
            .to_vec(),
        diversity: Some(Diversity {
            category_max: 3,
            ..Default::default()
        }),
        ..Default::default()
    }
}

const AGES: [&str; 6] = ["19-24", "25-34", "35-44", "45-54", "55-64", "65+"];
const INCOMES: [&str; 5] = ["Under 15K", "15-24K", "25-34K", "35-49K", "50-74K"];

/// Twenty, each of which holds for about a sixth of the customers.
pub fn few_rules() -> Vec<Rule> {
    let rule = |n: usize| {
        let when = format!(
            "profile.age == \"{}\" && context.locale == \"en-GB\"",
            AGES[n % 6]
        );
        let r#where = format!("item.brand == \"Private\" && item.price < {}.0", 5 + n);
        rule(n, when, r#where, 1.1 + n as f64 / 20.0)
    };
    (0..20).map(rule).collect()
}

pub const MANY_RULES: usize = 1_000;

/// As many, no two with the same condition, of which about 0.6 % hold for a customer.
pub fn many_rules() -> Vec<Rule> {
    let rule = |n: usize| {
        // Every combination comes once: six ages, five incomes, five sizes, four kids
        // and two devices make 1,200.
        let when = format!(
            "profile.age == \"{}\" && profile.income == \"{}\" \
             && profile.household_size >= {} && profile.kids_count <= {} \
             && context.device.type == \"{}\"",
            AGES[n % 6],
            INCOMES[n / 6 % 5],
            n / 30 % 5 + 1,
            n / 150 % 4,
            ["phone", "desktop"][n / 600 % 2],
        );
        let brand = ["National", "Private"][n % 2];
        let price = 1.0 + n as f64 * 0.03;
        let r#where = format!("item.brand == \"{brand}\" && item.price < {price:.2}");
        rule(n, when, r#where, 1.1 + (n % 20) as f64 / 20.0)
    };
    (0..MANY_RULES).map(rule).collect()
}

/// A boost or, every second time, a bury.
fn rule(n: usize, when: String, r#where: String, factor: f64) -> Rule {
    let kind = if n.is_multiple_of(2) {
        action::Kind::Boost(Boost { factor })
    } else {
        action::Kind::Bury(Bury { factor })
    };
    Rule {
        rule_id: format!("rule-{n}"),
        when,
        r#where,
        action: Some(Action { kind: Some(kind) }),
        ..Default::default()
    }
}
