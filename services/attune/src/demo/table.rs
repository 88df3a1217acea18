//! Columns of entries side by side, for a terminal of 120 columns. Lays out text; knows
//! nothing of what it says.

use std::fmt::Write as _;

/// Between columns.
const GAP: usize = 3;
const WIDTH_MAX: usize = 119;
/// Before the lines of an entry, below its number.
const INDENT: usize = 3;

/// How it may look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// For people at a terminal.
    Colored,
    /// For files, pipes and tests.
    Plain,
}

pub struct Column {
    pub title: String,
    pub subtitle: Vec<String>,
    pub entries: Vec<Entry>,
}

pub struct Entry {
    pub title: String,
    /// At the right of the title.
    pub aside: String,
    pub lines: Vec<Line>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    Reason(String),
    Rule(String),
}

/// A piece of one line of one cell.
struct Piece {
    text: String,
    tone: Tone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tone {
    Normal,
    Strong,
    Faint,
    Marked,
}

/// The columns, each line at most 119 characters and without trailing blanks.
pub fn render(columns: &[Column], style: Style) -> String {
    let count = columns.len().max(1);
    let width = (WIDTH_MAX - GAP * (count - 1)) / count;
    let mut out = String::new();
    rows(
        &mut out,
        columns.iter().map(|it| heading(it, width)),
        width,
        style,
    );
    let rule = "-".repeat(width);
    let rules = columns
        .iter()
        .map(|_| vec![piece(rule.clone(), Tone::Faint)]);
    rows(&mut out, rules, width, style);
    let longest = columns.iter().map(|it| it.entries.len()).max().unwrap_or(0);
    for number in 0..longest {
        let cells = columns
            .iter()
            .map(|column| match column.entries.get(number) {
                Some(entry) => cell(number + 1, entry, width),
                None => Vec::new(),
            });
        rows(&mut out, cells, width, style);
        out.push('\n');
    }
    out
}

fn heading(column: &Column, width: usize) -> Vec<Piece> {
    let title = piece(fit(&column.title, width), Tone::Strong);
    let subtitles = column.subtitle.iter();
    std::iter::once(title)
        .chain(subtitles.map(|line| piece(fit(line, width), Tone::Faint)))
        .collect()
}

fn cell(number: usize, entry: &Entry, width: usize) -> Vec<Piece> {
    let aside = entry.aside.chars().count();
    let title_width = width - INDENT - aside - 1;
    let mut pieces = Vec::new();
    for (i, line) in wrap(&entry.title, title_width).into_iter().enumerate() {
        let text = if i == 0 {
            format!("{number:<INDENT$}{line:<title_width$} {}", entry.aside)
        } else {
            format!("{:INDENT$}{line}", "")
        };
        pieces.push(piece(text, Tone::Normal));
    }
    for line in &entry.lines {
        let (text, tone, mark) = match line {
            Line::Reason(text) => (text, Tone::Faint, ""),
            Line::Rule(text) => (text, Tone::Marked, "+ "),
        };
        for line in wrap(&format!("{mark}{text}"), width - INDENT) {
            pieces.push(piece(format!("{:INDENT$}{line}", ""), tone));
        }
    }
    pieces
}

fn piece(text: String, tone: Tone) -> Piece {
    Piece { text, tone }
}

/// Puts cells side by side, as high as the highest.
fn rows(out: &mut String, cells: impl Iterator<Item = Vec<Piece>>, width: usize, style: Style) {
    let cells: Vec<_> = cells.collect();
    let height = cells.iter().map(Vec::len).max().unwrap_or(0);
    for row in 0..height {
        let mut blanks = 0;
        for cell in &cells {
            if let Some(piece) = cell.get(row) {
                let text = piece.text.trim_end();
                out.extend(std::iter::repeat_n(' ', blanks));
                blanks = width + GAP - text.chars().count();
                paint(out, text, piece.tone, style);
            } else {
                blanks += width + GAP;
            }
        }
        out.push('\n');
    }
}

fn paint(out: &mut String, text: &str, tone: Tone, style: Style) {
    let code = match (style, tone) {
        (Style::Plain, _) | (_, Tone::Normal) => {
            out.push_str(text);
            return;
        }
        (_, Tone::Strong) => 1,
        (_, Tone::Faint) => 2,
        (_, Tone::Marked) => 36,
    };
    // Writing to a string does not fail.
    let _ = write!(out, "\u{1b}[{code}m{text}\u{1b}[0m");
}

/// Lines of whole words, at most `width` characters each.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let used = line.chars().count();
        if used > 0 && used + 1 + word.chars().count() > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&fit(word, width));
    }
    lines.push(line);
    lines
}

/// The text, cut where it is too long.
fn fit(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(width.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> Vec<Column> {
        let entry = |title: &str, aside: &str, lines: Vec<Line>| Entry {
            title: title.into(),
            aside: aside.into(),
            lines,
        };
        vec![
            Column {
                title: "Ann".into(),
                subtitle: vec!["likes hiking".into()],
                entries: vec![
                    entry(
                        "A tent with a name that is longer than the column it stands in",
                        "1199.00 EUR",
                        vec![
                            Line::Reason("Because you viewed Hollow".into()),
                            Line::Rule("In season (x 1.3)".into()),
                        ],
                    ),
                    entry("Stove", "49.00 EUR", vec![]),
                ],
            },
            Column {
                title: "A stranger".into(),
                subtitle: vec![],
                entries: vec![entry("Spork", "12.00 EUR", vec![])],
            },
        ]
    }

    #[test]
    fn columns_stand_side_by_side_and_end_where_they_have_nothing_to_say() {
        let expected = "\
Ann                                                          A stranger
likes hiking
----------------------------------------------------------   ----------------------------------------------------------
1  A tent with a name that is longer than the    1199.00 EUR 1  Spork                                        12.00 EUR
";
        let rendered = render(&columns(), Style::Plain);
        let lines: Vec<_> = rendered.lines().collect();
        assert_eq!(lines[..3], expected.lines().collect::<Vec<_>>()[..3]);
        assert!(lines[3].starts_with("1  A tent with a name"), "{rendered}");
        assert!(lines[3].ends_with("12.00 EUR"), "{rendered}");
        assert!(
            rendered.contains("\n   Because you viewed Hollow\n"),
            "{rendered}"
        );
        assert!(
            rendered.contains("\n   + In season (x 1.3)\n"),
            "{rendered}"
        );
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for line in render(&columns(), Style::Plain).lines() {
            assert!(line.chars().count() <= 120, "{line}");
            assert_eq!(line, line.trim_end());
        }
    }

    #[test]
    fn only_a_terminal_gets_colors() {
        assert!(!render(&columns(), Style::Plain).contains('\u{1b}'));
        assert!(render(&columns(), Style::Colored).contains('\u{1b}'));
    }
}
