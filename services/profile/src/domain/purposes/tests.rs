//! What holds by decision, regime, region and signal; and purposes for other tests.

use super::*;
use crate::domain::{
    consent::Signalled,
    preferences::Preferences,
    tcf::tests::{FIRST_THREE, MOST},
};

/// The built-in ones and two that the IAB's speak of.
pub fn purposes() -> Purposes {
    let stored = [
        declared("ads", |p| p.tcf_purposes = vec![3, 4]),
        declared("measured", |p| p.tcf_purposes = vec![1, 2, 3]),
    ];
    Purposes::new(&stored, [], DefaultConsent::Granted)
}

fn declared(id: &str, change: impl FnOnce(&mut Declared)) -> Declared {
    let built_in = with_built_in(&[]).into_iter().find(|p| p.purpose_id == id);
    let mut declared = built_in.unwrap_or_else(|| Declared {
        purpose_id: id.into(),
        legal_basis: LegalBasis::Consent.into(),
        ..Declared::default()
    });
    change(&mut declared);
    declared
}

fn regimes(rows: &[(&str, Regime)]) -> BTreeMap<String, i32> {
    rows.iter()
        .map(|(region, regime)| ((*region).to_owned(), (*regime).into()))
        .collect()
}

fn record(rows: &[(&str, bool, &str)]) -> Record {
    let mut record = Record::default();
    for (purpose, granted, policy_version) in rows {
        let decision = Decision {
            granted: *granted,
            policy_version: (*policy_version).to_owned(),
            time_ms: 10,
            ..Decision::default()
        };
        record.decide(purpose, decision);
    }
    record
}

fn asked(region: &str, gpc: bool) -> Asked {
    Asked {
        region: Region::parse(region).ok(),
        gpc,
    }
}

