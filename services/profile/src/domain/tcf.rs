//! IAB TCF v2 consent strings: which purposes a person consented to, or did not object
//! to. Vendors are of no concern here and are never read.

use lib_tcstring::TcModelV2;

/// Longest string taken, in characters; those of consent platforms have some hundreds.
pub const CHARS_MAX: usize = 4_096;

/// Characters of the core segment before its lists of vendors: 213 bits of 6 each.
const HEAD_CHARS: usize = 36;

/// What a string says, by the numbers of the IAB's purposes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tcf {
    pub raw: String,
    consented: Vec<u8>,
    /// Disclosed as legitimate interest and not objected to.
    legitimate: Vec<u8>,
}

/// No TCF v2 string, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotTcf {
    #[error("must be an IAB TCF v2 string of at most {CHARS_MAX} characters")]
    TooLong,
    #[error("must be an IAB TCF v2 string: URL-safe base64 in parts divided by `.`")]
    Alphabet,
    #[error("must be an IAB TCF v2 string: its core is cut short")]
    TooShort,
    #[error("must be an IAB TCF string of version 2")]
    Version,
    #[error("must be an IAB TCF v2 string: a language or country in it is no code")]
    Codes,
}

impl Tcf {
    pub fn decode(raw: &str) -> Result<Self, NotTcf> {
        if raw.len() > CHARS_MAX {
            return Err(NotTcf::TooLong);
        }
        let in_alphabet = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        if !raw.split('.').all(in_alphabet) {
            return Err(NotTcf::Alphabet);
        }
        if !raw.starts_with('C') {
            return Err(NotTcf::Version);
        }
        let core = raw.split('.').next().unwrap_or_default();
        let head = without_vendors(core).ok_or(NotTcf::TooShort)?;
        // Of a right length, alphabet and version, only codes can be wrong.
        let model = TcModelV2::try_from(head.as_str()).map_err(|_| NotTcf::Codes)?;
        Ok(Self {
            raw: raw.to_owned(),
            consented: model.purposes_consent,
            legitimate: model.purposes_li_transparency,
        })
    }

    pub fn consents_to(&self, purpose: u8) -> bool {
        self.consented.contains(&purpose)
    }

    pub fn tolerates(&self, purpose: u8) -> bool {
        self.legitimate.contains(&purpose)
    }
}

/// The core with empty lists of vendors. A few ranges of vendors can stand for millions,
/// and what the decoder makes of cut ones is a panic: it gets none.
fn without_vendors(core: &str) -> Option<String> {
    let head = core.get(..HEAD_CHARS)?;
    let (kept, last) = head.split_at(HEAD_CHARS - 1);
    // Its upper half is the end of the head, its lower half of the first list.
    let last = base64_value(*last.as_bytes().first()?)? & 0b11_1000;
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = kept.to_owned();
    text.push(char::from(*alphabet.get(usize::from(last))?));
    // 46 bits of empty lists, and some over.
    text.push_str("AAAAAAAAAAAA");
    Some(text)
}

fn base64_value(character: u8) -> Option<u8> {
    Some(match character {
        b'A'..=b'Z' => character - b'A',
        b'a'..=b'z' => character - b'a' + 26,
        b'0'..=b'9' => character - b'0' + 52,
        b'-' => 62,
        b'_' => 63,
        _ => return None,
    })
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Consents to 1, 2 and 3; from the decoder's own documentation.
    pub const FIRST_THREE: &str = "COvFyGBOvFyGBAbAAAENAPCAAOAAAAAAAAAAAEEUACCKAAA";

    /// Consents to 1 to 10, legitimate interests of 2, 7, 9 and 10; with more segments.
    pub const MOST: &str = "CPXxRfAPXxRfAAfKABENB-CgAAAAAAAAAAYgAAAAAAAA";

    #[test]
    fn purposes_are_read_and_vendors_are_not() {
        let tcf = Tcf::decode(FIRST_THREE).unwrap();
        assert_eq!(
            (tcf.consented.as_slice(), tcf.legitimate.as_slice()),
            (&[1, 2, 3][..], &[][..])
        );
        assert_eq!(tcf.raw, FIRST_THREE);
        let whole = TcModelV2::try_from(MOST).unwrap();
        let tcf = Tcf::decode(&format!("{MOST}.YAAAAAAAAAAAAAAAAAA")).unwrap();
        assert_eq!(tcf.consented, whole.purposes_consent);
        assert_eq!(tcf.legitimate, whole.purposes_li_transparency);
    }

    #[test]
    fn what_is_wrong_with_a_string_is_told() {
        let long = format!("C{}", "A".repeat(CHARS_MAX));
        let rows = [
            ("", NotTcf::Alphabet),
            ("COvFyGB OvFy", NotTcf::Alphabet),
            (&format!("{FIRST_THREE}..YAAA"), NotTcf::Alphabet),
            (
                "BOvFyGBOvFyGBAbAAAENAPCAAOAAAAAAAAAAAEEUACCKAAA",
                NotTcf::Version,
            ),
            ("COvFyGBOvFyGBAb", NotTcf::TooShort),
            (&long, NotTcf::TooLong),
            (&format!("C{}", "_".repeat(50)), NotTcf::Codes),
        ];
        for (raw, expected) in rows {
            assert_eq!(Tcf::decode(raw), Err(expected), "{raw}");
        }
    }

    proptest! {
        #[test]
        fn no_text_brings_the_decoder_down(text in "C[A-Za-z0-9_.-]{0,80}", any in ".{0,60}") {
            let _ = Tcf::decode(&text);
            let _ = Tcf::decode(&any);
        }
    }
}
