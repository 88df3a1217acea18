//! Preferences as the contract has them and as they are stored, and every rule that one
//! must keep.

use std::sync::Arc;

use attune_api::{
    mask,
    profile::v1::{PersonalizationLevel, Preferences, UpdatePreferencesRequest},
    time::from_ms,
};
use attune_errors::Violations;
use icu_locale_core::Locale;
use prost_types::FieldMask;

use super::profile_id;
use crate::{
    Error,
    domain::{
        ProfileId,
        preferences::{self as domain, Level},
    },
    service::preferences::PreferenceChange,
};

const FULL_NAME: &str = "attune.profile.v1.Preferences";

const INTERESTS_MAX: usize = 100;
const INTEREST_CHARS_MAX: usize = 128;
const CHANNELS_MAX: usize = 20;
const CHANNEL_CHARS_MAX: usize = 64;
const MESSAGES_PER_WEEK_MAX: i32 = 1_000;
const LANGUAGE_BYTES_MAX: usize = 64;

pub fn update(
    workspace: &str,
    request: UpdatePreferencesRequest,
    traceparent: String,
) -> Result<PreferenceChange, Error> {
    let Some(sent) = request.preferences else {
        return Err(Violations::of("preferences", "must be set").into());
    };
    if !sent.profile_id.is_empty() && sent.profile_id != request.profile_id {
        let rule = "must be the same as profile_id where it is set";
        return Err(Violations::of("preferences.profile_id", rule).into());
    }
    Ok(PreferenceChange {
        workspace: Arc::from(workspace),
        profile_id: profile_id(&request.profile_id)?,
        sent,
        mask: request.update_mask,
        traceparent,
    })
}

pub fn shown(profile_id: ProfileId, held: Option<&domain::Preferences>) -> Preferences {
    let Some(held) = held else {
        return Preferences {
            profile_id: profile_id.to_string(),
            ..Preferences::default()
        };
    };
    let level = match held.level_held() {
        Level::Full => PersonalizationLevel::FullPersonalization,
        Level::Context => PersonalizationLevel::ContextPersonalization,
        Level::Nothing => PersonalizationLevel::NoPersonalization,
    };
    Preferences {
        profile_id: profile_id.to_string(),
        interests: held.interests.clone(),
        channels: held.channels.clone(),
        messages_per_week_max: held.messages_per_week_max,
        language: held.language.clone(),
        time_zone: held.time_zone.clone(),
        quiet_start: held.quiet_start.clone(),
        quiet_end: held.quiet_end.clone(),
        level: level.into(),
        update_time: Some(from_ms(held.time_ms)),
    }
}

/// The fields of `sent` that the mask names; without one, those that are set; with `*`,
/// all.
pub fn merged(
    before: &Preferences,
    sent: &Preferences,
    wanted: Option<&FieldMask>,
) -> Result<Preferences, Violations> {
    let named = wanted.filter(|mask| !mask.paths.is_empty());
    match named {
        Some(mask) if mask.paths.iter().any(|path| path == "*") => return Ok(sent.clone()),
        Some(mask) => mask::apply(FULL_NAME, before, sent, mask),
        None => mask::apply(FULL_NAME, before, sent, &mask::populated(FULL_NAME, sent)),
    }
    .map_err(|unknown| {
        let mut violations = Violations::new();
        for path in unknown {
            let rule = format!("must name fields of preferences; they have no `{}`", path.0);
            violations.push("update_mask", rule);
        }
        violations
    })
}

