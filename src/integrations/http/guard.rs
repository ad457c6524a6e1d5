//! What may be asked: which URLs, and which addresses their names may stand for.
//!
//! A URL is judged before anything is sent ([`Policy::reach`]); the addresses behind its name are
//! judged when the connection is made ([`Guarded`]), so a name whose answer changes in between gains nothing.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// Where a client may connect to.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// Hosts with ports that may be private or plain HTTP, `ghe.acme.internal:8443`; set by an administrator.
    pub allowed: Vec<String>,
    /// Whether loopback addresses may be asked, over plain HTTP too: tests, the demo.
    pub loopback: bool,
}

/// The addresses that one URL may end at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Anybody's: what a stranger may have written into a descriptor.
    Public,
    /// A host that an administrator listed: private ones too.
    Listed,
    /// This machine.
    Loopback,
}

impl Policy {
    /// `text` as a URL and how far it reaches, or why it may not be asked.
    pub(super) fn reach(&self, text: &str) -> Result<(Url, Reach), String> {
        // The parser drops some of these silently, and others read them in their own way.
        if text.chars().any(|it| it.is_control() || it.is_whitespace() || it == '\\') {
            return Err("it contains spaces, line breaks or backslashes".into());
        }
        let url = Url::parse(text).map_err(|error| format!("it is not a URL: {error}"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("it carries a user name or a password".into());
        }
        let host = url.host().ok_or("it has no host")?;
        let reach = self.reach_of(&url);
        match (url.scheme(), reach) {
            ("https", _) | ("http", Reach::Listed | Reach::Loopback) => {}
            ("http", Reach::Public) => return Err("it is not https".into()),
            (scheme, _) => return Err(format!("its scheme is `{scheme}`, not https")),
        }
        if reach == Reach::Public && url.port().is_some() {
            return Err("its port is not 443".into());
        }
        // A resolver is never called for these.
        let literal = match host {
            Host::Ipv4(address) => Some(IpAddr::V4(address)),
            Host::Ipv6(address) => Some(IpAddr::V6(address)),
            Host::Domain(_) => None,
        };
        if literal.is_some_and(|address| !reach.admits(address)) {
            return Err(reach.to_string());
        }
        Ok((url, reach))
    }

    fn reach_of(&self, url: &Url) -> Reach {
        if self.lists(url) {
            return Reach::Listed;
        }
        let is_loopback = match url.host() {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            Some(Host::Domain(name)) => name == "localhost",
            None => false,
        };
        if self.loopback && is_loopback { Reach::Loopback } else { Reach::Public }
    }

    /// Whether an administrator listed the host and port of `url`.
    pub(crate) fn lists(&self, url: &Url) -> bool {
        let port = url.port_or_known_default().or((url.scheme() == "ssh").then_some(22));
        let (Some(host), Some(port)) = (url.host_str(), port) else { return false };
        let place = format!("{}:{port}", host.trim_end_matches('.'));
        self.allowed.iter().any(|listed| listed.eq_ignore_ascii_case(&place))
    }
}

/// Why an address was not connected to.
impl std::fmt::Display for Reach {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Reach::Public => "it leads to an address that is not public",
            Reach::Listed => "it leads to an address that nobody may be asked at",
            Reach::Loopback => "it leads away from this machine",
        })
    }
}

impl std::error::Error for Reach {}

impl Reach {
    /// Whether a connection to `address` may be made.
    pub(super) fn admits(self, address: IpAddr) -> bool {
        match self {
            Reach::Public => is_public(address),
            Reach::Listed => !is_off_limits(address),
            Reach::Loopback => address.is_loopback(),
        }
    }
}

/// Whether `address` is one that anybody on the internet could be asked at.
///
/// Addresses that carry another one inside (IPv4-mapped, NAT64, 6to4, Teredo) are not.
/// Source: <https://www.iana.org/assignments/iana-ipv4-special-registry>,
/// <https://www.iana.org/assignments/iana-ipv6-special-registry>
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !is_special_v4(address),
        IpAddr::V6(address) => {
            // Only 2000::/3 is handed out to the world; what is special in it follows.
            address.segments()[0] & 0xe000 == 0x2000 && !is_special_v6(address)
        }
    }
}