/// Ids of what is allowed, of those that are asked of.
fn allowed(purposes: &Purposes, record: &Record, asked: &Asked) -> String {
    let here = purposes.here(&purposes.standing(record), asked);
    let names = purposes.all.iter().enumerate();
    let names = names.filter(|(index, _)| here.has_all(PurposeSet::one(*index)));
    names
        .map(|(_, p)| p.id.as_str())
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn what_holds_without_a_decision_follows_regime_basis_and_setting() {
    let stored = [
        declared("ads", |p| {
            p.legal_basis = LegalBasis::LegitimateInterest.into()
        }),
        declared("billing", |p| p.legal_basis = LegalBasis::Contract.into()),
        declared("personalization", |p| {
            p.regimes = regimes(&[
                ("EU", Regime::OptIn),
                ("US-CA", Regime::OptOut),
                ("US", Regime::OptIn),
            ]);
        }),
    ];
    let rows = [
        (
            DefaultConsent::Granted,
            "",
            "ads analytics billing personalization",
        ),
        (DefaultConsent::Granted, "FR", "ads analytics billing"),
        (
            DefaultConsent::Granted,
            "GB",
            "ads analytics billing personalization",
        ),
        (DefaultConsent::Denied, "", "ads billing"),
        (DefaultConsent::Denied, "US-NY", "ads billing"),
        (
            DefaultConsent::Denied,
            "US-CA",
            "ads billing personalization",
        ),
    ];
    for (default, region, expected) in rows {
        let purposes = Purposes::new(&stored, [], default);
        let nobody = Record::default();
        let found = allowed(&purposes, &nobody, &asked(region, false));
        assert_eq!(found, expected, "{default:?} {region}");
        // Where they were last counts as where they are.
        let lived = Record {
            signalled: Some(Signalled {
                region: region.into(),
                ..Signalled::default()
            }),
            ..Record::default()
        };
        assert_eq!(allowed(&purposes, &lived, &asked("", false)), expected);
    }
}

#[test]
fn a_decision_outweighs_the_regime_unless_people_are_asked_anew() {
    let stored = |reconsent| {
        [declared("personalization", |p| {
            p.policy_version = "2".into();
            p.reconsent = reconsent;
            p.regimes = regimes(&[("EU", Regime::OptIn)]);
        })]
    };
    let rows = [
        (false, record(&[("personalization", true, "1")]), "AT", true),
        (true, record(&[("personalization", true, "1")]), "AT", false),
        (true, record(&[("personalization", true, "2")]), "AT", true),
        (
            true,
            record(&[("personalization", false, "1")]),
            "US",
            false,
        ),
        (true, record(&[("personalization", true, "1")]), "US", true),
    ];
    for (reconsent, record, region, expected) in rows {
        let purposes = Purposes::new(&stored(reconsent), [], DefaultConsent::Granted);
        let here = purposes.here(&purposes.standing(&record), &asked(region, false));
        assert_eq!(
            purposes.personalizes(here),
            expected,
            "{reconsent} {region}"
        );
    }
}

#[test]
fn gpc_of_the_moment_withholds_but_what_was_granted_in_spite_of_it() {
    let purposes = purposes();
    let mut granted = record(&[("personalization", true, ""), ("ads", true, "")]);
    let gpc = asked("", true);
    assert_eq!(allowed(&purposes, &granted, &gpc), "ads");
    granted.signalled = Some(Signalled {
        gpc_since_ms: 5,
        ..Signalled::default()
    });
    assert_eq!(allowed(&purposes, &granted, &gpc), "ads personalization");
}

#[test]
fn traits_need_their_purpose_and_sensitive_ones_another() {
    let terms = |trait_id, purpose, sensitive| TraitTerms {
        trait_id,
        purpose,
        sensitive,
    };
    let traits = [
        terms("illness", "", true),
        terms("segment_mail", "marketing_email", false),
        terms("orphan", "gone", false),
    ];
    let purposes = Purposes::new(&[], traits, DefaultConsent::Granted);
    let rows = [
        (record(&[]), "plan"),
        (record(&[("sensitive_data", true, "")]), "illness plan"),
        (
            record(&[("marketing_email", true, "")]),
            "plan segment_mail",
        ),
        (
            record(&[
                ("marketing_email", true, ""),
                ("personalization", false, ""),
            ]),
            "segment_mail",
        ),
    ];
    for (record, expected) in rows {
        let here = purposes.standing(&record).allowed;
        let may = ["illness", "orphan", "plan", "segment_mail"]
            .into_iter()
            .filter(|id| purposes.may_use(id, here));
        assert_eq!(may.collect::<Vec<_>>().join(" "), expected);
    }
}

#[test]
fn a_column_says_what_the_record_says_where_decisions_alone_settle_it() {
    let wish = |level| {
        let mut record = record(&[("personalization", true, ""), ("analytics", true, "")]);
        record.preferences = Some(Preferences {
            level,
            ..Preferences::default()
        });
        record
    };
    for default in [DefaultConsent::Granted, DefaultConsent::Denied] {
        let purposes = Purposes::new(&[], [], default);
        for record in [
            record(&[]),
            record(&[("personalization", true, "")]),
            record(&[("personalization", true, ""), ("analytics", true, "")]),
            record(&[("analytics", false, "")]),
            wish(0),
            wish(1),
        ] {
            assert_eq!(
                purposes.may_learn_by(Learning::Decided(record.learning())),
                Some(purposes.may_learn(&purposes.standing(&record))),
                "{default:?} {record:?}"
            );
        }
    }
    let asked_anew = [declared("analytics", |p| p.reconsent = true)];
    let purposes = Purposes::new(&asked_anew, [], DefaultConsent::Granted);
    assert_eq!(purposes.may_learn_by(Learning::Decided(Some(true))), None);
}

#[test]
fn a_tcf_string_grants_what_all_of_its_purposes_grant() {
    let purpose = |legal_basis: LegalBasis, numbers: &[i32]| {
        Purpose::new(&declared("p", |p| {
            p.legal_basis = legal_basis.into();
            p.tcf_purposes = numbers.to_vec();
        }))
    };
    let (first, most) = (
        Tcf::decode(FIRST_THREE).unwrap(),
        Tcf::decode(MOST).unwrap(),
    );
    let (asks, interest) = (LegalBasis::Consent, LegalBasis::LegitimateInterest);
    assert!(purpose(asks, &[1, 3]).granted_by(&first));
    assert!(!purpose(asks, &[3, 4]).granted_by(&first));
    assert!(!purpose(interest, &[3, 4]).granted_by(&first));
    let tolerated = (1..=11).find(|n| most.tolerates(*n) && !most.consents_to(*n));
    if let Some(n) = tolerated {
        assert!(purpose(interest, &[i32::from(n)]).granted_by(&most));
        assert!(!purpose(asks, &[i32::from(n)]).granted_by(&most));
    }
}

#[test]
fn what_is_declared_differently_has_another_fingerprint() {
    let of = |stored: &[Declared]| Purposes::new(stored, [], DefaultConsent::Granted).fingerprint();
    assert_eq!(of(&[]), of(&[]));
    assert_ne!(of(&[]), of(&[declared("ads", |_| ())]));
}

#[test]
fn another_name_allows_as_much_and_another_rule_does_not() {
    let ads = declared("ads", |_| {});
    let named = declared("ads", |p| p.display_name = "Advertising".into());
    assert!(decide_alike(&ads, &named));
    let others = [
        declared("ads", |p| p.regimes = regimes(&[("", Regime::OptOut)])),
        declared("ads", |p| {
            p.legal_basis = LegalBasis::LegitimateInterest.into();
        }),
        declared("ads", |p| p.reconsent = true),
        declared("ads", |p| p.policy_version = "2".into()),
    ];
    for other in others {
        assert!(!decide_alike(&ads, &other), "{other:?}");
    }
}
