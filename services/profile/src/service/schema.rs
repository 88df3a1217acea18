//! Declaring traits and event types. An edit is held against what else is declared, in
//! the transaction that makes it; what is held of people is never touched by one.

use std::sync::Arc;

use attune_api::profile::v1::{
    CreateEventTypeRequest, CreateTraitRequest, DeleteEventTypeRequest, DeleteTraitRequest,
    EventType, GetDeclarationsResponse, ListEventTypesRequest, ListEventTypesResponse,
    ListTraitsRequest, ListTraitsResponse, Trait, UpdateEventTypeRequest, UpdateTraitRequest,
};
use attune_errors::Violations;
use attune_expr::Vocabulary;
use attune_storage::{
    Database, Tx,
    resources::{Change, Error as Refusal, Missing, PageRequest, Resource, Table},
};

use super::{
    Service, Shared,
    declarations::{self, Declarations},
    segments,
};
use crate::{
    Error,
    convert::schema as convert,
    domain::{
        consent::PERSONALIZATION,
        derive::Name,
        retention::Classes,
        schema::{EventSchemas, TraitSchemas},
    },
    store::{self, fills},
};

/// Traits, and event types, of one workspace.
const DECLARED_MAX: i64 = 1_000;

/// What one workspace declares of traits and events.
#[derive(Debug)]
pub struct Schema {
    /// At which it changed last.
    revision: i64,
    pub traits: TraitSchemas,
    pub event_types: EventSchemas,
    /// What expressions over a person may name. Anything, as long as nothing of its kind
    /// is declared.
    pub vocabulary: Vocabulary,
}

impl Default for Schema {
    fn default() -> Self {
        Self {
            revision: 0,
            traits: TraitSchemas::default(),
            event_types: EventSchemas::default(),
            vocabulary: Vocabulary::subject(),
        }
    }
}

impl Schema {
    /// `held`, unless it has changed since.
    pub async fn read(
        database: &Database,
        workspace: &Arc<str>,
        held: Option<&Arc<Self>>,
    ) -> Result<Arc<Self>, Error> {
        // Before the rest: what changes meanwhile is then read again.
        let revision = store::schema::revision(database, workspace).await?;
        match held {
            Some(held) if held.revision >= revision => return Ok(held.clone()),
            None if revision == 0 => return Ok(Arc::default()),
            _ => {}
        }
        let traits = declarations::all::<Trait>(database, workspace).await?;
        let event_types = declarations::all::<EventType>(database, workspace).await?;
        let mut vocabulary = Vocabulary::subject();
        if !traits.is_empty() {
            vocabulary = vocabulary.with_declared_traits(&traits);
        }
        if !event_types.is_empty() {
            vocabulary = vocabulary.with_declared_events(&event_types);
        }
        Ok(Arc::new(Self {
            revision,
            traits: TraitSchemas::new(&traits),
            event_types: EventSchemas::new(&event_types),
            vocabulary,
        }))
    }
}

/// The tables of what is declared here.
#[derive(Clone)]
pub struct Tables {
    traits: Table<Trait>,
    event_types: Table<EventType>,
}

impl Tables {
    pub fn new(shared: &Arc<Shared>) -> Self {
        let checking = shared.clone();
        let classes = Classes::new(&shared.config.retention.days);
        Self {
            traits: Table::builder(&shared.database)
                .check(move |tx, change| {
                    let shared = checking.clone();
                    Box::pin(async move { check_trait(&shared, tx, change).await })
                })
                .build(),
            event_types: Table::builder(&shared.database)
                .check(move |tx, change| {
                    let classes = classes.clone();
                    Box::pin(async move { check_event_type(&classes, tx, change).await })
                })
                .build(),
        }
    }
}

