//! What a strategy's scorer adds to what the sources gave: the value of each term for
//! each candidate. Costs nothing where a strategy has no terms.

use attune_expr::{Judged, Value};

use super::{
    Placement,
    pool::{Feature, Part},
};

pub(super) fn add(placement: &mut Placement<'_>) {
    let terms = &placement.strategy.terms;
    for (number, term) in terms.iter().enumerate() {
        for candidate in 0..placement.pool.len() as u32 {
            let index = placement.pool.candidate(candidate).index;
            let Some(item) = placement.scene.items.scope(index) else {
                continue;
            };
            let scope = Judged {
                subject: placement.request.scope,
                item: &item,
            };
            let value = held(&term.expression.value(&scope));
            if value != 0.0 {
                let part = Part {
                    candidate,
                    feature: Feature::Term(number as u16),
                    value,
                    lead: None,
                };
                placement.pool.add(part, term.weight);
            }
        }
    }
}

/// Within -1..1; what is missing or no number is 0.
fn held(value: &Value<'_>) -> f32 {
    let number = match value {
        Value::Int(number) => *number as f32,
        Value::Uint(number) => *number as f32,
        Value::Number(number) => *number as f32,
        _ => 0.0,
    };
    if number.is_nan() {
        0.0
    } else {
        number.clamp(-1.0, 1.0)
    }
}
