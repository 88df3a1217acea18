//! Equality and order across kinds, as CEL has them, and of texts with times, since
//! JSON has no times of its own. Nothing here allocates.

use std::{cmp::Ordering, ops::ControlFlow};

use super::{Value, parse_time};

impl<'a> Value<'a> {
    /// False where either is missing or the two cannot be the same.
    pub fn equals(&self, other: &Value<'_>) -> bool {
        match (self, other) {
            (Value::Null, Value::Null) => true,
            (Value::Type(a), Value::Type(b)) => a == b,
            (Value::Struct(a), Value::Struct(b)) => a == b,
            (a, b) if a.is_list() && b.is_list() => a.equals_list(b),
            (a, b) if a.is_map() && b.is_map() => a.equals_map(b),
            (a, b) => a.compare(b) == Some(Ordering::Equal),
        }
    }

    fn is_list(&self) -> bool {
        matches!(self, Self::Texts(_) | Self::Protos(_) | Self::List(_))
    }

    fn is_map(&self) -> bool {
        matches!(self, Self::Struct(_) | Self::Map(_))
    }

    fn equals_list(&self, other: &Value<'_>) -> bool {
        if self.len() != other.len() {
            return false;
        }
        let mut index = 0;
        self.every(|element| {
            let same = element.equals(&other.element(index));
            index += 1;
            same
        })
    }

    fn equals_map(&self, other: &Value<'_>) -> bool {
        self.len() == other.len() && self.every(|key| self.index(&key).equals(&other.index(&key)))
    }

    fn every(&self, mut test: impl FnMut(Value<'a>) -> bool) -> bool {
        let mut holds = true;
        self.visit(|element| {
            holds = test(element);
            if holds {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        holds
    }

    /// None where either is missing or the two have no order.
    pub fn compare(&self, other: &Value<'_>) -> Option<Ordering> {
        match (self, other) {
            (Value::Text(a), Value::Text(b)) => Some(a.as_ref().cmp(b.as_ref())),
            (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
            (Value::Int(a), Value::Int(b))
            | (Value::Time(a), Value::Time(b))
            | (Value::Duration(a), Value::Duration(b)) => Some(a.cmp(b)),
            (Value::Number(a), Value::Number(b)) => a.partial_cmp(b),
            (Value::Int(a), Value::Number(b)) => (*a as f64).partial_cmp(b),
            (Value::Number(a), Value::Int(b)) => a.partial_cmp(&(*b as f64)),
            (Value::Uint(a), Value::Uint(b)) => Some(a.cmp(b)),
            (Value::Uint(a), Value::Int(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
            (Value::Int(a), Value::Uint(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
            (Value::Uint(a), Value::Number(b)) => (*a as f64).partial_cmp(b),
            (Value::Number(a), Value::Uint(b)) => a.partial_cmp(&(*b as f64)),
            (Value::Bytes(a), Value::Bytes(b)) => Some(a.as_ref().cmp(b.as_ref())),
            (Value::Version(a), Value::Version(b)) => Some(a.cmp_precedence(b)),
            // Traits and characteristics come as JSON, which has no times of its own.
            (Value::Text(a), Value::Time(b)) => Some(parse_time(a)?.cmp(b)),
            (Value::Time(a), Value::Text(b)) => Some(a.cmp(&parse_time(b)?)),
            _ => None,
        }
    }
}