/// As they are to be stored, or all that is wrong with them.
pub fn checked(sent: Preferences, time_ms: i64) -> Result<domain::Preferences, Violations> {
    let mut found = Violations::new();
    let preferences = found.within("preferences", |found| {
        let interests = list(
            "interests",
            &sent.interests,
            INTERESTS_MAX,
            INTEREST_CHARS_MAX,
            found,
        );
        let channels = list(
            "channels",
            &sent.channels,
            CHANNELS_MAX,
            CHANNEL_CHARS_MAX,
            found,
        );
        if !(0..=MESSAGES_PER_WEEK_MAX).contains(&sent.messages_per_week_max) {
            let rule = format!("must be 0 to {MESSAGES_PER_WEEK_MAX}");
            found.push("messages_per_week_max", rule);
        }
        quiet_hours(&sent, found);
        domain::Preferences {
            interests,
            channels,
            messages_per_week_max: sent.messages_per_week_max,
            language: language(&sent.language, found),
            time_zone: time_zone(&sent.time_zone, found),
            level: level(sent.level, found).into(),
            quiet_start: sent.quiet_start,
            quiet_end: sent.quiet_end,
            time_ms,
        }
    });
    found.into_result()?;
    Ok(preferences)
}

/// Without what people put around words.
fn list(
    field: &str,
    sent: &[String],
    max: usize,
    chars_max: usize,
    found: &mut Violations,
) -> Vec<String> {
    if sent.len() > max {
        found.push(field, format!("must be at most {max}"));
    }
    let texts: Vec<String> = sent.iter().map(|text| text.trim().to_owned()).collect();
    for (index, text) in texts.iter().enumerate() {
        let chars = text.chars().count();
        if chars == 0 || chars > chars_max || text.chars().any(char::is_control) {
            let rule = format!("must be 1 to {chars_max} characters without control characters");
            found.push(format!("{field}[{index}]"), rule);
        } else if texts[..index].contains(text) {
            found.push(format!("{field}[{index}]"), "must not be listed twice");
        }
    }
    texts
}

/// In its canonical spelling.
fn language(sent: &str, found: &mut Violations) -> String {
    if sent.is_empty() {
        return String::new();
    }
    // The parser takes underscores, which BCP 47 does not.
    let fits = sent.len() <= LANGUAGE_BYTES_MAX && !sent.contains('_');
    match Locale::try_from_str(sent) {
        Ok(locale) if fits => locale.to_string(),
        _ => {
            found.push("language", "must be a BCP 47 tag, e.g. de-AT");
            String::new()
        }
    }
}

/// In its canonical spelling.
fn time_zone(sent: &str, found: &mut Violations) -> String {
    if sent.is_empty() {
        return String::new();
    }
    let zone = jiff::tz::TimeZone::get(sent).ok();
    match zone.as_ref().and_then(|zone| zone.iana_name()) {
        Some(name) => name.to_owned(),
        None => {
            found.push("time_zone", "must be an IANA time zone, e.g. Europe/Berlin");
            String::new()
        }
    }
}

fn quiet_hours(sent: &Preferences, found: &mut Violations) {
    let times = [
        ("quiet_start", &sent.quiet_start),
        ("quiet_end", &sent.quiet_end),
    ];
    for (field, text) in times {
        if !text.is_empty() && !is_time_of_day(text) {
            found.push(field, "must be a time of day as HH:MM, 00:00 to 23:59");
        }
    }
    match (sent.quiet_start.as_str(), sent.quiet_end.as_str()) {
        ("", "") => {}
        ("", _) => found.push("quiet_start", "must be set where quiet_end is"),
        (_, "") => found.push("quiet_end", "must be set where quiet_start is"),
        (start, end) if start == end => {
            found.push("quiet_end", "must be another time than quiet_start");
        }
        _ => {}
    }
}

fn is_time_of_day(text: &str) -> bool {
    let number = |digits: &str, max: u8| {
        digits.len() == 2
            && digits.bytes().all(|b| b.is_ascii_digit())
            && digits.parse::<u8>().is_ok_and(|n| n <= max)
    };
    text.split_once(':')
        .is_some_and(|(hours, minutes)| number(hours, 23) && number(minutes, 59))
}

