//! Identifiers as advertising platforms want them: normalised by each platform's rules,
//! hashed, and written as lines of CSV or JSON. Never sees who may be in an audience,
//! and never lets an identifier out in clear.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use super::{
    Identity, ProfileId,
    identity::{EMAIL, PHONE},
};

/// Identifiers of one kind and person that platforms take: Meta's documented bound, and
/// enough for Google, which takes any number of columns of one name.
pub const IDENTIFIERS_MAX: usize = 3;

/// Which platform's rules hold.
///
/// - Google: "Prepare the data" of Customer Match in the Google Ads API's documentation,
///   and support.google.com/google-ads/answer/7659867 for the file.
/// - Meta: "Hashing and normalization for multi-key" of the Marketing API's customer file
///   custom audiences, and facebook.com/business/help/2082575038703844 for the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    Hashed,
    GoogleCustomerMatch,
    MetaCustomAudience,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Csv,
    Ndjson,
}

/// One person in an audience. All texts are hexadecimal SHA-256.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub profile_id: ProfileId,
    pub emails: Vec<String>,
    pub phones: Vec<String>,
}

/// How an audience's people came out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Looked at; the sum of the others.
    pub members: i64,
    pub exported: i64,
    /// The purpose is not allowed for them.
    pub withheld: i64,
    /// No platform could find them.
    pub unmatchable: i64,
}

impl Counts {
    pub fn add(&mut self, more: Self) {
        self.members += more.members;
        self.exported += more.exported;
        self.withheld += more.withheld;
        self.unmatchable += more.unmatchable;
    }
}

impl Layout {
    /// As it is stored.
    pub fn number(self) -> i64 {
        match self {
            Self::Hashed => 1,
            Self::GoogleCustomerMatch => 2,
            Self::MetaCustomAudience => 3,
        }
    }

    pub fn of(number: i64) -> Option<Self> {
        let all = [
            Self::Hashed,
            Self::GoogleCustomerMatch,
            Self::MetaCustomAudience,
        ];
        all.into_iter().find(|layout| layout.number() == number)
    }

    /// What the platform can find a person by; None if there is nothing.
    pub fn entry<'a>(
        self,
        profile_id: ProfileId,
        identities: impl Iterator<Item = &'a Identity>,
    ) -> Option<Entry> {
        let mut entry = Entry {
            profile_id,
            emails: Vec::new(),
            phones: Vec::new(),
        };
        for identity in identities {
            match identity.namespace() {
                EMAIL => keep(&mut entry.emails, hash(&self.email(identity.value()))),
                PHONE => entry.keep_phone(self.phone(identity.value())),
                _ => {}
            }
        }
        let found = !entry.emails.is_empty() || !entry.phones.is_empty();
        found.then_some(entry)
    }

    fn email(self, address: &str) -> String {
        let address = address.trim().to_lowercase();
        match (self, address.rsplit_once('@')) {
            (Self::GoogleCustomerMatch, Some((local, domain)))
                if matches!(domain, "gmail.com" | "googlemail.com") =>
            {
                format!("{}@{domain}", local.replace('.', ""))
            }
            _ => address,
        }
    }

    /// None where the number lacks its country, for no platform could tell whose it is.
    fn phone(self, number: &str) -> Option<String> {
        let digits: String = number.chars().filter(char::is_ascii_digit).collect();
        let international = number.trim_start().starts_with('+') && !digits.is_empty();
        international.then(|| match self {
            Self::MetaCustomAudience => digits,
            Self::Hashed | Self::GoogleCustomerMatch => format!("+{digits}"),
        })
    }

    /// Names of the columns of a CSV file: of the profile id, if there is one, of
    /// e-mail addresses and of phone numbers.
    fn columns(self) -> (Option<&'static str>, &'static str, &'static str) {
        match self {
            Self::Hashed => (Some("profile_id"), "email_sha256", "phone_sha256"),
            Self::GoogleCustomerMatch => (None, "Email", "Phone"),
            Self::MetaCustomAudience => (Some("extern_id"), "email", "phone"),
        }
    }

    /// What comes before the first line.
    pub fn header(self, format: Format) -> String {
        if format == Format::Ndjson {
            return String::new();
        }
        let (id, email, phone) = self.columns();
        let emails = std::iter::repeat_n(email, IDENTIFIERS_MAX);
        let phones = std::iter::repeat_n(phone, IDENTIFIERS_MAX);
        let names: Vec<_> = id.into_iter().chain(emails).chain(phones).collect();
        names.join(",") + "\n"
    }

    /// Appends an entry's line.
    pub fn write(self, entry: &Entry, format: Format, lines: &mut String) {
        match format {
            Format::Csv => self.write_csv(entry, lines),
            Format::Ndjson => {
                // Writing to a text cannot fail.
                let _ = writeln!(lines, "{}", self.json(entry));
            }
        }
    }

    /// Ids and hashes hold nothing that CSV would have to quote.
    fn write_csv(self, entry: &Entry, lines: &mut String) {
        let mut is_first = true;
        let mut cell = |text: &str| {
            if !std::mem::take(&mut is_first) {
                lines.push(',');
            }
            lines.push_str(text);
        };
        if self.columns().0.is_some() {
            cell(&entry.profile_id.to_string());
        }
        for list in [&entry.emails, &entry.phones] {
            for at in 0..IDENTIFIERS_MAX {
                cell(list.get(at).map_or("", String::as_str));
            }
        }
        lines.push('\n');
    }

    pub fn json(self, entry: &Entry) -> serde_json::Value {
        let (id, email, phone) = self.columns();
        let mut fields = serde_json::Map::new();
        if let Some(id) = id {
            fields.insert(id.to_owned(), entry.profile_id.to_string().into());
        }
        for (name, list) in [(email, &entry.emails), (phone, &entry.phones)] {
            if !list.is_empty() {
                fields.insert(name.to_owned(), list.clone().into());
            }
        }
        fields.into()
    }
}

