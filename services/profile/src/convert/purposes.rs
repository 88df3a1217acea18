//! Rules for what a purpose may look like, and requests about purposes into edits.

use attune_api::profile::v1::{
    CreatePurposeRequest, DeletePurposeRequest, LegalBasis, Purpose, Regime, UpdatePurposeRequest,
};
use attune_errors::Violations;
use attune_storage::resources::Missing;

use super::{is_purpose, text};
use crate::{Error, domain::region::is_regime_key, service::purposes::Edit};

pub const ID_RULE: &str = "must be 1 to 64 of a-z, 0-9 and `_`, beginning with a letter";

/// The IAB has so many purposes.
const TCF_PURPOSES_MAX: i32 = 11;
const REGIMES_MAX: usize = 300;

pub fn create(request: CreatePurposeRequest) -> Result<Edit, Error> {
    let Some(mut purpose) = request.purpose else {
        return Err(Violations::of("purpose", "must be set").into());
    };
    match (purpose.purpose_id.as_str(), request.purpose_id.as_str()) {
        ("", "") => return Err(Violations::of("purpose_id", "must be set").into()),
        (_, "") => {}
        ("", id) => purpose.purpose_id = id.to_owned(),
        (inner, outer) if inner != outer => {
            let rule = "must be the same as purpose.purpose_id where both are set";
            return Err(Violations::of("purpose_id", rule).into());
        }
        _ => {}
    }
    Ok(Edit::Create(purpose))
}

pub fn update(request: UpdatePurposeRequest) -> Result<Edit, Error> {
    let Some(purpose) = request.purpose else {
        return Err(Violations::of("purpose", "must be set").into());
    };
    Ok(Edit::Update {
        purpose,
        mask: request.update_mask,
        missing: Missing::allowed(request.allow_missing),
    })
}

pub fn delete(request: DeletePurposeRequest) -> Edit {
    Edit::Delete {
        purpose_id: request.purpose_id,
        etag: request.etag,
    }
}

/// All that is wrong with a purpose as it is to be stored.
pub fn check(purpose: &Purpose) -> Result<(), Violations> {
    let mut found = Violations::new();
    found.within("purpose", |found| rules(purpose, found));
    found.into_result()
}

fn rules(purpose: &Purpose, found: &mut Violations) {
    if !is_purpose(&purpose.purpose_id) {
        found.push("purpose_id", ID_RULE);
    }
    text("display_name", &purpose.display_name, found);
    text("policy_version", &purpose.policy_version, found);
    let basis = LegalBasis::try_from(purpose.legal_basis).unwrap_or_default();
    if basis == LegalBasis::Unspecified {
        found.push("legal_basis", "must be set");
    }
    if purpose.reconsent && purpose.policy_version.is_empty() {
        found.push("reconsent", "must be false without a policy_version");
    }
    let necessary = matches!(basis, LegalBasis::Contract | LegalBasis::LegalObligation);
    if necessary && purpose.withdrawn_by_gpc {
        let rule = "must be false where the basis is a contract or a law";
        found.push("withdrawn_by_gpc", rule);
    }
    if purpose.regimes.len() > REGIMES_MAX {
        found.push("regimes", format!("must be at most {REGIMES_MAX}"));
    }
    for (region, regime) in &purpose.regimes {
        let field = format!("regimes[{region:?}]");
        if !is_regime_key(region) {
            let rule = "must be for a country or a part of one (`DE`, `US-CA`), `EU`, or \
                        empty for everywhere else";
            found.push(&field, rule);
        }
        let regime = Regime::try_from(*regime).unwrap_or_default();
        if regime == Regime::Unspecified {
            found.push(&field, "must be OPT_IN or OPT_OUT");
        }
    }
    for (index, number) in purpose.tcf_purposes.iter().enumerate() {
        let field = format!("tcf_purposes[{index}]");
        if !(1..=TCF_PURPOSES_MAX).contains(number) {
            found.push(field, format!("must be 1 to {TCF_PURPOSES_MAX}"));
        } else if purpose.tcf_purposes[..index].contains(number) {
            found.push(field, "must not be listed twice");
        }
    }
}
