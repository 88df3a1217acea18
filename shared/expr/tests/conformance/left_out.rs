//! Which cases are left out, and why. A reason is looked for from the first row on; a
//! case that none fits has to pass.

use super::cases::{Case, Held};

/// What the rows look at.
enum Of {
    /// A whole suite.
    Suite(&'static str),
    /// `suite/section`
    Section(&'static str),
    /// The text of a case, its source, bindings and what is expected of it.
    Mention(&'static str),
}
use Of::{Mention, Section, Suite};

const MESSAGES: &str = "no protobuf messages or enums: values come as JSON";
const CONTAINERS: &str = "no containers and no dotted names: names are looked up in the vocabulary";
const OPTIONALS: &str = "no optional values: what is missing is asked for with has()";
const BINDINGS: &str = "no cel.bind: expressions stay small enough to be indexed";
const BLOCKS: &str = "no cel.block, which is written by optimizers only";
const ENCODERS: &str = "no base64: nothing a rule targets by is encoded";
const TRANSFORMS: &str = "no macros with two variables";
const FORMAT: &str = "no format(): what people read is written by templates";
const NANOSECONDS: &str = "times are kept in milliseconds, as everywhere in this system";
const TYPES: &str =
    "asks for the type a checker deduces; kinds here are coarser, and no value is asked for";
const TOTAL: &str = "by design: with a missing value a condition is false rather than an error";
const STRICT: &str = "by design: refused when saved, where the specification leaves it to the run";
const DOUBLES: &str = "by design: % takes doubles, since numbers of JSON are such";

const ROWS: &[(Of, &str)] = &[
    (Suite("block_ext"), BLOCKS),
    (Suite("bindings_ext"), BINDINGS),
    (Suite("encoders_ext"), ENCODERS),
    (Suite("optionals"), OPTIONALS),
    (Suite("proto2_ext"), MESSAGES),
    (Suite("enums"), MESSAGES),
    (Mention("TestAllTypes"), MESSAGES),
    (Mention("TestRequired"), MESSAGES),
    (Mention("NestedTestAllTypes"), MESSAGES),
    (Mention("google.protobuf.Any"), MESSAGES),
    (Mention("Value{"), MESSAGES),
    (Mention("google.protobuf.Struct{"), MESSAGES),
    (Mention("google.protobuf.Timestamp{"), MESSAGES),
    (Mention("google.protobuf.Duration{"), MESSAGES),
    (Mention("google.protobuf.Empty"), MESSAGES),
    (Mention("google.protobuf.FieldMask"), MESSAGES),
    (Suite("namespace"), CONTAINERS),
    (
        Section("fields/qualified_identifier_resolution"),
        CONTAINERS,
    ),
    (Section("string_ext/format"), FORMAT),
    (Section("string_ext/format_errors"), FORMAT),
    (Suite("macros2"), TRANSFORMS),
    (Section("string_ext/value_errors"), TOTAL),
    (Section("parse/receiver_function_names"), STRICT),
];

/// Those that are told one by one.
const CASES: &[(&str, &str)] = &[
    ("basic/variables/unbound_is_runtime_error", STRICT),
    ("basic/functions/unbound_is_runtime_error", STRICT),
    ("fp_math/fp_math/mod_not_support", DOUBLES),
    (
        "timestamps/timestamp_conversions/toString_timestamp_nanos",
        NANOSECONDS,
    ),
    (
        "timestamps/timestamp_range/add_duration_nanos_over",
        NANOSECONDS,
    ),
    (
        "timestamps/timestamp_range/add_duration_nanos_under",
        NANOSECONDS,
    ),
    ("fields/map_fields/map_no_such_key_or_false", TOTAL),
    ("fields/map_fields/map_no_such_key_and_true", TOTAL),
    ("fields/map_fields/map_bad_key_type_or_false", TOTAL),
    ("fields/map_fields/map_bad_key_type_and_true", TOTAL),
    (
        "fields/map_fields/map_field_select_no_such_key_or_false",
        TOTAL,
    ),
    (
        "fields/map_fields/map_field_select_no_such_key_and_true",
        TOTAL,
    ),
    ("lists/index/index_out_of_bounds_or_false", TOTAL),
    ("lists/index/index_out_of_bounds_and_true", TOTAL),
    ("lists/index/bad_index_type_or_false", TOTAL),
    ("lists/index/bad_index_type_and_true", TOTAL),
    ("logic/conditional/error_case", TOTAL),
    ("logic/AND/short_circuit_type_left", STRICT),
    ("logic/AND/short_circuit_type_right", STRICT),
    ("logic/AND/error_right", TOTAL),
    ("logic/AND/error_left", TOTAL),
    ("logic/OR/short_circuit_type_left", STRICT),
    ("logic/OR/short_circuit_type_right", STRICT),
    ("logic/OR/error_right", TOTAL),
    ("logic/OR/error_left", TOTAL),
    ("macros/exists/list_elem_exists_error", TOTAL),
    ("macros/all/list_elem_type_exhaustive", TOTAL),
    ("macros/all/list_elem_error_exhaustive", TOTAL),
    ("macros/exists_one/list_no_shortcircuit", TOTAL),
    ("macros/filter/list_no_shortcircuit", TOTAL),
];

pub fn reason(case: &Case) -> Option<&'static str> {
    if let Some((_, reason)) = ROWS.iter().find(|(of, _)| of.fits(case)) {
        return Some(reason);
    }
    if case.checks_only {
        return Some(TYPES);
    }
    if case
        .bindings
        .values()
        .any(|held| matches!(held, Held::Message))
    {
        return Some(MESSAGES);
    }
    let path = case.path();
    let named = CASES.iter().find(|(name, _)| *name == path);
    named.map(|(_, reason)| *reason)
}

impl Of {
    fn fits(&self, case: &Case) -> bool {
        match self {
            Self::Suite(suite) => case.suite == *suite,
            Self::Section(section) => format!("{}/{}", case.suite, case.section) == *section,
            Self::Mention(text) => case.text.contains(text),
        }
    }
}
