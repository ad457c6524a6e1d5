//! Whom a bot's token may be told.

use url::Url;

use crate::integrations::http::Policy;

/// A platform's own API.
pub struct Api<'a> {
    pub platform: &'a str,
    /// The variable that says where it is.
    pub variable: &'a str,
    pub hosts: &'a [&'a str],
}

impl Api<'_> {
    /// What a client of this API at `url` may reach; `allowed_hosts` are those of the settings.
    ///
    /// # Errors
    /// A `url` that is neither the platform's, nor on this machine, nor allowed: it would be told the token.
    pub fn policy(&self, url: &Url, allowed_hosts: &[String]) -> anyhow::Result<Policy> {
        let Api { platform, variable, hosts } = self;
        let host = url.host_str().unwrap_or_default();
        let policy = Policy { allowed: allowed_hosts.to_vec(), loopback: is_loopback(url) };
        if !policy.loopback && !hosts.contains(&host) && !policy.lists(url) {
            anyhow::bail!(
                "`{variable}` leads to `{host}`, which is not {platform}; list it under `allowed_hosts`"
            );
        }
        Ok(policy)
    }
}

/// Whether `url` leads to this machine.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}
