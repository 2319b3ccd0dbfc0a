//! Which URLs a discovery document may name.

use std::net::Ipv4Addr;

use url::{Host, Url};

use super::DiscoveryError;
use crate::domain::identity::Issuer;
use crate::domain::text::shortened;

/// Where the endpoints of a provider may be, by where its issuer is: one on this machine (for
/// development) may have its endpoints here, in plaintext; one elsewhere may not, or its document
/// could aim the code and the secret at a service behind us.
#[derive(Clone, Copy)]
pub(super) enum Reach {
    Loopback,
    Elsewhere,
}

impl Reach {
    pub(super) fn of(issuer: &Issuer) -> Self {
        let url = Url::parse(issuer.as_str()).ok();
        match url.as_ref().and_then(Url::host) {
            Some(host) if is_loopback(&host) => Self::Loopback,
            Some(_) | None => Self::Elsewhere,
        }
    }

    pub(super) fn endpoint(self, member: &'static str, url: &str) -> Result<Url, DiscoveryError> {
        secure_url(url)
            .filter(|url| url.host().is_some_and(|host| self.reaches(&host)))
            .ok_or_else(|| DiscoveryError::Endpoint {
                member,
                url: shortened(&without_password(url)),
            })
    }

    fn reaches(self, host: &Host<&str>) -> bool {
        match self {
            Self::Loopback => !is_nowhere(host),
            Self::Elsewhere => !is_nowhere(host) && !is_loopback(host),
        }
    }
}

/// Addresses at which no provider is: link-local ones (where clouds keep their metadata), and those
/// that name no host or many. What a name resolves to is not looked at: TLS vouches for it.
fn is_nowhere(host: &Host<&str>) -> bool {
    let v4 = |it: Ipv4Addr| {
        it.is_link_local() || it.is_unspecified() || it.is_broadcast() || it.is_multicast()
    };
    match host {
        Host::Ipv4(address) => v4(*address),
        Host::Ipv6(address) => match address.to_ipv4_mapped() {
            Some(mapped) => v4(mapped),
            None => {
                address.is_unicast_link_local()
                    || address.is_unspecified()
                    || address.is_multicast()
            }
        },
        Host::Domain(_) => false,
    }
}

fn without_password(text: &str) -> String {
    let Ok(mut url) = Url::parse(text) else {
        // Where a password would be in this, nothing tells: all that could be one goes.
        let rest = text.rsplit('@').next().unwrap_or_default();
        return rest.to_owned();
    };
    if url.password().is_some() && url.set_password(Some("...")).is_err() {
        return String::new();
    }
    url.to_string()
}

/// An absolute `https` URL, or `http` where the host is this machine; without credentials and
/// without a fragment.
pub(super) fn secure_url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let secure = match url.scheme() {
        "https" => url.host().is_some(),
        "http" => is_loopback(&url.host()?),
        _ => false,
    };
    let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    (secure && plain).then_some(url)
}

fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address
            .to_ipv4_mapped()
            .map_or(address.is_loopback(), |mapped| mapped.is_loopback()),
        Host::Domain(name) => *name == "localhost",
    }
}
