//! Whose a token is.

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::sources::{Source, Sources};

/// A shorter one could be guessed: 128 random bits are 22 characters of base64 and 32 of hexadecimal digits.
pub const TOKEN_BYTES_MIN: usize = 20;

/// The source whose token was `shown`; `None` for everything else.
///
/// Tokens are read where the settings say that they lie, each time: to change one needs no restart. Their hashes are
/// compared, in constant time, and always all of them.
pub fn whose<'a>(sources: &'a Sources, shown: &SecretString) -> Option<&'a Source> {
    let shown = Sha256::digest(shown.expose_secret());
    let mut found = None;
    for source in &sources.0 {
        let Some(token) = token(source) else { continue };
        let is_it: Choice = Sha256::digest(token.expose_secret()).ct_eq(&shown);
        if bool::from(is_it) {
            if found.is_some() {
                tracing::error!("two sources of facts have the same token; it is refused");
                return None;
            }
            found = Some(source);
        }
    }
    found
}

/// The token of `source` as it is now; `None` where there is none that could be shown.
fn token(source: &Source) -> Option<SecretString> {
    let source_name = &source.name;
    match source.token.as_ref()?.read() {
        Ok(token) if token.expose_secret().len() >= TOKEN_BYTES_MIN => Some(token),
        Ok(_) => {
            tracing::error!(
                source = source_name,
                "a token has fewer than {TOKEN_BYTES_MIN} characters; nobody may show it"
            );
            None
        }
        Err(error) => {
            let error = format!("{error:#}");
            tracing::warn!(source = source_name, error, "a source of facts has no token");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::SecretReference;

    fn source(name: &str, dir: &Path, token: &str) -> Source {
        let file = dir.join(name);
        std::fs::write(&file, token).unwrap();
        Source {
            name: name.into(),
            token: Some(SecretReference::File(file)),
            keys: Default::default(),
        }
    }

    fn name_of<'a>(sources: &'a Sources, shown: &str) -> Option<&'a str> {
        whose(sources, &SecretString::from(shown)).map(|source| source.name.as_str())
    }

    #[test]
    fn a_token_is_that_of_one_source_and_of_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let (ci, scanner) = ("c".repeat(20), "s".repeat(40));
        let without = Source { name: "own".into(), token: None, keys: Default::default() };
        let missing = Source {
            name: "missing".into(),
            token: Some(SecretReference::File(dir.path().join("nowhere"))),
            keys: Default::default(),
        };
        let mut sources = Sources(vec![
            without,
            missing,
            source("ci", dir.path(), &ci),
            source("scanner", dir.path(), &scanner),
        ]);
        assert_eq!(name_of(&sources, &ci), Some("ci"));
        assert_eq!(name_of(&sources, &scanner), Some("scanner"));
        for wrong in ["", " ", &ci[1..], &format!("{ci}c"), &ci.to_uppercase()] {
            assert_eq!(name_of(&sources, wrong), None, "{wrong}");
        }
        sources.0.push(source("twin", dir.path(), &ci));
        assert_eq!(name_of(&sources, &ci), None, "of two sources it is nobody's");
    }

    #[test]
    fn a_token_is_long_and_may_change_while_idp_runs() {
        let dir = tempfile::tempdir().unwrap();
        let sources = Sources(vec![source("ci", dir.path(), "short")]);
        assert_eq!(name_of(&sources, "short"), None);
        let next = "n".repeat(20);
        std::fs::write(dir.path().join("ci"), &next).unwrap();
        assert_eq!(name_of(&sources, &next), Some("ci"));
    }
}
