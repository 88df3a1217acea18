//! Path templates of `google.api.http` (`/v1/rules/{rule.rule_id}`, `/v1/items:batchGet`,
//! `/v1/templates/{template_id}:render`) and the tree that finds the route of a path.
//! Knows nothing of messages: a variable is a name and the text that stood there.

use std::collections::BTreeMap;

/// A template taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    segments: Vec<Segment>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Literal(String),
    Variable { field: String, verb: String },
}

/// A template that this server cannot route.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("path template {0:?} is not supported")]
pub struct Unsupported(String);

impl Template {
    /// Segments are literals or one whole variable, with a verb after the last at most;
    /// patterns such as `{name=shelves/*}` are refused, since no contract needs them.
    pub fn parse(text: &str) -> Result<Self, Unsupported> {
        let fault = || Unsupported(text.to_owned());
        let path = text.strip_prefix('/').ok_or_else(fault)?;
        let segments: Vec<_> = path
            .split('/')
            .map(|raw| Segment::parse(raw).ok_or_else(fault))
            .collect::<Result<_, _>>()?;
        let verb_inside = segments
            .iter()
            .rev()
            .skip(1)
            .any(|s| matches!(s, Segment::Variable { verb, .. } if !verb.is_empty()));
        if verb_inside {
            return Err(fault());
        }
        Ok(Self { segments })
    }

    /// Field paths of the variables, in order.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|s| match s {
            Segment::Variable { field, .. } => Some(field.as_str()),
            Segment::Literal(_) => None,
        })
    }
}

impl Segment {
    fn parse(raw: &str) -> Option<Self> {
        if raw.is_empty() {
            return None;
        }
        let Some(rest) = raw.strip_prefix('{') else {
            return (!raw.contains(['{', '}', '*'])).then(|| Self::Literal(raw.to_owned()));
        };
        let (field, tail) = rest.split_once('}')?;
        let verb = match tail {
            "" => "",
            _ => tail.strip_prefix(':').filter(|v| !v.is_empty())?,
        };
        if field.is_empty() || field.contains(['=', '*']) {
            return None;
        }
        Some(Self::Variable {
            field: field.to_owned(),
            verb: verb.to_owned(),
        })
    }
}

/// All templates of a server; `T` is what a template leads to.
#[derive(Debug)]
pub struct Tree<T> {
    literals: BTreeMap<String, Tree<T>>,
    /// By verb; the empty verb is the plain variable.
    variables: BTreeMap<String, Tree<T>>,
    leaf: Option<T>,
}

impl<T> Default for Tree<T> {
    fn default() -> Self {
        Self {
            literals: BTreeMap::new(),
            variables: BTreeMap::new(),
            leaf: None,
        }
    }
}

impl<T: Default> Tree<T> {
    /// Where the template leads, made if it is new. Templates that differ only in the
    /// names of their variables share a place.
    pub fn entry(&mut self, template: &Template) -> &mut T {
        let node = template.segments.iter().fold(self, |node, s| match s {
            Segment::Literal(text) => node.literals.entry(text.clone()).or_default(),
            Segment::Variable { verb, .. } => node.variables.entry(verb.clone()).or_default(),
        });
        node.leaf.get_or_insert_with(T::default)
    }
}

impl<T> Tree<T> {
    /// What the path leads to, with the texts of its variables, decoded. Literals go
    /// before verbs, and verbs before plain variables; a colon only parts a verb that
    /// some template has, so ids may hold colons.
    pub fn find(&self, path: &str) -> Option<(&T, Vec<String>)> {
        let mut texts = Vec::new();
        let rest = path.strip_prefix('/')?;
        let leaf = self.walk(Some(rest), &mut texts)?;
        Some((leaf, texts))
    }

