//! What a browser does next, and what it tells the server about why (Fetch, Fetch Metadata,
//! Referrer Policy).

use url::{Position, Url};

use super::jar::Sending;
use super::raw::Response;

/// A request that a browser is about to make.
#[derive(Clone, Debug)]
pub(crate) struct Navigation {
    pub(crate) method: &'static str,
    pub(crate) url: Url,
    pub(crate) body: String,
    cause: Cause,
}

/// Who made the browser go there.
#[derive(Clone, Debug)]
pub(crate) enum Cause {
    /// The person typed the address.
    Typed,
    /// A page did, by a link or a form.
    Page {
        url: Url,
        referrer_policy: String,
        /// Addresses that redirected on the way.
        way: Vec<Url>,
    },
}

impl Navigation {
    pub(crate) fn get(url: Url, cause: Cause) -> Self {
        Self {
            method: "GET",
            url,
            body: String::new(),
            cause,
        }
    }

    pub(crate) fn post(url: Url, body: String, cause: Cause) -> Self {
        Self {
            method: "POST",
            url,
            body,
            cause,
        }
    }

    /// The header lines that tell of the cause; `metadata` is whether `Sec-Fetch-*` is known.
    pub(crate) fn lines(&self, metadata: bool) -> Vec<String> {
        let mut lines = Vec::new();
        if metadata {
            lines.push(format!(
                "Sec-Fetch-Site: {}",
                self.cause.fetch_site(&self.url)
            ));
            lines.push("Sec-Fetch-Mode: navigate".to_owned());
            lines.push("Sec-Fetch-User: ?1".to_owned());
            lines.push("Sec-Fetch-Dest: document".to_owned());
        }
        if self.method == "POST" {
            lines.push("Content-Type: application/x-www-form-urlencoded".to_owned());
            lines.push(format!("Origin: {}", self.cause.origin_for(&self.url)));
        }
        let referrer = self.cause.referrer_for(&self.url);
        lines.extend(referrer.map(|referrer| format!("Referer: {referrer}")));
        lines
    }

    pub(crate) fn sending(&self) -> Sending {
        let same_site = match &self.cause {
            Cause::Typed => true,
            Cause::Page { url, .. } => site(url) == site(&self.url),
        };
        Sending {
            same_site,
            safe_navigation: self.method == "GET",
        }
    }

    /// Where a redirect leads (Fetch, section 4.5).
    pub(crate) fn redirected(&self, response: &Response) -> Option<Self> {
        let keeps = match response.status() {
            301 | 302 => self.method == "GET",
            303 => false,
            307 | 308 => true,
            _ => return None,
        };
        let url = self.url.join(response.header("location")?).ok()?;
        let mut cause = self.cause.clone();
        if let Cause::Page { way, .. } = &mut cause {
            way.push(self.url.clone());
        }
        Some(if keeps {
            Self {
                method: self.method,
                url,
                body: self.body.clone(),
                cause,
            }
        } else {
            Self::get(url, cause)
        })
    }
}

impl Cause {
    pub(crate) fn page(url: &Url, referrer_policy: &str) -> Self {
        Self::Page {
            url: url.clone(),
            referrer_policy: referrer_policy.to_owned(),
            way: Vec::new(),
        }
    }

    /// `Sec-Fetch-Site` (Fetch Metadata, section 2.3): the worst on the way counts.
    fn fetch_site(&self, to: &Url) -> &'static str {
        let Self::Page { url, way, .. } = self else {
            return "none";
        };
        let mut all = way.iter().chain([to]);
        if all.clone().all(|one| one.origin() == url.origin()) {
            "same-origin"
        } else if all.all(|one| site(one) == site(url)) {
            "same-site"
        } else {
            "cross-site"
        }
    }

    /// `Origin` of a form post (Fetch, section 3.2).
    fn origin_for(&self, to: &Url) -> String {
        let Self::Page {
            url,
            referrer_policy,
            way,
        } = self
        else {
            return "null".to_owned();
        };
        let hidden = match referrer_policy.as_str() {
            "no-referrer" => true,
            "same-origin" => url.origin() != to.origin(),
            _ => url.scheme() == "https" && to.scheme() != "https",
        };
        let tainted = way.iter().any(|one| one.origin() != url.origin());
        if hidden || tainted {
            "null".to_owned()
        } else {
            url.origin().ascii_serialization()
        }
    }

    /// `Referer`; an unknown policy is the default, `strict-origin-when-cross-origin`.
    fn referrer_for(&self, to: &Url) -> Option<String> {
        let Self::Page {
            url,
            referrer_policy,
            ..
        } = self
        else {
            return None;
        };
        let same_origin = url.origin() == to.origin();
        let downgrade = url.scheme() == "https" && to.scheme() != "https";
        match referrer_policy.as_str() {
            "no-referrer" => None,
            "same-origin" if !same_origin => None,
            _ if same_origin => Some(url[..Position::AfterQuery].to_owned()),
            _ if downgrade => None,
            _ => Some(format!("{}/", url.origin().ascii_serialization())),
        }
    }
}

/// Scheme and registrable domain; good enough for loopback addresses and two-label test domains.
fn site(url: &Url) -> (String, String) {
    let host = url.host_str().unwrap_or_default();
    let labels: Vec<&str> = host.rsplitn(3, '.').collect();
    let named = matches!(url.host(), Some(url::Host::Domain(_)));
    let domain = match labels.as_slice() {
        [last, second, _] if named => format!("{second}.{last}"),
        _ => host.to_owned(),
    };
    (url.scheme().to_owned(), domain)
}
