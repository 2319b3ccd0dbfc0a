//! Both files as YAML, with the reason beside each line.

use std::fmt::Write as _;

use super::old::Old;
use super::place::{Acme, Place, Tls};
use super::provider::{Provider, Secret};
use crate::domain::text::{escaped_json, shown};

/// A text in quotes: JSON's are YAML's, too.
fn quoted(text: &str) -> String {
    escaped_json(&serde_json::Value::from(text).to_string())
}

fn list(values: &[String]) -> String {
    let values: Vec<String> = values.iter().map(|value| quoted(value)).collect();
    format!("[{}]", values.join(", "))
}

/// Lines, with a comment behind those that have one.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn comment(&mut self, text: &str) {
        let _ = writeln!(self.0, "# {}", shown(text));
    }

    fn blank(&mut self) {
        self.0.push('\n');
    }

    fn line(&mut self, text: &str) {
        self.0.push_str(text);
        self.0.push('\n');
    }

    fn why(&mut self, text: &str, why: &str) {
        let _ = writeln!(self.0, "{text:<46} # {}", shown(why));
    }
}

/// Headwarden's configuration.
pub(super) fn config(name: &str, old: &Old, place: &Place, provider: &Provider) -> String {
    let mut to = Lines::default();
    to.comment(&format!(
        "Headwarden's configuration, made from {name} by `headwarden import`."
    ));
    to.comment("Every key and its default: docs/configuration.md. Then: headwarden check");
    to.blank();
    listeners(&mut to, place);
    headscale_section(&mut to, place, provider);
    oidc(&mut to, provider);
    log(&mut to, old);
    to.0
}

fn listeners(to: &mut Lines, place: &Place) {
    to.why(
        &format!("server_url: {}", quoted(&place.server_url)),
        "the same value as Headscale's server_url",
    );
    if place.insecure {
        to.why(
            "allow_insecure_server_url: true",
            "Headscale is reached over plain http: for test networks only",
        );
    }
    to.blank();
    to.line("listen:");
    to.why(
        &format!("  - address: {}", quoted(&place.listen.to_string())),
        &format!(
            "where Headscale listened ({}): nothing in front has to change",
            place.was
        ),
    );
    match &place.tls {
        Tls::Files { cert, key } => {
            to.line("    tls:");
            let cert = format!("      cert_path: {}", quoted(cert));
            to.why(
                &cert,
                "Headscale's tls_cert_path; Headwarden's user must be able to read both",
            );
            to.line(&format!("      key_path: {}", quoted(key)));
        }
        Tls::Acme(_) => to.why("    tls: { acme: true }", "ordered as below"),
        Tls::InFront | Tls::Nobody => {}
    }
    if let Some(plaintext) = place.plaintext {
        to.why(
            &format!("  - address: {}", quoted(&plaintext.to_string())),
            "the control protocol, and redirects to https",
        );
    }
    if !place.trusted_proxies.is_empty() {
        to.blank();
        to.why(
            &format!("trusted_proxies: {}", list(&place.trusted_proxies)),
            "what stands in front; its X-Forwarded-For and -Proto count",
        );
    }
    to.blank();
    if let Tls::Acme(acme) = &place.tls {
        orders(to, acme);
    }
}

/// How certificates are ordered.
fn orders(to: &mut Lines, acme: &Acme) {
    to.line("acme:");
    to.why(
        "  terms_of_service_agreed: true",
        "TO DO: read them; Headscale agreed by itself",
    );
    if let Some(url) = &acme.directory_url {
        to.line(&format!("  directory_url: {}", quoted(url)));
    }
    if let Some(contact) = &acme.contact {
        to.line(&format!("  contact: [{}]", quoted(contact)));
    }
    to.line(&format!("  names: [{}]", quoted(&acme.name)));
    to.line(&format!("  challenge: {}", acme.challenge));
    to.blank();
}

fn headscale_section(to: &mut Lines, place: &Place, provider: &Provider) {
    to.line("headscale:");
    to.why(
        &format!("  url: \"http://{}\"", place.headscale),
        "Headscale's listen_addr from now on",
    );
    if provider.own {
        to.why("  sign_in: own", "Headscale keeps its oidc: block");
        to.line(
            "  # own, because Headscale's key for a person is the issuer and the subject: with",
        );
        to.line("  # sign_in: issuer everybody would be somebody new to it. To move to it later, and have");
        to.line("  # one sign-in for pages and devices, see `headwarden headscale-migrate` first.");
    } else {
        to.why("  sign_in: none", "Headscale has no oidc: block");
    }
    to.line("  # With an API key, people with a role use /api/v1 and static web UIs without pasting one:");
    to.line("  # api_key_path: ${CREDENTIALS_DIRECTORY}/headscale_api_key");
    to.blank();
}

fn oidc(to: &mut Lines, provider: &Provider) {
    to.line("oidc:");
    if let Some(wait) = provider.only_start {
        to.line(&format!("  only_start_if_oidc_is_available: {wait}"));
    }
    let same = if provider.own {
        "as in Headscale"
    } else {
        "TO DO: your provider's"
    };
    to.why(
        &format!("  issuer: {}", quoted(&provider.issuer)),
        &format!("{same}, byte for byte"),
    );
    to.why(
        &format!("  client_id: {}", quoted(&provider.client_id)),
        same,
    );
    let secret = match provider.secret {
        Secret::Path(_) => "the file that Headscale reads too",
        Secret::Inline | Secret::Elsewhere => "TO DO: put the client secret there",
    };
    to.why(
        &format!("  client_secret_path: {}", quoted(&provider.secret_path)),
        secret,
    );
    if !provider.scope.is_empty() {
        to.line(&format!("  scope: {}", list(&provider.scope)));
    }
    if !provider.scope.iter().any(|name| name == "offline_access") {
        to.line(
            "  # With offline_access in scope, people are checked again while they are signed in:",
        );
        to.line("  # docs/sessions.md");
    }
    if !provider.extra_params.is_empty() {
        to.line("  extra_params:");
        for (name, value) in &provider.extra_params {
            to.line(&format!("    {}: {}", quoted(name), quoted(value)));
        }
    }
    rules(to, provider);
    if let Some(method) = &provider.pkce_method {
        to.line(&format!("  pkce: {{ method: {} }}", quoted(method)));
    }
}

