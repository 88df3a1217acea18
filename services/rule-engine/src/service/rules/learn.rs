//! Asking the catalog for what has not come through its log yet: a characteristic that
//! was declared, or an item that was made, a moment before it is named here. Asked only
//! before something would be refused.

use std::{collections::BTreeSet, time::Duration};

use attune_api::catalog::v1::{
    BatchGetItemsRequest, ItemType, ListItemTypesRequest,
    catalog_service_client::CatalogServiceClient,
};
use attune_errors::Fault;
use attune_expr::Expression;
use attune_rpc::{Caller, Channel};
use attune_storage::resources::Error;
use parking_lot::Mutex;
use tonic::{Code, Status};

use super::part::Vocabularies;
use crate::{
    convert::check::is_item_id,
    service::{
        follow,
        workspace::{Kept, State},
    },
};

/// How long a save may wait for the catalog.
const CATALOG_WAIT: Duration = Duration::from_secs(2);
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Items asked for at once, as the contract has it.
const ITEMS_MAX: usize = 1000;

/// The catalog, once it is known how to reach it.
#[derive(Default)]
pub struct Catalog(Mutex<Option<Channel>>);

impl Catalog {
    pub fn connect(&self, catalog: Channel) {
        *self.0.lock() = Some(catalog);
    }

    fn client(&self) -> Option<CatalogServiceClient<Channel>> {
        self.0.lock().clone().map(CatalogServiceClient::new)
    }

    /// Takes in the item types as they are, if one of these expressions names what is
    /// not known here. The save goes on with what is known if the catalog is silent.
    pub async fn learn_names(&self, caller: &Caller, state: &State, expressions: &[&str]) {
        let vocabulary = Vocabularies::of(state).both;
        let mut sources = expressions.iter().filter(|source| !source.is_empty());
        if sources.all(|source| {
            Expression::compile_value(source, &vocabulary, attune_expr::Kind::Any).is_ok()
        }) {
            return;
        }
        let Some(client) = self.client() else { return };
        match item_types(client, caller).await {
            Ok(types) => {
                let types = types.into_iter().map(|t| (t.item_type_id.clone(), t));
                state.change_item_types(|held| *held = types.collect());
            }
            Err(status) => tracing::warn!(code = ?status.code(), "item types could not be read"),
        }
    }

    /// Takes in those of these items that are not known here, as the log will again.
    /// Fails where the catalog cannot be reached: that an item does not exist is said
    /// only by the catalog.
    pub async fn learn_items(
        &self,
        caller: &Caller,
        state: &State,
        ids: &[String],
    ) -> Result<(), Error> {
        let unknown: Vec<String> = {
            let items = state.items.read();
            let ids = ids.iter().filter(|id| is_item_id(id) && !items.has(id));
            ids.collect::<BTreeSet<_>>().into_iter().cloned().collect()
        };
        let Some(mut client) = self.client() else {
            return Ok(());
        };
        for chunk in unknown.chunks(ITEMS_MAX) {
            let request = BatchGetItemsRequest {
                item_ids: chunk.to_vec(),
            };
            let request = caller.request_within(request, CATALOG_WAIT);
            let answer = client.batch_get_items(request).await;
            let items = match answer {
                Ok(answer) => answer.into_inner().items,
                Err(status) => {
                    refuse_if_away(&status)?;
                    return Ok(());
                }
            };
            for item in &items {
                state.upsert_item(&follow::slim(item), Kept::default());
            }
            state.refresh_items();
        }
        Ok(())
    }
}

fn refuse_if_away(status: &Status) -> Result<(), Error> {
    tracing::warn!(code = ?status.code(), "items could not be looked up in the catalog");
    match status.code() {
        Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted => {
            Err(Fault::unavailable("catalog", RETRY_AFTER).into())
        }
        _ => Ok(()),
    }
}

async fn item_types(
    mut client: CatalogServiceClient<Channel>,
    caller: &Caller,
) -> Result<Vec<ItemType>, Status> {
    let mut all = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListItemTypesRequest {
            page_size: 1000,
            page_token,
        };
        let request = caller.request_within(request, CATALOG_WAIT);
        let page = client.list_item_types(request).await?.into_inner();
        all.extend(page.item_types);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(all);
        }
    }
}
