//! The provider people sign in with: Headscale's keys, and ours beside them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::file;
use super::super::report::Report;
use super::super::settings::{Oidc, Pkce};
use super::headscale::{check_client_id, path_if};
use super::values::{self, MINUTE, SECOND, duration, is_loopback, texts};
use super::{Checks, secrets};
use crate::domain::identity::Issuer;
use crate::domain::username::StripDomain;

/// Parameters of the authorization request that are Headwarden's to set, or that would change what
/// the answer means (OpenID Connect Core section 3.1.2.1, RFC 7636, RFC 9101, RFC 9126).
const PROTOCOL_PARAMETERS: &[&str] = &[
    "client_assertion",
    "client_assertion_type",
    "client_id",
    "client_secret",
    "code",
    "code_challenge",
    "code_challenge_method",
    "code_verifier",
    "grant_type",
    "id_token_hint",
    "login_hint",
    "max_age",
    "nonce",
    "prompt",
    "redirect_uri",
    "registration",
    "request",
    "request_uri",
    "response_mode",
    "response_type",
    "scope",
    "state",
];

/// The shortest client secret, in bytes, that ID tokens may be signed with.
const SHORTEST_HS256_SECRET: usize = 32;

/// The `oidc` section, without the rules in it.
pub(super) fn oidc(file: file::Oidc, checks: &mut Checks<'_>) -> Option<Oidc> {
    let issuer = issuer(file.issuer, &mut checks.report);
    let client_id = client_id(file.client_id, checks);
    let client_secret = secrets::required(
        "oidc.client_secret",
        file.client_secret,
        file.client_secret_path,
        checks,
    );
    let scope = scope(file.scope, &mut checks.report);
    let extra_params = extra_params(file.extra_params, &mut checks.report);
    let pkce = pkce(&file.pkce.unwrap_or_default(), &mut checks.report);
    let username_claim = claim(
        "oidc.username_claim",
        file.username_claim,
        "preferred_username",
        &mut checks.report,
    );
    let groups_claim = claim(
        "oidc.groups_claim",
        file.groups_claim,
        "groups",
        &mut checks.report,
    );
    let ca_path = path_if("oidc.ca_path", file.ca_path, checks);
    let mut wait = |key: &str, text: Option<String>, default: u64, most: Duration| {
        let default = Duration::from_secs(default);
        duration(
            key,
            text.as_deref(),
            default,
            (SECOND, most),
            &mut checks.report,
        )
    };
    let timeout = wait("oidc.timeout", file.timeout, 10, 2 * MINUTE);
    let start_timeout = wait("oidc.start_timeout", file.start_timeout, 60, 60 * MINUTE);
    let hs256 = file.allow_hs256 == Some(true);
    let length = client_secret.as_ref().map(|secret| secret.expose().len());
    let allow_hs256 = allow_hs256(hs256, length, &mut checks.report);
    Some(Oidc {
        only_start_if_available: file.only_start_if_oidc_is_available.unwrap_or(true),
        start_timeout: start_timeout?,
        issuer: issuer?,
        client_id: client_id?,
        client_secret: client_secret?,
        scope: scope?,
        extra_params: extra_params?,
        pkce: pkce?,
        allow_hs256: allow_hs256?,
        username_claim: username_claim?,
        groups_claim: groups_claim?,
        kept_claims: Vec::new(),
        strip_email_domain: match file.strip_email_domain {
            Some(true) => StripDomain::Strip,
            Some(false) => StripDomain::Dot,
            None => StripDomain::Keep,
        },
        use_expiry_from_token: file.use_expiry_from_token.unwrap_or(false),
        ca_path: ca_path.ok()?,
        timeout: timeout?,
    })
}

/// The issuer, kept byte for byte: a trailing slash is part of it.
fn issuer(text: Option<String>, report: &mut Report) -> Option<Issuer> {
    const KEY: &str = "oidc.issuer";
    let example = "https://authentik.company/application/o/headscale/";
    let Some(text) = text else {
        report.refuse_with(KEY, "is required", format!("for example {example}"));
        return None;
    };
    if text.contains(['<', '>']) || secrets::is_placeholder(&text) {
        report.refuse_with(
            KEY,
            "still holds a placeholder",
            "write the slug of your application in its place",
        );
        return None;
    }
    let url = values::http_url(KEY, &text, report)?;
    let problem = if url.scheme() != "https" && !is_loopback(&url) {
        Some((
            "must be https",
            "the issuer's keys decide who signs in; plain http only on loopback",
        ))
    } else if url.query().is_some() || url.fragment().is_some() {
        Some((
            "an issuer has no query and no fragment",
            "copy `OpenID Configuration Issuer`",
        ))
    } else if url.path().contains("/.well-known/") {
        Some((
            "this is the discovery document, not the issuer",
            "end it before /.well-known/",
        ))
    } else {
        None
    };
    if let Some((reason, hint)) = problem {
        report.refuse_with(KEY, reason, hint);
        return None;
    }
    if is_authentik(&text) && !text.ends_with('/') {
        report.warn(KEY, "authentik's issuers end in a slash, this one does not");
    }
    Some(Issuer::new(text))
}

