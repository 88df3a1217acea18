//! CEL's math extension. Each works on integers, unsigned integers and doubles as they
//! are; what would overflow is missing.

use super::MathFunction as M;
use crate::value::Value;

pub(super) fn compute<'a>(function: M, first: Value<'a>, second: Value<'a>) -> Value<'a> {
    match function {
        M::Ceil | M::Floor | M::Round | M::Trunc | M::IsNan | M::IsInf | M::IsFinite => {
            of_double(function, &first)
        }
        M::Abs => match first {
            Value::Int(n) => n.checked_abs().map_or(Value::Missing, Value::Int),
            Value::Number(n) => Value::Number(n.abs()),
            Value::Uint(_) => first,
            _ => Value::Missing,
        },
        M::Sign => match first {
            Value::Int(n) => Value::Int(n.signum()),
            Value::Uint(n) => Value::Uint(n.min(1)),
            // A double's own sign would be 1 of zero.
            Value::Number(n) if n == 0.0 || n.is_nan() => Value::Number(n),
            Value::Number(n) => Value::Number(n.signum()),
            _ => Value::Missing,
        },
        M::Sqrt => match first.as_number() {
            Some(n) => Value::Number(n.sqrt()),
            None => Value::Missing,
        },
        M::BitAnd | M::BitOr | M::BitXor => both_bits(function, &first, &second),
        M::BitNot => match first {
            Value::Int(n) => Value::Int(!n),
            Value::Uint(n) => Value::Uint(!n),
            _ => Value::Missing,
        },
        M::BitShiftLeft | M::BitShiftRight => shift(function, &first, &second),
        M::Greatest | M::Least => extreme(function, [first, second].into_iter()),
    }
}

fn of_double(function: M, value: &Value<'_>) -> Value<'static> {
    let Value::Number(n) = value else {
        return Value::Missing;
    };
    match function {
        M::Ceil => Value::Number(n.ceil()),
        M::Floor => Value::Number(n.floor()),
        M::Round => Value::Number(n.round()),
        M::Trunc => Value::Number(n.trunc()),
        M::IsNan => Value::Bool(n.is_nan()),
        M::IsInf => Value::Bool(n.is_infinite()),
        M::IsFinite => Value::Bool(n.is_finite()),
        _ => Value::Missing,
    }
}

fn both_bits(function: M, first: &Value<'_>, second: &Value<'_>) -> Value<'static> {
    match (function, first, second) {
        (M::BitAnd, Value::Int(a), Value::Int(b)) => Value::Int(a & b),
        (M::BitOr, Value::Int(a), Value::Int(b)) => Value::Int(a | b),
        (M::BitXor, Value::Int(a), Value::Int(b)) => Value::Int(a ^ b),
        (M::BitAnd, Value::Uint(a), Value::Uint(b)) => Value::Uint(a & b),
        (M::BitOr, Value::Uint(a), Value::Uint(b)) => Value::Uint(a | b),
        (M::BitXor, Value::Uint(a), Value::Uint(b)) => Value::Uint(a ^ b),
        _ => Value::Missing,
    }
}

/// By 64 bits or more nothing is left; a negative integer is shifted right as its bits.
fn shift(function: M, value: &Value<'_>, by: &Value<'_>) -> Value<'static> {
    let Value::Int(by) = by else {
        return Value::Missing;
    };
    let Ok(by) = u32::try_from((*by).min(64)) else {
        return Value::Missing;
    };
    let shifted = |bits: u64| match function {
        M::BitShiftLeft => bits.checked_shl(by).unwrap_or(0),
        _ => bits.checked_shr(by).unwrap_or(0),
    };
    match value {
        Value::Int(n) => Value::Int(shifted(*n as u64) as i64),
        Value::Uint(n) => Value::Uint(shifted(*n)),
        _ => Value::Missing,
    }
}

/// The greatest or the least of some numbers, or of the lists of numbers among them;
/// missing where there are none or one is no number.
pub(super) fn extreme<'a>(function: M, values: impl Iterator<Item = Value<'a>>) -> Value<'a> {
    let mut found: Option<Value<'a>> = None;
    let mut are_numbers = true;
    let mut take = |value: Value<'a>| {
        are_numbers &= value.as_number().is_some();
        let replaces = found.as_ref().is_none_or(|best| match function {
            M::Greatest => value.compare(best).is_some_and(std::cmp::Ordering::is_gt),
            _ => value.compare(best).is_some_and(std::cmp::Ordering::is_lt),
        });
        if replaces {
            found = Some(value);
        }
    };
    for value in values {
        match value {
            list @ (Value::List(_) | Value::Protos(_)) => {
                list.visit(|element| {
                    take(element);
                    std::ops::ControlFlow::Continue(())
                });
            }
            value => take(value),
        }
    }
    match found {
        Some(value) if are_numbers => value,
        _ => Value::Missing,
    }
}
