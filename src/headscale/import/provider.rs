//! The `oidc:` block: what Headwarden takes of it, and what stays.

use super::notes::{Notes, What};
use super::old::Old;
use super::place::Place;

/// Where the secret is, if it is not in a file already.
const SECRET_PATH: &str = "${CREDENTIALS_DIRECTORY}/oidc_client_secret";

/// Parameters of the authorization request that Headwarden sets itself.
const PROTOCOL: &[&str] = &[
    "client_id",
    "client_secret",
    "code_challenge",
    "code_challenge_method",
    "login_hint",
    "max_age",
    "nonce",
    "prompt",
    "redirect_uri",
    "response_mode",
    "response_type",
    "scope",
    "state",
];

/// Where the client secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Secret {
    /// In a file that Headscale reads, too.
    Path(String),
    /// In Headscale's file itself.
    Inline,
    /// Elsewhere: in the environment, most likely.
    Elsewhere,
}

/// The provider that people sign in with.
#[derive(Clone, Debug)]
pub(super) struct Provider {
    /// Whether Headscale has an `oidc:` block. If not, what follows are examples.
    pub(super) own: bool,
    pub(super) only_start: Option<bool>,
    pub(super) issuer: String,
    pub(super) client_id: String,
    pub(super) secret: Secret,
    pub(super) secret_path: String,
    pub(super) scope: Vec<String>,
    pub(super) extra_params: Vec<(String, String)>,
    pub(super) allowed_domains: Vec<String>,
    pub(super) allowed_groups: Vec<String>,
    pub(super) allowed_users: Vec<String>,
    pub(super) email_verified_required: Option<bool>,
    pub(super) pkce_enabled: Option<bool>,
    pub(super) pkce_method: Option<String>,
    pub(super) use_expiry_from_token: Option<bool>,
    /// Keys that newer versions of Headscale refuse to start with.
    pub(super) fatal: Vec<&'static str>,
}

impl Provider {
    /// Whether no list says who may pass, so that everybody may.
    pub(super) fn lets_everybody(&self) -> bool {
        self.allowed_domains.is_empty()
            && self.allowed_groups.is_empty()
            && self.allowed_users.is_empty()
    }
}

/// Reads it out of Headscale's file.
pub(super) fn provider(old: &Old, place: &Place, notes: &mut Notes) -> Provider {
    let Some(issuer) = old.text("oidc.issuer") else {
        return example(notes);
    };
    let client_id = old.text("oidc.client_id").unwrap_or_else(|| {
        notes.add(
            "oidc.client_id",
            What::ToDo,
            "headscale's file has none: write the provider's",
        );
        "headscale".to_owned()
    });
    let secret = secret(old, notes);
    let secret_path = match &secret {
        Secret::Path(path) => path.clone(),
        Secret::Inline | Secret::Elsewhere => SECRET_PATH.to_owned(),
    };
    let provider = Provider {
        own: true,
        only_start: old.flag("oidc.only_start_if_oidc_is_available"),
        issuer,
        client_id,
        secret,
        secret_path,
        scope: scope(old, notes),
        extra_params: extra_params(old, notes),
        allowed_domains: old.list("oidc.allowed_domains"),
        allowed_groups: old.list("oidc.allowed_groups"),
        allowed_users: old.list("oidc.allowed_users"),
        email_verified_required: old.flag("oidc.email_verified_required"),
        pkce_enabled: old.flag("oidc.pkce.enabled"),
        pkce_method: old.text("oidc.pkce.method"),
        use_expiry_from_token: old.flag("oidc.use_expiry_from_token"),
        fatal: ["strip_email_domain", "map_legacy_users", "expiry"]
            .into_iter()
            .filter(|key| old.has(&format!("oidc.{key}")))
            .collect(),
    };
    rules(&provider, notes);
    let callback = format!("{}/oidc/callback", place.server_url);
    let text = format!(
        "headwarden signs people in with headscale's own client and redirect URI ({callback}), so \
         nothing changes at the provider; for a real logout add \
         {}/.headwarden/backchannel-logout there",
        place.server_url
    );
    notes.add("headwarden: oidc", What::Changed, text);
    provider
}

