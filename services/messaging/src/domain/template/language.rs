//! Which part of Liquid is spoken here. Left out: partials (`include`, `render`), and
//! the tags that write values past the escaping or keep them past the budget (`cycle`,
//! `increment`, `decrement`, `ifchanged`, `tablerow`).

use liquid_core::{Language, ParseBlock, ParseFilter, ParseTag};
use liquid_lib::stdlib;

use super::{blocks, filters, scan};

/// For subjects and plain text: outputs are written as they are.
pub(super) fn text() -> Language {
    let mut language = Language::empty();
    let tags: [(&str, Box<dyn ParseTag>); 3] = [
        ("assign", stdlib::AssignTag.into()),
        ("break", stdlib::BreakTag.into()),
        ("continue", stdlib::ContinueTag.into()),
    ];
    for (name, tag) in tags {
        language.tags.register(name.to_owned(), tag);
    }
    let blocks: [(&str, Box<dyn ParseBlock>); 7] = [
        ("raw", stdlib::RawBlock.into()),
        ("if", stdlib::IfBlock.into()),
        ("unless", stdlib::UnlessBlock.into()),
        ("case", stdlib::CaseBlock.into()),
        ("comment", stdlib::CommentBlock.into()),
        ("for", blocks::ForBlock.into()),
        ("capture", blocks::CaptureBlock.into()),
    ];
    for (name, block) in blocks {
        language.blocks.register(name.to_owned(), block);
    }
    for filter in library_filters() {
        let name = filter.reflection().name().to_owned();
        let guarded = filters::Guarded(filter);
        language.filters.register(name, guarded.into());
    }
    // Known in plain text too, so that one text serves both.
    register(&mut language, "raw", filters::identity);
    language
}

/// For HTML: the same, and the filter that the scan puts behind every output.
pub(super) fn html() -> Language {
    let mut language = text();
    register(&mut language, scan::ESCAPE_OUTPUT, filters::escape);
    language
}

fn register(
    language: &mut Language,
    name: &'static str,
    apply: fn(&dyn liquid_core::ValueView) -> liquid_core::Value,
) {
    let filter = filters::Plain { name, apply };
    language.filters.register(name.to_owned(), filter.into());
}

fn library_filters() -> Vec<Box<dyn ParseFilter>> {
    vec![
        stdlib::Abs.into(),
        stdlib::Append.into(),
        stdlib::AtLeast.into(),
        stdlib::AtMost.into(),
        stdlib::Capitalize.into(),
        stdlib::Ceil.into(),
        stdlib::Compact.into(),
        stdlib::Concat.into(),
        stdlib::Date.into(),
        stdlib::Default.into(),
        stdlib::DividedBy.into(),
        stdlib::Downcase.into(),
        stdlib::Escape.into(),
        stdlib::EscapeOnce.into(),
        stdlib::First.into(),
        stdlib::Floor.into(),
        stdlib::Join.into(),
        stdlib::Last.into(),
        stdlib::Lstrip.into(),
        stdlib::Map.into(),
        stdlib::Minus.into(),
        stdlib::Modulo.into(),
        stdlib::NewlineToBr.into(),
        stdlib::Plus.into(),
        stdlib::Prepend.into(),
        stdlib::Remove.into(),
        stdlib::RemoveFirst.into(),
        stdlib::Replace.into(),
        stdlib::ReplaceFirst.into(),
        stdlib::Reverse.into(),
        stdlib::Round.into(),
        stdlib::Rstrip.into(),
        stdlib::Size.into(),
        stdlib::Slice.into(),
        stdlib::Sort.into(),
        stdlib::SortNatural.into(),
        stdlib::Split.into(),
        stdlib::Strip.into(),
        stdlib::StripHtml.into(),
        stdlib::StripNewlines.into(),
        stdlib::Times.into(),
        stdlib::Truncate.into(),
        stdlib::TruncateWords.into(),
        stdlib::Uniq.into(),
        stdlib::Upcase.into(),
        stdlib::UrlDecode.into(),
        stdlib::UrlEncode.into(),
        stdlib::Where.into(),
    ]
}
