//! Making, listing and revoking keys and workspaces.

use std::sync::Arc;

use attune_api::{gateway::v1, time};
use attune_errors::Violations;
use attune_rpc::Workspace;
use attune_settings::Secret;
use attune_storage::resources::{Page, PageRequest};
use uuid::Uuid;

use super::{Keyring, Principal};
use crate::{
    Error,
    convert::access as convert,
    domain::key::{KeyHash, Scopes, new_secret},
    store::{Store, StoredKey, StoredWorkspace},
};

#[derive(Clone)]
pub struct Access {
    store: Store,
    keyring: Arc<Keyring>,
}

impl Access {
    pub fn new(store: Store, keyring: Arc<Keyring>) -> Self {
        Self { store, keyring }
    }

    /// Makes the workspace `default` and its first admin key.
    pub async fn bootstrap(store: &Store, secret: &Secret) -> Result<(), Error> {
        let workspace = StoredWorkspace {
            workspace: Workspace::DEFAULT.to_owned(),
            display_name: "Default".to_owned(),
            create_ms: time::now_ms(),
        };
        let key = (!secret.is_empty()).then(|| StoredKey {
            workspace: Workspace::DEFAULT.to_owned(),
            api_key_id: "bootstrap".to_owned(),
            hash: KeyHash::of(secret.expose()),
            display_name: "First admin key".to_owned(),
            scopes: Scopes::ADMIN,
            requests_per_second_max: 0,
            create_ms: time::now_ms(),
        });
        Ok(store.bootstrap(workspace, key).await?)
    }

    pub async fn create_key(
        &self,
        caller: &Principal,
        request: v1::CreateApiKeyRequest,
    ) -> Result<v1::ApiKey, Error> {
        let wanted = convert::new_key(request)?;
        let (key, secret) = mint(&caller.workspace, wanted);
        self.store.add_key(key.clone()).await?;
        self.keyring.refresh().await?;
        Ok(convert::api_key(key, Some(secret)))
    }

    pub async fn list_keys(
        &self,
        caller: &Principal,
        request: v1::ListApiKeysRequest,
    ) -> Result<v1::ListApiKeysResponse, Error> {
        let page = PageRequest {
            page_size: request.page_size,
            page_token: request.page_token,
        };
        let (size, after) = page.resolve("api_key")?;
        let read = self
            .store
            .keys_after(&caller.workspace, after, size + 1)
            .await?;
        let page = Page::cut("api_key", size, read, |key| &key.api_key_id);
        let keys = page.resources.into_iter();
        Ok(v1::ListApiKeysResponse {
            api_keys: keys.map(|key| convert::api_key(key, None)).collect(),
            next_page_token: page.next_page_token,
        })
    }

    pub async fn delete_key(
        &self,
        caller: &Principal,
        request: v1::DeleteApiKeyRequest,
    ) -> Result<(), Error> {
        let id = request.api_key_id;
        if id.is_empty() {
            return Err(Violations::of("api_key_id", "must be set").into());
        }
        if !self.store.delete_key(&caller.workspace, &id).await? {
            return Err(Error::NotFound {
                resource: "api_key",
                name: id,
            });
        }
        // The answer means that the key opens nothing any more, here at least.
        Ok(self.keyring.refresh().await?)
    }

    pub async fn create_workspace(
        &self,
        caller: &Principal,
        request: v1::CreateWorkspaceRequest,
    ) -> Result<v1::CreateWorkspaceResponse, Error> {
        only_default(caller)?;
        let workspace = convert::new_workspace(request, time::now_ms())?;
        let name = workspace.workspace.clone();
        let owner =
            Workspace::new(&name).map_err(|e| Violations::of("workspace_id", e.to_string()))?;
        let (key, secret) = mint(&owner, convert::first_key());
        let added = self.store.add_workspace(workspace.clone(), key.clone());
        if !added.await? {
            return Err(Error::Exists {
                resource: "workspace",
                name,
            });
        }
        self.keyring.refresh().await?;
        Ok(v1::CreateWorkspaceResponse {
            workspace: Some(convert::workspace(workspace)),
            admin_key: Some(convert::api_key(key, Some(secret))),
        })
    }

    pub async fn list_workspaces(
        &self,
        caller: &Principal,
        request: v1::ListWorkspacesRequest,
    ) -> Result<v1::ListWorkspacesResponse, Error> {
        only_default(caller)?;
        let page = PageRequest {
            page_size: request.page_size,
            page_token: request.page_token,
        };
        let (size, after) = page.resolve("workspace")?;
        let read = self.store.workspaces_after(after, size + 1).await?;
        let page = Page::cut("workspace", size, read, |w| &w.workspace);
        Ok(v1::ListWorkspacesResponse {
            workspaces: page.resources.into_iter().map(convert::workspace).collect(),
            next_page_token: page.next_page_token,
        })
    }
}

/// Only the workspace `default` sees that there are others.
fn only_default(caller: &Principal) -> Result<(), Error> {
    if caller.workspace.as_str() == Workspace::DEFAULT {
        Ok(())
    } else {
        Err(Error::Scope("admin of the workspace default"))
    }
}

fn mint(workspace: &Workspace, wanted: convert::NewKey) -> (StoredKey, String) {
    let secret = new_secret();
    let key = StoredKey {
        workspace: workspace.as_str().to_owned(),
        api_key_id: Uuid::now_v7().to_string(),
        hash: KeyHash::of(&secret),
        display_name: wanted.display_name,
        scopes: wanted.scopes,
        requests_per_second_max: wanted.requests_per_second_max,
        create_ms: time::now_ms(),
    };
    (key, secret)
}
