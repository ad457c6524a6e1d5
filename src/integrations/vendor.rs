//! Calling a vendor's API: a token, a base, and what its answers mean for an order.

use axum::http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::http::{Answer, Call};
use super::invocation::answer::Whose;
use super::invocation::template::Text;
use super::invocation::{self, Means, NotSent, Order};
use crate::config::SecretReference;
use crate::conversation::is_hidden;

/// What stands in a path as itself.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// What git or a shell reads as more than a letter.
const BAD: &str = "~^:?*[]\\\"'`$;&|<>(){}!";
const REF_BYTES_MAX: usize = 250;
const COMMIT_SHOWN: usize = 7;

/// Where a vendor is, and what idp shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Api {
    /// Without a `/` at its end.
    pub url: String,
    pub token: SecretReference,
}

/// A vendor, ready to be called.
pub(super) struct Vendor<'a> {
    pub name: &'static str,
    /// What to do about 401 and 403: a sentence.
    pub mend: &'static str,
    pub url: &'a str,
    pub token: SecretString,
    pub headers: &'static [(&'static str, &'static str)],
    pub means: &'a Means<'a>,
    /// What must not be repeated, besides the token.
    pub secrets: Vec<SecretString>,
    /// The repository whose token is forgotten when it is refused.
    pub repository: Option<String>,
}

impl<'a> Vendor<'a> {
    /// The vendor behind `api`.
    ///
    /// # Errors
    /// [`NotSent::Refused`] where the settings do not have it; [`NotSent::NotNow`] where its token cannot be read.
    pub fn of(
        api: Option<&'a Api>,
        (name, key): (&'static str, &str),
        mend: &'static str,
        means: &'a Means<'a>,
    ) -> Result<Vendor<'a>, NotSent> {
        let api = api.ok_or_else(|| not_set(name, key))?;
        let token = invocation::secret(&format!("token for {name}"), &api.token)?;
        let secrets = Vec::new();
        Ok(Vendor {
            name,
            mend,
            url: &api.url,
            token,
            headers: &[],
            means,
            secrets,
            repository: None,
        })
    }

    /// None of the secrets of `order` is repeated.
    pub fn about(mut self, order: &Order) -> Vendor<'a> {
        self.secrets = order.secrets();
        self
    }

    /// What it answers to a question. A question has no effect: when its answer is lost, nothing was started.
    ///
    /// # Errors
    /// [`NotSent`], never [`NotSent::Unknown`].
    pub async fn get(&self, path: &str) -> Result<Answer, NotSent> {
        self.call(Method::GET, path, None).await.map_err(without_effect)
    }

    /// What it answers to a question, as `T`.
    ///
    /// # Errors
    /// As [`Vendor::get`]; an answer that is no 2xx or no `T` is one.
    pub async fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T, NotSent> {
        let answer = self.get(path).await?;
        self.parsed(&answer).map_err(without_effect)
    }

    /// What it answers to `body`.
    ///
    /// # Errors
    /// [`NotSent`]
    pub async fn post(&self, path: &str, body: &Value) -> Result<Answer, NotSent> {
        self.call(Method::POST, path, Some(body.to_string().into_bytes())).await
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<Answer, NotSent> {
        let url = format!("{}{path}", self.url);
        let authorization = format!("Bearer {}", self.token.expose_secret());
        let mut headers = vec![("authorization", authorization.as_str())];
        headers.extend(self.headers);
        let patience = self.means.patience;
        let call = Call { method, url: &url, headers: &headers, body, patience };
        let secrets = self.unspoken();
        let called = self.means.http.call(call).await;
        let answer = called.map_err(|error| self.whose(&secrets).failure(&error))?;
        if let (401, Some(repository)) = (answer.status, &self.repository) {
            self.means.tokens.forget(repository);
        }
        Ok(answer)
    }

    /// The answer as `T`.
    ///
    /// # Errors
    /// What an answer means that is no 2xx; [`NotSent::Unknown`] for a 2xx that is no `T`.
    pub fn parsed<T: DeserializeOwned>(&self, answer: &Answer) -> Result<T, NotSent> {
        if !(200..300).contains(&answer.status) {
            return Err(self.refusal(answer));
        }
        let secrets = self.unspoken();
        serde_json::from_slice(&answer.body).map_err(|_| self.whose(&secrets).malformed(answer))
    }

    /// What an answer that is no 2xx means.
    pub fn refusal(&self, answer: &Answer) -> NotSent {
        let secrets = self.unspoken();
        self.whose(&secrets).refusal(answer, self.means.now)
    }

    /// What the answer says of itself.
    pub fn words(&self, answer: &Answer) -> Option<String> {
        let secrets = self.unspoken();
        self.whose(&secrets).words(answer)
    }

    /// `text` of the vendor's, fit to be repeated.
    pub fn shown(&self, text: &str) -> Option<String> {
        invocation::answer::shown(text, &self.unspoken())
    }

    fn whose<'b>(&'b self, secrets: &'b [SecretString]) -> Whose<'b> {
        Whose { name: self.name, mend: self.mend, secrets }
    }

    fn unspoken(&self) -> Vec<SecretString> {
        self.secrets.iter().cloned().chain([self.token.clone()]).collect()
    }
}

