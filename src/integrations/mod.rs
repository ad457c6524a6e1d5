//! Other people's servers: the one HTTP client, what actions start elsewhere, and one file a vendor.

pub mod argocd;
pub mod github;
pub mod gitlab;
pub mod http;
pub mod invocation;
mod vendor;
pub mod webhook;

pub use vendor::{Api, is_git_ref};

/// The vendors that idp calls, as `idp.yaml` says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Integrations {
    pub github: Option<github::GitHub>,
    pub gitlab: Option<Api>,
    pub argocd: Option<Api>,
}
