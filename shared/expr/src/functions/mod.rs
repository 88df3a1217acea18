//! The functions expressions may call: their names, how they are called, what each
//! takes and gives, and, in the rooms below, what each computes. All are total: what a
//! function cannot do gives a missing value.

mod convert;
mod math;
mod place;
mod signatures;
mod text;
mod time;

pub(crate) use convert::{parse_version, to_type};
pub(crate) use signatures::{NAMESPACES, SIGNATURES, Signature, Style};
pub(crate) use text::{append, concat};
pub use time::Zone;
pub(crate) use time::{PartSpan, anniversary_changes_ms, anniversary_within};

use crate::value::{TypeName, Value};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Function {
    Size,
    Contains,
    StartsWith,
    EndsWith,
    Consent,
    Subscribed,
    Bucket,
    Anniversary,
    /// Of latitude and longitude of one place and of another.
    Distance,
    Version,
    Type,
    /// Its argument as it is, of a kind that is only known when it is judged.
    Dyn,
    Convert(TypeName),
    Text(TextFunction),
    Clock(ClockPart),
    Math(MathFunction),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum TextFunction {
    CharAt,
    IndexOf,
    LastIndexOf,
    LowerAscii,
    UpperAscii,
    Replace,
    Split,
    Substring,
    Trim,
    Reverse,
    Join,
    Quote,
}

/// A part of a time as calendar and clock show it, or of a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ClockPart {
    FullYear,
    Month,
    Date,
    DayOfMonth,
    DayOfYear,
    DayOfWeek,
    Hours,
    Minutes,
    Seconds,
    Milliseconds,
}

impl ClockPart {
    /// Whether it stays for an hour and more, so that its changes can be waited for.
    pub fn is_coarse(self) -> bool {
        !matches!(self, Self::Minutes | Self::Seconds | Self::Milliseconds)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum MathFunction {
    Greatest,
    Least,
    Ceil,
    Floor,
    Round,
    Trunc,
    Abs,
    Sign,
    Sqrt,
    IsNan,
    IsInf,
    IsFinite,
    BitAnd,
    BitOr,
    BitXor,
    BitNot,
    BitShiftLeft,
    BitShiftRight,
}

impl Function {
    /// Whether its answer depends on who is asking, or when.
    pub fn reads_subject(self) -> bool {
        matches!(
            self,
            Self::Consent | Self::Subscribed | Self::Bucket | Self::Anniversary
        )
    }

    /// For the functions that know nothing but their arguments. What was not given is
    /// missing; no such function takes more than four.
    pub fn compute<'a>(self, arguments: [Value<'a>; 4], given: usize) -> Value<'a> {
        if let Self::Text(function) = self {
            return text::compute(function, arguments, given);
        }
        let [first, second, third, fourth] = arguments;
        match self {
            Self::Size => first.size(),
            Self::Contains => text::contains(&first, &second),
            Self::StartsWith => text::both(&first, &second, |a, b| a.starts_with(b)),
            Self::EndsWith => text::both(&first, &second, |a, b| a.ends_with(b)),
            Self::Distance => place::distance([&first, &second, &third, &fourth]),
            Self::Version => convert::version(first),
            Self::Type => first.type_name().map_or(Value::Missing, Value::Type),
            Self::Dyn => first,
            Self::Convert(name) => to_type(first, name),
            Self::Clock(part) => time::part(part, &first, &second, given),
            Self::Math(function) => math::compute(function, first, second),
            // Answered above, or by whoever has the scope that they read.
            Self::Text(_) | Self::Consent | Self::Subscribed | Self::Bucket | Self::Anniversary => {
                Value::Missing
            }
        }
    }

    /// `math.greatest` and `math.least` of any number of arguments.
    pub fn fold<'a>(self, values: impl Iterator<Item = Value<'a>>) -> Value<'a> {
        match self {
            Self::Math(function) => math::extreme(function, values),
            _ => Value::Missing,
        }
    }

    pub fn is_fold(self) -> bool {
        matches!(
            self,
            Self::Math(MathFunction::Greatest | MathFunction::Least)
        )
    }
}
