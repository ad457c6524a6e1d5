//! The key of this instance, and what is made with it: message authentication codes, sealed values, signatures.
//!
//! ```text
//! IDP_KEY, or the file `key` ──▶ Key ──HKDF, a purpose──▶ mac · seal and open · signer
//! ```
//! Each purpose has a key of its own, so that what is made for one is worth nothing for another. The database keeps a
//! fingerprint ([`Key::fingerprint`]): all processes of one database have the same key, or do not start.

pub mod file;
pub mod flow;
pub mod store;

use std::sync::Arc;

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use ring::hmac::{self, HMAC_SHA256};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use secrecy::{ExposeSecret, SecretBox, SecretSlice};

use crate::config::KeyBytes;

/// What the keys of all purposes are derived under: another word makes all of them others.
const SALT: &[u8] = b"idp/1";

/// How a sealed value begins: the way in which it was sealed.
const SEALED_BY: u8 = 1;

/// The instance's key. Cheap to clone; nothing shows it.
#[derive(Clone)]
pub struct Key(KeyBytes);

impl Key {
    pub fn new(bytes: KeyBytes) -> Key {
        Key(bytes)
    }

    /// A key that nobody has.
    pub fn random() -> Key {
        Key(Arc::new(SecretBox::init_with(rand::random::<[u8; 32]>)))
    }

    /// HMAC-SHA-256 of `parts` for `purpose`. Where one part ends and the next begins makes a difference.
    pub fn mac(&self, purpose: &str, parts: &[&[u8]]) -> [u8; 32] {
        let key = hmac::Key::new(HMAC_SHA256, self.derived("mac", purpose).expose_secret());
        let mut mac = hmac::Context::with_key(&key);
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.sign().as_ref().try_into().expect("HMAC-SHA-256 has 32 bytes")
    }

    /// `plain`, such that only [`Key::open`] with the same purpose and context reads it, and a change is noticed.
    pub fn seal(&self, purpose: &str, context: &[u8], plain: &[u8]) -> Vec<u8> {
        let nonce: [u8; NONCE_LEN] = rand::random();
        let mut text = plain.to_vec();
        self.sealing(purpose)
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(context),
                &mut text,
            )
            .expect("it is shorter than 256 GiB");
        [&[SEALED_BY], nonce.as_slice(), &text].concat()
    }

    /// What was sealed; `None` where it was by another key, for another purpose or context, or was changed since.
    pub fn open(&self, purpose: &str, context: &[u8], sealed: &[u8]) -> Option<SecretSlice<u8>> {
        let (way, rest) = sealed.split_first()?;
        let (nonce, text) = rest.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok().filter(|_| *way == SEALED_BY)?;
        let mut text = text.to_vec();
        let opened = self.sealing(purpose).open_in_place(nonce, Aad::from(context), &mut text);
        let plain_len = opened.ok()?.len();
        text.truncate(plain_len);
        Some(SecretSlice::from(text))
    }

    /// What signs for `purpose`: always the same.
    pub fn signer(&self, purpose: &str) -> Signer {
        let seed = self.derived("sign", purpose);
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.expose_secret());
        Signer(Arc::new(pair.expect("a seed has 32 bytes")))
    }

    /// What tells this key from another, and tells nothing else of it.
    pub fn fingerprint(&self) -> [u8; 16] {
        let mac = self.mac("fingerprint", &[]);
        *mac.first_chunk().expect("16 of 32 bytes")
    }

    fn sealing(&self, purpose: &str) -> LessSafeKey {
        let key = self.derived("seal", purpose);
        let key = UnboundKey::new(&CHACHA20_POLY1305, key.expose_secret());
        LessSafeKey::new(key.expect("ChaCha20 takes 32 bytes"))
    }

    /// The key of one `purpose` of one `kind`.
    fn derived(&self, kind: &str, purpose: &str) -> SecretBox<[u8; 32]> {
        let root: Prk = Salt::new(HKDF_SHA256, SALT).extract(self.0.expose_secret());
        SecretBox::init_with_mut(|key: &mut [u8; 32]| {
            root.expand(&[kind.as_bytes(), b":", purpose.as_bytes()], Bytes32)
                .and_then(|derived| derived.fill(key))
                .expect("HKDF gives up to 8,160 bytes");
        })
    }
}

