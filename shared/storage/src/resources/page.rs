//! Lists in pages, by id. A page token is the last id that was seen, opaque to
//! callers; one that this list did not give is a violation.

use attune_errors::Violations;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{Error, Resource, Table, table::decode};
use crate::args;

const SIZE_DEFAULT: i32 = 50;
const SIZE_MAX: i32 = 1_000;

/// The paging fields of a List request.
#[derive(Debug, Clone, Default)]
pub struct PageRequest {
    /// 0 means 50; more than 1,000 means 1,000.
    pub page_size: i32,
    pub page_token: String,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Page<R> {
    pub resources: Vec<R>,
    /// Empty on the last page.
    pub next_page_token: String,
}

impl PageRequest {
    /// How many to read and the id to read after, or all that is wrong. `list` names
    /// what is listed, so that a token of another list is refused. For lists that are
    /// not in a [`Table`] too.
    pub fn resolve(&self, list: &str) -> Result<(i32, String), Violations> {
        let mut violations = Violations::new();
        if self.page_size < 0 {
            violations.push("page_size", "must not be negative");
        }
        let after = if self.page_token.is_empty() {
            Some(String::new())
        } else {
            read_token(list, &self.page_token)
        };
        let Some(after) = after else {
            violations.push("page_token", "must be a next_page_token of this list");
            return Err(violations);
        };
        violations.into_result()?;
        let size = match self.page_size {
            0 => SIZE_DEFAULT,
            size => size.min(SIZE_MAX),
        };
        Ok((size, after))
    }
}

impl<R> Page<R> {
    /// From up to one resource more than the page's size.
    pub fn cut(list: &str, size: i32, mut read: Vec<R>, id: impl Fn(&R) -> &str) -> Self {
        let size = usize::try_from(size).unwrap_or(0);
        let more = read.len() > size;
        read.truncate(size);
        let last = read
            .last()
            .filter(|_| more)
            .map(|last| token(list, id(last)));
        Self {
            resources: read,
            next_page_token: last.unwrap_or_default(),
        }
    }

    /// A page that ends after `last`, whatever is on it: there may be more.
    pub fn short(list: &str, resources: Vec<R>, last: &str) -> Self {
        Self {
            resources,
            next_page_token: token(list, last),
        }
    }
}

/// The token of a page that begins after an id, for lists that are not in a [`Table`].
pub fn token(list: &str, id: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{list}\0{id}"))
}

fn read_token(list: &str, token: &str) -> Option<String> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (of, id) = text.split_once('\0')?;
    (of == list).then(|| id.to_owned())
}

impl<R: Resource> Table<R> {
    pub async fn list(&self, workspace: &str, request: &PageRequest) -> Result<Page<R>, Error> {
        const LIST: &str = "select data, etag, create_ms, update_ms from resources \
             where workspace = $1 and kind = $2 and id > $3 order by id limit $4";
        let (size, after) = request.resolve(R::KIND)?;
        let args = args![workspace, R::KIND, after, size + 1];
        let rows = self.database().fetch_all(LIST, args).await?;
        let read = rows
            .iter()
            .map(|row| decode(row, 0))
            .collect::<Result<Vec<R>, _>>()?;
        Ok(Page::cut(R::KIND, size, read, R::id))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_fault_of_a_page_request_is_told() {
        let check = |page_size, page_token: &str, fields: &[&str]| {
            let request = PageRequest {
                page_size,
                page_token: page_token.into(),
            };
            let found = request.resolve("rule").err().unwrap_or_default();
            let found: Vec<_> = found.iter().map(|v| v.field.clone()).collect();
            assert_eq!(found, fields);
        };
        check(0, "", &[]);
        check(5_000, &token("rule", "a"), &[]);
        check(-1, "", &["page_size"]);
        check(-1, "!", &["page_size", "page_token"]);
        check(1, &token("placement", "a"), &["page_token"]);
    }

    proptest! {
        #[test]
        fn a_token_gives_back_its_id(id in ".*") {
            let request = PageRequest { page_size: 1, page_token: token("rule", &id) };
            prop_assert_eq!(request.resolve("rule").unwrap(), (1, id));
        }
    }
}
