//! `for` and `capture`, with a price. The library's own make a list of every number of
//! a range, and keep whatever is captured.

use std::io::Write;

use liquid_core::{
    BlockReflection, Error, Expression, Language, Object, ParseBlock, Renderable, Result, Runtime,
    TagBlock, TagTokenIter, Template, Value, ValueCow, ValueView,
    model::KString,
    parser::{BlockElement, TryMatchToken},
    runtime::{Interrupt, InterruptRegister},
};

use super::sandbox::{Bounded, Turn, step, value_bytes_max};

/// `{% for x in list limit: 3 offset: 1 reversed %} … {% else %} … {% endfor %}`
#[derive(Debug, Clone, Copy)]
pub(super) struct ForBlock;

impl BlockReflection for ForBlock {
    fn start_tag(&self) -> &str {
        "for"
    }
    fn end_tag(&self) -> &str {
        "endfor"
    }
    fn description(&self) -> &str {
        ""
    }
}

impl ParseBlock for ForBlock {
    fn parse(
        &self,
        mut arguments: TagTokenIter<'_>,
        mut tokens: TagBlock<'_, '_>,
        options: &Language,
    ) -> Result<Box<dyn Renderable>> {
        let mut parsed = parse_header(&mut arguments)?;
        let mut body = Vec::new();
        while let Some(element) = tokens.next()? {
            match element {
                BlockElement::Tag(mut tag) if tag.name() == "else" => {
                    tag.tokens().expect_nothing()?;
                    parsed.otherwise = Some(Template::new(tokens.parse_all(options)?));
                    break;
                }
                element => body.push(element.parse(&mut tokens, options)?),
            }
        }
        parsed.body = Template::new(body);
        tokens.assert_empty();
        Ok(Box::new(parsed))
    }

    fn reflection(&self) -> &dyn BlockReflection {
        self
    }
}

fn parse_header(arguments: &mut TagTokenIter<'_>) -> Result<For> {
    let name = arguments
        .expect_next("Identifier expected.")?
        .expect_identifier()
        .into_result()?;
    let name = KString::from_ref(name);
    arguments
        .expect_next("\"in\" expected.")?
        .expect_str("in")
        .into_result_custom_msg("\"in\" expected.")?;
    let source = arguments.expect_next("Array or range expected.")?;
    let source = match source.expect_value() {
        TryMatchToken::Matches(list) => Source::List(list),
        TryMatchToken::Fails(token) => match token.expect_range() {
            TryMatchToken::Matches((first, last)) => Source::Range(first, last),
            TryMatchToken::Fails(token) => return token.raise_error().into_err(),
        },
    };
    let (mut limit, mut offset, mut reversed) = (None, None, false);
    while let Some(token) = arguments.next() {
        match token.as_str() {
            "limit" => limit = Some(parse_attribute(arguments)?),
            "offset" => offset = Some(parse_attribute(arguments)?),
            "reversed" => reversed = true,
            _ => {
                let expected = "\"limit\", \"offset\" or \"reversed\" expected.";
                return token.raise_custom_error(expected).into_err();
            }
        }
    }
    Ok(For {
        name,
        source,
        limit,
        offset,
        reversed,
        body: Template::new(Vec::new()),
        otherwise: None,
    })
}

fn parse_attribute(arguments: &mut TagTokenIter<'_>) -> Result<Expression> {
    arguments
        .expect_next("\":\" expected.")?
        .expect_str(":")
        .into_result_custom_msg("\":\" expected.")?;
    arguments
        .expect_next("Value expected.")?
        .expect_value()
        .into_result()
}

#[derive(Debug)]
struct For {
    name: KString,
    source: Source,
    limit: Option<Expression>,
    offset: Option<Expression>,
    reversed: bool,
    body: Template,
    otherwise: Option<Template>,
}

#[derive(Debug)]
enum Source {
    List(Expression),
    Range(Expression, Expression),
}

impl Renderable for For {
    fn render_to(&self, writer: &mut dyn Write, runtime: &dyn Runtime) -> Result<()> {
        let offset = self.whole(&self.offset, runtime)?.unwrap_or(0);
        let limit = self.whole(&self.limit, runtime)?.unwrap_or(usize::MAX);
        match &self.source {
            Source::List(list) => {
                let list = list.evaluate(runtime)?;
                let values = values_of(list.as_view())?;
                let start = offset.min(values.len());
                let values = &values[start..];
                let values = &values[..limit.min(values.len())];
                self.turns(values.len(), writer, runtime, |i| values[i].clone())
            }
            Source::Range(first, last) => {
                let first = integer(first, runtime)?;
                let last = integer(last, runtime)?;
                let first = first.saturating_add(i64::try_from(offset).unwrap_or(i64::MAX));
                let count = i128::from(last) - i128::from(first) + 1;
                // More turns than fit a usize would not be paid for anyway.
                let count = usize::try_from(count.max(0)).unwrap_or(usize::MAX);
                self.turns(count.min(limit), writer, runtime, |i| {
                    ValueCow::Owned(Value::scalar(first + i as i64))
                })
            }
        }
    }
}

