//! A provider, a Headscale that trusts our issuer, and Headwarden between them.

use super::certified_provider::CertifiedProvider;
use super::headscale_standin::{HeadscaleStandin, Oidc, Options};
use super::house::{CLIENT_ID, CLIENT_SECRET, HEADSCALE_ID, HEADSCALE_SECRET, House, More, Plan};
use super::person::{Page, Person};

/// An id as Headscale 0.29 and newer make them.
pub(crate) const AUTH_ID: &str = "hskey-authreq-0123456789abcdef01234567";

/// The three of them, over plain http on loopback.
pub(crate) struct Tailnet {
    pub(crate) provider: CertifiedProvider,
    pub(crate) headscale: HeadscaleStandin,
    pub(crate) house: House,
}

impl Tailnet {
    /// A Headscale of this version in `issuer` mode.
    pub(crate) fn start(version: &str) -> Self {
        Self::start_with(version, |_| More::default())
    }

    /// The same with additions to the configuration.
    pub(crate) fn start_with(version: &str, more: impl FnOnce(&Plan) -> More) -> Self {
        let headscale = HeadscaleStandin::start(Options {
            version: version.to_owned(),
            ..Options::default()
        });
        Self::start_around(headscale, more)
    }

    /// The same around a Headscale that runs already.
    pub(crate) fn start_around(
        headscale: HeadscaleStandin,
        more: impl FnOnce(&Plan) -> More,
    ) -> Self {
        Self::build(CertifiedProvider::start(), headscale, more)
    }

    /// Headscale 0.29 and a provider with these settings.
    pub(crate) fn start_providing(
        settings: &serde_json::Value,
        more: impl FnOnce(&Plan) -> More,
    ) -> Self {
        let headscale = HeadscaleStandin::start(Options::default());
        Self::build(CertifiedProvider::start_with(settings), headscale, more)
    }

    fn build(
        provider: CertifiedProvider,
        headscale: HeadscaleStandin,
        more: impl FnOnce(&Plan) -> More,
    ) -> Self {
        Self::build_written(provider, headscale, |plan, url, issuer| {
            plan.config(url, issuer, &more(plan))
        })
    }

    /// A provider with these settings, and the configuration that `config` makes of the addresses of
    /// Headscale and of the provider's issuer.
    pub(crate) fn start_written(
        settings: &serde_json::Value,
        headscale: HeadscaleStandin,
        config: impl FnOnce(&Plan, &str, &str) -> String,
    ) -> Self {
        Self::build_written(CertifiedProvider::start_with(settings), headscale, config)
    }

    fn build_written(
        mut provider: CertifiedProvider,
        headscale: HeadscaleStandin,
        config: impl FnOnce(&Plan, &str, &str) -> String,
    ) -> Self {
        let (url, issuer) = (headscale.url(), provider.issuer().to_owned());
        let mut house = House::start(|plan| config(plan, &url, &issuer));
        provider.register_client(&serde_json::json!({
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "redirect_uris": [house.url("/oidc/callback")],
            "post_logout_redirect_uris": [house.url("/.headwarden/signed-out")],
            "backchannel_logout_uri": house.url("/.headwarden/backchannel-logout"),
            "id_token_signed_response_alg": "RS256",
        }));
        let (origin, trusted) = (house.plan.origin(), house.plan.issuer_url());
        headscale.configure(|options| {
            options.server_url = origin;
            options.oidc = Some(Oidc::trusting(&trusted, HEADSCALE_ID, HEADSCALE_SECRET));
        });
        house.wait_for_log("headscale's version");
        Self {
            provider,
            headscale,
            house,
        }
    }

    /// Opens `path` and signs in at the provider, which must ask.
    pub(crate) fn sign_in(&self, person: &mut Person, path: &str, who: &str) -> Page {
        let page = person.open(&self.house.url(path));
        assert!(
            page.url.as_str().starts_with(self.provider.origin()),
            "{}",
            page.text()
        );
        person.fill_in(&page, "login", &[("username", who)])
    }
}