/// Whether an issuer looks like one of authentik's.
pub(in crate::config) fn is_authentik(issuer: &str) -> bool {
    issuer.contains("/application/o/")
}

fn client_id(text: Option<String>, checks: &mut Checks<'_>) -> Option<String> {
    const KEY: &str = "oidc.client_id";
    let Some(text) = text else {
        checks
            .report
            .refuse_with(KEY, "is required", "the provider's Client ID");
        return None;
    };
    check_client_id(KEY, &text, checks).then_some(text)
}

fn scope(list: file::List<String>, report: &mut Report) -> Option<Vec<String>> {
    const KEY: &str = "oidc.scope";
    if list.is_none() {
        let defaults = ["openid", "profile", "email"].map(str::to_owned);
        return (!report.is_broken(KEY)).then_some(defaults.into());
    }
    let scope = texts(KEY, list, report)?;
    let mut good = true;
    for (index, name) in scope.iter().enumerate() {
        // RFC 6749 section 3.3: visible ASCII without the quote and the backslash.
        if !name
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\')
        {
            report.refuse_with(
                &format!("{KEY}[{index}]"),
                "not the name of one scope",
                "one entry for each scope: [openid, profile, email]",
            );
            good = false;
        }
    }
    if good && !scope.iter().any(|name| name == "openid") {
        report.refuse_with(
            KEY,
            "openid is missing, and no ID token comes without it",
            "add openid",
        );
        good = false;
    }
    good.then_some(scope)
}

fn extra_params(
    params: Option<BTreeMap<String, Option<String>>>,
    report: &mut Report,
) -> Option<BTreeMap<String, String>> {
    let mut good = !report.is_broken("oidc.extra_params");
    let mut all = BTreeMap::new();
    for (name, value) in params.unwrap_or_default() {
        let key = format!("oidc.extra_params.{name}");
        if report.is_broken(&key) {
            good = false;
        } else if PROTOCOL_PARAMETERS.contains(&name.to_ascii_lowercase().as_str()) {
            report.refuse_with(
                &key,
                "Headwarden sets this parameter itself",
                "delete the line",
            );
            good = false;
        } else if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            report.refuse(&key, "not the name of a parameter");
            good = false;
        } else {
            all.insert(name, value.unwrap_or_default());
        }
    }
    good.then_some(all)
}

fn pkce(file: &file::Pkce, report: &mut Report) -> Option<Pkce> {
    if file.enabled == Some(false) {
        report.warn(
            "oidc.pkce.enabled",
            "PKCE stays on; a provider that lacks it ignores it",
        );
    }
    let words = [("S256", Pkce::S256), ("plain", Pkce::Plain)];
    let method = values::choice(
        "oidc.pkce.method",
        file.method.as_deref(),
        &words,
        Pkce::S256,
        report,
    )?;
    if method == Pkce::Plain {
        report.warn(
            "oidc.pkce.method",
            "plain protects little; S256 works with authentik",
        );
    }
    Some(method)
}

/// HS256 with a short secret is worse than none: whoever sees one token can look for the secret at
/// home (RFC 7518 section 3.2).
fn allow_hs256(wanted: bool, secret_length: Option<usize>, report: &mut Report) -> Option<bool> {
    const KEY: &str = "oidc.allow_hs256";
    if !wanted {
        return Some(false);
    }
    if secret_length.is_some_and(|length| length < SHORTEST_HS256_SECRET) {
        report.refuse_with(
            KEY,
            "the client secret is shorter than 32 bytes, and tokens signed with it can be forged",
            "give the provider a signing key and delete the line; or make the secret longer",
        );
        return None;
    }
    report.warn(
        KEY,
        "whoever knows the client secret can sign ID tokens; a signing key at the provider is \
         better",
    );
    Some(true)
}

fn claim(key: &str, text: Option<String>, default: &str, report: &mut Report) -> Option<String> {
    let text = text.unwrap_or_else(|| default.to_owned());
    claim_name(key, &text, report).map(|()| text)
}

/// A plain, dotted or namespaced name.
pub(super) fn claim_name(key: &str, name: &str, report: &mut Report) -> Option<()> {
    if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c.is_control()) {
        report.refuse(key, "not the name of a claim");
        return None;
    }
    Some(())
}
