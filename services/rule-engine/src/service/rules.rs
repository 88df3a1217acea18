//! Editing the rule base: placements, strategies and rules. A change is checked inside
//! the transaction that makes it, and in force in memory when the caller is answered.

use std::{collections::HashSet, sync::Arc, time::Duration};

use attune_api::{
    catalog::v1::{ItemType, ListItemTypesRequest, catalog_service_client::CatalogServiceClient},
    rules::v1::{Placement, Rule, Strategy},
    time,
};
use attune_errors::{Fault, Violations};
use attune_expr::{Expression, Vocabulary};
use attune_rpc::{Caller, Channel};
use attune_storage::{
    Database, Tx, args,
    resources::{Change, Error, Missing, Page, PageRequest, Resource, Table},
};
use parking_lot::Mutex;
use prost_types::FieldMask;

use super::workspace::{State, Workspaces};
use crate::{convert::resources as convert, domain::plan::DEFAULT_STRATEGY_ID, store};

/// How long a save may wait for the catalog to say which characteristics there are.
const CATALOG_WAIT: Duration = Duration::from_secs(2);

/// The tables of what people edit here.
pub struct Rules {
    pub placements: Table<Placement>,
    pub strategies: Table<Strategy>,
    pub rules: Table<Rule>,
    workspaces: Arc<Workspaces>,
    catalog: Arc<Mutex<Option<Channel>>>,
}

/// A resource that takes part in deciding.
pub trait Part: Resource {
    /// Checks fields and what they refer to, inside the transaction.
    fn check<'a>(
        &'a self,
        tx: &'a mut Tx,
        workspace: &'a str,
        vocabularies: Vocabularies,
    ) -> impl Future<Output = Result<(), Error>> + Send + 'a;

    /// Refuses a deletion that others would miss.
    fn check_unused<'a>(
        &'a self,
        tx: &'a mut Tx,
        workspace: &'a str,
    ) -> impl Future<Output = Result<(), Error>> + Send + 'a;

    /// Brings memory up to date.
    fn install(state: &State, id: &str, after: Option<&Self>);

    /// Expressions that name items.
    fn item_expressions(&self) -> Vec<&str>;
}

/// What expressions may name in one workspace.
pub struct Vocabularies {
    pub subject: Vocabulary,
    pub item: Vocabulary,
    pub both: Vocabulary,
}

impl Vocabularies {
    /// As long as no item type is known, any characteristic may be named.
    pub fn of(state: &State) -> Self {
        let types = state.item_types();
        let declare = |vocabulary: Vocabulary| {
            if types.is_empty() {
                vocabulary
            } else {
                vocabulary.with_item_types(types.values())
            }
        };
        Self {
            subject: Vocabulary::subject(),
            item: declare(Vocabulary::item()),
            both: declare(Vocabulary::subject_and_item()),
        }
    }
}

fn table<P: Part>(database: &Database, workspaces: &Arc<Workspaces>) -> Table<P> {
    let checking = Arc::clone(workspaces);
    let committed = Arc::clone(workspaces);
    Table::builder(database)
        .check(move |tx: &mut Tx, change: &Change<P>| {
            let state = checking.get_or_add(&change.workspace);
            Box::pin(async move {
                match (&change.before, &change.after) {
                    (_, Some(after)) => {
                        let vocabularies = Vocabularies::of(&state);
                        after.check(tx, &change.workspace, vocabularies).await?;
                    }
                    (Some(before), None) => before.check_unused(tx, &change.workspace).await?,
                    (None, None) => {}
                }
                Ok(store::revisions::raise(tx, &change.workspace).await?)
            })
        })
        .committed(move |change: &Change<P>| {
            let state = committed.get_or_add(&change.workspace);
            let touched = change.after.as_ref().or(change.before.as_ref());
            if let Some(resource) = touched {
                P::install(&state, resource.id(), change.after.as_ref());
                state.assemble();
            }
        })
        .build()
}

impl Rules {
    pub fn new(database: &Database, workspaces: &Arc<Workspaces>) -> Self {
        Self {
            placements: table(database, workspaces),
            strategies: table(database, workspaces),
            rules: table(database, workspaces),
            workspaces: Arc::clone(workspaces),
            catalog: Arc::default(),
        }
    }

    /// From now on the catalog can be asked.
    pub fn connect(&self, catalog: Channel) {
        *self.catalog.lock() = Some(catalog);
    }

    pub async fn create<P: Part>(
        &self,
        table: &Table<P>,
        caller: &Caller,
        resource: P,
    ) -> Result<P, Error> {
        let workspace = workspace(caller);
        self.learn_names(caller, &resource).await;
        table.create(&workspace, resource).await
    }

    pub async fn update<P: Part>(
        &self,
        table: &Table<P>,
        caller: &Caller,
        resource: P,
        mask: Option<FieldMask>,
        missing: Missing,
    ) -> Result<P, Error> {
        let workspace = workspace(caller);
        self.learn_names(caller, &resource).await;
        table.update(&workspace, resource, mask, missing).await
    }

    pub async fn list<P: Part>(
        &self,
        table: &Table<P>,
        caller: &Caller,
        request: &PageRequest,
    ) -> Result<Page<P>, Error> {
        table.list(caller.workspace.as_str(), request).await
    }

