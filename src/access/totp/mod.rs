//! Second factors: codes of six digits that change every 30 seconds, by a secret that a phone and the database have.
//!
//! ```text
//! link totp ──▶ a secret, shown once ──link totp 123456──▶ confirmed ──▶ verify: each code once
//! ```
//! The database has the secret sealed with the instance's key. Source: <https://www.rfc-editor.org/rfc/rfc6238>

pub mod flow;
pub mod store;

pub use flow::verify;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use ring::hmac::{self, HMAC_SHA1_FOR_LEGACY_USE_ONLY};
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use super::code::MINUTES;
use crate::catalog::EntityRef;
use crate::error::Refusal;

/// How long a code holds.
const STEP_S: i64 = 30;
/// How many steps a phone's clock may be behind or ahead.
const STEPS_AROUND: i64 = 1;

/// How many codes of a User may be wrong within [`MINUTES`].
pub const FAILURES_MAX: i64 = 5;

const SECRET_BYTES: usize = 20;
const DIGITS: usize = 6;

const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// What codes are made of: 160 random bits.
#[derive(Debug)]
pub struct Secret(SecretSlice<u8>);

impl Secret {
    pub fn random() -> Secret {
        Secret(rand::random::<[u8; SECRET_BYTES]>().to_vec().into())
    }

    pub(super) fn of(bytes: SecretSlice<u8>) -> Secret {
        Secret(bytes)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.0.expose_secret()
    }

    /// As people type it into their program: 32 letters and digits.
    pub fn shown(&self) -> SecretString {
        let (mut out, mut bits, mut held) = (String::new(), 0_u32, 0);
        for byte in self.bytes() {
            bits = (bits << 8) | u32::from(*byte);
            held += 8;
            while held >= 5 {
                held -= 5;
                out.push(char::from(BASE32[(bits >> held & 31) as usize]));
            }
        }
        out.into()
    }

    /// As a program takes it at once, of `user`.
    ///
    /// Source: <https://github.com/google/google-authenticator/wiki/Key-Uri-Format>
    pub fn address(&self, user: &EntityRef) -> SecretString {
        let user = utf8_percent_encode(user.name(), NON_ALPHANUMERIC);
        let secret = self.shown();
        let secret = secret.expose_secret();
        format!("otpauth://totp/idp:{user}?secret={secret}&issuer=idp").into()
    }

    /// The code of the `step`.
    fn code(&self, step: i64) -> u32 {
        let key = hmac::Key::new(HMAC_SHA1_FOR_LEGACY_USE_ONLY, self.bytes());
        let mac = hmac::sign(&key, &step.to_be_bytes());
        let mac = mac.as_ref();
        let at = usize::from(mac[mac.len() - 1] & 0xf);
        let word = [mac[at] & 0x7f, mac[at + 1], mac[at + 2], mac[at + 3]];
        u32::from_be_bytes(word) % 10_u32.pow(DIGITS as u32)
    }

    /// The step whose code was `typed`, of those around `at_s`, in seconds since 1970; `None` where it is of none.
    /// How long it takes tells nothing.
    pub fn step(&self, typed: Typed, at_s: i64) -> Option<i64> {
        let now = at_s.div_euclid(STEP_S);
        let (mut found, mut step) = (Choice::from(0), 0);
        for candidate in now - STEPS_AROUND..=now + STEPS_AROUND {
            let is_it = self.code(candidate).ct_eq(&typed.0);
            step.conditional_assign(&candidate, is_it);
            found |= is_it;
        }
        bool::from(found).then_some(step)
    }
}

/// A code that somebody typed.
#[derive(Clone, Copy)]
pub struct Typed(u32);

impl Typed {
    /// Six digits, however they are grouped; `None` for what never was a code.
    pub fn read(text: &str) -> Option<Typed> {
        let digits: String = text.split_whitespace().collect();
        let is_code = digits.len() == DIGITS && digits.bytes().all(|it| it.is_ascii_digit());
        is_code.then(|| digits.parse().ok().map(Typed)).flatten()
    }
}

/// The answer to a code that is not good.
pub fn not_good() -> Refusal {
    refused(
        "This code is not good: it was mistyped, or the clock of your phone is wrong.".into(),
        "Type the one that your program shows now.",
    )
}

/// The answer to a code that was used, or is older than one that was.
pub fn used() -> Refusal {
    refused("This code was used already.".into(), "Wait for the next one: at most 30 seconds.")
}

/// The answer to who got too many wrong.
pub fn too_many() -> Refusal {
    refused(
        format!("{FAILURES_MAX} of your codes were wrong within {MINUTES} minutes."),
        "Wait a quarter of an hour, then type the one that your program shows.",
    )
}

/// The answer to who has no second factor.
pub fn none() -> Refusal {
    Refusal::NotAllowed {
        rule: "You have no second factor.".into(),
        next: "Type `/idp link totp` to get one.".into(),
        instead: vec!["link totp".into()],
    }
}

/// The answer to who has one.
pub fn taken() -> Refusal {
    refused(
        "You have a second factor already.".into(),
        "`link totp remove` and a code of it take it away; where it is lost, who runs this portal can.",
    )
}

/// The answer where the instance's key is another than the one that sealed the secret.
pub fn unreadable() -> Refusal {
    refused(
        "Your second factor was sealed with a key that this instance no longer has.".into(),
        "Type `/idp link totp` to get another one.",
    )
}

/// The answer to a message, which others may read, and in the terminal, where nobody is known for sure.
pub fn overheard() -> Refusal {
    refused(
        "Second factors are got by the command `/idp link totp`, whose answer only you see.".into(),
        "Type it in a chat where the catalog knows you.",
    )
}

fn refused(rule: String, next: &str) -> Refusal {
    Refusal::NotAllowed { rule, next: next.into(), instead: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_the_rfc() -> Secret {
        Secret(b"12345678901234567890".to_vec().into())
    }

    #[test]
    fn codes_are_those_of_the_rfc() {
        // Appendix B, the last six of its eight digits.
        for (at_s, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(format!("{:06}", of_the_rfc().code(at_s / 30)), code);
            assert_eq!(of_the_rfc().step(Typed::read(code).unwrap(), at_s), Some(at_s / 30));
        }
    }

    #[test]
    fn a_code_holds_one_step_before_and_after_its_own() {
        let typed = Typed::read("287082").unwrap();
        for (at_s, step) in [(0, Some(1)), (30, Some(1)), (89, Some(1)), (90, None), (-1, None)] {
            assert_eq!(of_the_rfc().step(typed, at_s), step, "{at_s}");
        }
        assert_eq!(of_the_rfc().step(Typed::read("287083").unwrap(), 59), None);
    }

    #[test]
    fn a_secret_is_shown_to_its_user_and_to_nobody_else() {
        let secret = of_the_rfc();
        assert_eq!(secret.shown().expose_secret(), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        let address = secret.address(&EntityRef::new("user", "default", "ada"));
        assert_eq!(
            address.expose_secret(),
            "otpauth://totp/idp:ada?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=idp"
        );
        assert!(!format!("{secret:?} {address:?}").contains("GEZD"));
        assert_eq!(Secret::random().shown().expose_secret().len(), 32);
    }

    #[test]
    fn six_digits_are_a_code_and_nothing_else_is() {
        assert!(Typed::read(" 012 345 ").is_some());
        for text in ["", "12345", "1234567", "12345x", "١٢٣٤٥٦", "+12345"] {
            assert!(Typed::read(text).is_none(), "{text}");
        }
    }
}
