//! The functions expressions may call: their names, how they are called, and what each
//! takes and gives. What they compute is in `eval`.

use crate::{node::Function, vocabulary::Kind};

pub(crate) struct Signature {
    pub name: &'static str,
    pub function: Function,
    pub style: Style,
    pub parameters: &'static [Parameter],
    /// Parameters that may be left out, at the end.
    pub optional: usize,
    pub result: Kind,
    /// Reads the person, so it is unknown where only an item is judged.
    pub subject: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// `f(x)`
    Global,
    /// `x.f()`; the receiver is the first parameter.
    Method,
    Both,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parameter {
    Text,
    Time,
    /// A text, a list or a map.
    Sized,
    /// A text or a list.
    TextOrList,
    Any,
}

impl Parameter {
    pub fn accepts(self, kind: Kind) -> bool {
        match (self, kind) {
            (_, Kind::Any) | (Self::Any, _) => true,
            (Self::Text, _) => matches!(kind, Kind::Text | Kind::Date),
            (Self::Time, _) => matches!(kind, Kind::Time | Kind::Date),
            (Self::Sized, _) => matches!(kind, Kind::Text | Kind::List | Kind::Map),
            (Self::TextOrList, _) => matches!(kind, Kind::Text | Kind::List),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Time => "a time",
            Self::Sized => "a text, a list or a map",
            Self::TextOrList => "a text or a list",
            Self::Any => "anything",
        }
    }
}

const fn signature(
    name: &'static str,
    function: Function,
    style: Style,
    parameters: &'static [Parameter],
    result: Kind,
) -> Signature {
    Signature {
        name,
        function,
        style,
        parameters,
        optional: 0,
        result,
        subject: false,
    }
}

use Parameter as P;
use Style::{Both, Global, Method};

pub(crate) static SIGNATURES: [Signature; 11] = [
    signature("size", Function::Size, Both, &[P::Sized], Kind::Number),
    signature(
        "contains",
        Function::Contains,
        Method,
        &[P::TextOrList, P::Any],
        Kind::Bool,
    ),
    signature(
        "startsWith",
        Function::StartsWith,
        Method,
        &[P::Text, P::Text],
        Kind::Bool,
    ),
    signature(
        "endsWith",
        Function::EndsWith,
        Method,
        &[P::Text, P::Text],
        Kind::Bool,
    ),
    signature(
        "lowerAscii",
        Function::LowerAscii,
        Method,
        &[P::Text],
        Kind::Text,
    ),
    signature(
        "timestamp",
        Function::Timestamp,
        Global,
        &[P::Text],
        Kind::Time,
    ),
    signature(
        "duration",
        Function::Duration,
        Global,
        &[P::Text],
        Kind::Duration,
    ),
    Signature {
        optional: 1,
        ..signature(
            "getHours",
            Function::Hours,
            Method,
            &[P::Time, P::Text],
            Kind::Number,
        )
    },
    Signature {
        optional: 1,
        ..signature(
            "getDayOfWeek",
            Function::DayOfWeek,
            Method,
            &[P::Time, P::Text],
            Kind::Number,
        )
    },
    Signature {
        subject: true,
        ..signature("consent", Function::Consent, Global, &[P::Text], Kind::Bool)
    },
    Signature {
        subject: true,
        ..signature("bucket", Function::Bucket, Global, &[P::Text], Kind::Number)
    },
];

/// The milliseconds of a duration such as `30d`, `1h30m`, `1.5s`.
pub(crate) fn parse_duration(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text),
    };
    if rest.is_empty() {
        return None;
    }
    let mut total_ms = 0.0;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .filter(|end| *end > 0)?;
        let amount: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len());
        total_ms += amount * unit_ms(&rest[..end])?;
        rest = &rest[end..];
    }
    // 10^15 ms is some 30,000 years: enough, and far from overflow.
    (total_ms <= 1e15).then_some((sign * total_ms) as i64)
}

fn unit_ms(unit: &str) -> Option<f64> {
    Some(match unit {
        "d" => 86_400_000.0,
        "h" => 3_600_000.0,
        "m" => 60_000.0,
        "s" => 1000.0,
        "ms" => 1.0,
        _ => return None,
    })
}
