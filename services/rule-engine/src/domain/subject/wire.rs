//! The fields of a serialized message, borrowed, one after the other. Knows no message.

use super::Unreadable;

/// The value of one field on the wire.
pub(super) enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Fixed,
}

#[inline]
pub(super) fn field<'a>(rest: &mut &'a [u8]) -> Result<(u32, Field<'a>), Unreadable> {
    let key = varint(rest)?;
    let number = (key >> 3) as u32;
    let value = match key & 7 {
        0 => Field::Number(varint(rest)?),
        1 => take(rest, 8).map(|_| Field::Fixed)?,
        2 => {
            let length = varint(rest)?;
            let length = usize::try_from(length).map_err(|_| Unreadable)?;
            Field::Bytes(take(rest, length)?)
        }
        5 => take(rest, 4).map(|_| Field::Fixed)?,
        _ => return Err(Unreadable),
    };
    Ok((number, value))
}

/// Keys and most lengths and enums take one byte, of which there are a thousand in a
/// long history.
#[inline]
fn varint(rest: &mut &[u8]) -> Result<u64, Unreadable> {
    match rest.split_first() {
        Some((byte @ 0..0x80, left)) => {
            *rest = left;
            Ok(u64::from(*byte))
        }
        _ => long_varint(rest),
    }
}

fn long_varint(rest: &mut &[u8]) -> Result<u64, Unreadable> {
    prost::encoding::decode_varint(rest).map_err(|_| Unreadable)
}

#[inline]
fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], Unreadable> {
    let (taken, left) = rest.split_at_checked(length).ok_or(Unreadable)?;
    *rest = left;
    Ok(taken)
}

pub(super) fn text(bytes: &[u8]) -> Result<&str, Unreadable> {
    std::str::from_utf8(bytes).map_err(|_| Unreadable)
}

/// Every field of bytes with this number.
pub(super) fn each<'a>(
    mut rest: &'a [u8],
    wanted: u32,
    mut read: impl FnMut(&'a [u8]) -> Result<(), Unreadable>,
) -> Result<(), Unreadable> {
    while !rest.is_empty() {
        if let (number, Field::Bytes(bytes)) = field(&mut rest)?
            && number == wanted
        {
            read(bytes)?;
        }
    }
    Ok(())
}
