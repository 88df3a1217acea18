//! Reading items: by id from memory, and in pages from the database.

use std::{collections::HashMap, sync::Arc};

use attune_api::{
    catalog::v1::{
        BatchGetItemsRequest, GetItemRequest, Item, ListItemsRequest, ListItemsResponse,
    },
    raw,
};
use attune_errors::Violations;
use attune_expr::{Expression, ItemScope, Vocabulary};
use attune_rpc::Workspace;
use attune_storage::resources::{Page, PageRequest};
use bytes::Bytes;
use prost::Message;

use crate::{Catalog, Error, convert::item::BATCH_ITEMS_MAX, store};

/// Names this list in page tokens.
const LIST: &str = "item";
/// Items decoded in one go while a filter looks for those it wants.
const SCAN_CHUNK: i64 = 500;

impl Catalog {
    pub(crate) async fn get_item(
        &self,
        workspace: &Workspace,
        request: GetItemRequest,
    ) -> Result<Item, Error> {
        let id = request.item_id;
        let found = self.find(workspace.as_str(), &id).await?;
        match found {
            Some(bytes) => Ok(Item::decode(bytes)?),
            None => Err(Error::item_not_found(&id)),
        }
    }

    async fn find(&self, workspace: &str, item_id: &str) -> Result<Option<Bytes>, Error> {
        if let Some(known) = self.0.memory.items.get(workspace, item_id) {
            return Ok(known);
        }
        let mut loaded = self.load(workspace, vec![item_id.to_owned()]).await?;
        Ok(loaded.remove(item_id).flatten())
    }

    /// The items as they are stored, which is how they are sent.
    pub(crate) async fn batch_get(
        &self,
        workspace: &Workspace,
        request: BatchGetItemsRequest,
    ) -> Result<raw::BatchGetItemsResponse, Error> {
        let ids = request.item_ids;
        if ids.is_empty() || ids.len() > BATCH_ITEMS_MAX {
            return Err(Violations::of("item_ids", "must be 1 to 1000 ids").into());
        }
        let items = &self.0.memory.items;
        let mut found: Vec<_> = ids
            .iter()
            .map(|id| items.get(workspace.as_str(), id))
            .collect();
        let unknown: Vec<String> = std::iter::zip(&ids, &found)
            .filter(|(_, found)| found.is_none())
            .map(|(id, _)| id.clone())
            .collect();
        if !unknown.is_empty() {
            let loaded = self.load(workspace.as_str(), unknown).await?;
            for (id, found) in std::iter::zip(&ids, &mut found) {
                if found.is_none() {
                    *found = loaded.get(id).cloned();
                }
            }
        }
        let mut response = raw::BatchGetItemsResponse::default();
        for (id, found) in ids.into_iter().zip(found) {
            match found.flatten() {
                Some(item) => response.items.push(item),
                None => response.missing_item_ids.push(id),
            }
        }
        Ok(response)
    }

    /// Reads items from the database into memory.
    async fn load(
        &self,
        workspace: &str,
        mut item_ids: Vec<String>,
    ) -> Result<HashMap<String, Option<Bytes>>, Error> {
        item_ids.sort_unstable();
        item_ids.dedup();
        self.0.memory.metrics.missed(item_ids.len());
        let items = &self.0.memory.items;
        let noted = items.note();
        let rows = store::read(&self.0.database, workspace, item_ids.clone()).await?;
        let mut loaded: HashMap<_, _> = item_ids.into_iter().map(|id| (id, None)).collect();
        loaded.extend(rows.into_iter().map(|(id, data)| (id, Some(data))));
        for (id, item) in &loaded {
            items.fill(noted, workspace, id, item.clone());
        }
        Ok(loaded)
    }

    pub(crate) async fn list_items(
        &self,
        workspace: &Workspace,
        request: ListItemsRequest,
    ) -> Result<ListItemsResponse, Error> {
        let page = PageRequest {
            page_size: request.page_size,
            page_token: request.page_token,
        };
        let page = page.resolve(LIST);
        let filter = self.filter(workspace, &request.filter);
        let ((size, after), filter) = match (page, filter) {
            (Ok(page), Ok(filter)) => (page, filter),
            (page, filter) => {
                let mut violations = page.err().unwrap_or_default();
                violations.extend(filter.err().unwrap_or_default());
                return Err(violations.into());
            }
        };
        let page = match filter {
            None => self.page(workspace, after, size).await?,
            Some(filter) => self.filtered_page(workspace, after, size, filter).await?,
        };
        Ok(ListItemsResponse {
            items: page.resources,
            next_page_token: page.next_page_token,
        })
    }

    fn filter(
        &self,
        workspace: &Workspace,
        source: &str,
    ) -> Result<Option<Expression>, Violations> {
        if source.is_empty() {
            return Ok(None);
        }
        let types = self.0.memory.types.of(workspace.as_str());
        let vocabulary =
            Vocabulary::item().with_item_types(types.values().map(|known| &known.item_type));
        let compiled = Expression::compile(source, &vocabulary).map_err(|faults| {
            let mut violations = Violations::new();
            for fault in faults {
                violations.push("filter", format!("is not valid at {fault}"));
            }
            violations
        });
        compiled.map(Some)
    }

    async fn page(
        &self,
        workspace: &Workspace,
        after: String,
        size: i32,
    ) -> Result<Page<Item>, Error> {
        let limit = i64::from(size) + 1;
        let rows = store::page(&self.0.database, workspace.as_str(), &after, limit).await?;
        let items: Result<Vec<_>, _> = rows
            .into_iter()
            .map(|(_, data)| Item::decode(data))
            .collect();
        Ok(Page::cut(LIST, size, items?, |item| &item.item_id))
    }

    /// Looks at a bounded number of items, so a page may be short of its size and yet
    /// not be the last.
    async fn filtered_page(
        &self,
        workspace: &Workspace,
        mut after: String,
        size: i32,
        filter: Expression,
    ) -> Result<Page<Item>, Error> {
        let wanted = usize::try_from(size).unwrap_or(0);
        let filter = Arc::new(filter);
        let mut left_to_scan = i64::from(self.0.config.filter_scan_items_max.max(1));
        let mut items: Vec<Item> = Vec::new();
        loop {
            let limit = SCAN_CHUNK.min(left_to_scan);
            let rows = store::page(&self.0.database, workspace.as_str(), &after, limit).await?;
            left_to_scan -= limit;
            let ended = (rows.len() as i64) < limit;
            after = rows.last().map_or(after, |(id, _)| id.clone());
            let filter = Arc::clone(&filter);
            // Decoding and judging hundreds of items is no work for the reactor.
            let matching = tokio::task::spawn_blocking(move || matching(rows, &filter)).await??;
            items.extend(matching);
            if items.len() > wanted || ended {
                return Ok(Page::cut(LIST, size, items, |item| &item.item_id));
            }
            if left_to_scan == 0 {
                let next = Page::<String>::cut(LIST, 1, vec![after, String::new()], |id| id);
                return Ok(Page {
                    resources: items,
                    next_page_token: next.next_page_token,
                });
            }
        }
    }
}

fn matching(
    rows: Vec<(String, Bytes)>,
    filter: &Expression,
) -> Result<Vec<Item>, prost::DecodeError> {
    let mut items = Vec::new();
    for (_, data) in rows {
        let item = Item::decode(data)?;
        if filter.matches(&ItemScope(&item)) {
            items.push(item);
        }
    }
    Ok(items)
}