struct Bytes32;

impl KeyType for Bytes32 {
    fn len(&self) -> usize {
        32
    }
}

/// Signs by Ed25519. Cheap to clone; nothing shows its key.
#[derive(Clone)]
pub struct Signer(Arc<Ed25519KeyPair>);

impl Signer {
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).as_ref().try_into().expect("Ed25519 signs with 64 bytes")
    }

    /// With which everybody can check what was signed.
    pub fn public_key(&self) -> [u8; 32] {
        self.0.public_key().as_ref().try_into().expect("Ed25519 has keys of 32 bytes")
    }
}

/// Whether the owner of `public_key` signed `message`.
pub fn is_signed(public_key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ED25519, public_key).verify(message, signature).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> Key {
        Key::new(Arc::new(SecretBox::new(Box::new([byte; 32]))))
    }

    #[test]
    fn codes_differ_by_key_purpose_and_where_parts_end() {
        let code = key(1).mac("a", &[b"one", b"two"]);
        assert_eq!(code, key(1).mac("a", &[b"one", b"two"]));
        for other in [
            key(2).mac("a", &[b"one", b"two"]),
            key(1).mac("b", &[b"one", b"two"]),
            key(1).mac("a", &[b"onet", b"wo"]),
            key(1).mac("a", &[b"onetwo"]),
            key(1).mac("a", &[b"one", b"two", b""]),
        ] {
            assert_ne!(code, other);
        }
    }

    #[test]
    fn the_codes_of_a_key_stay_what_they_are() {
        let code = hex::encode(key(7).mac("execution", &[b"17", b"step"]));
        assert_eq!(code, "191c41430b2cb846bf5845013c2f1ff4324639d5d5aaec8ef4d6ead54af10e83");
        assert_eq!(hex::encode(key(7).fingerprint()), "7d615ee99463791962142e593c3e5b58");
    }

    #[test]
    fn what_is_sealed_opens_for_its_key_purpose_and_context_alone() {
        let sealed = key(1).seal("totp", b"user:default/ada", b"secret");
        let opened = key(1).open("totp", b"user:default/ada", &sealed).unwrap();
        assert_eq!(opened.expose_secret(), b"secret");
        assert_ne!(sealed, key(1).seal("totp", b"user:default/ada", b"secret"), "no two are alike");
        assert!(!sealed.windows(6).any(|it| it == b"secret"));
        assert!(key(2).open("totp", b"user:default/ada", &sealed).is_none());
        assert!(key(1).open("other", b"user:default/ada", &sealed).is_none());
        assert!(key(1).open("totp", b"user:default/bob", &sealed).is_none());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(key(1).open("totp", b"user:default/ada", &changed).is_none(), "byte {at}");
            assert!(
                key(1).open("totp", b"user:default/ada", &sealed[..at]).is_none(),
                "{at} bytes"
            );
        }
        assert_eq!(
            key(1).open("p", b"", &key(1).seal("p", b"", b"")).unwrap().expose_secret(),
            b""
        );
    }

    #[test]
    fn a_signature_holds_for_its_message_and_signer_alone() {
        let signer = key(1).signer("audit");
        let signature = signer.sign(b"message");
        assert!(is_signed(&signer.public_key(), b"message", &signature));
        assert!(is_signed(&key(1).signer("audit").public_key(), b"message", &signature));
        assert!(!is_signed(&signer.public_key(), b"massage", &signature));
        for other in [key(2).signer("audit"), key(1).signer("other")] {
            assert!(!is_signed(&other.public_key(), b"message", &signature));
        }
        assert!(!is_signed(&[], b"message", &signature));
    }
}
