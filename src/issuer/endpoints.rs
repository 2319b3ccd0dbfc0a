//! Where the issuer's parts are: its own URLs on the private listener, and the one that browsers
//! come to on the public one.

use http::{HeaderMap, Uri, header};
use url::Url;

use crate::config::ServerUrl;
use crate::domain::identity::Issuer;

/// Where Headscale sends browsers to, on the public listener.
pub const AUTHORIZE_PATH: &str = "/.headwarden/authorize";
/// Where browsers come back to Headscale.
pub const CALLBACK_PATH: &str = "/oidc/callback";

/// The issuer string is no URL that Headscale could fetch from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the issuer {0:?} is not an http or https URL with a host, without query, fragment or \
         trailing slash"
)]
pub struct IssuerUrlError(pub String);

#[derive(Clone, Debug)]
pub(crate) struct Endpoints {
    /// The issuer string, byte for byte.
    pub(crate) issuer: String,
    /// The path of the issuer, without a slash at its end; often empty.
    pub(crate) base: String,
    /// The public authorization endpoint.
    pub(crate) authorization: String,
    /// The one redirect URI.
    pub(crate) redirect_uri: String,
    host: String,
    port: u16,
}

/// What a path on the private listener is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Discovery,
    Jwks,
    Token,
    Userinfo,
    Nowhere,
}

impl Endpoints {
    pub(crate) fn new(issuer: &Issuer, server_url: &ServerUrl) -> Result<Self, IssuerUrlError> {
        let text = issuer.as_str();
        let refused = || IssuerUrlError(text.to_owned());
        let url = Url::parse(text).map_err(|_| refused())?;
        let odd = url.query().is_some() || url.fragment().is_some() || text.ends_with('/');
        if odd || !matches!(url.scheme(), "http" | "https") {
            return Err(refused());
        }
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return Err(refused());
        };
        let base = url.path().trim_end_matches('/');
        // The path must read the same after parsing: requests are compared with it byte for byte.
        let after_scheme = text.split_once("://").map_or("", |(_, rest)| rest);
        let written = after_scheme.find('/').and_then(|at| after_scheme.get(at..));
        if written.unwrap_or_default() != base {
            return Err(refused());
        }
        Ok(Self {
            issuer: text.to_owned(),
            base: base.to_owned(),
            authorization: server_url.join(AUTHORIZE_PATH),
            redirect_uri: server_url.join(CALLBACK_PATH),
            host: host.to_ascii_lowercase(),
            port,
        })
    }

    /// `path` below the issuer.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.issuer)
    }

    pub(crate) fn place(&self, path: &str) -> Place {
        match path.strip_prefix(&self.base) {
            Some("/.well-known/openid-configuration") => Place::Discovery,
            Some("/jwks") => Place::Jwks,
            Some("/token") => Place::Token,
            Some("/userinfo") => Place::Userinfo,
            Some(_) | None => Place::Nowhere,
        }
    }

    /// Whether the request was meant for this issuer: exactly one `Host`, or the authority of an
    /// absolute target, equal to the issuer's host and port. Keeps away pages that point a name of
    /// their own at this address (DNS rebinding).
    pub(crate) fn is_host(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        let mut hosts = headers.get_all(header::HOST).iter();
        let header = match (hosts.next(), hosts.next()) {
            (Some(host), None) => host.to_str().ok(),
            (None, _) => uri.authority().map(http::uri::Authority::as_str),
            (Some(_), Some(_)) => None,
        };
        let target = uri.authority().map(http::uri::Authority::as_str);
        header.is_some_and(|host| self.is_ours(host))
            && target.is_none_or(|authority| self.is_ours(authority))
    }

    fn is_ours(&self, authority: &str) -> bool {
        let Ok(authority) = authority.parse::<http::uri::Authority>() else {
            return false;
        };
        let default = if self.issuer.starts_with("https:") {
            443
        } else {
            80
        };
        let bare = !authority.as_str().contains('@') && !authority.as_str().ends_with(':');
        bare && authority.host().eq_ignore_ascii_case(&self.host)
            && authority.port_u16().unwrap_or(default) == self.port
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::issuer::fixture;

    fn endpoints(issuer: &str) -> Result<Endpoints, IssuerUrlError> {
        Endpoints::new(&Issuer::new(issuer), &fixture::server_url())
    }

    fn asked(issuer: &str, hosts: &[&str], target: &str) -> bool {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(header::HOST, host.parse().unwrap());
        }
        endpoints(issuer)
            .unwrap()
            .is_host(&target.parse().unwrap(), &headers)
    }

    #[test]
    fn only_the_issuers_own_host_and_port_are_answered() {
        let issuer = "http://127.0.0.1:8181";
        assert!(asked(issuer, &["127.0.0.1:8181"], "/token"));
        assert!(asked(
            issuer,
            &["127.0.0.1:8181"],
            "http://127.0.0.1:8181/token"
        ));
        assert!(asked(issuer, &[], "http://127.0.0.1:8181/token"));
        for hosts in [
            &[][..],
            &[""],
            &["127.0.0.1"],
            &["127.0.0.1:"],
            &["127.0.0.1:80"],
            &["localhost:8181"],
            &["evil.example:8181"],
            &["127.0.0.1.evil.example:8181"],
            &["x@127.0.0.1:8181"],
            &["127.0.0.1:8181", "127.0.0.1:8181"],
            &["127.0.0.1:8181, evil.example"],
        ] {
            assert!(!asked(issuer, hosts, "/token"), "{hosts:?}");
        }
        assert!(!asked(
            issuer,
            &["127.0.0.1:8181"],
            "http://evil.example/token"
        ));
    }

    #[test]
    fn a_default_port_may_be_left_out_and_case_does_not_matter() {
        let issuer = "https://Issuer.Internal/x";
        for host in ["issuer.internal", "issuer.internal:443", "ISSUER.internal"] {
            assert!(asked(issuer, &[host], "/x/token"), "{host}");
        }
        assert!(!asked(issuer, &["issuer.internal:80"], "/x/token"));
        assert!(asked("http://[::1]:8181", &["[::1]:8181"], "/token"));
    }

    #[test]
    fn places_are_below_the_issuers_path_and_exact() {
        let deep = endpoints("http://127.0.0.1:8181/o/hs").unwrap();
        assert_eq!(
            deep.place("/o/hs/.well-known/openid-configuration"),
            Place::Discovery
        );
        assert_eq!(deep.place("/o/hs/token"), Place::Token);
        for path in [
            "/token",
            "/o/hs",
            "/o/hs/",
            "/o/hs/token/",
            "/o/hsx/token",
            "//o/hs/token",
        ] {
            assert_eq!(deep.place(path), Place::Nowhere, "{path}");
        }
        let flat = endpoints("http://127.0.0.1:8181").unwrap();
        assert_eq!(flat.place("/jwks"), Place::Jwks);
        assert_eq!(flat.place("/userinfo"), Place::Userinfo);
        assert_eq!(flat.place("/"), Place::Nowhere);
    }

    #[test]
    fn an_issuer_that_headscale_could_not_use_is_refused() {
        for issuer in [
            "",
            "127.0.0.1:8181",
            "http://127.0.0.1:8181/",
            "http://127.0.0.1:8181/x/",
            "http://127.0.0.1:8181?x",
            "http://127.0.0.1:8181#x",
            "http://127.0.0.1:8181/a/../b",
            "ftp://127.0.0.1",
            "http://",
        ] {
            assert!(endpoints(issuer).is_err(), "{issuer:?}");
        }
    }
}
