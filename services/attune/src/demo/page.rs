//! Three front pages: asks for them as the shop's web site would, and turns the answers
//! into columns of words.

use std::time::{Duration, Instant};

use anyhow::Context;
use attune_api::{
    gateway::v1::{PersonalizeRequest, PersonalizedPlacement, PersonalizedSlot},
    rules::v1::{PlacementRequest, Reason, ReasonKind},
    r#type::v1::{Context as Situation, Subject, subject},
};

use super::{
    api::Api,
    shop::{Customer, Shop},
    table::{Column, Entry, Line},
};

/// How many items a front page has.
const SLOTS: i32 = 6;
/// The answers have settled when this many in a row are the same.
const SAME_IN_A_ROW: usize = 4;
const PAUSE: Duration = Duration::from_millis(25);
/// What was loaded is known to the rule engine within milliseconds; this is for a
/// machine that is busy with something else.
const SETTLE_MAX: Duration = Duration::from_secs(10);

/// Somebody on the front page, and what is there for them.
pub struct Visitor<'a> {
    customer: Option<&'a Customer>,
    page: PersonalizedPlacement,
}

/// Two customers with different lives, and somebody nobody has seen.
pub async fn visit<'a>(api: &Api, shop: &'a Shop) -> anyhow::Result<Vec<Visitor<'a>>> {
    let mut visitors = Vec::new();
    for user_id in [Some("mira"), Some("jonas"), None] {
        let customer = user_id.and_then(|id| shop.customer(id));
        let page = settled(api, customer).await?;
        visitors.push(Visitor { customer, page });
    }
    Ok(visitors)
}

/// Asks until the events that were just loaded have reached every model.
async fn settled(api: &Api, customer: Option<&Customer>) -> anyhow::Result<PersonalizedPlacement> {
    let started = Instant::now();
    let mut page = ask(api, customer).await?;
    let mut same = 1;
    while same < SAME_IN_A_ROW && started.elapsed() < SETTLE_MAX {
        tokio::time::sleep(PAUSE).await;
        let next = ask(api, customer).await?;
        let full = next.slots.len() == SLOTS as usize && !next.degraded;
        same = if full && item_ids(&next) == item_ids(&page) {
            same + 1
        } else {
            1
        };
        page = next;
    }
    Ok(page)
}

async fn ask(api: &Api, customer: Option<&Customer>) -> anyhow::Result<PersonalizedPlacement> {
    let id = match customer {
        Some(customer) => subject::Id::UserId(customer.user_id.clone()),
        None => subject::Id::AnonymousId("a-stranger".to_owned()),
    };
    let request = PersonalizeRequest {
        subject: Some(Subject { id: Some(id) }),
        channel: "web".into(),
        placements: vec![PlacementRequest {
            placement: "home".into(),
            count: SLOTS,
            ..Default::default()
        }],
        context: Some(Situation {
            locale: "en".into(),
            ..Default::default()
        }),
        preview: true,
        // Nobody needs a second rope of the same kind on the front page.
        exclude_item_ids: customer.map(bought).unwrap_or_default(),
        ..Default::default()
    };
    let answer = api.personalization.clone().personalize(request).await;
    let answer = answer.context("the front page")?.into_inner();
    let page = answer.placements.into_iter().next();
    page.context("the answer has no front page")
}

fn bought(customer: &Customer) -> Vec<String> {
    let orders = customer.events.iter();
    let orders = orders.filter(|event| event.event == "Order Completed");
    orders.flat_map(|order| order.items.clone()).collect()
}

fn item_ids(page: &PersonalizedPlacement) -> Vec<&str> {
    let items = page.slots.iter().filter_map(|slot| slot.item.as_ref());
    items.map(|item| item.item_id.as_str()).collect()
}

/// One column for each visitor.
pub fn columns(visitors: &[Visitor<'_>]) -> Vec<Column> {
    visitors.iter().map(column).collect()
}

fn column(visitor: &Visitor<'_>) -> Column {
    let (title, subtitle) = match visitor.customer {
        Some(customer) => known(customer),
        None => (
            "A stranger".to_owned(),
            vec!["nothing known".to_owned(), "no events".to_owned()],
        ),
    };
    Column {
        title,
        subtitle,
        entries: visitor.page.slots.iter().map(entry).collect(),
    }
}

fn known(customer: &Customer) -> (String, Vec<String>) {
    let text = |name: &str| {
        let value = customer.traits.get(name).and_then(|it| it.as_str());
        value.unwrap_or_default().replace('_', " ")
    };
    let member = customer.traits.get("member").and_then(|it| it.as_bool());
    let member = if member == Some(true) {
        ", club member"
    } else {
        ""
    };
    (
        format!("{} {}", text("first_name"), text("last_name")),
        vec![
            format!("{} ({}){member}", text("city"), text("country")),
            format!(
                "likes {}, {} events",
                text("favourite_activity"),
                customer.events.len()
            ),
        ],
    )
}

fn entry(slot: &PersonalizedSlot) -> Entry {
    let item = slot.item.clone().unwrap_or_default();
    let title = item.title.get("").cloned().unwrap_or(item.item_id);
    let aside = match &item.price {
        Some(price) => format!("{:.2} {}", price.amount, price.currency_code),
        None => "to read".to_owned(),
    };
    Entry {
        title,
        aside,
        lines: lines(&slot.reasons),
    }
}

/// The strongest reason, and beside it the strongest rule, or else the runner-up.
fn lines(reasons: &[Reason]) -> Vec<Line> {
    let Some((first, rest)) = reasons.split_first() else {
        return Vec::new();
    };
    let rule = rest.iter().find(|it| it.kind() == ReasonKind::Rule);
    let beside = rule.or(rest.first()).map(line);
    let first = line(first);
    let beside = beside.filter(|beside| *beside != first);
    std::iter::once(first).chain(beside).collect()
}

fn line(reason: &Reason) -> Line {
    match reason.kind() {
        ReasonKind::Rule if reason.weight > 1.0 => {
            Line::Rule(format!("{} (x {:.1})", reason.text, reason.weight))
        }
        ReasonKind::Rule => Line::Rule(reason.text.clone()),
        _ => Line::Reason(reason.text.clone()),
    }
}
