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

    /// Of two that one person told, the later counts.
    pub fn later(ours: Option<Self>, theirs: Option<Self>) -> Option<Self> {
        match (ours, theirs) {
            (Some(ours), Some(theirs)) if theirs.time_ms > ours.time_ms => Some(theirs),
            (Some(ours), _) => Some(ours),
            (None, theirs) => theirs,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_wishes_the_later_counts() {
        let at = |time_ms| {
            Some(Preferences {
                time_ms,
                ..Preferences::default()
            })
        };
        for (ours, theirs, expected) in [
            (at(1), at(2), at(2)),
            (at(2), at(1), at(2)),
            (None, at(1), at(1)),
            (at(1), None, at(1)),
            (None, None, None),
        ] {
            assert_eq!(Preferences::later(ours, theirs), expected);
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
