//! Which methods the public door has: everything in the contract with an `access`
//! option, by path, with the scope it needs and who answers it. Read from the
//! descriptors once; a method without the option does not exist out here.

use std::collections::HashMap;

use attune_api::{DESCRIPTORS, r#type::v1::Scope};
use prost_reflect::{
    DynamicMessage, ExtensionDescriptor, MethodDescriptor, ServiceDescriptor, Value,
};

/// Who answers a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    Access,
    Collection,
    Personalization,
    Preferences,
    Profile,
    Catalog,
    RuleEngine,
    Messaging,
}

/// One method of the public door.
#[derive(Debug, Clone)]
pub struct PublicMethod {
    /// `/attune.rules.v1.RuleService/GetRule`
    pub path: String,
    pub descriptor: MethodDescriptor,
    pub scope: Scope,
    pub ignore_unknown_fields: bool,
    pub owner: Owner,
}

impl PublicMethod {
    fn of(descriptor: MethodDescriptor) -> Option<Self> {
        let access = option(&descriptor, "attune.type.v1.access")?;
        let scope = match access.get_field_by_name("scope")?.as_ref() {
            Value::EnumNumber(number) => Scope::try_from(*number).ok()?,
            _ => return None,
        };
        let ignore_unknown_fields = access
            .get_field_by_name("ignore_unknown_fields")?
            .as_bool()?;
        let service = descriptor.parent_service();
        let owner = owner(service)?;
        Some(Self {
            path: format!("/{}/{}", service.full_name(), descriptor.name()),
            descriptor,
            scope,
            ignore_unknown_fields,
            owner,
        })
    }
}

/// The public methods by their gRPC path.
pub struct Methods(HashMap<String, PublicMethod>);

impl Methods {
    pub fn read() -> Self {
        let methods = DESCRIPTORS
            .services()
            .flat_map(|service| service.methods().collect::<Vec<_>>())
            .filter_map(PublicMethod::of)
            .map(|method| (method.path.clone(), method));
        Self(methods.collect())
    }

    pub fn get(&self, path: &str) -> Option<&PublicMethod> {
        self.0.get(path)
    }

    /// In the order of their paths.
    pub fn all(&self) -> Vec<&PublicMethod> {
        let mut all: Vec<_> = self.0.iter().collect();
        all.sort_by_key(|(path, _)| path.as_str());
        all.into_iter().map(|(_, method)| method).collect()
    }

    /// Full names of the services that have any public method.
    pub fn services(&self) -> Vec<String> {
        let mut names: Vec<_> = self
            .0
            .values()
            .map(|m| m.descriptor.parent_service().full_name().to_owned())
            .collect();
        names.sort();
        names.dedup();
        names
    }
}

/// A method's option of this name, if it is set.
pub fn option(method: &MethodDescriptor, extension: &str) -> Option<DynamicMessage> {
    let extension: ExtensionDescriptor = DESCRIPTORS.get_extension_by_name(extension)?;
    let options = method.options();
    if !options.has_extension(&extension) {
        return None;
    }
    match options.get_extension(&extension).into_owned() {
        Value::Message(message) => Some(message),
        _ => None,
    }
}

fn owner(service: &ServiceDescriptor) -> Option<Owner> {
    Some(match service.package_name() {
        "attune.gateway.v1" => match service.name() {
            "AccessService" => Owner::Access,
            "CollectionService" => Owner::Collection,
            "PersonalizationService" => Owner::Personalization,
            "PreferenceService" => Owner::Preferences,
            _ => return None,
        },
        "attune.profile.v1" => Owner::Profile,
        "attune.catalog.v1" => Owner::Catalog,
        "attune.rules.v1" => Owner::RuleEngine,
        "attune.messaging.v1" => Owner::Messaging,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn internal_methods_are_not_public() {
        let methods = Methods::read();
        let rows = [
            ("/attune.profile.v1.ProfileService/GetSnapshot", None),
            ("/attune.rules.v1.DecisionService/Decide", None),
            ("/attune.events.v1.EventLogService/ReadLog", None),
            (
                "/attune.profile.v1.ProfileService/GetProfile",
                Some((Scope::Admin, Owner::Profile)),
            ),
            (
                "/attune.gateway.v1.PersonalizationService/Personalize",
                Some((Scope::Read, Owner::Personalization)),
            ),
            (
                "/attune.gateway.v1.CollectionService/Track",
                Some((Scope::Write, Owner::Collection)),
            ),
            (
                "/attune.gateway.v1.PreferenceService/EraseMyData",
                Some((Scope::Subject, Owner::Preferences)),
            ),
            (
                "/attune.gateway.v1.PreferenceService/CreateSubjectToken",
                Some((Scope::Admin, Owner::Preferences)),
            ),
        ];
        for (path, expected) in rows {
            let found = methods.get(path).map(|m| (m.scope, m.owner));
            assert_eq!(found, expected, "{path}");
        }
    }

    #[test]
    fn every_public_method_but_those_of_streams_has_a_route() {
        for method in Methods::read().all() {
            if method.descriptor.is_client_streaming() {
                continue;
            }
            let rule = option(&method.descriptor, "google.api.http");
            assert!(rule.is_some(), "{}", method.path);
        }
    }
}
