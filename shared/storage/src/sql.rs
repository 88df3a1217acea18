//! One statement's text. The only rewriting between the databases is that of
//! `in list($n)`; everything else is plain SQL that both understand.

use std::{borrow::Cow, sync::Arc};

use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

/// A statement with `$1` placeholders. Made from a literal; text built at run time
/// must be asserted free of outside data through [`Sql::built`].
#[derive(Debug, Clone)]
pub struct Sql(Text);

#[derive(Debug, Clone)]
enum Text {
    Literal(&'static str),
    Built(Arc<str>),
    Each {
        sqlite: &'static str,
        postgres: &'static str,
    },
}

/// Which SQL is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
}

const LIST: &str = "in list($";

impl Sql {
    /// Text put together at run time from literals. Never from input: values are
    /// parameters.
    pub fn built(text: String) -> Self {
        Self(Text::Built(text.into()))
    }

    /// For the rare statement that the databases spell differently, such as
    /// `for update skip locked`.
    pub const fn each(sqlite: &'static str, postgres: &'static str) -> Self {
        Self(Text::Each { sqlite, postgres })
    }

    pub(crate) fn text(&self, dialect: Dialect) -> SqlStr {
        match &self.0 {
            Text::Literal(text) => literal(text, dialect),
            Text::Each { sqlite, .. } if dialect == Dialect::Sqlite => literal(sqlite, dialect),
            Text::Each { postgres, .. } => literal(postgres, dialect),
            Text::Built(text) => match lists(text, dialect) {
                Cow::Borrowed(_) => AssertSqlSafe(Arc::clone(text)).into_sql_str(),
                Cow::Owned(text) => AssertSqlSafe(text).into_sql_str(),
            },
        }
    }
}

impl From<&'static str> for Sql {
    fn from(text: &'static str) -> Self {
        Self(Text::Literal(text))
    }
}

fn literal(text: &'static str, dialect: Dialect) -> SqlStr {
    match lists(text, dialect) {
        Cow::Borrowed(_) => text.into_sql_str(),
        Cow::Owned(text) => AssertSqlSafe(text).into_sql_str(),
    }
}

fn lists(text: &str, dialect: Dialect) -> Cow<'_, str> {
    if !text.contains(LIST) {
        return Cow::Borrowed(text);
    }
    let mut rewritten = String::with_capacity(text.len() + 64);
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(LIST) {
        let digits = after.bytes().take_while(u8::is_ascii_digit).count();
        let (parameter, tail) = after.split_at(digits);
        rewritten.push_str(before);
        match dialect {
            Dialect::Sqlite => {
                rewritten.push_str("in (select value from json_each($");
                rewritten.push_str(parameter);
                rewritten.push(')');
            }
            Dialect::Postgres => {
                rewritten.push_str("= any ($");
                rewritten.push_str(parameter);
            }
        }
        rest = tail;
    }
    rewritten.push_str(rest);
    Cow::Owned(rewritten)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_spelt_for_each_database() {
        let check = |sql: &str, sqlite: &str, postgres: &str| {
            assert_eq!(lists(sql, Dialect::Sqlite), sqlite);
            assert_eq!(lists(sql, Dialect::Postgres), postgres);
        };
        check("select 1 from t", "select 1 from t", "select 1 from t");
        check(
            "select a from t where b in list($12) and c in list($2) limit 1",
            "select a from t where b in (select value from json_each($12)) and c in (select value from json_each($2)) limit 1",
            "select a from t where b = any ($12) and c = any ($2) limit 1",
        );
    }
}
