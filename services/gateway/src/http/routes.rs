//! The HTTP routes of the contract: every `google.api.http` binding of a public method,
//! resolved against its message, so that a mistake in a proto shows at start and not at
//! the first request. Finds routes; never reads a body.

use std::sync::Arc;

use http::Method as Verb;
use prost_reflect::{DynamicMessage, FieldDescriptor, MessageDescriptor, Value};

use super::{
    decode::field_of,
    template::{Template, Tree, Unsupported},
};
use crate::methods::{Methods, PublicMethod, option};

/// Where a request's body goes.
#[derive(Debug, Clone)]
pub enum Body {
    /// There is none; fields may be in the query.
    None,
    /// The whole message; nothing may be in the query.
    Whole,
    /// One field; the others may be in the query.
    Field(FieldDescriptor),
}

/// One binding of one method.
#[derive(Debug, Clone)]
pub struct Route {
    pub verb: Verb,
    /// As written in the contract.
    pub template: String,
    pub method: PublicMethod,
    pub grpc_path: http::uri::PathAndQuery,
    pub body: Body,
    /// Fields that the path fills, in order.
    pub variables: Vec<FieldPath>,
}

/// A way through singular messages to a field: `rule.rule_id`.
#[derive(Debug, Clone)]
pub struct FieldPath(pub Vec<FieldDescriptor>);

impl FieldPath {
    /// Takes both spellings of every name.
    pub fn resolve(message: &MessageDescriptor, path: &str) -> Option<Self> {
        let mut fields: Vec<FieldDescriptor> = Vec::new();
        let mut message = Some(message.clone());
        for name in path.split('.') {
            let field = field_of(message.as_ref()?, name)?;
            message = match field.kind() {
                prost_reflect::Kind::Message(m) if !field.is_list() && !field.is_map() => Some(m),
                _ => None,
            };
            fields.push(field);
        }
        Some(Self(fields))
    }

    /// In the contract's names.
    pub fn text(&self) -> String {
        let names: Vec<_> = self.0.iter().map(|f| f.name().to_owned()).collect();
        names.join(".")
    }
}

/// The answer to "where does this go".
pub enum Lookup<'a> {
    Found(&'a Arc<Route>, Vec<String>),
    /// The path exists, with these verbs only.
    OtherVerbs(Vec<Verb>),
    Nothing,
}

/// All routes.
pub struct Routes {
    all: Vec<Arc<Route>>,
    tree: Tree<Vec<Arc<Route>>>,
}

/// A binding in the contract that cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("{method}: {source}")]
    Template { method: String, source: Unsupported },
    #[error("{method}: the binding names the field {field:?}, which does not exist")]
    Field { method: String, field: String },
    #[error("{method}: the binding has no verb")]
    Verb { method: String },
}

impl Routes {
    pub fn read(methods: &Methods) -> Result<Self, Fault> {
        let mut routes = Self {
            all: Vec::new(),
            tree: Tree::default(),
        };
        for method in methods.all() {
            let Some(rule) = option(&method.descriptor, "google.api.http") else {
                continue;
            };
            routes.add(method, &rule)?;
            for more in messages(&rule, "additional_bindings") {
                routes.add(method, &more)?;
            }
        }
        Ok(routes)
    }

    fn add(&mut self, method: &PublicMethod, rule: &DynamicMessage) -> Result<(), Fault> {
        let name = || method.path.clone();
        let (verb, template) = binding(rule).ok_or_else(|| Fault::Verb { method: name() })?;
        let input = method.descriptor.input();
        let parsed = Template::parse(&template).map_err(|source| Fault::Template {
            method: name(),
            source,
        })?;
        let missing = |field: &str| Fault::Field {
            method: name(),
            field: field.to_owned(),
        };
        let variables = parsed
            .variables()
            .map(|path| FieldPath::resolve(&input, path).ok_or_else(|| missing(path)))
            .collect::<Result<_, _>>()?;
        let body = match text(rule, "body").as_str() {
            "" => Body::None,
            "*" => Body::Whole,
            name => Body::Field(field_of(&input, name).ok_or_else(|| missing(name))?),
        };
        let grpc_path = method.path.parse().map_err(|_| missing("path"))?;
        let route = Arc::new(Route {
            verb,
            template,
            method: method.clone(),
            grpc_path,
            body,
            variables,
        });
        self.all.push(route.clone());
        self.tree.entry(&parsed).push(route);
        Ok(())
    }

    pub fn all(&self) -> &[Arc<Route>] {
        &self.all
    }

    pub fn find(&self, verb: &Verb, path: &str) -> Lookup<'_> {
        let Some((routes, texts)) = self.tree.find(path) else {
            return Lookup::Nothing;
        };
        match routes.iter().find(|route| route.verb == *verb) {
            Some(route) => Lookup::Found(route, texts),
            None => Lookup::OtherVerbs(routes.iter().map(|r| r.verb.clone()).collect()),
        }
    }
}

fn binding(rule: &DynamicMessage) -> Option<(Verb, String)> {
    let verbs = [
        ("get", Verb::GET),
        ("put", Verb::PUT),
        ("post", Verb::POST),
        ("delete", Verb::DELETE),
        ("patch", Verb::PATCH),
    ];
    verbs
        .into_iter()
        .map(|(field, verb)| (verb, text(rule, field)))
        .find(|(_, template)| !template.is_empty())
}

fn text(message: &DynamicMessage, field: &str) -> String {
    let value = message.get_field_by_name(field);
    value
        .and_then(|v| v.as_str().map(str::to_owned))
        .unwrap_or_default()
}

fn messages(message: &DynamicMessage, field: &str) -> Vec<DynamicMessage> {
    let value = message.get_field_by_name(field).map(|v| v.into_owned());
    match value {
        Some(Value::List(values)) => values
            .into_iter()
            .filter_map(|v| v.as_message().cloned())
            .collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_binding_of_the_contract_can_be_served() {
        let methods = Methods::read();
        let routes = Routes::read(&methods).unwrap();
        let all = methods.all();
        let of_one_message = all.iter().filter(|m| !m.descriptor.is_client_streaming());
        assert!(routes.all().len() >= of_one_message.count());
    }

    #[test]
    fn a_known_path_with_another_verb_tells_the_verbs() {
        let routes = Routes::read(&Methods::read()).unwrap();
        assert!(matches!(
            routes.find(&Verb::PUT, "/v1/personalize"),
            Lookup::OtherVerbs(verbs) if verbs == [Verb::POST]
        ));
        assert!(matches!(
            routes.find(&Verb::GET, "/v1/nothing"),
            Lookup::Nothing
        ));
    }
}
