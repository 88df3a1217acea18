//! Placements and strategies as parts of the rule base: what is checked when one is
//! saved or deleted, inside the transaction, and how memory learns of it.

use std::{collections::HashSet, sync::Arc};

use attune_api::rules::v1::{Placement, Strategy};
use attune_errors::{Fault, Violations};
use attune_expr::Vocabulary;
use attune_storage::{
    Database, Tx, args,
    resources::{Change, Error, Resource, Table},
};

use crate::{
    convert::{check, plan::editorial_items, resources as convert},
    domain::{items::Items, plan::DEFAULT_STRATEGY_ID},
    service::workspace::{State, Workspaces},
    store,
};

/// A resource that takes part in deciding.
pub trait Part: Resource {
    /// Checks fields and what they refer to, inside the transaction.
    fn check<'a>(
        &'a self,
        tx: &'a mut Tx,
        workspace: &'a str,
        state: &'a State,
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

    /// Items that are named by id.
    fn item_ids(&self) -> Vec<String>;
}

/// What expressions may name in one workspace.
pub struct Vocabularies {
    pub subject: Vocabulary,
    pub item: Vocabulary,
    pub both: Vocabulary,
}

impl Vocabularies {
    /// As long as no item type is known, any characteristic may be named; the same goes
    /// for what may be declared of people.
    pub fn of(state: &State) -> Self {
        let types = state.item_types();
        let people = state.declared.load();
        let declare = |vocabulary: Vocabulary| {
            if types.is_empty() {
                vocabulary
            } else {
                vocabulary.with_item_types(types.values())
            }
        };
        Self {
            subject: people.limit(Vocabulary::subject()),
            item: declare(Vocabulary::item()),
            both: people.limit(declare(Vocabulary::subject_and_item())),
        }
    }
}

pub(super) fn table<P: Part>(database: &Database, workspaces: &Arc<Workspaces>) -> Table<P> {
    let checking = Arc::clone(workspaces);
    let committed = Arc::clone(workspaces);
    Table::builder(database)
        .check(move |tx: &mut Tx, change: &Change<P>| {
            let state = checking.get_or_add(&change.workspace);
            Box::pin(async move {
                match (&change.before, &change.after) {
                    (_, Some(after)) => after.check(tx, &change.workspace, &state).await?,
                    (Some(before), None) => before.check_unused(tx, &change.workspace).await?,
                    (None, None) => {}
                }
                let revision = store::revisions::raise(tx, &change.workspace).await?;
                state.parts.lock().raised = revision;
                Ok(())
            })
        })
        .committed(move |change: &Change<P>| {
            let state = committed.get_or_add(&change.workspace);
            let touched = change.after.as_ref().or(change.before.as_ref());
            if let Some(resource) = touched {
                P::install(&state, resource.id(), change.after.as_ref());
                state.parts.lock().edited();
                state.assemble();
            }
        })
        .build()
}

impl Part for Placement {
    async fn check(&self, tx: &mut Tx, workspace: &str, state: &State) -> Result<(), Error> {
        let mut found = Violations::new();
        convert::placement(&mut found, self);
        let (field, ids) = ("placement.fallback_item_ids", &self.fallback_item_ids);
        check_items(&mut found, field, ids, &state.items.read());
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

    fn item_ids(&self) -> Vec<String> {
        self.fallback_item_ids.clone()
    }
}

impl Part for Strategy {
    async fn check(&self, tx: &mut Tx, workspace: &str, state: &State) -> Result<(), Error> {
        let mut found = Violations::new();
        let vocabularies = Vocabularies::of(state);
        convert::strategy(&mut found, self, &vocabularies.both, &vocabularies.item);
        for (index, source) in self.sources.iter().enumerate() {
            let field = format!("strategy.sources[{index}].params.itemIds");
            let ids = editorial_items(source);
            check_items(&mut found, &field, &ids, &state.items.read());
        }
        if (1..=1000).contains(&self.fallback_strategies.len()) {
            let ids = self.fallback_strategies.clone();
            let known = Table::<Strategy>::etags_within(tx, workspace, ids).await?;
            let mut known: HashSet<String> = known.into_keys().collect();
            known.insert(DEFAULT_STRATEGY_ID.to_owned());
            let wanted = self.fallback_strategies.iter().enumerate();
            for (index, _) in wanted.filter(|(_, id)| !known.contains(*id)) {
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
        let promoted = self.promotions.iter().map(|p| p.filter.as_str());
        let terms = self.scorer.iter().flat_map(|scorer| &scorer.terms);
        let terms = terms.map(|term| term.expression.as_str());
        let filter = [self.filter.as_str()].into_iter();
        filter.chain(promoted).chain(terms).collect()
    }

    fn item_ids(&self) -> Vec<String> {
        self.sources.iter().flat_map(editorial_items).collect()
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

/// Notes ids of a list that no item has, by their place in it.
pub(super) fn check_items(found: &mut Violations, field: &str, ids: &[String], known: &Items) {
    for (index, id) in ids.iter().enumerate() {
        // What is at fault by itself was told already.
        let is_told = !check::is_item_id(id) || ids[..index].contains(id);
        if !is_told && !known.has(id) {
            found.push(format!("{field}[{index}]"), "must be an item that exists");
        }
    }
}