    fn walk(&self, rest: Option<&str>, texts: &mut Vec<String>) -> Option<&T> {
        let Some(rest) = rest else {
            return self.leaf.as_ref();
        };
        let (raw, rest) = match rest.split_once('/') {
            Some((raw, rest)) => (raw, Some(rest)),
            None => (rest, None),
        };
        if let Some(found) = self
            .literals
            .get(raw)
            .and_then(|next| next.walk(rest, texts))
        {
            return Some(found);
        }
        if rest.is_none()
            && let Some((text, verb)) = raw.rsplit_once(':')
            && !verb.is_empty()
            && let Some(next) = self.variables.get(verb)
        {
            return next.take(text, rest, texts);
        }
        self.variables.get("")?.take(raw, rest, texts)
    }

    fn take(&self, raw: &str, rest: Option<&str>, texts: &mut Vec<String>) -> Option<&T> {
        let text = decode(raw).filter(|t| !t.is_empty())?;
        texts.push(text);
        let found = self.walk(rest, texts);
        if found.is_none() {
            texts.pop();
        }
        found
    }
}

/// Undoes percent-encoding; None where that yields no UTF-8 or is broken.
fn decode(raw: &str) -> Option<String> {
    if !raw.contains('%') {
        return Some(raw.to_owned());
    }
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let high = char::from(rest.next()?).to_digit(16)?;
        let low = char::from(rest.next()?).to_digit(16)?;
        // Two hexadecimal digits always fit a byte.
        bytes.push((high * 16 + low) as u8);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Tree<&'static str> {
        let mut tree = Tree::<&'static str>::default();
        for template in [
            "/v1/items",
            "/v1/items/{item_id}",
            "/v1/items:batchGet",
            "/v1/templates/{template_id}",
            "/v1/templates/{template_id}:render",
            "/v1/profiles/{profile_id}/consents/{purpose}",
            "/v1/profiles/{profile_id}/events",
        ] {
            *tree.entry(&Template::parse(template).unwrap()) = template;
        }
        tree
    }

    #[test]
    fn a_path_finds_its_template_and_texts() {
        type Found = Option<(&'static str, &'static [&'static str])>;
        let rows: &[(&str, Found)] = &[
            ("/v1/items", Some(("/v1/items", &[]))),
            ("/v1/items:batchGet", Some(("/v1/items:batchGet", &[]))),
            ("/v1/items/a", Some(("/v1/items/{item_id}", &["a"]))),
            ("/v1/items/a:b", Some(("/v1/items/{item_id}", &["a:b"]))),
            ("/v1/items/a%2Fb", Some(("/v1/items/{item_id}", &["a/b"]))),
            ("/v1/items/%C3%A4", Some(("/v1/items/{item_id}", &["ä"]))),
            (
                "/v1/templates/t:render",
                Some(("/v1/templates/{template_id}:render", &["t"])),
            ),
            (
                "/v1/templates/t%3Arender",
                Some(("/v1/templates/{template_id}", &["t:render"])),
            ),
            (
                "/v1/profiles/p/consents/c",
                Some(("/v1/profiles/{profile_id}/consents/{purpose}", &["p", "c"])),
            ),
            (
                "/v1/profiles/p/events",
                Some(("/v1/profiles/{profile_id}/events", &["p"])),
            ),
            ("/v1/items/", None),
            ("/v1/items/a/b", None),
            ("/v1/items/%zz", None),
            ("/v1/templates/:render", None),
            ("/v1", None),
            ("", None),
        ];
        let tree = tree();
        for (path, expected) in rows {
            let found = tree.find(path);
            let found = found
                .as_ref()
                .map(|(t, v)| (**t, v.iter().map(String::as_str).collect::<Vec<_>>()));
            let expected = expected.map(|(t, v)| (t, v.to_vec()));
            assert_eq!(found, expected, "{path}");
        }
    }

    #[test]
    fn patterns_inside_variables_are_refused() {
        for template in [
            "v1/x",
            "/v1/{a=b/*}",
            "/v1/**",
            "/v1/{a}x",
            "/v1/{a}:v/b",
            "/v1//x",
        ] {
            assert!(Template::parse(template).is_err(), "{template}");
        }
    }
}
