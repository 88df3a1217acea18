//! What a person wants: interests, channels, how often, in which language, when not, and
//! how personal it may get. The tags are the stored form and are never reused. Says
//! nothing about what a field may hold.

/// As it was wanted last. All that is set together was said together.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Preferences {
    #[prost(string, repeated, tag = "1")]
    pub interests: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub channels: Vec<String>,
    #[prost(int32, tag = "3")]
    pub messages_per_week_max: i32,
    #[prost(string, tag = "4")]
    pub language: String,
    #[prost(string, tag = "5")]
    pub time_zone: String,
    #[prost(string, tag = "6")]
    pub quiet_start: String,
    #[prost(string, tag = "7")]
    pub quiet_end: String,
    #[prost(enumeration = "Level", tag = "8")]
    pub level: i32,
    #[prost(int64, tag = "9")]
    pub time_ms: i64,
}

/// How personal it may get, as far as consent allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum Level {
    Full = 0,
    /// From the situation alone.
    Context = 1,
    /// The same for everybody.
    Nothing = 2,
}

impl Preferences {
    /// An unknown level is one that a newer version wrote, and may be any: the strictest.
    pub fn level_held(&self) -> Level {
        Level::try_from(self.level).unwrap_or(Level::Nothing)
    }

    /// Of two that one person told, the later counts; found to be of one person at
    /// `merge_ms`. How personal it may get is a matter of consent: what was wanted of it
    /// before that gives way to the stricter, and what is wanted after it counts.
    pub fn joined(ours: Option<Self>, theirs: Option<Self>, merge_ms: i64) -> Option<Self> {
        let (Some(ours), Some(theirs)) = (&ours, &theirs) else {
            return ours.or(theirs);
        };
        let (later, earlier) = match theirs.time_ms > ours.time_ms {
            true => (theirs, ours),
            false => (ours, theirs),
        };
        let mut joined = later.clone();
        if later.time_ms <= merge_ms {
            let strictest = later.level_held().max(earlier.level_held());
            joined.level = strictest.into();
        }
        Some(joined)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_wishes_the_later_counts_and_of_two_levels_the_stricter_until_they_were_one() {
        use Level::{Context, Full, Nothing};
        let at = |time_ms, level: Level| {
            Some(Preferences {
                time_ms,
                level: level.into(),
                ..Preferences::default()
            })
        };
        for (ours, theirs, expected) in [
            (at(1, Full), at(2, Full), at(2, Full)),
            (at(2, Full), at(1, Full), at(2, Full)),
            (None, at(1, Context), at(1, Context)),
            (at(1, Nothing), None, at(1, Nothing)),
            (None, None, None),
            (at(1, Nothing), at(2, Full), at(2, Nothing)),
            (at(2, Full), at(1, Context), at(2, Context)),
            (at(1, Context), at(5, Nothing), at(5, Nothing)),
            // Wanted after the two were one.
            (at(1, Nothing), at(11, Full), at(11, Full)),
            (at(11, Context), at(2, Nothing), at(11, Context)),
        ] {
            assert_eq!(Preferences::joined(ours, theirs, 10), expected);
        }
    }

    #[test]
    fn a_level_of_the_future_is_the_strictest() {
        let unknown = Preferences {
            level: 9,
            ..Preferences::default()
        };
        assert_eq!(unknown.level_held(), Level::Nothing);
        assert_eq!(Preferences::default().level_held(), Level::Full);
    }
}
