//! Templates that make text from a row's columns: `{household_id}-{basket_id}`. A part
//! in square brackets is left out when one of its columns is empty; a template with an
//! empty column outside of brackets makes nothing. Knows text only.

use std::borrow::Cow;

use super::row::Row;

/// A parsed template, its columns by their place in the row.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq)]
enum Part {
    Text(String),
    Column { index: usize, filters: Vec<Filter> },
    Line,
    Optional(Vec<Part>),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Filter {
    Lower,
    Upper,
    /// First letters in upper case, the others in lower case.
    Title,
    /// A whole number without its fraction: `13085.0` is `13085`.
    Int,
    /// White space and slashes become hyphens.
    Slug,
}

/// The columns that a mapping reads, each once, in the order of their first mention.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Columns(Vec<String>);

impl Columns {
    pub fn index(&mut self, name: &str) -> usize {
        match self.0.iter().position(|n| n == name) {
            Some(index) => index,
            None => {
                self.0.push(name.to_owned());
                self.0.len() - 1
            }
        }
    }

    pub fn names(&self) -> &[String] {
        &self.0
    }
}

/// What names the row's line in the file.
const LINE: &str = "#line";

impl Template {
    /// `columns` learns which columns are read.
    pub fn parse(text: &str, columns: &mut Columns) -> Result<Self, String> {
        let mut chars = text.chars();
        let parts = parse_parts(&mut chars, columns, Inside::Template)?;
        Ok(Self { parts })
    }

    /// None if a column that is not optional is empty, or nothing came out.
    pub fn render(&self, row: &Row) -> Result<Option<String>, String> {
        let mut out = String::new();
        let complete = render_parts(&self.parts, row, &mut out)?;
        Ok((complete && !out.is_empty()).then_some(out))
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Inside {
    Template,
    Brackets,
}

fn parse_parts(
    chars: &mut std::str::Chars<'_>,
    columns: &mut Columns,
    inside: Inside,
) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut text = String::new();
    loop {
        let part = match (chars.next(), inside) {
            (None, Inside::Brackets) => return Err("a `[` is not closed".into()),
            (None, Inside::Template) | (Some(']'), Inside::Brackets) => break,
            (Some(']'), Inside::Template) => return Err("a `]` was not opened".into()),
            (Some('['), Inside::Brackets) => return Err("`[` within `[`".into()),
            (Some('['), Inside::Template) => {
                Part::Optional(parse_parts(chars, columns, Inside::Brackets)?)
            }
            (Some('{'), _) => parse_column(chars, columns)?,
            (Some('}'), _) => return Err("a `}` was not opened".into()),
            (Some('\\'), _) => {
                text.push(chars.next().ok_or("`\\` at the end")?);
                continue;
            }
            (Some(c), _) => {
                text.push(c);
                continue;
            }
        };
        if !text.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut text)));
        }
        parts.push(part);
    }
    if !text.is_empty() {
        parts.push(Part::Text(text));
    }
    Ok(parts)
}

fn parse_column(chars: &mut std::str::Chars<'_>, columns: &mut Columns) -> Result<Part, String> {
    let rest = chars.as_str();
    let (inner, after) = rest.split_once('}').ok_or("a `{` is not closed")?;
    *chars = after.chars();
    let mut names = inner.split('|');
    let name = names.next().unwrap_or_default();
    let filters = names.map(filter).collect::<Result<Vec<_>, _>>()?;
    match name {
        "" => Err("`{}` names no column".into()),
        LINE => Ok(Part::Line),
        name => Ok(Part::Column {
            index: columns.index(name),
            filters,
        }),
    }
}

fn filter(name: &str) -> Result<Filter, String> {
    Ok(match name.trim() {
        "lower" => Filter::Lower,
        "upper" => Filter::Upper,
        "title" => Filter::Title,
        "int" => Filter::Int,
        "slug" => Filter::Slug,
        other => {
            return Err(format!(
                "\"{other}\" is no filter; there are lower, upper, title, int and slug"
            ));
        }
    })
}

/// False if a column was empty.
fn render_parts(parts: &[Part], row: &Row, out: &mut String) -> Result<bool, String> {
    for part in parts {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Line => out.push_str(&row.line.to_string()),
            Part::Column { index, filters } => {
                let Some(text) = row.text(*index)? else {
                    return Ok(false);
                };
                out.push_str(&apply(filters, text, *index, row)?);
            }
            Part::Optional(parts) => {
                let before = out.len();
                if !render_parts(parts, row, out)? {
                    out.truncate(before);
                }
            }
        }
    }
    Ok(true)
}

fn apply<'a>(
    filters: &[Filter],
    text: Cow<'a, str>,
    index: usize,
    row: &Row,
) -> Result<Cow<'a, str>, String> {
    let mut text = text;
    for filter in filters {
        text = match filter {
            Filter::Lower => text.to_lowercase().into(),
            Filter::Upper => text.to_uppercase().into(),
            Filter::Title => title(&text).into(),
            Filter::Slug => text
                .split(|c: char| c.is_whitespace() || c == '/')
                .filter(|word| !word.is_empty())
                .collect::<Vec<_>>()
                .join("-")
                .into(),
            Filter::Int => match text.parse::<f64>() {
                Ok(n) if n.is_finite() && n.fract() == 0.0 => format!("{n:.0}").into(),
                _ => {
                    let name = row.name(index);
                    return Err(format!("{name}: \"{text}\" is not a whole number"));
                }
            },
        };
    }
    Ok(text)
}

fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut within = false;
    for c in text.chars() {
        match within {
            true => out.extend(c.to_lowercase()),
            false => out.extend(c.to_uppercase()),
        }
        within = c.is_alphanumeric() || c == '\'';
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(template: &str, values: &[(&str, &str)]) -> Result<Option<String>, String> {
        let mut columns = Columns::default();
        let template = Template::parse(template, &mut columns)?;
        template.render(&Row::of_texts(columns.names(), values))
    }

    #[test]
    fn columns_are_put_in_their_places() {
        let values = [
            ("a", "One"),
            ("b", "two three"),
            ("c", ""),
            ("d", "13085.0"),
        ];
        let rows = [
            ("{a}-{b}", Some("One-two three")),
            (
                "{a|lower}/{b|title}/{b|upper}/{b|slug}",
                Some("one/Two Three/TWO THREE/two-three"),
            ),
            ("{d|int}", Some("13085")),
            ("{a}[ ({c})][, {b}]", Some("One, two three")),
            ("{c}", None),
            ("{a} {c}", None),
            ("[{c}]", None),
            ("{#line}", Some("7")),
            (r"\[{a}\]", Some("[One]")),
            ("fixed", Some("fixed")),
        ];
        for (template, expected) in rows {
            let got = render(template, &values).unwrap();
            assert_eq!(got.as_deref(), expected, "{template}");
        }
    }

    #[test]
    fn a_broken_template_says_why() {
        for template in ["{a", "a}", "[a", "a]", "[[a]]", "{}", "{a|nope}", "\\"] {
            assert!(render(template, &[("a", "x")]).is_err(), "{template}");
        }
        assert!(render("{a|int}", &[("a", "x")]).is_err());
    }
}