pub(super) fn not_set(name: &str, key: &str) -> NotSent {
    NotSent::refused(format!(
        "idp.yaml does not say how {name} is called: add `{key}:` to its `integrations:`."
    ))
}

/// Nothing was started, whatever became of a question.
pub(super) fn without_effect(why: NotSent) -> NotSent {
    match why {
        NotSent::Unknown { why, wait } => NotSent::NotNow { why, wait },
        other => other,
    }
}

/// `text` as one segment of a path, whatever it says.
pub(super) fn segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

/// What `text` makes, which must look like what is `allowed`: names of places go into paths.
///
/// # Errors
/// [`NotSent::Refused`], with the name as far as it is one.
pub(super) fn named(
    text: &Text,
    order: &Order,
    what: &str,
    (within, allowed): (&[glob::Pattern], fn(&str) -> bool),
) -> Result<String, NotSent> {
    let name = text.text(order)?;
    if !allowed(&name) {
        let shown = invocation::answer::shown(&name, &order.secrets()).unwrap_or_default();
        let shown = shown.trim_end_matches('.');
        return Err(NotSent::refused(format!("`{shown}` is not the name of {what}.")));
    }
    if !within.is_empty() && !within.iter().any(|it| it.matches(&name)) {
        return Err(NotSent::refused(format!("`{name}` is not {what} that `within` allows.")));
    }
    Ok(name)
}

/// Whether `text` may be the name of a branch, a tag or a commit: nothing that a program would take for an option or a
/// shell for more than a word, nothing that is not seen, nothing that git itself refuses.
///
/// Source: <https://git-scm.com/docs/git-check-ref-format>
pub fn is_git_ref(text: &str) -> bool {
    let is_bad = |it: char| is_hidden(it) || it.is_whitespace() || BAD.contains(it);
    let is_bad_segment =
        |it: &str| it.is_empty() || it.starts_with(['.', '-']) || it.ends_with(".lock");
    text.len() <= REF_BYTES_MAX
        && !text.contains(is_bad)
        && !text.contains("..")
        && !text.contains("@{")
        && !text.ends_with('.')
        && !text.split('/').any(is_bad_segment)
}

/// Whether `text` is the whole name of a commit.
pub(super) fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|it| it.is_ascii_hexdigit())
}

/// The first digits of a commit.
pub(super) fn short(commit: &str) -> &str {
    commit.get(..COMMIT_SHOWN).unwrap_or(commit)
}

/// What is said when `reference` points elsewhere than when it was asked for.
pub(super) fn moved(reference: &str, pinned: &str, found: &str) -> String {
    format!(
        "`{reference}` pointed at {} when it was asked for and points at {} now. Ask again.",
        short(pinned),
        short(found)
    )
}

/// The commit that was pinned.
///
/// # Errors
/// [`NotSent::Refused`]: what was not pinned was not approved.
pub(super) fn pinned_commit(order: &Order) -> Result<&str, NotSent> {
    let commit = order.pinned("commit").filter(|it| is_commit(it));
    commit.ok_or_else(|| NotSent::refused("No commit was fixed when it was asked for. Ask again."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ref_is_nothing_that_a_program_would_take_for_something_else() {
        for good in ["main", "release/1.2", "v1.0.0", "feature/a_b-c", "0123abc", "über"] {
            assert!(is_git_ref(good), "{good}");
        }
        for bad in [
            "",
            "-x",
            "--upload-pack=x",
            "a/-b",
            "a b",
            "a\nb",
            "a..b",
            "a~1",
            "a^",
            "a:b",
            "$(id)",
            "`id`",
            "a@{1}",
            "/a",
            "a/",
            "a//b",
            ".a",
            "a.lock",
            "a.",
            "main\0",
            "a\\b",
            "*",
        ] {
            assert!(!is_git_ref(bad), "{bad:?}");
        }
    }
}
