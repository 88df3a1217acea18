//! The library's filters behind a guard that pays for them, and two of our own: the
//! escaping of HTML outputs, and `raw`, which says that a value is markup already.

use std::fmt;

use liquid_core::{
    Error, Expression, Filter, ParseFilter, Result, Runtime, Value, ValueView,
    parser::{FilterArguments, FilterReflection, ParameterReflection},
};

use super::sandbox::{step, take, value_bytes_max, weight};

/// Comparing each with each, `uniq` needs the square of this.
const UNIQ_ITEMS_MAX: i64 = 2_000;
/// `%012N` is as wide as a date's part gets.
const DATE_WIDTH_DIGITS_MAX: usize = 2;

/// A filter of the library, paid for, and nil where it cannot work with nil.
#[derive(Clone)]
pub(super) struct Guarded(pub Box<dyn ParseFilter>);

impl ParseFilter for Guarded {
    fn parse(&self, arguments: FilterArguments<'_>) -> Result<Box<dyn Filter>> {
        let positional: Vec<Expression> = arguments.positional.collect();
        let filter = self.0.parse(FilterArguments {
            positional: Box::new(positional.clone().into_iter()),
            keyword: arguments.keyword,
        })?;
        let growth = match self.0.reflection().name() {
            "replace" => Growth::Replace,
            "join" => Growth::Join,
            "date" => Growth::Date,
            "uniq" => Growth::Uniq,
            _ => Growth::Bounded,
        };
        Ok(Box::new(GuardedFilter {
            filter,
            positional,
            growth,
        }))
    }

    fn reflection(&self) -> &dyn FilterReflection {
        self.0.reflection()
    }
}

/// How a filter's result can outgrow its input. Most give at most a few times what
/// they were given, which is weighed afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Growth {
    Bounded,
    Replace,
    Join,
    Date,
    Uniq,
}

#[derive(Debug)]
struct GuardedFilter {
    filter: Box<dyn Filter>,
    positional: Vec<Expression>,
    growth: Growth,
}

impl fmt::Display for GuardedFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.filter)
    }
}

impl Filter for GuardedFilter {
    fn evaluate(&self, input: &dyn ValueView, runtime: &dyn Runtime) -> Result<Value> {
        step(runtime)?;
        self.check_growth(input, runtime)?;
        match self.filter.evaluate(input, runtime) {
            Ok(value) => {
                take(runtime, weight(&value))?;
                Ok(value)
            }
            // A missing name renders empty, whatever it is piped through.
            Err(_) if input.is_nil() => Ok(Value::Nil),
            Err(error) => Err(error),
        }
    }
}

impl GuardedFilter {
    fn check_growth(&self, input: &dyn ValueView, runtime: &dyn Runtime) -> Result<()> {
        match self.growth {
            Growth::Bounded => Ok(()),
            Growth::Replace => {
                let search = self.argument(0, runtime)?;
                let replace = self.argument(1, runtime)?;
                let count = input.to_kstr().matches(search.as_str()).count();
                check_length(count.saturating_mul(replace.len()), runtime)
            }
            Growth::Join => {
                let separator = self.argument(0, runtime)?;
                let count = input.as_array().map_or(0, |array| array.size());
                let count = usize::try_from(count).unwrap_or(0);
                check_length(count.saturating_mul(separator.len()), runtime)
            }
            Growth::Date => check_date_format(&self.argument(0, runtime)?),
            Growth::Uniq => match input.as_array() {
                Some(array) if array.size() > UNIQ_ITEMS_MAX => {
                    Err(Error::with_msg("the list is too long for uniq"))
                }
                _ => Ok(()),
            },
        }
    }

    fn argument(&self, index: usize, runtime: &dyn Runtime) -> Result<String> {
        match self.positional.get(index) {
            Some(expression) => Ok(expression.evaluate(runtime)?.to_kstr().into_string()),
            None => Ok(String::new()),
        }
    }
}

fn check_length(bytes: usize, runtime: &dyn Runtime) -> Result<()> {
    if bytes > value_bytes_max(runtime) {
        take(runtime, bytes)?;
    }
    Ok(())
}

/// `%99999999d` asks for a hundred megabytes of zeros.
fn check_date_format(format: &str) -> Result<()> {
    let mut digits = 0;
    for byte in format.bytes() {
        digits = if byte.is_ascii_digit() { digits + 1 } else { 0 };
        if digits > DATE_WIDTH_DIGITS_MAX {
            return Err(Error::with_msg(
                "a date's format has a width that is too large",
            ));
        }
    }
    Ok(())
}

/// A filter without arguments, from a function.
#[derive(Clone, Copy)]
pub(super) struct Plain {
    pub name: &'static str,
    pub apply: fn(&dyn ValueView) -> Value,
}

impl ParseFilter for Plain {
    fn parse(&self, mut arguments: FilterArguments<'_>) -> Result<Box<dyn Filter>> {
        if arguments.positional.next().is_some() || arguments.keyword.next().is_some() {
            return Err(Error::with_msg(format!(
                "`{}` takes no arguments",
                self.name
            )));
        }
        Ok(Box::new(*self))
    }

    fn reflection(&self) -> &dyn FilterReflection {
        self
    }
}

impl FilterReflection for Plain {
    fn name(&self) -> &str {
        self.name
    }
    fn description(&self) -> &str {
        ""
    }
    fn positional_parameters(&self) -> &'static [ParameterReflection] {
        &[]
    }
    fn keyword_parameters(&self) -> &'static [ParameterReflection] {
        &[]
    }
}

impl fmt::Debug for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl fmt::Display for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Filter for Plain {
    fn evaluate(&self, input: &dyn ValueView, runtime: &dyn Runtime) -> Result<Value> {
        step(runtime)?;
        let value = (self.apply)(input);
        take(runtime, weight(&value))?;
        Ok(value)
    }
}

/// The value as it would be shown, safe in text and in quoted attributes.
pub(super) fn escape(input: &dyn ValueView) -> Value {
    let shown = input.render().to_string();
    let mut escaped = String::with_capacity(shown.len() + 16);
    for c in shown.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    Value::scalar(escaped)
}

pub(super) fn identity(input: &dyn ValueView) -> Value {
    input.to_value()
}
