//! Headscale behind us, and the issuer it trusts.

use std::path::PathBuf;
use std::time::Duration;

use super::super::file;
use super::super::report::Report;
use super::super::settings::{Headscale, IssuerSettings, Settings, SignIn, Upstream};
use super::values::{self, DAY, MINUTE, SECOND, duration};
use super::{Checks, Reported, assurance, renewal, secrets, tls};
use crate::domain::identity::Issuer;

const DEFAULT_URL: &str = "http://127.0.0.1:8080";
const DEFAULT_ISSUER_ADDRESS: &str = "127.0.0.1:8181";
const DEFAULT_ISSUER_KEY: &str = "/var/lib/headwarden/issuer_key.json";
/// The secret between us and Headscale is ours to choose, so a short one is a mistake.
const LEAST_SECRET_CHARS: usize = 16;

/// The `headscale` section.
pub(super) fn headscale(file: file::Headscale, checks: &mut Checks<'_>) -> Option<Headscale> {
    let ca_path = path_if("headscale.ca_path", file.ca_path, checks);
    let url = file.url.as_deref().unwrap_or(DEFAULT_URL);
    let grpc = grpc(file.grpc_url.as_deref(), ca_path.as_ref().ok(), checks);
    let upstream = ca_path
        .ok()
        .and_then(|ca_path| values::upstream("headscale.url", url, ca_path, &mut checks.report));
    let api_key_path = file.api_key_path.clone();
    let api_key = secrets::secret("headscale.api_key", file.api_key, file.api_key_path, checks);
    let renewal = renewal::of(file.api_key_rotate, api_key_path.as_deref(), checks);
    let verify_from = values::networks(
        "headscale.verify_from",
        file.verify_from,
        &mut checks.report,
    );
    if verify_from.as_deref().is_some_and(values::is_everything) {
        checks.report.warn(
            "headscale.verify_from",
            "open to everybody: anyone may ask which node keys are in the tailnet",
        );
    }
    let mut wait = |key: &str, text: Option<String>, default: u64| {
        let bounds = (SECOND, 10 * MINUTE);
        duration(
            key,
            text.as_deref(),
            Duration::from_secs(default),
            bounds,
            &mut checks.report,
        )
    };
    let response_timeout = wait("headscale.response_timeout", file.response_timeout, 60);
    let connect_timeout = wait("headscale.connect_timeout", file.connect_timeout, 5);
    let sign_in = sign_in(file.sign_in.as_deref(), file.issuer, checks);
    Some(Headscale {
        upstream: upstream?,
        grpc: grpc.ok()?,
        sign_in: sign_in?,
        api_key: api_key.ok()?,
        renewal: renewal?,
        verify_from: verify_from?,
        response_timeout: response_timeout?,
        connect_timeout: connect_timeout?,
    })
}

/// Headscale's gRPC, whose certificate is the one of its main listener.
fn grpc(
    url: Option<&str>,
    ca_path: Option<&Option<PathBuf>>,
    checks: &mut Checks<'_>,
) -> Result<Option<Upstream>, Reported> {
    const KEY: &str = "headscale.grpc_url";
    let Some(url) = url else {
        if checks.report.is_broken(KEY) {
            return Err(Reported);
        }
        return Ok(None);
    };
    let ca_path = ca_path.ok_or(Reported)?;
    let ca_path = ca_path.clone().filter(|_| url.starts_with("https:"));
    values::upstream(KEY, url, ca_path, &mut checks.report)
        .map(Some)
        .ok_or(Reported)
}

/// An optional path.
pub(super) fn path_if(
    key: &str,
    text: Option<String>,
    checks: &mut Checks<'_>,
) -> Result<Option<PathBuf>, Reported> {
    match text {
        None if checks.report.is_broken(key) => Err(Reported),
        None => Ok(None),
        Some(text) => secrets::path(key, Some(text), checks)
            .map(Some)
            .ok_or(Reported),
    }
}

