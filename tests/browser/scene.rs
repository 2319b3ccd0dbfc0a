//! Headwarden under a name and a certificate of its own, the provider on another site, and a
//! browser that knows the way to both.

use std::path::PathBuf;

use serde_json::json;

use crate::support::browser::{Browser, View};
use crate::support::certified_provider::CertifiedProvider;
use crate::support::headscale_standin::{HeadscaleStandin, Oidc, Options};
use crate::support::house::{
    CLIENT_ID, CLIENT_SECRET, HEADSCALE_ID, HEADSCALE_SECRET, House, More, Plan,
};
use crate::support::tls::Authority;

/// The name of Headwarden over TLS; only our browsers can resolve it.
pub(crate) const HOST: &str = "headscale.company";
/// Another name that leads to the same socket.
pub(crate) const WRONG_HOST: &str = "other.company";

/// The peers of a house, before it starts.
pub(crate) struct Scene {
    pub(crate) provider: CertifiedProvider,
    pub(crate) headscale: HeadscaleStandin,
    pub(crate) site: Site,
}

/// A running Headwarden and how it is called.
pub(crate) struct Site {
    pub(crate) house: House,
    pub(crate) origin: String,
}

impl Site {
    /// Starts Headwarden at `https://headscale.company`, between these two.
    pub(crate) fn start(headscale: &str, provider_issuer: &str, more: &More) -> Self {
        let config = |plan: &Plan| with_tls(plan, &plan.config(headscale, provider_issuer, more));
        let house = House::start(config);
        let origin = format!("https://{HOST}:{}", house.plan.public.port());
        Self { house, origin }
    }

    /// The same over plain http on loopback, as a developer runs it.
    pub(crate) fn start_plain(headscale: &str, provider_issuer: &str, more: &More) -> Self {
        let house = House::start(|plan| plan.config(headscale, provider_issuer, more));
        let origin = house.plan.origin();
        Self { house, origin }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }
}

/// The configuration with a certificate, and the name that is in it.
fn with_tls(plan: &Plan, config: &str) -> String {
    let certificate = Authority::new().certificate(&[HOST]);
    let (chain, key) = certificate.write(&plan.files);
    let (public, port) = (plan.public, plan.public.port());
    let listen = format!("  - address: \"{public}\"\n");
    let tls = format!(
        "    tls: {{ cert_path: {}, key_path: {} }}\n",
        chain.display(),
        key.display()
    );
    config
        .replace(&plan.origin(), &format!("https://{HOST}:{port}"))
        .replace(&listen, &format!("{listen}{tls}"))
}

impl Scene {
    /// A Headscale of this version that trusts our issuer; the provider is at `localhost`.
    pub(crate) fn start(version: &str) -> Self {
        Self::start_with(version, More::default())
    }

    /// The same with additions to the configuration.
    pub(crate) fn start_with(version: &str, more: More) -> Self {
        Self::set(version, |headscale, issuer| {
            Site::start(headscale, issuer, &more)
        })
    }

    /// The same over plain http at `127.0.0.1`.
    pub(crate) fn start_plain(version: &str) -> Self {
        let more = More::default();
        Self::set(version, |headscale, issuer| {
            Site::start_plain(headscale, issuer, &more)
        })
    }