impl For {
    fn whole(
        &self,
        expression: &Option<Expression>,
        runtime: &dyn Runtime,
    ) -> Result<Option<usize>> {
        expression
            .as_ref()
            .map(|it| Ok(usize::try_from(integer(it, runtime)?).unwrap_or(0)))
            .transpose()
    }

    fn turns<'v>(
        &self,
        count: usize,
        writer: &mut dyn Write,
        runtime: &dyn Runtime,
        value: impl Fn(usize) -> ValueCow<'v>,
    ) -> Result<()> {
        if count == 0 {
            return match &self.otherwise {
                Some(template) => template.render_to(writer, runtime),
                None => Ok(()),
            };
        }
        for turn in 0..count {
            step(runtime)?;
            let value = value(if self.reversed {
                count - 1 - turn
            } else {
                turn
            });
            let scope = Turn {
                parent: runtime,
                name: self.name.as_str(),
                value: value.as_view(),
                forloop: &forloop(turn, count),
            };
            self.body.render_to(writer, &scope)?;
            // A `continue` has done its work by now.
            let interrupt = runtime.registers().get_mut::<InterruptRegister>().reset();
            if interrupt == Some(Interrupt::Break) {
                break;
            }
        }
        Ok(())
    }
}

fn forloop(turn: usize, count: usize) -> Object {
    let number = |n: usize| Value::scalar(n as i64);
    let mut object = Object::new();
    object.insert("length".into(), number(count));
    object.insert("index".into(), number(turn + 1));
    object.insert("index0".into(), number(turn));
    object.insert("rindex".into(), number(count - turn));
    object.insert("rindex0".into(), number(count - turn - 1));
    object.insert("first".into(), Value::scalar(turn == 0));
    object.insert("last".into(), Value::scalar(turn + 1 == count));
    object
}

fn values_of(list: &dyn ValueView) -> Result<Vec<ValueCow<'_>>> {
    if let Some(array) = list.as_array() {
        return Ok(array.values().map(ValueCow::Borrowed).collect());
    }
    if let Some(object) = list.as_object() {
        let pair = |(key, value): (liquid_core::model::KStringCow<'_>, &dyn ValueView)| {
            let pair = vec![Value::scalar(key.into_owned()), value.to_value()];
            ValueCow::Owned(Value::Array(pair))
        };
        return Ok(object.iter().map(pair).collect());
    }
    if list.is_nil() || list.is_state() {
        return Ok(Vec::new());
    }
    Err(Error::with_msg(format!(
        "a loop needs a list, not a {}",
        list.type_name()
    )))
}

fn integer(expression: &Expression, runtime: &dyn Runtime) -> Result<i64> {
    let value = expression.evaluate(runtime)?;
    if value.is_nil() {
        return Ok(0);
    }
    value
        .as_scalar()
        .and_then(|scalar| scalar.to_integer())
        .ok_or_else(|| Error::with_msg("a loop's bounds must be whole numbers"))
}

/// `{% capture name %} … {% endcapture %}`
#[derive(Debug, Clone, Copy)]
pub(super) struct CaptureBlock;

impl BlockReflection for CaptureBlock {
    fn start_tag(&self) -> &str {
        "capture"
    }
    fn end_tag(&self) -> &str {
        "endcapture"
    }
    fn description(&self) -> &str {
        ""
    }
}

impl ParseBlock for CaptureBlock {
    fn parse(
        &self,
        mut arguments: TagTokenIter<'_>,
        mut tokens: TagBlock<'_, '_>,
        options: &Language,
    ) -> Result<Box<dyn Renderable>> {
        let name = arguments
            .expect_next("Identifier expected.")?
            .expect_identifier()
            .into_result()?;
        let name = KString::from_ref(name);
        arguments.expect_nothing()?;
        let body = Template::new(tokens.parse_all(options)?);
        tokens.assert_empty();
        Ok(Box::new(Capture { name, body }))
    }

    fn reflection(&self) -> &dyn BlockReflection {
        self
    }
}

#[derive(Debug)]
struct Capture {
    name: KString,
    body: Template,
}

impl Renderable for Capture {
    fn render_to(&self, _: &mut dyn Write, runtime: &dyn Runtime) -> Result<()> {
        step(runtime)?;
        let mut captured = Bounded::new(value_bytes_max(runtime));
        self.body.render_to(&mut captured, runtime)?;
        runtime.set_global(self.name.clone(), Value::scalar(captured.into_string()));
        Ok(())
    }
}
