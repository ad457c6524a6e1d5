//! What Slack knows about an account.
//!
//! Source: <https://docs.slack.dev/reference/methods/users.info>, with the scopes `users:read` and `users:read.email`.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Deserialize;

use super::client::SlackApi;
use crate::access::email::{Kind, Profile, Profiles};
use crate::conversation::Speaker;

/// An account as `users.info` tells it. What Slack leaves out is taken as what gives no right.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Account {
    team_id: String,
    deleted: bool,
    is_bot: bool,
    is_app_user: bool,
    is_restricted: bool,
    is_ultra_restricted: bool,
    is_stranger: bool,
    is_email_confirmed: bool,
    profile: Contact,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Contact {
    email: Option<String>,
}

impl Account {
    /// What it is in the workspace `tenant`.
    fn kind(&self, tenant: &str) -> Kind {
        if self.deleted {
            return Kind::Deleted;
        }
        if self.is_bot || self.is_app_user {
            return Kind::Bot;
        }
        if self.is_stranger || self.team_id != tenant {
            return Kind::Stranger;
        }
        if self.is_restricted || self.is_ultra_restricted {
            return Kind::Guest;
        }
        Kind::Member
    }
}

impl Profiles for SlackApi {
    fn profile<'a>(&'a self, account: &'a Speaker) -> BoxFuture<'a, anyhow::Result<Profile>> {
        async {
            let found = self.users_info(&account.user_id).await?;
            Ok(Profile {
                kind: found.kind(&account.tenant),
                email: found.profile.email,
                is_confirmed: found.is_email_confirmed,
            })
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn only_a_full_member_of_the_workspace_is_a_member() {
        let kind = |more: Value| {
            let mut account = json!({ "id": "U1", "team_id": "T1", "name": "ada" });
            account.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            serde_json::from_value::<Account>(account).unwrap().kind("T1")
        };
        assert_eq!(kind(json!({})), Kind::Member);
        assert_eq!(kind(json!({ "deleted": true })), Kind::Deleted);
        assert_eq!(kind(json!({ "is_bot": true })), Kind::Bot);
        assert_eq!(kind(json!({ "is_app_user": true })), Kind::Bot);
        assert_eq!(kind(json!({ "is_stranger": true })), Kind::Stranger);
        assert_eq!(kind(json!({ "team_id": "T2" })), Kind::Stranger);
        assert_eq!(kind(json!({ "is_restricted": true })), Kind::Guest);
        assert_eq!(kind(json!({ "is_ultra_restricted": true })), Kind::Guest);
        assert_eq!(serde_json::from_str::<Account>("{}").unwrap().kind("T1"), Kind::Stranger);
    }
}
