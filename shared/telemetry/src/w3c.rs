//! The header `traceparent` of W3C trace context, version 00: 55 characters, read and
//! written in place. Anything else is left to the general propagator.

use http::HeaderValue;
use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

const LENGTH: usize = 55;
const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// `00-TRACE-SPAN-FLAGS`
pub fn write(ids: &SpanContext) -> HeaderValue {
    let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
    hexadecimal(&ids.trace_id().to_bytes(), &mut text[3..35]);
    hexadecimal(&ids.span_id().to_bytes(), &mut text[36..52]);
    hexadecimal(&[ids.trace_flags().to_u8()], &mut text[53..]);
    // Digits and hyphens are always a valid header value.
    HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// The ids of a caller; none where the header is not of this form.
pub fn read(header: &HeaderValue) -> Option<SpanContext> {
    let text: &[u8; LENGTH] = header.as_bytes().try_into().ok()?;
    let framed = text.starts_with(b"00-") && text[35] == b'-' && text[52] == b'-';
    if !framed {
        return None;
    }
    let trace_id = TraceId::from_bytes(bytes(&text[3..35])?);
    let span_id = SpanId::from_bytes(bytes(&text[36..52])?);
    let [flags] = bytes(&text[53..])?;
    // Of the flags only the first is defined; as the propagator has it, others are dropped.
    let flags = TraceFlags::new(flags) & TraceFlags::SAMPLED;
    let ids = SpanContext::new(trace_id, span_id, flags, true, TraceState::NONE);
    ids.is_valid().then_some(ids)
}

fn hexadecimal(bytes: &[u8], text: &mut [u8]) {
    for (byte, pair) in bytes.iter().zip(text.chunks_exact_mut(2)) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

fn bytes<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

/// Lower case only, as the standard has it.
fn digit(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let ids = read(&HeaderValue::from_static(text)).unwrap();
        assert_eq!(
            ids.trace_id().to_string(),
            "4bf92f3577b34da6a3ce929d0e0e4736"
        );
        assert_eq!(ids.span_id().to_string(), "00f067aa0ba902b7");
        assert!(ids.is_sampled() && ids.is_remote());
        assert_eq!(write(&ids), text);
    }

    #[test]
    fn other_forms_are_not_read() {
        for text in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        ] {
            assert!(read(&HeaderValue::from_static(text)).is_none(), "{text}");
        }
    }
}