fn sign_in(
    word: Option<&str>,
    issuer: Option<file::Issuer>,
    checks: &mut Checks<'_>,
) -> Option<SignIn> {
    const KEY: &str = "headscale.sign_in";
    let simple = match word {
        Some("issuer") => {
            let issuer = self::issuer(issuer.unwrap_or_default(), checks);
            return issuer.map(|issuer| SignIn::Issuer(Box::new(issuer)));
        }
        Some("own") => SignIn::Own,
        Some("none") => SignIn::None,
        Some(_) => {
            checks
                .report
                .refuse_with(KEY, "no such way to sign in", "issuer, own or none");
            // Most likely it was meant, and its mistakes belong in the same report.
            if let Some(issuer) = issuer {
                let _ = self::issuer(issuer, checks);
            }
            return None;
        }
        None => {
            checks.report.refuse_with(
                KEY,
                "is required, since it decides who Headscale's users are",
                "issuer for a new tailnet; own where Headscale has an oidc: block already; none \
                 where it has none",
            );
            return None;
        }
    };
    if issuer.is_some() {
        checks.report.warn(
            "headscale.issuer",
            "not used, since headscale.sign_in is not issuer",
        );
    }
    Some(simple)
}

fn issuer(file: file::Issuer, checks: &mut Checks<'_>) -> Option<IssuerSettings> {
    let url = issuer_url(file.url, &mut checks.report);
    let address = values::address(
        "headscale.issuer.address",
        file.address.as_deref().unwrap_or(DEFAULT_ISSUER_ADDRESS),
        &mut checks.report,
    );
    let tls = tls::issuer("headscale.issuer.tls", file.tls, checks);
    let client_id = file.client_id.unwrap_or_else(|| "headscale".to_owned());
    let client_id_ok = check_client_id("headscale.issuer.client_id", &client_id, checks);
    let secret_key = "headscale.issuer.client_secret";
    let path_key = file.client_secret_path.is_some();
    let secret = secrets::required(
        secret_key,
        file.client_secret,
        file.client_secret_path,
        checks,
    )
    .filter(|secret| {
        let long = secret.expose().chars().count() >= LEAST_SECRET_CHARS;
        if !long {
            let key = if path_key {
                format!("{secret_key}_path")
            } else {
                secret_key.to_owned()
            };
            checks.report.refuse_with(
                &key,
                format!("the secret is shorter than {LEAST_SECRET_CHARS} characters"),
                "make one with: openssl rand -hex 32",
            );
        }
        long
    });
    let key_path = file
        .key_path
        .unwrap_or_else(|| DEFAULT_ISSUER_KEY.to_owned());
    let key_path = secrets::path("headscale.issuer.key_path", Some(key_path), checks);
    let expiry_key = "headscale.issuer.node_expiry";
    let node_expiry = file.node_expiry.map(|text| {
        let bounds = (5 * MINUTE, 3650 * DAY);
        duration(expiry_key, Some(&text), DAY, bounds, &mut checks.report)
    });
    let ssh = assurance::Written {
        max_age: file.ssh_max_age,
        acr: file.ssh_acr,
        amr: file.ssh_amr,
    };
    let ssh = assurance::of_ssh(ssh, &mut checks.report);
    let settings = IssuerSettings {
        url: url?,
        address: address?,
        tls: tls.ok()?,
        client_id: client_id_ok.then_some(client_id)?,
        client_secret: secret?,
        key_path: key_path?,
        node_expiry: node_expiry.map_or(Some(None), |found| found.map(Some))?,
        ssh: ssh?,
    };
    check_privacy(
        &settings,
        file.allow_plaintext == Some(true),
        &mut checks.report,
    );
    Some(settings)
}

