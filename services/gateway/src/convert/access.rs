//! Keys and workspaces, protobuf ↔ stored, with the validation of their fields.

use attune_api::{gateway::v1, time, r#type::v1::Scope};
use attune_errors::Violations;
use attune_rpc::Workspace;

use crate::{
    domain::key::Scopes,
    store::{StoredKey, StoredWorkspace},
};

const DISPLAY_NAME_CHARS_MAX: usize = 128;

/// What a caller may choose about a key.
pub struct NewKey {
    pub display_name: String,
    pub scopes: Scopes,
    pub requests_per_second_max: u32,
}

pub fn new_key(request: v1::CreateApiKeyRequest) -> Result<NewKey, Violations> {
    let mut found = Violations::new();
    let key = request.api_key.unwrap_or_default();
    let scopes = Scopes::of(key.scopes());
    let rate = u32::try_from(key.requests_per_second_max);
    found.within("api_key", |found| {
        check_display_name(found, &key.display_name);
        if key.scopes.is_empty() {
            found.push("scopes", "must have at least one of WRITE, READ, ADMIN");
        }
        for (i, scope) in key.scopes.iter().enumerate() {
            if !matches!(
                Scope::try_from(*scope),
                Ok(Scope::Write | Scope::Read | Scope::Admin)
            ) {
                found.push(format!("scopes[{i}]"), "must be one of WRITE, READ, ADMIN");
            }
        }
        if rate.is_err() {
            found.push("requests_per_second_max", "must not be negative");
        }
        if !key.api_key_id.is_empty() {
            found.push("api_key_id", "must not be set; the service gives it");
        }
        if !key.secret.is_empty() {
            found.push("secret", "must not be set; the service makes it");
        }
    });
    found.into_result()?;
    Ok(NewKey {
        display_name: key.display_name,
        scopes,
        requests_per_second_max: rate.unwrap_or_default(),
    })
}

/// The key that a new workspace begins with.
pub fn first_key() -> NewKey {
    NewKey {
        display_name: "First admin key".to_owned(),
        scopes: Scopes::ADMIN,
        requests_per_second_max: 0,
    }
}

pub fn new_workspace(
    request: v1::CreateWorkspaceRequest,
    now_ms: i64,
) -> Result<StoredWorkspace, Violations> {
    let mut found = Violations::new();
    if let Err(invalid) = Workspace::new(&request.workspace_id) {
        found.push("workspace_id", invalid.to_string());
    }
    check_display_name(&mut found, &request.display_name);
    found.into_result()?;
    Ok(StoredWorkspace {
        workspace: request.workspace_id,
        display_name: request.display_name,
        create_ms: now_ms,
    })
}

fn check_display_name(found: &mut Violations, name: &str) {
    if name.chars().count() > DISPLAY_NAME_CHARS_MAX {
        let rule = format!("must be at most {DISPLAY_NAME_CHARS_MAX} characters");
        found.push("display_name", rule);
    }
}

pub fn api_key(key: StoredKey, secret: Option<String>) -> v1::ApiKey {
    v1::ApiKey {
        api_key_id: key.api_key_id,
        display_name: key.display_name,
        scopes: key.scopes.list().into_iter().map(i32::from).collect(),
        requests_per_second_max: i32::try_from(key.requests_per_second_max).unwrap_or(i32::MAX),
        secret: secret.unwrap_or_default(),
        create_time: Some(time::from_ms(key.create_ms)),
    }
}

pub fn workspace(workspace: StoredWorkspace) -> v1::Workspace {
    v1::Workspace {
        workspace_id: workspace.workspace,
        display_name: workspace.display_name,
        create_time: Some(time::from_ms(workspace.create_ms)),
    }
}
