//! One walk over a template's source before it is parsed: refuses what the parser
//! would choke on (its recursion and its backtracking have no bounds), and writes the
//! escaping of HTML into every output.

use super::fault::SourceFault;

/// Blocks within blocks; each costs the parser a few kilobytes of stack.
const NESTING_MAX: usize = 50;
/// `a[b[c[…]]]` in one tag, likewise.
const INDEX_NESTING_MAX: usize = 20;
/// The grammar looks ahead over white space at every character of it.
const BLANKS_MAX: usize = 1_000;
/// An i64 has at most 19 digits, and the parser panics on more.
const DIGITS_MAX: usize = 18;

/// The filter that is put behind every output in HTML.
pub(super) const ESCAPE_OUTPUT: &str = "escape_output";
/// A chain that ends in one of these has decided for itself.
const ESCAPING_FILTERS: [&str; 3] = ["escape", "escape_once", "raw"];

const BLOCKS: [&str; 6] = ["if", "unless", "case", "for", "capture", "comment"];

pub(super) struct Scanned {
    /// The source with [`ESCAPE_OUTPUT`] behind every output.
    pub escaping: String,
}

pub(super) fn scan(source: &str) -> Result<Scanned, Vec<SourceFault>> {
    let mut scanner = Scanner {
        source,
        offset: 0,
        depth: 0,
        copied: 0,
        escaping: String::with_capacity(source.len() + source.len() / 8),
        faults: Vec::new(),
    };
    scanner.run();
    if scanner.faults.is_empty() {
        scanner.escaping.push_str(&source[scanner.copied..]);
        Ok(Scanned {
            escaping: scanner.escaping,
        })
    } else {
        Err(scanner.faults)
    }
}

struct Scanner<'a> {
    source: &'a str,
    offset: usize,
    depth: usize,
    /// How much of the source is in `escaping`.
    copied: usize,
    escaping: String,
    faults: Vec<SourceFault>,
}

/// The inside of `{{ … }}` or `{% … %}`.
struct Inside<'a> {
    text: &'a str,
    /// Of the last `|` outside of quotes, within `text`.
    last_bar: Option<usize>,
}

impl<'a> Scanner<'a> {
    fn run(&mut self) {
        self.check_blanks();
        while let Some(found) = self.source[self.offset..].find('{') {
            self.offset += found;
            match self.source.as_bytes().get(self.offset + 1) {
                Some(b'{') => self.output(),
                Some(b'%') => self.tag(),
                _ => self.offset += 1,
            }
        }
    }

    fn check_blanks(&mut self) {
        let mut blanks = 0;
        for (offset, c) in self.source.char_indices() {
            blanks = if c.is_whitespace() { blanks + 1 } else { 0 };
            if blanks > BLANKS_MAX {
                let message = format!("more than {BLANKS_MAX} white space characters in a row");
                self.faults
                    .push(SourceFault::at(self.source, offset, message));
                return;
            }
        }
    }

    fn output(&mut self) {
        let Some(inside) = self.inside("}}") else {
            return;
        };
        if !decides_escaping(&inside) {
            let end = self.offset - 2 - usize::from(inside.text.ends_with('-'));
            self.escaping.push_str(&self.source[self.copied..end]);
            self.escaping.push_str(" | ");
            self.escaping.push_str(ESCAPE_OUTPUT);
            self.escaping.push(' ');
            self.copied = end;
        }
    }

    fn tag(&mut self) {
        let start = self.offset;
        let Some(inside) = self.inside("%}") else {
            return;
        };
        let name = tag_name(inside.text);
        if name == "raw" {
            self.skip_raw();
        } else if BLOCKS.contains(&name) {
            self.depth += 1;
            if self.depth > NESTING_MAX {
                let message = format!("blocks are nested more than {NESTING_MAX} deep");
                self.faults
                    .push(SourceFault::at(self.source, start, message));
                self.offset = self.source.len();
            }
        } else if name
            .strip_prefix("end")
            .is_some_and(|it| BLOCKS.contains(&it))
        {
            self.depth = self.depth.saturating_sub(1);
        }
    }