fn rules(to: &mut Lines, provider: &Provider) {
    for (key, values) in [
        ("allowed_domains", &provider.allowed_domains),
        ("allowed_groups", &provider.allowed_groups),
        ("allowed_users", &provider.allowed_users),
    ] {
        if !values.is_empty() {
            to.line(&format!("  {key}: {}", list(values)));
        }
    }
    if provider.lets_everybody() {
        to.why(
            "  allow_everyone: true",
            "as Headscale without a list; better name allowed_groups",
        );
    }
    if let Some(required) = provider.email_verified_required {
        to.line(&format!("  email_verified_required: {required}"));
    }
}

fn log(to: &mut Lines, old: &Old) {
    let format = match old.text("log.format").as_deref() {
        Some("json") => Some("json"),
        Some(_) => Some("human"),
        None => None,
    };
    let level = old
        .text("log.level")
        .map(|level| match level.to_ascii_lowercase().as_str() {
            "trace" => "trace",
            "debug" => "debug",
            "warn" | "warning" => "warn",
            "error" | "fatal" | "panic" => "error",
            _ => "info",
        });
    if format.is_none() && level.is_none() {
        return;
    }
    to.blank();
    to.line("log:");
    if let Some(format) = format {
        to.line(&format!("  format: {format}"));
    }
    if let Some(level) = level {
        to.line(&format!("  level: {level}"));
    }
}

/// What changes in Headscale's configuration.
pub(super) fn headscale(name: &str, place: &Place, provider: &Provider) -> String {
    let mut to = Lines::default();
    to.comment(&format!(
        "Change these lines in {name} and leave all others; then restart Headscale."
    ));
    to.blank();
    to.why(
        &format!("listen_addr: \"{}\"", place.headscale),
        &format!(
            "was {}: nobody may reach Headscale past Headwarden",
            place.was
        ),
    );
    match &place.tls {
        Tls::Files { .. } => {
            to.why("tls_cert_path: \"\"", "Headwarden has the certificate now");
            to.line("tls_key_path: \"\"");
        }
        Tls::Acme(_) => to.why(
            "tls_letsencrypt_hostname: \"\"",
            "Headwarden has the certificate now",
        ),
        Tls::InFront | Tls::Nobody => {}
    }
    to.why(
        "trusted_proxies: [\"127.0.0.1/32\"]",
        "Headwarden, so that Headscale sees clients' addresses; 0.29 and newer",
    );
    if provider.own {
        to.blank();
        block(&mut to, provider);
    }
    to.0
}

/// Headscale's own block, as it may stay on every version.
fn block(to: &mut Lines, provider: &Provider) {
    to.line(
        "oidc:                                          # as it was, but for what is said here",
    );
    if let Some(wait) = provider.only_start {
        to.line(&format!("  only_start_if_oidc_is_available: {wait}"));
    }
    to.line(&format!("  issuer: {}", quoted(&provider.issuer)));
    to.line(&format!("  client_id: {}", quoted(&provider.client_id)));
    match &provider.secret {
        Secret::Path(path) => to.line(&format!("  client_secret_path: {}", quoted(path))),
        Secret::Inline => to.line("  # client_secret stays as it is: it is not repeated here"),
        Secret::Elsewhere => to.line("  # the client secret stays where it is"),
    }
    if !provider.scope.is_empty() {
        to.line(&format!("  scope: {}", list(&provider.scope)));
    }
    if !provider.extra_params.is_empty() {
        to.line("  # extra_params stay as they are");
    }
    if !provider.lets_everybody() {
        to.line("  # Headwarden asks the same lists first; here they still decide about devices.");
    }
    rules_of_headscale(to, provider);
    for key in &provider.fatal {
        let since = if *key == "expiry" {
            "0.29 (write node.expiry)"
        } else {
            "0.26"
        };
        to.line(&format!(
            "  # delete {key}: Headscale refuses to start with it since {since}"
        ));
    }
}

fn rules_of_headscale(to: &mut Lines, provider: &Provider) {
    for (key, values) in [
        ("allowed_domains", &provider.allowed_domains),
        ("allowed_groups", &provider.allowed_groups),
        ("allowed_users", &provider.allowed_users),
    ] {
        if !values.is_empty() {
            to.line(&format!("  {key}: {}", list(values)));
        }
    }
    if let Some(required) = provider.email_verified_required {
        to.line(&format!("  email_verified_required: {required}"));
    }
    let pkce = (provider.pkce_enabled, &provider.pkce_method);
    if pkce != (None, &None) {
        to.line("  pkce:");
        if let Some(enabled) = provider.pkce_enabled {
            to.line(&format!("    enabled: {enabled}"));
        }
        if let Some(method) = &provider.pkce_method {
            to.line(&format!("    method: {}", quoted(method)));
        }
    }
    if let Some(from_token) = provider.use_expiry_from_token {
        to.line(&format!("  use_expiry_from_token: {from_token}"));
    }
}