fn secret(old: &Old, notes: &mut Notes) -> Secret {
    const KEY: &str = "oidc.client_secret";
    if let Some(path) = old.text("oidc.client_secret_path") {
        if path.contains("CREDENTIALS_DIRECTORY") {
            let text = "systemd gives a service its own credentials: headwarden's unit needs the \
                        same LoadCredential= line as headscale's";
            notes.add("oidc.client_secret_path", What::ToDo, text);
        } else {
            let text = "headwarden's user must be able to read that file too";
            notes.add("oidc.client_secret_path", What::Carried, text);
        }
        return Secret::Path(path);
    }
    let put = format!("put it alone into the file of {SECRET_PATH} (mode 0600)");
    if old.text(KEY).is_some() {
        let text = format!("stands in headscale's file and is not copied: {put}");
        notes.add(KEY, What::ToDo, text);
        return Secret::Inline;
    }
    let text = format!("not in headscale's file (in HEADSCALE_OIDC_CLIENT_SECRET?): {put}");
    notes.add(KEY, What::ToDo, text);
    Secret::Elsewhere
}

fn scope(old: &Old, notes: &mut Notes) -> Vec<String> {
    let mut scope = old.list("oidc.scope");
    if !scope.is_empty() && !scope.iter().any(|name| name == "openid") {
        notes.add(
            "oidc.scope",
            What::Changed,
            "openid is added: no ID token comes without it",
        );
        scope.insert(0, "openid".to_owned());
    }
    scope
}

fn extra_params(old: &Old, notes: &mut Notes) -> Vec<(String, String)> {
    let (ours, params): (Vec<_>, Vec<_>) = old
        .map("oidc.extra_params")
        .into_iter()
        .partition(|(name, _)| PROTOCOL.contains(&name.as_str()));
    for (name, _) in ours {
        let text = "headwarden sets this parameter itself: headscale keeps it for its own sign-in";
        notes.add(&format!("oidc.extra_params.{name}"), What::Stays, text);
    }
    params
}

fn rules(provider: &Provider, notes: &mut Notes) {
    if provider.lets_everybody() {
        let text = "headscale lets everybody in who has an account at the provider, and so does \
                    allow_everyone: true; better name allowed_groups";
        notes.add("headwarden: oidc.allow_everyone", What::ToDo, text);
    }
    let by_mail = !provider.allowed_domains.is_empty() || !provider.allowed_users.is_empty();
    if by_mail && provider.email_verified_required.is_none() {
        let text = "true here, as in headscale since 0.28; before, unverified addresses counted \
                    too. authentik calls every address unverified unless it is told otherwise";
        notes.add("headwarden: oidc.email_verified_required", What::ToDo, text);
    }
}

/// Without an `oidc:` block there is nobody to sign in with yet.
fn example(notes: &mut Notes) -> Provider {
    let text = "headscale has no oidc: block, so issuer, client_id and allowed_groups are examples: \
                write your provider's. To have devices signed in by people too, write \
                headscale.sign_in: issuer";
    notes.add("headwarden: oidc", What::ToDo, text);
    let text = format!("the provider's client secret goes into the file of {SECRET_PATH}");
    notes.add("headwarden: oidc.client_secret_path", What::ToDo, text);
    Provider {
        own: false,
        only_start: None,
        issuer: "https://authentik.company/application/o/headscale/".to_owned(),
        client_id: "headwarden".to_owned(),
        secret: Secret::Elsewhere,
        secret_path: SECRET_PATH.to_owned(),
        scope: Vec::new(),
        extra_params: Vec::new(),
        allowed_domains: Vec::new(),
        allowed_groups: vec!["headscale".to_owned()],
        allowed_users: Vec::new(),
        email_verified_required: None,
        pkce_enabled: None,
        pkce_method: None,
        use_expiry_from_token: None,
        fatal: Vec::new(),
    }
}
