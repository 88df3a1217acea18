//! Which variant of a text a person gets: language tags (BCP 47) and the way from a
//! narrow one to a wider one. Knows nothing of what the variants contain.

/// Longest tag that is accepted; the longest in use have about 30 characters.
const TAG_LENGTH_MAX: usize = 64;

/// Whether this has the form of a BCP 47 tag: a language of 2 to 8 letters, then
/// subtags of 1 to 8 letters or digits. Whether anyone speaks it is not asked.
pub fn is_language_tag(tag: &str) -> bool {
    if tag.len() > TAG_LENGTH_MAX {
        return false;
    }
    let mut subtags = tag.split('-');
    let language = subtags.next().unwrap_or_default();
    (2..=8).contains(&language.len())
        && language.bytes().all(|b| b.is_ascii_alphabetic())
        && subtags.all(|subtag| {
            (1..=8).contains(&subtag.len()) && subtag.bytes().all(|b| b.is_ascii_alphanumeric())
        })
}

/// The index of the variant for a person who asks for `wanted`: the tag itself, then
/// ever wider ones (`de-Latn-AT`, `de-Latn`, `de`), then `default`. Letter case does
/// not matter. None where not even `default` is there.
pub fn choose(available: &[&str], wanted: &str, default: &str) -> Option<usize> {
    widening(wanted)
        .chain(std::iter::once(default))
        .find_map(|tag| available.iter().position(|it| it.eq_ignore_ascii_case(tag)))
}

/// The tag, then each of its prefixes at a subtag's border, the longest first.
fn widening(tag: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(tag).filter(|tag| !tag.is_empty()), |tag| {
        tag.rsplit_once('-').map(|(wider, _)| wider)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrowest_variant_that_is_there_wins() {
        let available = ["en", "de", "de-AT", "pt-BR"];
        for (wanted, expected) in [
            ("de-AT", "de-AT"),
            ("de-at", "de-AT"),
            ("de-CH", "de"),
            ("de-Latn-AT", "de"),
            ("de", "de"),
            ("pt", "en"),
            ("pt-BR", "pt-BR"),
            ("fr-FR", "en"),
            ("", "en"),
        ] {
            let chosen = choose(&available, wanted, "en").map(|i| available[i]);
            assert_eq!(chosen, Some(expected), "wanted {wanted}");
        }
    }

    #[test]
    fn nothing_is_chosen_where_the_default_is_missing() {
        assert_eq!(choose(&["de"], "fr", "en"), None);
    }

    #[test]
    fn language_tags_are_told_from_other_words() {
        for (tag, expected) in [
            ("de", true),
            ("de-AT", true),
            ("zh-Hant-TW", true),
            ("sl-rozaj-biske-1994", true),
            ("", false),
            ("d", false),
            ("de_AT", false),
            ("de-", false),
            ("12", false),
            ("deutschland", false),
        ] {
            assert_eq!(is_language_tag(tag), expected, "{tag}");
        }
    }
}
