//! Names, styles, parameters and results of the functions, as the checker and the
//! printer read them.

use super::{ClockPart as C, Function as F, MathFunction as M, TextFunction as T};
use crate::{value::TypeName, vocabulary::Kind};

pub(crate) struct Signature {
    /// With its namespace, if it has one.
    pub name: &'static str,
    pub function: F,
    pub style: Style,
    pub parameters: &'static [Kinds],
    /// Parameters that may be left out, at the end.
    pub optional: usize,
    /// The last parameter may be given any number of times.
    pub variadic: bool,
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

/// What stands before a function's name without being a value.
pub(crate) const NAMESPACES: [&str; 2] = ["math", "strings"];

/// The kinds that a parameter takes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kinds(&'static [Kind]);

impl Kinds {
    const ANY: Self = Self(&[]);
    const TEXT: Self = Self(&[Kind::Text, Kind::Date]);
    const NUMBER: Self = Self(&[Kind::Number]);
    const MOMENT: Self = Self(&[Kind::Time, Kind::Date, Kind::Text]);
    const CLOCK: Self = Self(&[Kind::Time, Kind::Date, Kind::Duration]);
    const SIZED: Self = Self(&[Kind::Text, Kind::Bytes, Kind::List, Kind::Map]);
    const TEXT_OR_LIST: Self = Self(&[Kind::Text, Kind::List]);
    const LIST: Self = Self(&[Kind::List]);
    const NUMBER_OR_LIST: Self = Self(&[Kind::Number, Kind::List]);
    const NUMERIC: Self = Self(&[Kind::Number, Kind::Text]);
    const INTEGRAL: Self = Self(&[Kind::Number, Kind::Text, Kind::Time]);
    const TO_TEXT: Self = Self(&[
        Kind::Bool,
        Kind::Number,
        Kind::Text,
        Kind::Date,
        Kind::Bytes,
        Kind::Time,
        Kind::Duration,
        Kind::Version,
    ]);
    const TO_TIME: Self = Self(&[Kind::Time, Kind::Date, Kind::Text, Kind::Number]);
    const TO_DURATION: Self = Self(&[Kind::Duration, Kind::Text, Kind::Number]);
    const TO_BOOL: Self = Self(&[Kind::Bool, Kind::Text]);
    const TO_BYTES: Self = Self(&[Kind::Bytes, Kind::Text]);

    pub fn accepts(self, kind: Kind) -> bool {
        kind == Kind::Any || self.0.is_empty() || self.0.contains(&kind)
    }

    /// In a reader's words.
    pub fn describe(self) -> String {
        let mut names: Vec<_> = self.0.iter().map(|kind| kind.name()).collect();
        match names.pop() {
            None => "anything".to_owned(),
            Some(last) if names.is_empty() => last.to_owned(),
            Some(last) => format!("{} or {last}", names.join(", ")),
        }
    }
}

const fn signature(
    name: &'static str,
    function: F,
    style: Style,
    parameters: &'static [Kinds],
    result: Kind,
) -> Signature {
    Signature {
        name,
        function,
        style,
        parameters,
        optional: 0,
        variadic: false,
        result,
        subject: false,
    }
}

impl Signature {
    const fn optional(mut self, optional: usize) -> Self {
        self.optional = optional;
        self
    }

    const fn variadic(mut self) -> Self {
        self.variadic = true;
        self
    }