async fn check_trait(shared: &Shared, tx: &mut Tx, change: &Change<Trait>) -> Result<(), Refusal> {
    let workspace = &change.workspace;
    let turn = store::lock_to_declare(tx).await?;
    // An edit has a transaction to itself, so the revision before its own is committed.
    let before = turn.revision - 1;
    let declared = shared
        .declared
        .at(&shared.database, workspace, before)
        .await;
    let declared = declared.map_err(Error::into_edit)?;
    let schema = declared.schema.clone();
    match (&change.before, &change.after) {
        (before, Some(after)) => {
            let known = convert::Known {
                classes: &Classes::new(&shared.config.retention.days),
                purposes: &declared.purposes,
                traits: &schema.traits,
                vocabulary: &segments::personal(schema.vocabulary.clone(), &declared),
            };
            convert::declared_trait(after, before.as_ref(), &known)?;
            if before.is_none() {
                bounded::<Trait>(tx, workspace).await?;
            }
        }
        (Some(before), None) => {
            let name = Name::Trait(before.trait_id.as_str().into());
            segments::refuse_if_named(&declared, &name)?;
        }
        (None, None) => {}
    }
    fill_again(tx, &declared, change).await?;
    store::schema::changed(tx, workspace, turn.revision).await?;
    Ok(())
}

/// Has a trait that is computed otherwise than before derived anew of everybody; and
/// what reads a trait that may be used otherwise than before.
async fn fill_again(
    tx: &mut Tx,
    declared: &Declarations,
    change: &Change<Trait>,
) -> Result<(), Refusal> {
    let Some(named) = change.after.as_ref().or(change.before.as_ref()) else {
        return Ok(());
    };
    let name = Name::Trait(named.trait_id.as_str().into());
    let expression = |of: &Option<Trait>| of.as_ref().map_or("".into(), |t| t.expression.clone());
    if expression(&change.before) != expression(&change.after) {
        fills::begin(tx, &change.workspace, [&name]).await?;
    }
    // One that is not declared is used as one is that says nothing of it.
    let terms = |of: &Option<Trait>| {
        let declared = of.clone().unwrap_or_default();
        let purpose = Some(declared.purpose).filter(|purpose| !purpose.is_empty());
        let purpose = purpose.unwrap_or_else(|| PERSONALIZATION.to_owned());
        (purpose, declared.sensitive)
    };
    if terms(&change.before) != terms(&change.after) {
        let readers = declared.derived.readers_of(&name);
        fills::begin(tx, &change.workspace, readers).await?;
    }
    Ok(())
}

async fn check_event_type(
    classes: &Classes,
    tx: &mut Tx,
    change: &Change<EventType>,
) -> Result<(), Refusal> {
    let workspace = &change.workspace;
    let turn = store::lock_to_declare(tx).await?;
    if let Some(after) = &change.after {
        convert::declared_event_type(after, classes)?;
        if change.before.is_none() {
            bounded::<EventType>(tx, workspace).await?;
        }
    }
    store::schema::changed(tx, workspace, turn.revision).await?;
    Ok(())
}

async fn bounded<R: Resource>(tx: &mut Tx, workspace: &Arc<str>) -> Result<(), Refusal> {
    if store::schema::count::<R>(tx, workspace).await? < DECLARED_MAX {
        return Ok(());
    }
    let rule = format!("must be one of at most {DECLARED_MAX} in a workspace");
    Err(Violations::of(R::KIND, rule).into())
}

