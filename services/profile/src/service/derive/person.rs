//! People as what is derived of them sees them: a record that changes as it is derived,
//! over a history that does not.

use attune_expr::Scope;

use crate::domain::{
    Record,
    derive::Person,
    purposes::{PurposeSet, Purposes},
    scope::{History, PersonScope},
};

/// Somebody, without the record.
pub struct Known<'a> {
    pub key: String,
    pub history: &'a History,
    pub purposes: &'a Purposes,
    /// What the person's data may be used for.
    pub allowed: PurposeSet,
    pub now_ms: i64,
}

impl Person for Known<'_> {
    fn show<T>(&self, record: &Record, see: impl FnOnce(&dyn Scope) -> T) -> T {
        see(&PersonScope {
            key: &self.key,
            record,
            history: self.history,
            purposes: self.purposes,
            allowed: self.allowed,
            now_ms: self.now_ms,
        })
    }
}

/// Somebody of whom nothing is known.
pub struct Nobody<'a> {
    pub purposes: &'a Purposes,
    pub now_ms: i64,
}

impl Person for Nobody<'_> {
    fn show<T>(&self, record: &Record, see: impl FnOnce(&dyn Scope) -> T) -> T {
        let known = Known {
            key: String::new(),
            history: &History::default(),
            purposes: self.purposes,
            allowed: self.purposes.standing(record).allowed,
            now_ms: self.now_ms,
        };
        known.show(record, see)
    }
}
