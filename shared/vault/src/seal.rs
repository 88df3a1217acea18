//! One key and what it seals: bytes that only it opens, and only as the field they were
//! sealed for. Pure but for the nonce; never holds a key longer than its owner does.

use aes_gcm_siv::{
    Aes256GcmSiv, KeyInit, Nonce, Tag,
    aead::{AeadInOut, inout::InOutBuf},
};
use attune_storage::Error;
use zeroize::Zeroizing;

use crate::sealed_column;

/// What every sealed value begins with. No protobuf message does: field 0 is none.
pub const VERSION: u8 = 1;
const NONCE_LEN: usize = 12;
const TAG_LEN: usize = 16;
const HEAD_LEN: usize = 1 + NONCE_LEN;

/// A key of 256 bits, gone from memory with its last copy.
#[derive(Clone)]
pub struct DataKey(Zeroizing<[u8; 32]>);

impl DataKey {
    pub fn fresh() -> Self {
        Self(Zeroizing::new(rand::random()))
    }

    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// None for bytes of another length.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self::new)
    }

    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    fn cipher(&self) -> Aes256GcmSiv {
        Aes256GcmSiv::new((&*self.0).into())
    }

    /// Version, nonce, cipher text, tag: 29 bytes more than the plain text.
    pub fn seal(&self, associated: &[u8], plain: &[u8]) -> Result<Vec<u8>, Error> {
        let nonce: [u8; NONCE_LEN] = rand::random();
        let mut sealed = Vec::with_capacity(HEAD_LEN + plain.len() + TAG_LEN);
        sealed.push(VERSION);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plain);
        let text = InOutBuf::from(&mut sealed[HEAD_LEN..]);
        let tag = self
            .cipher()
            .encrypt_inout_detached(&Nonce::from(nonce), associated, text)
            .map_err(|_| sealed_column("more than can be sealed"))?;
        sealed.extend_from_slice(&tag);
        Ok(sealed)
    }

    pub fn open(&self, associated: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Error> {
        let broken = || sealed_column("sealed otherwise");
        let Some((VERSION, rest)) = sealed.split_first().map(|(v, rest)| (*v, rest)) else {
            return Err(broken());
        };
        let (nonce, rest) = rest.split_at_checked(NONCE_LEN).ok_or_else(broken)?;
        let text_len = rest.len().checked_sub(TAG_LEN).ok_or_else(broken)?;
        let (text, tag) = rest.split_at(text_len);
        let nonce = Nonce::try_from(nonce).map_err(|_| broken())?;
        let tag = Tag::try_from(tag).map_err(|_| broken())?;
        let mut plain = text.to_vec();
        let text = InOutBuf::from(plain.as_mut_slice());
        self.cipher()
            .decrypt_inout_detached(&nonce, associated, text, &tag)
            .map_err(|_| broken())?;
        Ok(plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_with_its_key_as_its_field_and_unchanged_only() {
        let (key, other) = (DataKey::fresh(), DataKey::fresh());
        for plain in [&b""[..], b"Ann", &[7; 1_000]] {
            let sealed = key.seal(b"name", plain).unwrap();
            assert_eq!(sealed.len(), plain.len() + 29);
            assert_eq!(key.open(b"name", &sealed).unwrap(), plain);
            assert!(plain.is_empty() || !sealed.windows(plain.len()).any(|w| w == plain));
            assert!(other.open(b"name", &sealed).is_err());
            assert!(key.open(b"city", &sealed).is_err());
            for at in 0..sealed.len() {
                let mut changed = sealed.clone();
                changed[at] ^= 1;
                assert!(key.open(b"name", &changed).is_err());
                assert!(key.open(b"name", &sealed[..at]).is_err());
            }
            assert_ne!(key.seal(b"name", plain).unwrap(), sealed);
        }
    }
}