impl Service {
    pub async fn create_trait(
        &self,
        workspace: Arc<str>,
        request: CreateTraitRequest,
    ) -> Result<Trait, Error> {
        let (id, body) = (request.trait_id, request.r#trait);
        let declared = convert::body("trait", body, id, |t| &mut t.trait_id)?;
        let table = self.schema.traits.clone();
        self.declare(move |_| Box::pin(async move { table.create(&workspace, declared).await }))
            .await
    }

    pub async fn get_trait(&self, workspace: &str, id: &str) -> Result<Trait, Error> {
        Ok(self.schema.traits.get(workspace, id).await?)
    }

    pub async fn list_traits(
        &self,
        workspace: &str,
        request: ListTraitsRequest,
    ) -> Result<ListTraitsResponse, Error> {
        let page = PageRequest {
            page_size: request.page_size,
            page_token: request.page_token,
        };
        let page = self.schema.traits.list(workspace, &page).await?;
        Ok(ListTraitsResponse {
            traits: page.resources,
            next_page_token: page.next_page_token,
        })
    }

    pub async fn update_trait(
        &self,
        workspace: Arc<str>,
        request: UpdateTraitRequest,
    ) -> Result<Trait, Error> {
        let body = request.r#trait;
        let declared = convert::body("trait", body, String::new(), |t| &mut t.trait_id)?;
        let missing = Missing::allowed(request.allow_missing);
        let (table, mask) = (self.schema.traits.clone(), request.update_mask);
        self.declare(move |_| {
            Box::pin(async move { table.update(&workspace, declared, mask, missing).await })
        })
        .await
    }

    pub async fn delete_trait(
        &self,
        workspace: Arc<str>,
        request: DeleteTraitRequest,
    ) -> Result<(), Error> {
        let table = self.schema.traits.clone();
        self.declare(move |_| {
            Box::pin(async move {
                let (id, etag) = (&request.trait_id, &request.etag);
                table.delete(&workspace, id, etag).await.map(drop)
            })
        })
        .await
    }

    pub async fn create_event_type(
        &self,
        workspace: Arc<str>,
        request: CreateEventTypeRequest,
    ) -> Result<EventType, Error> {
        let (id, body) = (request.event_type_id, request.event_type);
        let declared = convert::body("event_type", body, id, |t| &mut t.event_type_id)?;
        let table = self.schema.event_types.clone();
        self.declare(move |_| Box::pin(async move { table.create(&workspace, declared).await }))
            .await
    }

    pub async fn get_event_type(&self, workspace: &str, id: &str) -> Result<EventType, Error> {
        Ok(self.schema.event_types.get(workspace, id).await?)
    }

    pub async fn list_event_types(
        &self,
        workspace: &str,
        request: ListEventTypesRequest,
    ) -> Result<ListEventTypesResponse, Error> {
        let page = PageRequest {
            page_size: request.page_size,
            page_token: request.page_token,
        };
        let page = self.schema.event_types.list(workspace, &page).await?;
        Ok(ListEventTypesResponse {
            event_types: page.resources,
            next_page_token: page.next_page_token,
        })
    }

    pub async fn update_event_type(
        &self,
        workspace: Arc<str>,
        request: UpdateEventTypeRequest,
    ) -> Result<EventType, Error> {
        let body = request.event_type;
        let declared = convert::body("event_type", body, String::new(), |t| &mut t.event_type_id)?;
        let missing = Missing::allowed(request.allow_missing);
        let (table, mask) = (self.schema.event_types.clone(), request.update_mask);
        self.declare(move |_| {
            Box::pin(async move { table.update(&workspace, declared, mask, missing).await })
        })
        .await
    }

    pub async fn delete_event_type(
        &self,
        workspace: Arc<str>,
        request: DeleteEventTypeRequest,
    ) -> Result<(), Error> {
        let table = self.schema.event_types.clone();
        self.declare(move |_| {
            Box::pin(async move {
                let (id, etag) = (&request.event_type_id, &request.etag);
                table.delete(&workspace, id, etag).await.map(drop)
            })
        })
        .await
    }

    /// Everything that is declared, unless that is what the caller holds.
    pub async fn declarations(
        &self,
        workspace: &Arc<str>,
        held: i64,
    ) -> Result<GetDeclarationsResponse, Error> {
        let database = &self.shared.database;
        // Before the rest: what changes meanwhile is then asked for again.
        let revision = store::revision(database).await?;
        if held != 0 && held == revision {
            return Ok(GetDeclarationsResponse {
                revision,
                unchanged: true,
                ..GetDeclarationsResponse::default()
            });
        }
        Ok(GetDeclarationsResponse {
            revision,
            unchanged: false,
            traits: declarations::all(database, workspace).await?,
            event_types: declarations::all(database, workspace).await?,
            segment_ids: store::schema::segment_ids(database, workspace).await?,
        })
    }
}
