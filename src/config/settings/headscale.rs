//! The Headscale behind us, and what any upstream is.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::TlsFiles;
use crate::domain::assurance::Assurance;
use crate::domain::identity::Issuer;
use crate::domain::secret::Secret;

/// An HTTP origin we send requests to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// TLS or not.
    pub tls: bool,
    /// Host name or address, for SNI, certificate verification and `Host`.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// A PEM bundle to verify the upstream's certificate with, instead of the system's.
    pub ca_path: Option<PathBuf>,
}

impl Upstream {
    /// Scheme, host and port, without a port that goes without saying (RFC 6454 section 6.2).
    pub fn origin(&self) -> String {
        let (scheme, port) = if self.tls {
            ("https", 443)
        } else {
            ("http", 80)
        };
        let authority = self.authority();
        let authority = match authority.rsplit_once(':') {
            Some((host, _)) if self.port == port => host,
            _ => &authority,
        };
        format!("{scheme}://{authority}")
    }

    /// `host:port`, with brackets around an IPv6 address.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// The same as browsers write it: without the port that its scheme has anyway.
    pub fn host_field(&self) -> String {
        let authority = self.authority();
        let usual = if self.tls { ":443" } else { ":80" };
        let short = authority.strip_suffix(usual).map(str::to_owned);
        short.unwrap_or(authority)
    }
}

/// The Headscale behind us.
#[derive(Clone, Debug)]
pub struct Headscale {
    /// Its main listener.
    pub upstream: Upstream,
    /// Its listener for gRPC, up to 0.29.
    pub grpc: Option<Upstream>,
    /// How it learns who signed in.
    pub sign_in: SignIn,
    /// Optional API key, for sessions with an API role.
    pub api_key: Option<Secret<String>>,
    /// Whether and how it is renewed.
    pub renewal: Option<KeyRenewal>,
    /// Peers that may `POST /verify`; empty closes it.
    pub verify_from: Vec<IpNet>,
    /// Longest wait for a response head, and for each piece of its body; tunnels have no such limit.
    pub response_timeout: Duration,
    /// Longest wait for a TCP (and TLS) connection.
    pub connect_timeout: Duration,
}

/// How Headscale's API key is renewed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRenewal {
    /// The file that holds the key, and will hold the next one.
    pub path: PathBuf,
    /// How long before its end.
    pub before: Duration,
    /// How long a new one is good.
    pub lifetime: Duration,
}

/// How Headscale learns who signed in (design: issuer, own, none).
#[derive(Clone, Debug)]
pub enum SignIn {
    /// Headwarden is the OpenID issuer that Headscale trusts.
    Issuer(Box<IssuerSettings>),
    /// Headscale has its own `oidc:` block with the provider.
    Own,
    /// Headscale has no `oidc:` block.
    None,
}

impl SignIn {
    /// The issuer that Headscale's users are of, where people sign in here at `ours`; none where they are
    /// made by hand.
    pub fn users_issuer<'a>(&'a self, ours: &'a Issuer) -> Option<&'a Issuer> {
        match self {
            Self::Issuer(terms) => Some(&terms.url),
            Self::Own => Some(ours),
            Self::None => None,
        }
    }
}

/// The issuer that Headscale trusts.
#[derive(Clone, Debug)]
pub struct IssuerSettings {
    /// The issuer string, for ever; no trailing slash.
    pub url: Issuer,
    /// Where Headscale reaches discovery, keys and the token endpoint; not public.
    pub address: SocketAddr,
    /// As those of a public listener. Required when `address` is not loopback, unless plaintext is
    /// allowed.
    pub tls: Option<Vec<TlsFiles>>,
    /// The one client.
    pub client_id: String,
    /// The one client's secret.
    pub client_secret: Secret<String>,
    /// The ES256 signing key with the identity it belongs to; created at first start, mode 0600.
    pub key_path: PathBuf,
    /// `exp` of the ID token, from now; `None` is five minutes.
    pub node_expiry: Option<Duration>,
    /// What a sign-in must have to approve an SSH check; its age is always asked for.
    pub ssh: Assurance,
}