    fn set(version: &str, site: impl FnOnce(&str, &str) -> Site) -> Self {
        let mut provider = CertifiedProvider::start_with(&json!({ "host": "localhost" }));
        let headscale = HeadscaleStandin::start(Options {
            version: version.to_owned(),
            ..Options::default()
        });
        let mut site = site(&headscale.url(), provider.issuer());
        provider.register_client(&json!({
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "redirect_uris": [site.url("/oidc/callback")],
            "post_logout_redirect_uris": [site.url("/.headwarden/signed-out")],
            "id_token_signed_response_alg": "RS256",
        }));
        let trusted = site.house.plan.issuer_url();
        headscale.configure(|options| {
            options.server_url.clone_from(&site.origin);
            options.oidc = Some(Oidc::trusting(&trusted, HEADSCALE_ID, HEADSCALE_SECRET));
        });
        site.house.wait_for_log("headscale's version");
        Self {
            provider,
            headscale,
            site,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        self.site.url(path)
    }

    /// Opens `path` in a browser that nobody signed in with, and signs in at the provider.
    pub(crate) fn sign_in(&self, visitor: &mut Visitor, path: &str, who: &str) -> View {
        let form = visitor.browser.open(&self.url(path));
        self.is_asked_by_the_provider(&form);
        visitor.browser.sign_in(who)
    }

    /// Fails unless `view` is the provider's own form, on its own site.
    pub(crate) fn is_asked_by_the_provider(&self, view: &View) {
        let at_the_provider = view.url.starts_with(self.provider.origin());
        assert!(at_the_provider && view.title == "Sign in", "{view:?}");
    }

    /// Fails unless `view` is our page at `path` with this status and heading.
    pub(crate) fn shows(&self, view: &View, path: &str, status: u16, heading: &str) {
        shows(&self.site, view, path, status, heading);
    }
}

/// Fails unless `view` is the page of `site` at `path` (before any query) with this status and
/// heading.
pub(crate) fn shows(site: &Site, view: &View, path: &str, status: u16, heading: &str) {
    let address = view.url.split('?').next().unwrap_or_default();
    assert_eq!(
        (address, view.status),
        (&*site.url(path), status),
        "{view:?}"
    );
    assert!(view.text.contains(heading), "{heading:?} in {view:?}");
}

/// Somebody with a browser, whose console must stay silent to the end.
pub(crate) struct Visitor {
    pub(crate) browser: Browser,
    /// Beginnings of addresses from which pages may load more: a web UI's; ours load nothing.
    sources: Vec<String>,
}

impl Visitor {
    /// A browser with an empty cookie jar.
    pub(crate) fn new() -> Self {
        Self::with(json!({}))
    }

    /// A browser with these settings beside those that every one needs.
    pub(crate) fn with(mut settings: serde_json::Value) -> Self {
        settings["hosts"] = json!({ HOST: "127.0.0.1", WRONG_HOST: "127.0.0.1" });
        settings["trust_any_certificate"] = true.into();
        Self {
            browser: Browser::start_with(&settings),
            sources: Vec::new(),
        }
    }

    /// Somebody who will see a web UI, whose pages load more: from the same origin, and from nowhere else.
    pub(crate) fn of_a_web_ui(mut self, scene: &Scene) -> Self {
        self.sources = vec![scene.url("/"), "data:".to_owned()];
        self
    }

    /// Photographs the page, if anybody wants pictures.
    pub(crate) fn shoot(&mut self, name: &str) {
        let Some(directory) = std::env::var_os("HEADWARDEN_SCREENSHOTS").map(PathBuf::from) else {
            return;
        };
        std::fs::create_dir_all(&directory).expect("a directory for the pictures");
        self.browser.portraits(&directory, name);
    }

    /// How many requests it made so far to addresses that begin so.
    pub(crate) fn requests_to(&mut self, prefix: &str) -> usize {
        let begins = |url: Option<&str>| url.is_some_and(|url| url.starts_with(prefix));
        let requests = self.browser.requests();
        requests
            .iter()
            .filter(|one| begins(one["url"].as_str()))
            .count()
    }

    /// Cookies that would go to `url`: their names.
    pub(crate) fn cookie_names(&mut self, url: &str) -> Vec<String> {
        let cookies = self.browser.cookies(url);
        let names = cookies.iter().filter_map(|cookie| cookie["name"].as_str());
        names.map(str::to_owned).collect()
    }

    /// Whatever the console said that is more than the status of a page with an error status.
    fn complaints(&mut self) -> Vec<String> {
        let status = "Failed to load resource: the server responded with a status of ";
        let mut all = self.browser.console();
        all.retain(|line| !line.starts_with(status));
        all
    }

    /// What was loaded that is no page, and from where nothing may be.
    fn extras(&mut self) -> Vec<String> {
        let sources = self.sources.clone();
        let known = |url: &str| sources.iter().any(|source| url.starts_with(source));
        let extra = |one: &serde_json::Value| {
            one["kind"] != "document" && !one["url"].as_str().is_some_and(known)
        };
        let requests = self.browser.requests();
        requests
            .iter()
            .filter(|one| extra(one))
            .map(ToString::to_string)
            .collect()
    }
}

impl Drop for Visitor {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.complaints(), Vec::<String>::new(), "on the console");
            assert_eq!(self.extras(), Vec::<String>::new(), "loaded beside pages");
        }
    }
}
