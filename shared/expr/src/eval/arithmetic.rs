//! What operators make of values. Integers do not wrap and times stay in their range:
//! what would leave it is missing.

use super::Frame;
use crate::{
    functions::{append, concat},
    node::Operator,
    value::{TIME_MS_RANGE, Value, duration},
};

/// The longest list that `+` or a macro makes.
pub(super) const ELEMENTS_MAX: usize = 10_000;

impl<'a> Frame<'_, 'a> {
    pub(super) fn arithmetic(
        &self,
        operator: Operator,
        left: &Value<'a>,
        right: &Value<'a>,
    ) -> Value<'a> {
        use Value as V;
        match (operator, left, right) {
            (_, V::Int(a), V::Int(b)) => integers(operator, *a, *b).map_or(V::Missing, V::Int),
            (_, V::Uint(a), V::Uint(b)) => unsigned(operator, *a, *b).map_or(V::Missing, V::Uint),
            (_, V::Number(a), V::Number(b)) => V::Number(numbers(operator, *a, *b)),
            // Numbers of traits are doubles, and people write `2` for them.
            (_, V::Int(_) | V::Uint(_) | V::Number(_), V::Int(_) | V::Uint(_) | V::Number(_)) => {
                mixed(operator, left, right)
            }
            (Operator::Add, V::Text(a), V::Text(b)) => {
                if self.take((a.len() + b.len()) / 64) {
                    concat(a, b)
                } else {
                    V::Missing
                }
            }
            (Operator::Add, V::Bytes(a), V::Bytes(b)) if a.len() + b.len() <= ELEMENTS_MAX => {
                V::Bytes([&**a, &**b].concat().into())
            }
            (Operator::Add, V::Time(t), V::Duration(d))
            | (Operator::Add, V::Duration(d), V::Time(t)) => time(t.checked_add(*d)),
            (Operator::Subtract, V::Time(t), V::Duration(d)) => time(t.checked_sub(*d)),
            (Operator::Subtract, V::Time(a), V::Time(b)) => between(*a, *b),
            (Operator::Add, V::Duration(a), V::Duration(b)) => span(a.checked_add(*b)),
            (Operator::Subtract, V::Duration(a), V::Duration(b)) => span(a.checked_sub(*b)),
            (Operator::Add, a, b) => {
                let elements = a.len().unwrap_or(0) + b.len().unwrap_or(0);
                let are_lists = !matches!(
                    (a, b),
                    (V::Map(_) | V::Struct(_), _) | (_, V::Map(_) | V::Struct(_))
                );
                if are_lists && self.take(elements) {
                    append(a, b, ELEMENTS_MAX).unwrap_or(V::Missing)
                } else {
                    V::Missing
                }
            }
            _ => V::Missing,
        }
    }
}

pub(super) fn negate<'a>(value: &Value<'a>) -> Value<'a> {
    match value {
        Value::Int(n) => n.checked_neg().map_or(Value::Missing, Value::Int),
        Value::Number(n) => Value::Number(-n),
        Value::Duration(ms) => Value::Duration(-ms),
        _ => Value::Missing,
    }
}

fn time(ms: Option<i64>) -> Value<'static> {
    match ms {
        Some(ms) if TIME_MS_RANGE.contains(&ms) => Value::Time(ms),
        _ => Value::Missing,
    }
}

/// In CEL a difference of times is 64 bits of nanoseconds, some 292 years.
fn between(a: i64, b: i64) -> Value<'static> {
    let ms = a.checked_sub(b);
    span(ms.filter(|ms| ms.checked_mul(1_000_000).is_some()))
}

fn span(ms: Option<i64>) -> Value<'static> {
    ms.map_or(Value::Missing, duration)
}

fn integers(operator: Operator, a: i64, b: i64) -> Option<i64> {
    match operator {
        Operator::Add => a.checked_add(b),
        Operator::Subtract => a.checked_sub(b),
        Operator::Multiply => a.checked_mul(b),
        Operator::Divide => a.checked_div(b),
        Operator::Remainder => a.checked_rem(b),
    }
}

fn unsigned(operator: Operator, a: u64, b: u64) -> Option<u64> {
    match operator {
        Operator::Add => a.checked_add(b),
        Operator::Subtract => a.checked_sub(b),
        Operator::Multiply => a.checked_mul(b),
        Operator::Divide => a.checked_div(b),
        Operator::Remainder => a.checked_rem(b),
    }
}

/// As IEEE 754 has it, infinities and all.
fn numbers(operator: Operator, a: f64, b: f64) -> f64 {
    match operator {
        Operator::Add => a + b,
        Operator::Subtract => a - b,
        Operator::Multiply => a * b,
        Operator::Divide => a / b,
        Operator::Remainder => a % b,
    }
}

/// As doubles, but that nothing is divided by an integer zero, as among integers.
fn mixed(operator: Operator, left: &Value<'_>, right: &Value<'_>) -> Value<'static> {
    let divides = matches!(operator, Operator::Divide | Operator::Remainder);
    if divides && matches!(right, Value::Int(0) | Value::Uint(0)) {
        return Value::Missing;
    }
    match (left.as_number(), right.as_number()) {
        (Some(a), Some(b)) => Value::Number(numbers(operator, a, b)),
        _ => Value::Missing,
    }
}
