//! Scalars and enums of protobuf's canonical JSON, into the wire format. Accepts what
//! the mapping accepts (numbers as strings, enums by name or number), nothing more.

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use prost::encoding;
use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind};

use super::{decode::Decoder, json::Json, path::Path};

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// Appends one scalar or enum with its tag.
pub fn encode(
    decoder: &mut Decoder,
    at: &Path<'_>,
    field: &FieldDescriptor,
    json: &Json,
    out: &mut Vec<u8>,
) {
    if let Err(what) = try_encode(field, json, out) {
        match json {
            Json::String(_) | Json::Number(_) => decoder.fault(at, format!("must be {what}")),
            _ => decoder.expected(at, &what, json),
        }
    }
}

/// The same for a text from a path, a query or a map's key, where all is text.
pub fn encode_text(
    decoder: &mut Decoder,
    at: &Path<'_>,
    field: &FieldDescriptor,
    text: &str,
    out: &mut Vec<u8>,
) {
    let json = match (field.kind(), text) {
        (Kind::Bool, "true") => Json::Bool(true),
        (Kind::Bool, "false") => Json::Bool(false),
        (Kind::Enum(_), _) => match text.parse::<i32>() {
            Ok(number) => Json::Number(number.into()),
            Err(_) => Json::String(text.to_owned()),
        },
        _ => Json::String(text.to_owned()),
    };
    encode(decoder, at, field, &json, out);
}

/// The error is what would have been right.
fn try_encode(field: &FieldDescriptor, json: &Json, out: &mut Vec<u8>) -> Result<(), String> {
    let tag = field.number();
    match field.kind() {
        Kind::Bool => match json {
            Json::Bool(value) => encoding::bool::encode(tag, value, out),
            _ => return Err("true or false".into()),
        },
        Kind::String => match json {
            Json::String(value) => encoding::string::encode(tag, value, out),
            _ => return Err("a string".into()),
        },
        Kind::Bytes => encoding::bytes::encode(tag, &bytes(json)?, out),
        Kind::Enum(kind) => encoding::int32::encode(tag, &enumerated(&kind, json)?, out),
        Kind::Int32 => encoding::int32::encode(tag, &integer(json)?, out),
        Kind::Sint32 => encoding::sint32::encode(tag, &integer(json)?, out),
        Kind::Sfixed32 => encoding::sfixed32::encode(tag, &integer(json)?, out),
        Kind::Uint32 => encoding::uint32::encode(tag, &integer(json)?, out),
        Kind::Fixed32 => encoding::fixed32::encode(tag, &integer(json)?, out),
        Kind::Int64 => encoding::int64::encode(tag, &integer(json)?, out),
        Kind::Sint64 => encoding::sint64::encode(tag, &integer(json)?, out),
        Kind::Sfixed64 => encoding::sfixed64::encode(tag, &integer(json)?, out),
        Kind::Uint64 => encoding::uint64::encode(tag, &integer(json)?, out),
        Kind::Fixed64 => encoding::fixed64::encode(tag, &integer(json)?, out),
        Kind::Double => encoding::double::encode(tag, &number(json)?, out),
        Kind::Float => encoding::float::encode(tag, &single(json)?, out),
        Kind::Message(_) => return Err("an object".into()),
    }
    Ok(())
}

fn bytes(json: &Json) -> Result<Vec<u8>, String> {
    let Json::String(text) = json else {
        return Err("a string in base64".into());
    };
    let engine = if text.contains(['-', '_']) {
        &URL_SAFE
    } else {
        &STANDARD
    };
    engine
        .decode(text)
        .map_err(|_| "a string in base64".to_owned())
}

fn enumerated(kind: &EnumDescriptor, json: &Json) -> Result<i32, String> {
    let value = match json {
        Json::String(name) => kind.get_value_by_name(name).map(|v| v.number()),
        Json::Number(number) => number
            .as_i64()
            .and_then(|n| i32::try_from(n).ok())
            .filter(|n| kind.get_value(*n).is_some()),
        _ => None,
    };
    value.ok_or_else(|| {
        // The first value is "unspecified": never what a caller means to say.
        let names: Vec<_> = kind
            .values()
            .filter(|v| v.number() != 0)
            .map(|v| v.name().to_owned())
            .collect();
        format!("one of {}", names.join(", "))
    })
}

/// Any integer type: whole numbers, also written as 1.0 or in a string.
fn integer<N: TryFrom<i128>>(json: &Json) -> Result<N, String> {
    let wide = match json {
        Json::Number(number) => whole(number),
        Json::String(text) => text.parse::<i128>().ok().or_else(|| {
            let number: serde_json::Number = text.parse().ok()?;
            whole(&number)
        }),
        _ => None,
    };
    let bits = std::mem::size_of::<N>() * 8;
    wide.and_then(|n| N::try_from(n).ok())
        .ok_or_else(|| format!("an integer of {bits} bits"))
}

fn whole(number: &serde_json::Number) -> Option<i128> {
    if let Some(n) = number.as_i64() {
        return Some(n.into());
    }
    if let Some(n) = number.as_u64() {
        return Some(n.into());
    }
    // Above 2^63 a double cannot be an integer of ours.
    let float = number.as_f64()?;
    (float.fract() == 0.0 && float.abs() < 9.3e18).then_some(float as i128)
}

fn number(json: &Json) -> Result<f64, String> {
    let value = match json {
        Json::Number(number) => number.as_f64(),
        Json::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            // Not `f64::from_str`, which also takes "inf" and "nan".
            _ => text
                .parse::<serde_json::Number>()
                .ok()
                .and_then(|n| n.as_f64()),
        },
        _ => None,
    };
    value.ok_or_else(|| "a number".to_owned())
}

fn single(json: &Json) -> Result<f32, String> {
    let wide = number(json)?;
    let narrow = wide as f32;
    if wide.is_finite() && narrow.is_infinite() {
        return Err("a number of single precision".into());
    }
    Ok(narrow)
}