    /// An expression may name a characteristic that was declared a moment ago and has
    /// not come through the log yet. Before it is refused, the catalog is asked.
    async fn learn_names<P: Part>(&self, caller: &Caller, resource: &P) {
        let state = self.workspaces.get_or_add(caller.workspace.as_str());
        let vocabulary = Vocabularies::of(&state).both;
        let sources = resource.item_expressions().into_iter();
        let mut sources = sources.filter(|source| !source.is_empty());
        if sources.all(|source| Expression::compile(source, &vocabulary).is_ok()) {
            return;
        }
        let channel = self.catalog.lock().clone();
        let Some(channel) = channel else { return };
        match item_types(channel, caller).await {
            Ok(types) => {
                let types = types.into_iter().map(|t| (t.item_type_id.clone(), t));
                state.change_item_types(|held| *held = types.collect());
            }
            // The save goes on with what is known here.
            Err(status) => tracing::warn!(code = ?status.code(), "item types could not be read"),
        }
    }
}

async fn item_types(channel: Channel, caller: &Caller) -> Result<Vec<ItemType>, tonic::Status> {
    let mut client = CatalogServiceClient::new(channel);
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

pub fn workspace(caller: &Caller) -> Arc<str> {
    caller.workspace.as_str().into()
}

impl Part for Placement {
    async fn check(&self, tx: &mut Tx, workspace: &str, _: Vocabularies) -> Result<(), Error> {
        let mut found = Violations::new();
        convert::placement(&mut found, self);
        if !self.strategy.is_empty() && self.strategy != DEFAULT_STRATEGY_ID {
            let ids = vec![self.strategy.clone()];
            if Table::<Strategy>::etags_within(tx, workspace, ids)
                .await?
                .is_empty()
            {
                found.push("placement.strategy", "must be a strategy that exists");
            }
        }
        Ok(found.into_result()?)
    }

    async fn check_unused(&self, _: &mut Tx, _: &str) -> Result<(), Error> {
        Ok(())
    }

    fn install(state: &State, id: &str, after: Option<&Self>) {
        state.parts.lock().put_placement(id, after);
    }

    fn item_expressions(&self) -> Vec<&str> {
        Vec::new()
    }
}

impl Part for Strategy {
    async fn check(
        &self,
        tx: &mut Tx,
        workspace: &str,
        vocabularies: Vocabularies,
    ) -> Result<(), Error> {
        let mut found = Violations::new();
        convert::strategy(&mut found, self, &vocabularies.both, &vocabularies.item);
        if (1..=1000).contains(&self.fallback_strategies.len()) {
            let ids = self.fallback_strategies.clone();
            let known = Table::<Strategy>::etags_within(tx, workspace, ids).await?;
            let mut known: HashSet<String> = known.into_keys().collect();
            known.insert(DEFAULT_STRATEGY_ID.to_owned());
            for (index, _) in convert::missing(&self.fallback_strategies, &known) {
                let field = format!("strategy.fallback_strategies[{index}]");
                found.push(field, "must be a strategy that exists");
            }
        }
        Ok(found.into_result()?)
    }

    async fn check_unused(&self, tx: &mut Tx, workspace: &str) -> Result<(), Error> {
        let id = &self.strategy_id;
        let placement = user_of(tx, workspace, |p: &Placement| p.strategy == *id).await?;
        let is_fallback = |s: &Strategy| s.fallback_strategies.contains(id);
        let user = match placement {
            Some(placement) => Some(format!("placement/{placement}")),
            None => {
                let strategy = user_of(tx, workspace, is_fallback).await?;
                strategy.map(|strategy| format!("strategy/{strategy}"))
            }
        };
        match user {
            Some(user) => Err(Fault::in_use(Self::KIND, id, user).into()),
            None => Ok(()),
        }
    }

    fn install(state: &State, id: &str, after: Option<&Self>) {
        let mut parts = state.parts.lock();
        parts.put_strategy(id, after, &mut state.items.write());
    }

    fn item_expressions(&self) -> Vec<&str> {
        let promoted = self.promotions.as_ref().map(|p| p.filter.as_str());
        [self.filter.as_str()].into_iter().chain(promoted).collect()
    }
}

/// The first resource that makes use of something.
async fn user_of<R: Resource>(
    tx: &mut Tx,
    workspace: &str,
    uses: impl Fn(&R) -> bool,
) -> Result<Option<String>, Error> {
    const PAGE: &str = "select id, data from resources \
         where workspace = $1 and kind = $2 and id > $3 order by id limit 1000";
    let mut after = String::new();
    loop {
        let rows = tx
            .fetch_all(PAGE, args![workspace, R::KIND, &after])
            .await?;
        let Some(last) = rows.last() else {
            return Ok(None);
        };
        after = last.get(0)?;
        for row in &rows {
            let data: Vec<u8> = row.get(1)?;
            if uses(&R::decode(data.as_slice())?) {
                return Ok(Some(row.get(0)?));
            }
        }
    }
}

impl Part for Rule {
    async fn check(
        &self,
        tx: &mut Tx,
        workspace: &str,
        vocabularies: Vocabularies,
    ) -> Result<(), Error> {
        let mut found = Violations::new();
        let fields = convert::rule(&mut found, self, &vocabularies.subject, &vocabularies.item);
        if !self.disabled {
            convert::never(&mut found, &fields, time::now_ms());
        }
        if !self.placements.is_empty() && self.placements.len() <= 1000 {
            let ids = self.placements.clone();
            let known = Table::<Placement>::etags_within(tx, workspace, ids).await?;
            let known: HashSet<String> = known.into_keys().collect();
            for (index, _) in convert::missing(&self.placements, &known) {
                let field = format!("rule.placements[{index}]");
                found.push(field, "must be a placement that exists");
            }
        }
        Ok(found.into_result()?)
    }

    async fn check_unused(&self, _: &mut Tx, _: &str) -> Result<(), Error> {
        Ok(())
    }

    fn install(state: &State, id: &str, after: Option<&Self>) {
        let mut parts = state.parts.lock();
        parts.put_rule(id, after, &mut state.items.write());
    }

    fn item_expressions(&self) -> Vec<&str> {
        vec![&self.r#where]
    }
}
