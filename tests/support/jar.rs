//! A cookie jar that is as strict as the strictest browser (RFC 6265bis): `Secure` cookies never on
//! plain http, prefixes enforced, `SameSite` obeyed.
//!
//! Other than a browser's, the jar is kept per host *and port*: on loopback two ports stand for two
//! hosts, and the provider's cookies must not turn up at the proxy.

use cookie::{Cookie, SameSite};
use url::Url;

/// What a browser keeps.
#[derive(Clone, Debug, Default)]
pub(crate) struct Jar {
    kept: Vec<Kept>,
    /// `Set-Cookie` fields that a browser would have ignored, with the reason.
    pub(crate) refused: Vec<(String, &'static str)>,
}

/// One cookie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) host: String,
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) path: String,
    pub(crate) secure: bool,
    pub(crate) http_only: bool,
    pub(crate) same_site: SameSite,
}

/// What the jar has to know about the request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sending {
    /// Whether who caused the request is of the same site.
    pub(crate) same_site: bool,
    /// Whether it is a top-level navigation by a safe method.
    pub(crate) safe_navigation: bool,
}

impl Jar {
    /// Takes in one `Set-Cookie` field of a response from `url`.
    pub(crate) fn set(&mut self, url: &Url, field: &str) {
        match accepted(url, field) {
            Err(reason) => self.refused.push((field.to_owned(), reason)),
            Ok((kept, deleted)) => {
                self.kept.retain(|old| {
                    (&old.host, &old.name, &old.path) != (&kept.host, &kept.name, &kept.path)
                });
                if !deleted {
                    self.kept.push(kept);
                }
            }
        }
    }

    /// The `Cookie` field for a request to `url`.
    pub(crate) fn header(&self, url: &Url, sending: Sending) -> Option<String> {
        let mut fitting: Vec<&Kept> = self.kept.iter().filter(|c| c.fits(url, sending)).collect();
        // RFC 6265 section 5.4: longer paths first.
        fitting.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        let pairs: Vec<String> = fitting
            .iter()
            .map(|cookie| format!("{}={}", cookie.name, cookie.value))
            .collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }

    /// Everything kept for the host and port of `url`.
    pub(crate) fn at(&self, url: &Url) -> Vec<&Kept> {
        self.kept
            .iter()
            .filter(|cookie| cookie.host == host_of(url))
            .collect()
    }

    /// Puts a cookie in without asking anybody, as malware or a sibling domain would.
    pub(crate) fn plant(&mut self, kept: Kept) {
        self.kept.push(kept);
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.kept.clear();
    }
}

impl Kept {
    fn fits(&self, url: &Url, sending: Sending) -> bool {
        let same_site = match self.same_site {
            SameSite::None => true,
            SameSite::Lax => sending.same_site || sending.safe_navigation,
            SameSite::Strict => sending.same_site,
        };
        same_site
            && self.host == host_of(url)
            && (!self.secure || url.scheme() == "https")
            && path_matches(&self.path, url.path())
    }
}

/// `host:port`.
fn host_of(url: &Url) -> String {
    let port = url.port_or_known_default().unwrap_or_default();
    format!("{}:{port}", url.host_str().unwrap_or_default())
}

/// RFC 6265 section 5.1.4.
fn path_matches(cookie: &str, request: &str) -> bool {
    request
        .strip_prefix(cookie)
        .is_some_and(|rest| rest.is_empty() || cookie.ends_with('/') || rest.starts_with('/'))
}

fn default_path(url: &Url) -> String {
    let directory = url
        .path()
        .rsplit_once('/')
        .map_or("", |(directory, _)| directory);
    if directory.is_empty() {
        "/".to_owned()
    } else {
        directory.to_owned()
    }
}

/// The cookie, and whether the field deletes it; or why a browser ignores it.
fn accepted(url: &Url, field: &str) -> Result<(Kept, bool), &'static str> {
    let parsed = Cookie::parse(field.to_owned()).map_err(|_| "not a cookie")?;
    let secure = parsed.secure().unwrap_or(false);
    let https = url.scheme() == "https";
    if parsed
        .domain()
        .is_some_and(|domain| Some(domain.trim_start_matches('.')) != url.host_str())
    {
        return Err("for another host");
    }
    if secure && !https {
        return Err("Secure, but not over TLS");
    }
    if parsed.same_site() == Some(SameSite::None) && !secure {
        return Err("SameSite=None without Secure");
    }
    let prefixed = |prefix: &str| {
        parsed
            .name()
            .get(..prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    if prefixed("__Secure-") && !secure {
        return Err("__Secure- without Secure");
    }
    let host_only = secure && parsed.domain().is_none() && parsed.path() == Some("/");
    if prefixed("__Host-") && !host_only {
        return Err("__Host- without Secure and Path=/, or with Domain");
    }
    let past = parsed
        .expires_datetime()
        .is_some_and(|time| time.unix_timestamp() <= 86_400);
    let deleted = parsed
        .max_age()
        .map_or(past, |age| age.whole_seconds() <= 0);
    let path = parsed.path().filter(|path| path.starts_with('/'));
    let kept = Kept {
        host: host_of(url),
        name: parsed.name().to_owned(),
        value: parsed.value().to_owned(),
        path: path.map_or_else(|| default_path(url), str::to_owned),
        secure,
        http_only: parsed.http_only().unwrap_or(false),
        same_site: parsed.same_site().unwrap_or(SameSite::Lax),
    };
    Ok((kept, deleted))
}