fn level(sent: i32, found: &mut Violations) -> Level {
    use PersonalizationLevel as Sent;
    match Sent::try_from(sent) {
        Ok(Sent::Unspecified | Sent::FullPersonalization) => Level::Full,
        Ok(Sent::ContextPersonalization) => Level::Context,
        Ok(Sent::NoPersonalization) => Level::Nothing,
        Err(_) => {
            found.push(
                "level",
                "must be FULL_PERSONALIZATION, CONTEXT_PERSONALIZATION or NO_PERSONALIZATION",
            );
            Level::Full
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(change: impl FnOnce(&mut Preferences)) -> Vec<String> {
        let mut sent = Preferences::default();
        change(&mut sent);
        let found = checked(sent, 0).err().unwrap_or_default();
        found.iter().map(|v| v.field.clone()).collect()
    }

    #[test]
    fn each_field_is_held_against_its_rule() {
        type Row = (fn(&mut Preferences), &'static [&'static str]);
        let rows: [Row; 14] = [
            (|_| (), &[]),
            (|p| p.interests = vec!["tents".into(), " mats ".into()], &[]),
            (
                |p| p.interests = vec!["".into(), "a".into(), "a ".into()],
                &["preferences.interests[0]", "preferences.interests[2]"],
            ),
            (
                |p| p.channels = vec!["x".repeat(65)],
                &["preferences.channels[0]"],
            ),
            (
                |p| p.channels = (0..21).map(|n| n.to_string()).collect(),
                &["preferences.channels"],
            ),
            (
                |p| p.messages_per_week_max = -1,
                &["preferences.messages_per_week_max"],
            ),
            (|p| p.language = "zh-Hant-TW".into(), &[]),
            (|p| p.language = "de_AT".into(), &["preferences.language"]),
            (
                |p| p.language = "deutsch!".into(),
                &["preferences.language"],
            ),
            (
                |p| p.time_zone = "Mars/Base".into(),
                &["preferences.time_zone"],
            ),
            (|p| p.level = 9, &["preferences.level"]),
            (
                |p| p.quiet_start = "22:00".into(),
                &["preferences.quiet_end"],
            ),
            (
                |p| {
                    p.quiet_start = "24:00".into();
                    p.quiet_end = "7:00".into();
                },
                &["preferences.quiet_start", "preferences.quiet_end"],
            ),
            (
                |p| {
                    p.quiet_start = "22:00".into();
                    p.quiet_end = "22:00".into();
                },
                &["preferences.quiet_end"],
            ),
        ];
        for (index, (change, expected)) in rows.into_iter().enumerate() {
            assert_eq!(faults(change), expected, "row {index}");
        }
    }

    #[test]
    fn spellings_become_canonical() {
        let sent = Preferences {
            language: "DE-at".into(),
            time_zone: "europe/vienna".into(),
            ..Preferences::default()
        };
        let checked = checked(sent, 7).unwrap();
        assert_eq!(
            (checked.language.as_str(), checked.time_zone.as_str()),
            ("de-AT", "Europe/Vienna")
        );
        assert_eq!(checked.time_ms, 7);
    }

    #[test]
    fn only_what_is_named_changes() {
        let before = Preferences {
            language: "de".into(),
            interests: vec!["tents".into()],
            ..Preferences::default()
        };
        let sent = Preferences {
            language: "fr".into(),
            ..Preferences::default()
        };
        let mask = |paths: &[&str]| FieldMask {
            paths: paths.iter().map(ToString::to_string).collect(),
        };
        let rows = [
            (None, "fr", 1),
            (Some(mask(&["interests"])), "de", 0),
            (Some(mask(&["*"])), "fr", 0),
        ];
        for (mask, language, interests) in rows {
            let after = merged(&before, &sent, mask.as_ref()).unwrap();
            assert_eq!(
                (after.language.as_str(), after.interests.len()),
                (language, interests)
            );
        }
        assert!(merged(&before, &sent, Some(&mask(&["lingo"]))).is_err());
    }
}
