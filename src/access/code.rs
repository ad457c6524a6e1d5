//! Codes by which somebody whom the catalog knows makes it know another account of theirs.

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::link::{Link, LinkSet};
use crate::catalog::EntityRef;
use crate::conversation::Speaker;
use crate::error::Refusal;

/// How long a code can be used.
pub const MINUTES: u64 = 15;

/// How many codes an account may get wrong in that time. A code has 128 bits: this is against a busy log, not luck.
pub const FAILURES_MAX: i64 = 5;

const DIGITS: usize = 32;

/// 128 random bits as 32 hexadecimal digits. It is shown once and used once; only its hash is kept.
#[derive(Debug, Clone)]
pub struct Code(SecretString);

impl Code {
    pub fn random() -> Code {
        Code(hex::encode(rand::random::<[u8; DIGITS / 2]>()).into())
    }

    /// The code that somebody typed, in whichever case; `None` for what never was one.
    pub fn typed(text: &str) -> Option<Code> {
        let text = text.trim();
        let is_code = text.len() == DIGITS && text.bytes().all(|it| it.is_ascii_hexdigit());
        is_code.then(|| Code(text.to_ascii_lowercase().into()))
    }

    /// For the one who shall use it, and nobody else.
    pub fn shown(&self) -> &str {
        self.0.expose_secret()
    }

    /// What is kept of it.
    pub fn hash(&self) -> Vec<u8> {
        Sha256::digest(self.shown()).to_vec()
    }
}

/// What a code stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    pub user: EntityRef,
    pub guest: bool,
}

/// Whether `account` may take the `offer`, as `links` are now.
///
/// # Errors
/// An account that is somebody's already; a User who has another account there.
pub fn may_take(links: &LinkSet, account: &Speaker, offer: &Offer) -> Result<(), Refusal> {
    let refused = |rule: String| Refusal::NotAllowed {
        rule,
        next: "Who runs this portal can change that with `idp access`.".into(),
        instead: vec!["whoami".into()],
    };
    if let Some(Link { user, .. }) = links.by_account.get(account) {
        return Err(refused(format!("This account is linked to `{user}` already.")));
    }
    if links.account_of(account, &offer.user).is_some() {
        return Err(refused(format!("`{}` has another account here already.", offer.user)));
    }
    Ok(())
}

/// The answer to a code that is not good, whatever is wrong with it.
pub fn not_good() -> Refusal {
    Refusal::NotAllowed {
        rule: format!(
            "This code is not good: it was mistyped, was used, or is older than {MINUTES} minutes."
        ),
        next: "Get another one; `link` says how.".into(),
        instead: vec!["link".into()],
    }
}

/// The answer to an account that got too many wrong.
pub fn too_many() -> Refusal {
    Refusal::NotAllowed {
        rule: format!("This account got {FAILURES_MAX} codes wrong within {MINUTES} minutes."),
        next: format!("Wait {MINUTES} minutes, then use a new code."),
        instead: Vec::new(),
    }
}

/// The answer to a message, which others may read.
pub fn overheard() -> Refusal {
    Refusal::NotAllowed {
        rule: "Accounts are linked by the command `/idp link`, whose answer only you see.".into(),
        next: "Type it; a code that stood in a message cannot be used any more.".into(),
        instead: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::super::link::Made;
    use super::*;
    use crate::conversation::Platform;

    fn account(user_id: &str) -> Speaker {
        Speaker { platform: Platform::Slack, tenant: "T1".into(), user_id: user_id.into() }
    }

    fn offer(user: &str) -> Offer {
        Offer { user: EntityRef::new("user", "default", user), guest: false }
    }

    #[test]
    fn no_two_codes_are_alike_and_nothing_shows_them() {
        let (one, other) = (Code::random(), Code::random());
        assert_ne!(one.hash(), other.hash());
        let typed = Code::typed(&format!(" {} ", one.shown().to_uppercase()));
        assert_eq!(typed.unwrap().hash(), one.hash());
        for wrong in ["", "me", &one.shown()[1..], &format!("{}x", &one.shown()[1..])] {
            assert!(Code::typed(wrong).is_none(), "{wrong}");
        }
        assert!(!format!("{one:?}").contains(one.shown()));
    }

    #[test]
    fn an_account_is_one_users_and_a_user_has_one_account_in_a_workspace() {
        let link = Link {
            user: offer("ada").user,
            guest: false,
            generation: 1,
            made_by: Made::Code,
            created_at: DateTime::UNIX_EPOCH,
        };
        let links = LinkSet { revision: 1, by_account: [(account("U1"), link)].into() };
        assert_eq!(may_take(&links, &account("U2"), &offer("bob")), Ok(()));
        let elsewhere = Speaker { tenant: "T2".into(), ..account("U1") };
        assert_eq!(may_take(&links, &elsewhere, &offer("ada")), Ok(()));
        for (account, offer, why) in [
            (account("U1"), offer("bob"), "This account is linked to `user:default/ada` already."),
            (account("U2"), offer("ada"), "`user:default/ada` has another account here already."),
        ] {
            let refused = may_take(&links, &account, &offer).unwrap_err().to_string();
            assert!(refused.starts_with(why), "{refused}");
        }
    }
}
