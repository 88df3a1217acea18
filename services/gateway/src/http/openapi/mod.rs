//! The OpenAPI 3.1 document of everything the door serves as HTTP/JSON, made from the
//! same descriptors as the routes, with the contract's comments as descriptions. It can
//! therefore not differ from what is served, and nothing in it is written by hand.

mod comments;
mod schema;

use http::Method as Verb;
use serde_json::{Map, Value, json};

use self::{comments::Comments, schema::Schemas};
use super::routes::{Body, FieldPath, Route, Routes};
use crate::domain::key::scope_name;

/// Builds the document; done once, at start.
pub fn document(routes: &Routes) -> Value {
    let comments = Comments::read();
    let mut schemas = Schemas::new(&comments);
    let mut paths = Map::new();
    for route in routes.all() {
        let operation = operation(route, &comments, &mut schemas);
        let item = paths
            .entry(open_path(route))
            .or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(item) = item {
            item.insert(verb(&route.verb), operation);
        }
    }
    json!({
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://spec.openapis.org/oas/3.1/dialect/base",
        "info": {
            "title": "Attune",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "What should this person see here, now, and why?",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": tags(routes, &comments),
        "paths": paths,
        "components": {
            "schemas": schemas.finish(),
            "responses": {"Error": error_response()},
            "securitySchemes": security_schemes(),
        },
        "security": [{"key": []}, {"keyAsUserName": []}],
    })
}

fn operation(route: &Route, comments: &Comments, schemas: &mut Schemas<'_>) -> Value {
    let method = &route.method.descriptor;
    let service = method.parent_service();
    let mut operation = json!({
        "operationId": format!("{}_{}", service.name(), method.name()),
        "tags": [service.name()],
        "parameters": parameters(route, comments, schemas),
        "responses": {
            "200": success(route, schemas),
            "default": {"$ref": "#/components/responses/Error"},
        },
        "x-attune-scope": scope_name(route.method.scope),
    });
    let needs = format!(
        "Needs a key with the scope `{}`.",
        scope_name(route.method.scope)
    );
    let text = comments.of(&method.parent_file(), method.path());
    let description = match text {
        Some(text) => format!("{text}\n\n{needs}"),
        None => needs,
    };
    operation["description"] = description.into();
    if let Some(body) = request_body(route, schemas) {
        operation["requestBody"] = body;
    }
    operation
}

/// Variables under the names that JSON has: `{rule.ruleId}`.
fn open_path(route: &Route) -> String {
    let mut path = route.template.clone();
    for variable in &route.variables {
        let (from, to) = (variable.text(), json_name(variable));
        path = path.replace(&format!("{{{from}}}"), &format!("{{{to}}}"));
    }
    path
}

fn json_name(path: &FieldPath) -> String {
    let names: Vec<_> = path.0.iter().map(|f| f.json_name().to_owned()).collect();
    names.join(".")
}

fn parameters(route: &Route, comments: &Comments, schemas: &mut Schemas<'_>) -> Vec<Value> {
    let mut parameters: Vec<_> = route
        .variables
        .iter()
        .filter_map(|path| {
            let field = path.0.last()?;
            let schema = schemas.plain(field);
            Some(json!({"name": json_name(path), "in": "path", "required": true, "schema": schema}))
        })
        .collect();
    let body_field = match &route.body {
        Body::Whole => return parameters,
        Body::None => None,
        Body::Field(field) => Some(field.clone()),
    };
    for field in route.method.descriptor.input().fields() {
        let in_path = route.variables.iter().any(|v| v.0.first() == Some(&field));
        if in_path || body_field.as_ref() == Some(&field) || !schemas.fits_query(&field) {
            continue;
        }
        let mut parameter = json!({
            "name": field.json_name(),
            "in": "query",
            "schema": schemas.plain(&field),
        });
        if let Some(text) = comments.of(&field.parent_file(), field.path()) {
            parameter["description"] = text.into();
        }
        parameters.push(parameter);
    }
    parameters
}

fn request_body(route: &Route, schemas: &mut Schemas<'_>) -> Option<Value> {
    let schema = match &route.body {
        Body::None => return None,
        Body::Whole => schemas.message(&route.method.descriptor.input()),
        Body::Field(field) => schemas.plain(field),
    };
    Some(json!({"required": true, "content": {"application/json": {"schema": schema}}}))
}

fn success(route: &Route, schemas: &mut Schemas<'_>) -> Value {
    let schema = schemas.message(&route.method.descriptor.output());
    if route.method.descriptor.is_server_streaming() {
        return json!({
            "description": "One message per line. A call that fails midway ends with a line `{\"error\": …}`.",
            "content": {"application/x-ndjson": {"schema": schema}},
        });
    }
    json!({"description": "Done.", "content": {"application/json": {"schema": schema}}})
}

fn tags(routes: &Routes, comments: &Comments) -> Vec<Value> {
    let mut tags: Vec<Value> = Vec::new();
    for route in routes.all() {
        let service = route.method.descriptor.parent_service();
        if tags.iter().any(|tag| tag["name"] == service.name()) {
            continue;
        }
        let mut tag = json!({"name": service.name()});
        if let Some(text) = comments.of(&service.parent_file(), service.path()) {
            tag["description"] = text.into();
        }
        tags.push(tag);
    }
    tags
}

fn error_response() -> Value {
    json!({
        "description": "The call failed. Clients match `reason` in the ErrorInfo, never the text.",
        "headers": {
            "Retry-After": {
                "description": "Seconds after which the call may succeed.",
                "schema": {"type": "integer"},
            },
        },
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/google.rpc.Status"}}},
    })
}

fn security_schemes() -> Value {
    json!({
        "key": {"type": "http", "scheme": "bearer", "description": "An API key."},
        "keyAsUserName": {
            "type": "http",
            "scheme": "basic",
            "description": "An API key as user name without a password, as Segment's SDKs send it.",
        },
    })
}

fn verb(verb: &Verb) -> String {
    verb.as_str().to_ascii_lowercase()
}
