//! The purposes that exist in every workspace until they are changed.

use std::collections::BTreeMap;

use attune_api::profile::v1::{LegalBasis, Purpose as Declared};

use super::PURPOSES_MAX;
use crate::domain::consent::{ANALYTICS, PERSONALIZATION, SENSITIVE_DATA};

/// What exists in every workspace until it is changed.
fn built_in() -> Vec<Declared> {
    let row = |id: &str, name: &str, tcf: &[i32], withdrawn_by_gpc: bool| Declared {
        purpose_id: id.to_owned(),
        display_name: name.to_owned(),
        legal_basis: LegalBasis::Consent.into(),
        tcf_purposes: tcf.to_vec(),
        withdrawn_by_gpc,
        ..Declared::default()
    };
    // The IAB's 5 and 6: profiles to personalise content, and their use; 8 and 9:
    // measuring content and understanding audiences. The law asks of Global Privacy
    // Control that nothing be sold or shared; we take it to mean profiles too.
    vec![
        row(ANALYTICS, "Analytics", &[8, 9], true),
        row("marketing_email", "Marketing by e-mail", &[], false),
        row("marketing_push", "Marketing by push", &[], false),
        row("marketing_sms", "Marketing by SMS", &[], false),
        row(PERSONALIZATION, "Personalization", &[5, 6], true),
        row(SENSITIVE_DATA, "Sensitive data", &[], false),
    ]
}

/// Whether it exists without anybody declaring it, and so cannot be deleted.
pub fn is_built_in(id: &str) -> bool {
    built_in().iter().any(|purpose| purpose.purpose_id == id)
}

/// All purposes in the order of their ids.
pub fn with_built_in(stored: &[Declared]) -> Vec<Declared> {
    let mut all: BTreeMap<String, Declared> = built_in()
        .into_iter()
        .map(|purpose| (purpose.purpose_id.clone(), purpose))
        .collect();
    for purpose in stored {
        all.insert(purpose.purpose_id.clone(), purpose.clone());
    }
    all.into_values().take(PURPOSES_MAX).collect()
}