impl Entry {
    fn keep_phone(&mut self, number: Option<String>) {
        if let Some(number) = number {
            keep(&mut self.phones, hash(&number));
        }
    }
}

/// Two spellings of one address are one identifier.
fn keep(list: &mut Vec<String>, hashed: String) {
    if list.len() < IDENTIFIERS_MAX && !list.contains(&hashed) {
        list.push(hashed);
    }
}

fn hash(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    let mut hex = String::with_capacity(64);
    for byte in digest {
        // Writing to a text cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(layout: Layout, identities: &[(&str, &str)]) -> Option<Entry> {
        let identities: Vec<_> = identities
            .iter()
            .map(|(namespace, value)| Identity::of(namespace, value))
            .collect();
        layout.entry(ProfileId::fresh(), identities.iter())
    }

    #[test]
    fn hashes_are_those_of_any_other_sha256() {
        // The examples of FIPS 180-2.
        assert_eq!(
            hash("abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(
            hash(""),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }

    #[test]
    fn each_platform_normalises_in_its_own_way() {
        use Layout::*;
        let rows = [
            (
                Hashed,
                "email",
                "Ann.Lee@Gmail.com",
                Some("ann.lee@gmail.com"),
            ),
            (
                GoogleCustomerMatch,
                "email",
                "Ann.Lee@gmail.com",
                Some("annlee@gmail.com"),
            ),
            (
                GoogleCustomerMatch,
                "email",
                "a.b@googlemail.com",
                Some("ab@googlemail.com"),
            ),
            (
                GoogleCustomerMatch,
                "email",
                "a.b@example.com",
                Some("a.b@example.com"),
            ),
            (
                MetaCustomAudience,
                "email",
                "Ann.Lee@gmail.com",
                Some("ann.lee@gmail.com"),
            ),
            (Hashed, "phone", "+436641234567", Some("+436641234567")),
            (
                GoogleCustomerMatch,
                "phone",
                "+436641234567",
                Some("+436641234567"),
            ),
            (
                MetaCustomAudience,
                "phone",
                "+436641234567",
                Some("436641234567"),
            ),
            (GoogleCustomerMatch, "phone", "06641234567", None),
            (Hashed, "user_id", "ann", None),
        ];
        for (layout, namespace, value, expected) in rows {
            let found = entry(layout, &[(namespace, value)]);
            let hashed = found.map(|e| e.emails.into_iter().chain(e.phones).collect::<Vec<_>>());
            let expected = expected.map(|text| vec![hash(text)]);
            assert_eq!(hashed, expected, "{layout:?} {value}");
        }
    }

    #[test]
    fn a_person_has_three_identifiers_of_a_kind_at_most_and_none_twice() {
        let all = [
            "a.b@gmail.com",
            "ab@gmail.com",
            "c@x.org",
            "d@x.org",
            "e@x.org",
        ];
        let all: Vec<_> = all.iter().map(|address| ("email", *address)).collect();
        let entry = entry(Layout::GoogleCustomerMatch, &all).unwrap();
        let expected = ["ab@gmail.com", "c@x.org", "d@x.org"].map(hash).to_vec();
        assert_eq!(entry.emails, expected);
    }

    #[test]
    fn lines_have_the_columns_of_their_header() {
        let identities = [("email", "a@x.org"), ("phone", "+4366412345")];
        for layout in [
            Layout::Hashed,
            Layout::GoogleCustomerMatch,
            Layout::MetaCustomAudience,
        ] {
            let entry = entry(layout, &identities).unwrap();
            let mut csv = layout.header(Format::Csv);
            layout.write(&entry, Format::Csv, &mut csv);
            let lines: Vec<Vec<_>> = csv.lines().map(|l| l.split(',').collect()).collect();
            let [header, row] = lines.as_slice() else {
                panic!("{csv}")
            };
            assert_eq!(header.len(), row.len());
            let filled: Vec<_> = header
                .iter()
                .zip(row)
                .filter(|(_, cell)| cell.len() == 64)
                .map(|(name, cell)| (*name, (*cell).to_owned()))
                .collect();
            let (_, email, phone) = layout.columns();
            let digits = match layout {
                Layout::MetaCustomAudience => "4366412345",
                _ => "+4366412345",
            };
            assert_eq!(filled, [(email, hash("a@x.org")), (phone, hash(digits))]);

            let mut json = layout.header(Format::Ndjson);
            layout.write(&entry, Format::Ndjson, &mut json);
            let object: serde_json::Value = serde_json::from_str(json.trim_end()).unwrap();
            assert_eq!(object[email], serde_json::json!([hash("a@x.org")]));
            assert_eq!(object.get("profile_id").is_some(), layout == Layout::Hashed);
        }
    }
}
