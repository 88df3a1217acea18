//! Protobuf written straight into bytes, for the messages of every decision: nothing is
//! copied into a message first. Leaves out what is empty, as protobuf does; knows no
//! message, so that the tags stand with those who write one.

use prost::{
    DecodeError, Message,
    bytes::{Buf, BufMut},
    encoding::{DecodeContext, WireType, encode_key, encode_varint, skip_field},
};

/// A message being written.
#[derive(Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    pub fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// A string, in parts.
    pub fn text<const N: usize>(&mut self, tag: u32, parts: [&str; N]) {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        if length > 0 {
            encode_key(tag, WireType::LengthDelimited, &mut self.0);
            encode_varint(length as u64, &mut self.0);
            for part in parts {
                self.0.extend_from_slice(part.as_bytes());
            }
        }
    }

    /// A string that is known to be one.
    pub fn text_bytes(&mut self, tag: u32, text: &[u8]) {
        if !text.is_empty() {
            encode_key(tag, WireType::LengthDelimited, &mut self.0);
            encode_varint(text.len() as u64, &mut self.0);
            self.0.extend_from_slice(text);
        }
    }

    pub fn double(&mut self, tag: u32, value: f64) {
        if value != 0.0 {
            encode_key(tag, WireType::SixtyFourBit, &mut self.0);
            self.0.extend_from_slice(&value.to_le_bytes());
        }
    }

    /// An enum or a bool.
    pub fn number(&mut self, tag: u32, value: i32) {
        if value != 0 {
            encode_key(tag, WireType::Varint, &mut self.0);
            encode_varint(value as u64, &mut self.0);
        }
    }

    /// A number of things.
    pub fn count(&mut self, tag: u32, count: usize) {
        self.number(tag, i32::try_from(count).unwrap_or(i32::MAX));
    }

    pub fn message(&mut self, tag: u32, message: &impl Message) {
        prost::encoding::message::encode(tag, message, &mut self.0);
    }

    /// A message within this one, even if it is empty.
    pub fn within(&mut self, tag: u32, write: impl FnOnce(&mut Self)) {
        encode_key(tag, WireType::LengthDelimited, &mut self.0);
        // Most lengths take one byte; for others what was written makes way.
        self.0.push(0);
        let start = self.0.len();
        write(self);
        let length = self.0.len() - start;
        let Ok(short @ 0..0x80) = u8::try_from(length) else {
            let mut varint = Vec::with_capacity(10);
            encode_varint(length as u64, &mut varint);
            self.0.splice(start - 1..start, varint);
            return;
        };
        self.0[start - 1] = short;
    }
}

/// A message that is written already.
#[derive(Debug, Default)]
pub struct Written(pub Vec<u8>);

impl Message for Written {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        buf.put_slice(&self.0);
    }

    fn encoded_len(&self) -> usize {
        self.0.len()
    }

    /// Nobody reads one: this is what answers are, not requests.
    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        ctx: DecodeContext,
    ) -> Result<(), DecodeError> {
        skip_field(wire_type, tag, buf, ctx)
    }

    fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use attune_api::rules::v1::{Reason, ReasonKind, Slot, SourceRef};

    #[test]
    fn what_is_written_is_what_prost_writes() {
        for length in [0, 1, 90, 127, 128, 129, 20_000] {
            let slot = Slot {
                item_id: "i".repeat(length),
                score: length as f64,
                reasons: vec![
                    Reason::default(),
                    Reason {
                        kind: ReasonKind::Source.into(),
                        text: format!("Similar to {}", "t".repeat(length)),
                        source: Some(SourceRef::default()),
                        ..Reason::default()
                    },
                ],
                token: "token".into(),
            };
            let mut writer = Writer::default();
            writer.text(1, [&slot.item_id]);
            writer.double(2, slot.score);
            writer.within(3, |_| {});
            writer.within(3, |reason| {
                reason.number(1, ReasonKind::Source.into());
                reason.text(2, ["Similar to ", &"t".repeat(length)]);
                reason.within(4, |_| {});
            });
            writer.text_bytes(4, slot.token.as_bytes());
            let written = Written(writer.into_bytes());
            assert_eq!(written.encode_to_vec(), slot.encode_to_vec());
        }
    }
}
