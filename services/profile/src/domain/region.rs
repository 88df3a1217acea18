//! Where a person is, as far as consent depends on it: a country and perhaps a part of
//! it, and the larger area whose rules it shares. Knows no rules itself.

use std::fmt;

/// States of the European Economic Area, to which the GDPR applies: the members of the
/// European Union (<https://european-union.europa.eu/principles-countries-history/eu-countries_en>)
/// and, by decision 154/2018 of the EEA Joint Committee, Iceland, Liechtenstein and Norway.
const EEA: [&str; 30] = [
    "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IS",
    "IT", "LI", "LT", "LU", "LV", "MT", "NL", "NO", "PL", "PT", "RO", "SE", "SI", "SK",
];

/// The key of regimes that hold in the European Economic Area.
const EU: &str = "EU";

/// A country (ISO 3166-1 alpha-2) or a part of one (ISO 3166-2): `AT`, `US-CA`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Region(String);

/// Not the code of a country or of a part of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an ISO 3166 code such as `AT` or `US-CA`")]
pub struct NotARegion;

impl Region {
    /// Takes codes in either case.
    pub fn parse(text: &str) -> Result<Self, NotARegion> {
        let text = text.trim().to_ascii_uppercase();
        let (country, part) = match text.split_once('-') {
            Some((country, part)) => (country, Some(part)),
            None => (text.as_str(), None),
        };
        if is_country(country) && part.is_none_or(is_part) {
            Ok(Self(text))
        } else {
            Err(NotARegion)
        }
    }

    /// From what senders put into a location: a country's code, and a part's with or
    /// without the country in front. Names in words and other codes leave the country,
    /// which is the larger part of what regimes go by.
    pub fn of_location(country: &str, part: &str) -> Option<Self> {
        let country = Self::parse(country).ok()?;
        let part = part.trim();
        let whole = match part.split_once('-') {
            Some((of, _)) if of.eq_ignore_ascii_case(country.country()) => Self::parse(part),
            Some(_) => return Some(country),
            None => Self::parse(&format!("{}-{part}", country.country())),
        };
        Some(whole.unwrap_or(country))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn country(&self) -> &str {
        // Two letters by construction.
        self.0.get(..2).unwrap_or_default()
    }

    /// What a regime for this place may be declared for, the most specific first.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        let country = self.country();
        let whole = (self.0.len() > 2).then_some(self.0.as_str());
        let area = EEA.contains(&country).then_some(EU);
        whole.into_iter().chain([country]).chain(area).chain([""])
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether regimes can be declared for it.
pub fn is_regime_key(key: &str) -> bool {
    key.is_empty() || Region::parse(key).is_ok_and(|region| region.as_str() == key)
}

fn is_country(text: &str) -> bool {
    text.len() == 2 && text.bytes().all(|b| b.is_ascii_uppercase())
}

fn is_part(text: &str) -> bool {
    (1..=3).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_looked_for_from_the_most_specific_on() {
        let rows: [(&str, &[&str]); 5] = [
            ("US-CA", &["US-CA", "US", ""]),
            ("us", &["US", ""]),
            ("AT-9", &["AT-9", "AT", "EU", ""]),
            (" no ", &["NO", "EU", ""]),
            ("GB", &["GB", ""]),
        ];
        for (text, keys) in rows {
            let region = Region::parse(text).unwrap();
            assert_eq!(region.keys().collect::<Vec<_>>(), keys, "{text}");
        }
        for text in ["", "A", "AUT", "US-", "US-CALI", "4T", "Österreich"] {
            assert_eq!(Region::parse(text), Err(NotARegion), "{text}");
        }
    }

    #[test]
    fn a_location_gives_what_codes_it_has() {
        let rows = [
            ("us", "ca", Some("US-CA")),
            ("US", "US-NY", Some("US-NY")),
            ("US", "California", Some("US")),
            ("DE", "US-NY", Some("DE")),
            ("DE", "", Some("DE")),
            ("United States", "CA", None),
        ];
        for (country, part, expected) in rows {
            let found = Region::of_location(country, part);
            let found = found.as_ref().map(Region::as_str);
            assert_eq!(found, expected, "{country} {part}");
        }
    }

    #[test]
    fn regimes_are_declared_for_codes_only() {
        for (key, expected) in [("", true), ("EU", true), ("US-CA", true), ("us", false)] {
            assert_eq!(is_regime_key(key), expected, "{key}");
        }
    }
}