/// The issuer string: an origin in its canonical spelling, since it is compared byte for byte and
/// is part of every user's identity.
fn issuer_url(text: Option<String>, report: &mut Report) -> Option<Issuer> {
    const KEY: &str = "headscale.issuer.url";
    let Some(text) = text else {
        report.refuse_with(
            KEY,
            "is required",
            "where Headscale reaches the private listener, for ever: http://127.0.0.1:8181",
        );
        return None;
    };
    let url = values::http_url(KEY, &text, report)?;
    let canonical = url.origin().ascii_serialization();
    if text != canonical {
        let reason = if text.strip_suffix('/') == Some(canonical.as_str()) {
            "must not end in a slash"
        } else {
            "must be scheme, host and port only, in lower case, without the default port"
        };
        report.refuse_with(KEY, reason, format!("write {canonical}"));
        return None;
    }
    Some(Issuer::new(text))
}

/// The private listener carries codes and the client secret.
fn check_privacy(settings: &IssuerSettings, allow_plaintext: bool, report: &mut Report) {
    const KEY: &str = "headscale.issuer.address";
    let loopback = settings.address.ip().to_canonical().is_loopback();
    let https = settings.url.as_str().starts_with("https://");
    if settings.tls.is_none() && !loopback {
        if allow_plaintext {
            report.warn(
                KEY,
                "not loopback and without tls: keep this network private",
            );
        } else {
            report.refuse_with(
                KEY,
                "not loopback and without tls: codes and the client secret would travel in clear",
                "add headscale.issuer.tls; on a private network only, \
                 headscale.issuer.allow_plaintext: true",
            );
        }
    }
    match (https, settings.tls.is_some()) {
        (false, true) => report.refuse_with(
            "headscale.issuer.url",
            "is http although headscale.issuer.tls is set",
            "write https://",
        ),
        (true, false) => report.warn(
            "headscale.issuer.url",
            "https without headscale.issuer.tls: something else has to terminate TLS",
        ),
        (true, true) | (false, false) => {}
    }
}

/// A client id that can be sent as it is (RFC 6749 appendix A.1: visible ASCII).
pub(super) fn check_client_id(key: &str, text: &str, checks: &mut Checks<'_>) -> bool {
    let visible = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    let hint = "write the Client ID itself";
    if text.trim().is_empty() {
        checks.report.refuse_with(key, "is empty", hint);
    } else if secrets::is_placeholder(text) {
        checks
            .report
            .refuse_with(key, "this is a placeholder", hint);
    } else if !visible {
        checks
            .report
            .refuse(key, "must be visible ASCII without blanks");
    }
    visible && !secrets::is_placeholder(text)
}

/// What the issuer and the provider's section say together.
pub(super) fn check_with_provider(settings: &Settings, report: &mut Report) {
    let from_token = settings.oidc.use_expiry_from_token;
    let SignIn::Issuer(issuer) = &settings.headscale.sign_in else {
        if from_token {
            report.warn(
                "oidc.use_expiry_from_token",
                "no effect here: devices are Headscale's business unless headscale.sign_in is issuer",
            );
        }
        return;
    };
    if from_token && issuer.node_expiry.is_some() {
        report.refuse_with(
            "oidc.use_expiry_from_token",
            "excludes headscale.issuer.node_expiry: a device has one expiry",
            "delete one of the two; node_expiry is the one to keep with authentik, whose tokens \
             live for minutes",
        );
    }
    if issuer.url == settings.oidc.issuer || issuer.url.as_str() == settings.server_url.origin {
        report.refuse_with(
            "headscale.issuer.url",
            "must be an address of its own, neither the provider's nor server_url",
            "the private listener's: http://127.0.0.1:8181",
        );
    }
    if issuer.key_path == settings.keys_path {
        report.refuse("headscale.issuer.key_path", "the same file as keys_path");
    }
    if settings.headscale.api_key.is_none() && issuer.node_expiry.is_none() && !from_token {
        report.warn(
            "headscale.issuer.node_expiry",
            "without it and without offboarding.expire_nodes, which needs headscale.api_key_path, a \
             person who loses access keeps the devices they have; only browsers and new devices \
             stop",
        );
    }
}
