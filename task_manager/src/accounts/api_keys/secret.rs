//! The form of a key: `tpk_`, then the id, the secret and a checksum in hexadecimal digits.
//!
//! The prefix and the checksum let secret scanners recognise a key, and tell a key with a typo from
//! one that was revoked, without a request.
//!
//! # Invariants
//! - A key has 256 random bits. No search finds such a key by its hash, so SHA-256 is right for it; a
//!   slow hash protects what people choose, and would cost each request what a login costs.
//! - Only the hash is stored.

use secrecy::SecretString;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// How every key begins.
const MARK: &str = "tpk_";
/// How many digits of the id are shown to tell keys apart: the milliseconds of its creation.
const SHOWN: usize = 12;
/// The digits of each part: the id, the secret and the checksum.
const LENGTHS: [usize; 3] = [32, 64, 8];

/// The hash of a secret.
pub type Hash = [u8; 32];

/// A key that a client sent or that was just made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PresentedKey {
    /// The id, by which its row is found.
    pub id: Uuid,
    /// The hash of its secret.
    pub hash: Hash,
}

/// Whether a text looks like a key, as opposed to a token of a session.
pub fn is_key(text: &str) -> bool {
    text.starts_with(MARK)
}

/// The beginning of a key, which may be shown.
pub fn prefix(id: Uuid) -> String {
    let digits = id.simple().to_string();
    format!("{MARK}{}", digits.get(..SHOWN).unwrap_or_default())
}

/// A new key with its text, which is not stored.
pub fn generate(id: Uuid) -> (SecretString, PresentedKey) {
    let secret = rand::random::<[u8; 32]>();
    let unchecked = format!("{MARK}{}{}", id.simple(), hex::encode(secret));
    let text = format!("{unchecked}{}", checksum(&unchecked));
    (text.into(), PresentedKey { id, hash: Sha256::digest(secret).into() })
}

/// Reads a key; none if it is incomplete or its checksum does not match.
pub fn parse(text: &str) -> Option<PresentedKey> {
    let digits = text.strip_prefix(MARK)?;
    if digits.len() != LENGTHS.iter().sum::<usize>() {
        return None;
    }
    let (unchecked, check) = text.split_at_checked(text.len() - LENGTHS[2])?;
    if checksum(unchecked) != check {
        return None;
    }
    let (id, secret) = unchecked.strip_prefix(MARK)?.split_at_checked(LENGTHS[0])?;
    let id = Uuid::try_parse(id).ok()?;
    Some(PresentedKey { id, hash: Sha256::digest(hex::decode(secret).ok()?).into() })
}

/// The checksum of what is before it: the first digits of the SHA-256.
fn checksum(text: &str) -> String {
    let digits = hex::encode(Sha256::digest(text));
    digits.get(..LENGTHS[2]).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_made() {
        let id = Uuid::now_v7();
        let (text, made) = generate(id);
        let text = text.expose_secret();
        assert_eq!(parse(text), Some(made));
        assert_eq!(made.id, id);
        assert!(is_key(text) && text.starts_with(&prefix(id)), "{text}");
        let (other, _) = generate(id);
        assert_ne!(other.expose_secret(), text, "each has its own secret");
    }

    #[test]
    fn a_typo_or_a_missing_part_is_noticed_wherever_it_is() {
        let (text, _) = generate(Uuid::now_v7());
        let text = text.expose_secret();
        for at in MARK.len()..text.len() {
            let mut wrong = text.to_owned();
            let digit = if &text[at..=at] == "0" { "1" } else { "0" };
            wrong.replace_range(at..=at, digit);
            assert_eq!(parse(&wrong), None, "{at}");
            assert_eq!(parse(&text[..at]), None, "{at}");
        }
        for wrong in [format!("{text}0"), text.to_uppercase(), format!("tpk_{}", "ä".repeat(52))] {
            assert_eq!(parse(&wrong), None, "{wrong}");
        }
    }
}
