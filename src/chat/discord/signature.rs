//! Whether a request comes from Discord.

use ed25519_dalek::{Signature, VerifyingKey};

use crate::chat::moment::is_fresh;

/// The key that Discord's signatures are checked with, found fit for it.
#[derive(Debug, Clone)]
pub struct PublicKey(VerifyingKey);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnfitKey {
    #[error(
        "`DISCORD_PUBLIC_KEY` is not 64 hexadecimal digits; copy it from “General Information” of the Discord app"
    )]
    Shape,
    #[error(
        "`DISCORD_PUBLIC_KEY` is one that anybody could sign for; copy yours from “General Information” of the Discord app"
    )]
    Weak,
}

impl PublicKey {
    /// # Errors
    /// What is no key, and keys that anybody could sign for.
    pub fn new(digits: &str) -> Result<PublicKey, UnfitKey> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(digits, &mut bytes).map_err(|_| UnfitKey::Shape)?;
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| UnfitKey::Shape)?;
        if key.is_weak() {
            return Err(UnfitKey::Weak);
        }
        Ok(PublicKey(key))
    }

    /// Whether Discord signed `body` within five minutes of `now_s`, in seconds since 1970.
    ///
    /// `timestamp` and `signature` are the values of the headers `X-Signature-Timestamp` and
    /// `X-Signature-Ed25519`. Discord tries us with wrong ones now and then.
    /// Source: <https://docs.discord.com/developers/interactions/overview#setting-up-an-endpoint-validating-security-request-headers>
    pub fn signed(&self, timestamp: &[u8], signature: &[u8], body: &[u8], now_s: i64) -> bool {
        if !is_fresh(timestamp, now_s) {
            return false;
        }
        let Some(claimed) = read(signature) else { return false };
        self.0.verify_strict(&[timestamp, body].concat(), &claimed).is_ok()
    }
}

/// 128 lower-case hexadecimal digits.
fn read(digits: &[u8]) -> Option<Signature> {
    let mut bytes = [0; 64];
    let is_lower = digits.iter().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'));
    (is_lower && hex::decode_to_slice(digits, &mut bytes).is_ok())
        .then(|| Signature::from_bytes(&bytes))
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signer, SigningKey};

    use super::*;

    const NOW_S: i64 = 1_764_000_000;
    const BODY: &[u8] = br#"{"type":1}"#;

    fn discord() -> SigningKey {
        SigningKey::from_bytes(&[7; 32])
    }

    fn key() -> PublicKey {
        PublicKey::new(&hex::encode(discord().verifying_key().as_bytes())).unwrap()
    }

    fn sign(timestamp: &[u8], body: &[u8]) -> String {
        hex::encode(discord().sign(&[timestamp, body].concat()).to_bytes())
    }

    #[test]
    fn what_discord_signed_is_genuine() {
        let timestamp = NOW_S.to_string();
        let signature = sign(timestamp.as_bytes(), BODY);
        let judge = |timestamp: &str, signature: &str, body: &[u8]| {
            key().signed(timestamp.as_bytes(), signature.as_bytes(), body, NOW_S)
        };
        assert!(judge(&timestamp, &signature, BODY));
        assert!(!judge(&timestamp, &signature, b"{}"));
        assert!(!judge(&(NOW_S + 1).to_string(), &signature, BODY));
        assert!(!judge(&timestamp, &signature.to_uppercase(), BODY));
        assert!(!judge(&timestamp, &signature[2..], BODY));
        assert!(!judge(&timestamp, "", BODY));
        let other = SigningKey::from_bytes(&[8; 32]);
        let of_other = hex::encode(other.sign(&[timestamp.as_bytes(), BODY].concat()).to_bytes());
        assert!(!judge(&timestamp, &of_other, BODY));
    }

    #[test]
    fn five_minutes_either_way_and_not_a_second_more() {
        let timestamp = NOW_S.to_string();
        let signature = sign(timestamp.as_bytes(), BODY);
        let at = |now_s| key().signed(timestamp.as_bytes(), signature.as_bytes(), BODY, now_s);
        assert!(at(NOW_S + 300) && at(NOW_S - 300));
        assert!(!at(NOW_S + 301) && !at(NOW_S - 301));
        for odd in ["01764000000", "+1764000000", "1764000000 ", "1.7e9", ""] {
            let signature = sign(odd.as_bytes(), BODY);
            assert!(!key().signed(odd.as_bytes(), signature.as_bytes(), BODY, NOW_S), "{odd}");
        }
    }

    #[test]
    fn a_key_that_anybody_could_sign_for_is_refused() {
        for digits in ["", "00", "hunter2", &"z".repeat(64), &"0".repeat(63)] {
            assert_eq!(PublicKey::new(digits).unwrap_err(), UnfitKey::Shape, "{digits}");
        }
        // Points of small order: a signature for one message is one for others too.
        for digits in ["0".repeat(64), format!("01{}", "0".repeat(62))] {
            assert_eq!(PublicKey::new(&digits).unwrap_err(), UnfitKey::Weak, "{digits}");
        }
    }
}