    /// Moves behind `close`, honouring quotes. None, and a fault, where there is none.
    fn inside(&mut self, close: &str) -> Option<Inside<'a>> {
        let start = self.offset + 2;
        let bytes = self.source.as_bytes();
        let (mut at, mut brackets, mut digits, mut last_bar) = (start, 0, 0, None);
        while at < bytes.len() {
            if self.source[at..].starts_with(close) {
                self.offset = at + 2;
                let text = &self.source[start..at];
                return Some(Inside { text, last_bar });
            }
            digits = if bytes[at].is_ascii_digit() {
                digits + 1
            } else {
                0
            };
            match bytes[at] {
                quote @ (b'"' | b'\'') => {
                    let Some(length) = self.source[at + 1..].find(char::from(quote)) else {
                        break;
                    };
                    at += length + 1;
                }
                b'|' => last_bar = Some(at - start),
                b'[' => brackets += 1,
                b']' => brackets = usize::max(brackets, 1) - 1,
                _ => {}
            }
            if brackets > INDEX_NESTING_MAX || digits > DIGITS_MAX {
                let message = if brackets > INDEX_NESTING_MAX {
                    "brackets are nested too deep"
                } else {
                    "the number is too large"
                };
                self.faults.push(SourceFault::at(self.source, at, message));
                self.offset = self.source.len();
                return None;
            }
            // Only ASCII is looked for, so the next border of a character will do.
            at += 1;
            while !self.source.is_char_boundary(at) {
                at += 1;
            }
        }
        let message = format!("no `{close}` follows");
        let fault = SourceFault::at(self.source, self.offset, message);
        self.faults.push(fault);
        self.offset = self.source.len();
        None
    }

    /// What stands in `raw` is text.
    fn skip_raw(&mut self) {
        while let Some(found) = self.source[self.offset..].find("{%") {
            self.offset += found;
            let rest = &self.source[self.offset + 2..];
            if tag_name(rest) == "endraw" {
                return;
            }
            self.offset += 2;
        }
        self.offset = self.source.len();
    }
}

fn decides_escaping(inside: &Inside<'_>) -> bool {
    let Some(bar) = inside.last_bar else {
        return false;
    };
    let filter = inside.text[bar + 1..].trim_end_matches('-').trim();
    ESCAPING_FILTERS.contains(&filter)
}

fn tag_name(inside: &str) -> &str {
    let inside = inside.strip_prefix('-').unwrap_or(inside).trim_start();
    let length = inside
        .bytes()
        .take_while(|b| b.is_ascii_alphanumeric() || *b == b'_')
        .count();
    &inside[..length]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_output_is_escaped_and_nothing_else_is_touched() {
        for (source, expected) in [
            ("plain { text }", "plain { text }"),
            ("{{a}}", "{{a | escape_output }}"),
            (
                "{{ a }}-{{ b }}",
                "{{ a  | escape_output }}-{{ b  | escape_output }}",
            ),
            ("{{- a -}}", "{{- a  | escape_output -}}"),
            (
                "{{ \"}}\" | append: '|' }}",
                "{{ \"}}\" | append: '|'  | escape_output }}",
            ),
            ("{{ a | escape }}", "{{ a | escape }}"),
            ("{{ a | upcase | raw -}}", "{{ a | upcase | raw -}}"),
            (
                "{{ a | escape | upcase }}",
                "{{ a | escape | upcase  | escape_output }}",
            ),
            (
                "{{ a | append: \"| raw\" }}",
                "{{ a | append: \"| raw\"  | escape_output }}",
            ),
            (
                "{% if a == '{{' %}ü{% endif %}",
                "{% if a == '{{' %}ü{% endif %}",
            ),
            (
                "{% raw %}{{ a }}{% endraw %}{{b}}",
                "{% raw %}{{ a }}{% endraw %}{{b | escape_output }}",
            ),
        ] {
            let escaping = scan(source).ok().map(|scanned| scanned.escaping);
            assert_eq!(escaping.as_deref(), Some(expected), "{source}");
        }
    }

    #[test]
    fn what_the_parser_cannot_bear_is_refused() {
        let deep = "{% if a %}".repeat(NESTING_MAX + 1);
        let brackets = format!("{{{{ {} }}}}", "a[".repeat(40));
        let blanks = " ".repeat(BLANKS_MAX + 1);
        for source in [
            deep.as_str(),
            brackets.as_str(),
            blanks.as_str(),
            "{{ 99999999999999999999 }}",
        ] {
            assert!(scan(source).is_err(), "{source}");
        }
    }
}
