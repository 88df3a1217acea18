//! The services by name, and who calls whom.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One of the services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ServiceName {
    Profile,
    Catalog,
    RuleEngine,
    Messaging,
    Gateway,
}

impl ServiceName {
    pub const ALL: [Self; 5] = [
        Self::Profile,
        Self::Catalog,
        Self::RuleEngine,
        Self::Messaging,
        Self::Gateway,
    ];

    /// Those that other services call.
    pub const CALLED: [Self; 4] = [
        Self::Profile,
        Self::Catalog,
        Self::RuleEngine,
        Self::Messaging,
    ];

    /// As in `--services` and in file names.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Profile => "profile",
            Self::Catalog => "catalog",
            Self::RuleEngine => "rule-engine",
            Self::Messaging => "messaging",
            Self::Gateway => "gateway",
        }
    }

    /// As in the names of settings.
    pub fn key(self) -> &'static str {
        match self {
            Self::RuleEngine => "rule_engine",
            _ => self.as_str(),
        }
    }

    /// The services that this one cannot work without.
    pub fn calls(self) -> &'static [Self] {
        match self {
            Self::Profile | Self::Catalog => &[],
            Self::RuleEngine => &[Self::Profile, Self::Catalog],
            Self::Messaging => &[Self::Profile, Self::Catalog],
            Self::Gateway => &Self::CALLED,
        }
    }

    /// The gRPC services behind the name, as health checks ask for them.
    pub fn grpc_names(self) -> &'static [&'static str] {
        match self {
            Self::Profile => &[
                "attune.profile.v1.ProfileService",
                "attune.profile.v1.AudienceService",
                "attune.profile.v1.ImportService",
                "attune.profile.v1.PrivacyService",
                "attune.profile.v1.SchemaService",
                "attune.profile.v1.SegmentService",
            ],
            Self::Catalog => &["attune.catalog.v1.CatalogService"],
            Self::RuleEngine => &[
                "attune.rules.v1.RuleService",
                "attune.rules.v1.DecisionService",
                "attune.rules.v1.AnalysisService",
            ],
            Self::Messaging => &["attune.messaging.v1.MessagingService"],
            Self::Gateway => &[
                "attune.gateway.v1.PersonalizationService",
                "attune.gateway.v1.CollectionService",
                "attune.gateway.v1.AccessService",
                "attune.gateway.v1.PreferenceService",
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_knows_every_service_of_the_contract() {
        let named = |name: &str| {
            let mut names = ServiceName::ALL.iter().flat_map(|s| s.grpc_names());
            names.any(|known| *known == name)
        };
        for service in attune_api::DESCRIPTORS.services() {
            let name = service.full_name();
            assert_eq!(
                name != "attune.events.v1.EventLogService",
                named(name),
                "{name}"
            );
        }
    }
}
