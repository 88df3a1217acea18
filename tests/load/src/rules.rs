//! The placement, strategy and rules under load: a home page as a merchandiser
//! would set it up.

use anyhow::Result;
use attune_api::rules::v1::{
    Action, Boost, Bury, Diversity, Placement, Rule, Source, SourceKind, Strategy,
    UpdatePlacementRequest, UpdateRuleRequest, UpdateStrategyRequest, action,
    rule_service_client::RuleServiceClient,
};

use crate::{server::Server, shop::connect};

/// Creates or replaces placement `home`, its strategy and twenty rules.
pub async fn home(server: &Server) -> Result<()> {
    let mut client = RuleServiceClient::new(connect(server).await?);
    let strategy = UpdateStrategyRequest {
        strategy: Some(home_strategy()),
        allow_missing: true,
        ..Default::default()
    };
    client.update_strategy(strategy).await?;
    let placement = UpdatePlacementRequest {
        placement: Some(Placement {
            placement_id: "home".into(),
            strategy: "home".into(),
            ..Default::default()
        }),
        allow_missing: true,
        ..Default::default()
    };
    client.update_placement(placement).await?;
    for n in 0..20 {
        let rule = UpdateRuleRequest {
            rule: Some(rule(n)),
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

/// Half of them hold for about a sixth of the customers each.
fn rule(n: usize) -> Rule {
    let ages = ["19-24", "25-34", "35-44", "45-54", "55-64", "65+"];
    let factor = 1.1 + n as f64 / 20.0;
    let kind = if n.is_multiple_of(2) {
        action::Kind::Boost(Boost { factor })
    } else {
        action::Kind::Bury(Bury { factor })
    };
    Rule {
        rule_id: format!("rule-{n}"),
        when: format!(
            "profile.age == \"{}\" && context.locale == \"en-GB\"",
            ages[n % 6]
        ),
        r#where: format!("item.brand == \"Private\" && item.price < {}.0", 5 + n),
        action: Some(Action { kind: Some(kind) }),
        ..Default::default()
    }
}