    const fn of_subject(mut self) -> Self {
        self.subject = true;
        self
    }
}

const fn conversion(
    name: &'static str,
    to: TypeName,
    parameters: &'static [Kinds],
    result: Kind,
) -> Signature {
    signature(name, F::Convert(to), Style::Global, parameters, result)
}

const fn text(name: &'static str, function: T, parameters: &'static [Kinds]) -> Signature {
    signature(
        name,
        F::Text(function),
        Style::Method,
        parameters,
        Kind::Text,
    )
}

const fn clock(name: &'static str, part: C) -> Signature {
    const PARAMETERS: &[Kinds] = &[K::CLOCK, K::TEXT];
    signature(
        name,
        F::Clock(part),
        Style::Method,
        PARAMETERS,
        Kind::Number,
    )
    .optional(1)
}

const fn math(name: &'static str, function: M, parameters: &'static [Kinds]) -> Signature {
    signature(
        name,
        F::Math(function),
        Style::Global,
        parameters,
        Kind::Number,
    )
}

const fn question(name: &'static str, function: M) -> Signature {
    signature(name, F::Math(function), Style::Global, ONE, Kind::Bool)
}

use Kinds as K;
use Style::{Both, Global, Method};

const ONE: &[K] = &[K::NUMBER];
const TWO: &[K] = &[K::NUMBER, K::NUMBER];

pub(crate) static SIGNATURES: [Signature; 59] = [
    signature("size", F::Size, Both, &[K::SIZED], Kind::Number),
    signature(
        "contains",
        F::Contains,
        Method,
        &[K::TEXT_OR_LIST, K::ANY],
        Kind::Bool,
    ),
    signature(
        "startsWith",
        F::StartsWith,
        Method,
        &[K::TEXT, K::TEXT],
        Kind::Bool,
    ),
    signature(
        "endsWith",
        F::EndsWith,
        Method,
        &[K::TEXT, K::TEXT],
        Kind::Bool,
    ),
    text("charAt", T::CharAt, &[K::TEXT, K::NUMBER]),
    Signature {
        result: Kind::Number,
        ..text("indexOf", T::IndexOf, &[K::TEXT, K::TEXT, K::NUMBER]).optional(1)
    },
    Signature {
        result: Kind::Number,
        ..text(
            "lastIndexOf",
            T::LastIndexOf,
            &[K::TEXT, K::TEXT, K::NUMBER],
        )
        .optional(1)
    },
    text("lowerAscii", T::LowerAscii, &[K::TEXT]),
    text("upperAscii", T::UpperAscii, &[K::TEXT]),
    text(
        "replace",
        T::Replace,
        &[K::TEXT, K::TEXT, K::TEXT, K::NUMBER],
    )
    .optional(1),
    Signature {
        result: Kind::List,
        ..text("split", T::Split, &[K::TEXT, K::TEXT, K::NUMBER]).optional(1)
    },
    text("substring", T::Substring, &[K::TEXT, K::NUMBER, K::NUMBER]).optional(1),
    text("trim", T::Trim, &[K::TEXT]),
    text("reverse", T::Reverse, &[K::TEXT]),
    text("join", T::Join, &[K::LIST, K::TEXT]).optional(1),
    Signature {
        style: Global,
        ..text("strings.quote", T::Quote, &[K::TEXT])
    },
    conversion("int", TypeName::Int, &[K::INTEGRAL], Kind::Number),
    conversion("uint", TypeName::Uint, &[K::NUMERIC], Kind::Number),
    conversion("double", TypeName::Double, &[K::NUMERIC], Kind::Number),
    conversion("string", TypeName::Text, &[K::TO_TEXT], Kind::Text),
    conversion("bool", TypeName::Bool, &[K::TO_BOOL], Kind::Bool),
    conversion("bytes", TypeName::Bytes, &[K::TO_BYTES], Kind::Bytes),
    conversion("timestamp", TypeName::Time, &[K::TO_TIME], Kind::Time),
    conversion(
        "duration",
        TypeName::Duration,
        &[K::TO_DURATION],
        Kind::Duration,
    ),
    signature("type", F::Type, Global, &[K::ANY], Kind::Type),
    signature("dyn", F::Dyn, Global, &[K::ANY], Kind::Any),
    signature("semver", F::Version, Global, &[K::TEXT], Kind::Version),
    clock("getFullYear", C::FullYear),
    clock("getMonth", C::Month),
    clock("getDate", C::Date),
    clock("getDayOfMonth", C::DayOfMonth),
    clock("getDayOfYear", C::DayOfYear),
    clock("getDayOfWeek", C::DayOfWeek),
    clock("getHours", C::Hours),
    clock("getMinutes", C::Minutes),
    clock("getSeconds", C::Seconds),
    clock("getMilliseconds", C::Milliseconds),
    math("math.greatest", M::Greatest, &[K::NUMBER_OR_LIST]).variadic(),
    math("math.least", M::Least, &[K::NUMBER_OR_LIST]).variadic(),
    math("math.ceil", M::Ceil, ONE),
    math("math.floor", M::Floor, ONE),
    math("math.round", M::Round, ONE),
    math("math.trunc", M::Trunc, ONE),
    math("math.abs", M::Abs, ONE),
    math("math.sign", M::Sign, ONE),
    math("math.sqrt", M::Sqrt, ONE),
    question("math.isNaN", M::IsNan),
    question("math.isInf", M::IsInf),
    question("math.isFinite", M::IsFinite),
    math("math.bitAnd", M::BitAnd, TWO),
    math("math.bitOr", M::BitOr, TWO),
    math("math.bitXor", M::BitXor, TWO),
    math("math.bitNot", M::BitNot, ONE),
    math("math.bitShiftLeft", M::BitShiftLeft, TWO),
    math("math.bitShiftRight", M::BitShiftRight, TWO),
    signature("consent", F::Consent, Global, &[K::TEXT], Kind::Bool).of_subject(),
    signature("subscribed", F::Subscribed, Global, &[K::TEXT], Kind::Bool).of_subject(),
    signature("bucket", F::Bucket, Global, &[K::TEXT], Kind::Number).of_subject(),
    signature(
        "anniversary",
        F::Anniversary,
        Global,
        &[K::MOMENT, K::TEXT],
        Kind::Bool,
    )
    .of_subject(),
];