fn is_special_v4(address: Ipv4Addr) -> bool {
    match address.octets() {
        [0, ..] => true,                              // this network
        [10, ..] => true,                             // private
        [100, second, ..] => second & 0xc0 == 64,     // carrier-grade NAT
        [127, ..] => true,                            // loopback
        [169, 254, ..] => true,                       // link-local, cloud metadata
        [172, second, ..] => second & 0xf0 == 16,     // private
        [192, 0, 0, _] | [192, 0, 2, _] => true,      // protocol assignments, documentation
        [192, 88, 99, _] => true,                     // 6to4 relays
        [192, 168, ..] => true,                       // private
        [198, 18 | 19, ..] => true,                   // benchmarking
        [198, 51, 100, _] | [203, 0, 113, _] => true, // documentation
        [224..=255, ..] => true,                      // multicast, reserved, broadcast
        _ => false,
    }
}

fn is_special_v6(address: Ipv6Addr) -> bool {
    match address.segments() {
        [0x2001, second, ..] if second < 0x0200 => true, // protocol assignments: Teredo, ORCHID, benchmarking
        [0x2001, 0x0db8, ..] => true,                    // documentation
        [0x2002, ..] => true,                            // 6to4
        [0x3fff, second, ..] => second < 0x1000,         // documentation
        _ => false,
    }
}

/// Addresses that not even an administrator's host may stand for: the metadata services of clouds, which hand out
/// credentials, and addresses that are nobody's.
fn is_off_limits(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            matches!(
                address.octets(),
                [0, ..]
                    | [169, 254, ..]
                    | [100, 100, 100, 200]
                    | [192, 0, 0, 192]
                    | [224..=255, ..]
            )
        }
        IpAddr::V6(address) => {
            address.is_unspecified()
                || address.is_multicast()
                || address.is_unicast_link_local()
                || matches!(address.segments(), [0xfd00, 0x0ec2, ..])
        }
    }
}

/// Resolves names to those of their addresses that `reach` admits, and is the only resolver of its connections.
pub(super) struct Guarded {
    pub(super) names: Arc<dyn Resolve>,
    pub(super) reach: Reach,
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.reach;
        let resolving = self.names.resolve(name);
        Box::pin(async move {
            let admitted: Vec<SocketAddr> =
                resolving.await?.filter(|it| reach.admits(it.ip())).collect();
            if admitted.is_empty() {
                return Err(reach.into());
            }
            Ok(Box::new(admitted.into_iter()) as Addrs)
        })
    }
}

/// The resolver of the operating system.
pub(super) struct SystemNames;

impl Resolve for SystemNames {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if found.is_empty() {
                return Err(
                    io::Error::new(io::ErrorKind::NotFound, "the name has no address").into()
                );
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(policy: &Policy, url: &str) -> Result<Reach, String> {
        policy.reach(url).map(|(_, reach)| reach)
    }

    #[test]
    fn a_stranger_reaches_the_public_over_https_and_nothing_else() {
        let policy = Policy::default();
        assert_eq!(reach(&policy, "https://example.com/a?b"), Ok(Reach::Public));
        assert_eq!(reach(&policy, "https://example.com:443/"), Ok(Reach::Public));
        for (url, why) in [
            ("http://example.com/", "https"),
            ("https://example.com:8443/", "443"),
            ("https://10.0.0.1/", "not public"),
            ("https://0x7f.1/", "not public"),
            ("https://[::ffff:1.1.1.1]/", "not public"),
            ("https://ada@example.com/", "user name"),
            ("https://example.com/\n", "line breaks"),
            ("example.com", "not a URL"),
        ] {
            let refused = reach(&policy, url).unwrap_err();
            assert!(refused.contains(why), "{url}: {refused}");
        }
    }

    #[test]
    fn a_listed_host_is_reached_on_its_port_only() {
        let policy = Policy { allowed: vec!["GHE.acme.test:8443".into()], loopback: false };
        assert_eq!(reach(&policy, "https://ghe.acme.test:8443/"), Ok(Reach::Listed));
        assert_eq!(reach(&policy, "http://ghe.acme.test.:8443/"), Ok(Reach::Listed));
        assert_eq!(reach(&policy, "https://ghe.acme.test/"), Ok(Reach::Public));
        assert!(reach(&policy, "ftp://ghe.acme.test:8443/").is_err());
    }

    #[test]
    fn no_reach_ends_at_a_metadata_service() {
        let metadata = "169.254.169.254".parse().unwrap();
        let mapped = "::ffff:169.254.169.254".parse().unwrap();
        for reach in [Reach::Public, Reach::Listed, Reach::Loopback] {
            assert!(!reach.admits(metadata) && !reach.admits(mapped), "{reach:?}");
        }
        assert!(Reach::Listed.admits("10.0.0.1".parse().unwrap()));
    }
}
