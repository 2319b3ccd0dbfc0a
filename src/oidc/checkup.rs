//! A look at the provider, for `headwarden doctor`: everything that can be known without a person who
//! signs in, each finding with its fix. It believes what the gate believes: discovery, keys and the
//! token endpoint are read by the functions that a sign-in uses.

mod endpoints;
mod facts;

use std::sync::Arc;

use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::discovery::{self, DiscoveryError, Metadata};
use super::http::{Answer, Http, HttpError};
use super::jwks;
use crate::config::Oidc;
use crate::domain::calendar::parse_http_date;
use crate::domain::finding::Finding;
use crate::domain::policy::Rules;
use crate::domain::time::Clock;
use crate::ops::metrics::{Endpoint, Metrics};

/// What is looked at, and by whose rules.
#[derive(Clone, Copy, Debug)]
pub struct Checkup<'a> {
    /// The provider as configured.
    pub settings: &'a Oidc,
    /// Who may pass.
    pub rules: &'a Rules,
    /// Our callback.
    pub redirect_uri: &'a str,
    /// Whether somebody set down how often people are checked again while they are signed in.
    pub rechecks: bool,
    /// Every group that the configuration names, with the key it stands at.
    pub groups: &'a [(String, String)],
    /// Somebody's claims, if they were handed in.
    pub person: Option<&'a Person>,
    /// The present.
    pub clock: &'a dyn Clock,
}

/// Somebody's claims, as far as the rules care.
#[derive(Clone, Debug)]
pub struct Person {
    /// Their groups.
    pub groups: Vec<String>,
    /// Whether there is an address, and whether the provider verified it.
    pub email_verified: Option<bool>,
}

const DISCOVERY: &str = "provider.discovery";
const SIGNING: &str = "provider.signing";
const ENCRYPTION: &str = "provider.encryption";
const KEYS: &str = "provider.keys";
const CLOCK: &str = "provider.clock";

/// How far the clocks may be apart, in seconds: what tokens are given, too.
const SKEW: u64 = 60;

/// Looks at everything, in a fixed order; a failure keeps nothing but what needs it from being looked
/// at.
pub async fn check_up(checkup: &Checkup<'_>) -> Vec<Finding> {
    let settings = checkup.settings;
    let http = match client(settings) {
        Ok(http) => http,
        Err(why) => {
            let fix = "mend oidc.ca_path, or install the system's CA certificates";
            return vec![Finding::failure(DISCOVERY, why, fix)];
        }
    };
    let answer = fetch(&http, settings).await;
    let date = answer.as_ref().ok().and_then(|answer| answer.date.clone());
    let document = answer.and_then(|answer| answer.object());
    let mut findings = Vec::new();
    let (metadata, document) = believe(document, settings, &mut findings);
    findings.push(signing(document.as_ref(), settings));
    findings.push(encryption(document.as_ref()));
    findings.push(keys(&http, metadata.as_ref(), settings).await);
    findings.push(clock(date.as_deref(), checkup));
    endpoints::look(&http, metadata.as_ref(), checkup, &mut findings).await;
    facts::look(document.as_ref(), checkup, &mut findings);
    findings
}

/// A client of our own; its questions are counted where nobody looks.
fn client(settings: &Oidc) -> Result<Http, String> {
    let metrics = Metrics::new().map_err(|why| why.to_string())?;
    let client = Http::new(
        settings.ca_path.as_deref(),
        settings.timeout,
        Arc::new(metrics),
    );
    client.map_err(|why| why.to_string())
}

async fn fetch(http: &Http, settings: &Oidc) -> Result<Answer, HttpError> {
    let url = discovery::document_url(&settings.issuer)
        .map_err(|why| HttpError::Failed(why.to_string()))?;
    http.get(Endpoint::Discovery, &url, None)
        .await
        .and_then(Answer::ok)
}

/// The metadata as a sign-in would believe it. Where only the signature algorithm stands in the way,
/// the rest is looked at all the same.
fn believe(
    document: Result<Map<String, Value>, HttpError>,
    settings: &Oidc,
    findings: &mut Vec<Finding>,
) -> (Option<Metadata>, Option<Map<String, Value>>) {
    let document = match document {
        Ok(document) => document,
        Err(why) => {
            let told = format!("no discovery document of {}: {why}", settings.issuer);
            findings.push(Finding::failure(DISCOVERY, told, fetch_fix(&why)));
            return (None, None);
        }
    };
    let read = |hs256| discovery::parse_document(document.clone(), &settings.issuer, hs256);
    let metadata = match read(settings.allow_hs256) {
        Err(DiscoveryError::Algorithms { .. }) => read(true),
        other => other,
    };
    match metadata {
        Ok(metadata) => {
            let issuer = settings.issuer.to_string();
            let https = if issuer.starts_with("https:") {
                "https, and "
            } else {
                ""
            };
            let told = format!("{issuer} is known; its endpoints are {https}of its own");
            findings.push(Finding::ok(DISCOVERY, told));
            (Some(metadata), Some(document))
        }
        // Its algorithms have a finding of their own.
        Err(DiscoveryError::Algorithms { .. }) => {
            let told = format!("{} is known", settings.issuer);
            findings.push(Finding::ok(DISCOVERY, told));
            (None, Some(document))
        }
        Err(why) => {
            findings.push(Finding::failure(
                DISCOVERY,
                why.to_string(),
                believe_fix(&why),
            ));
            (None, Some(document))
        }
    }
}

fn fetch_fix(why: &HttpError) -> String {
    match why {
        HttpError::Redirect(_) => {
            "write the address that it redirects to as oidc.issuer: the issuer is compared byte for \
             byte, so copy it from the provider"
        }
        HttpError::NotJson(_) | HttpError::RepeatedName => {
            "this is no discovery document: is there a login page or a proxy in front of the \
             provider? oidc.issuer and /.well-known/openid-configuration must answer JSON"
        }
        HttpError::Status(404) => {
            "check oidc.issuer: in authentik the slug of the application is part of it"
        }
        HttpError::Timeout => "check name, route and firewall from this machine to the provider",
        HttpError::Failed(text) if text.contains("ertificate") => {
            "the provider's certificate is not trusted here: for a private authority set \
             oidc.ca_path; else mend its chain, name or date"
        }
        HttpError::Failed(_) => {
            "check that the name resolves and the port is open from this machine, and that the \
             provider runs"
        }
        HttpError::Status(_) | HttpError::TooLarge | HttpError::Encoded => {
            "look at the provider's own log, and at what stands in front of it"
        }
    }
    .to_owned()
}

fn believe_fix(why: &DiscoveryError) -> &'static str {
    match why {
        DiscoveryError::IssuerMismatch { .. } | DiscoveryError::IssuerUrl(_) => {
            "copy the issuer as the provider writes it, with or without the slash at its end, and \
             reach it by its public name"
        }
        DiscoveryError::Endpoint { .. } => {
            "have the provider announce https addresses of its own host: behind a proxy it needs \
             X-Forwarded-Proto: https"
        }
        DiscoveryError::Unsupported { .. } => {
            "switch on the authorization code flow with answers in the query at the provider"
        }
        DiscoveryError::Algorithms { .. } => "give the provider a signing key, RSA or P-256",
        DiscoveryError::Malformed(_)
        | DiscoveryError::Fetch { .. }
        | DiscoveryError::Keys { .. } => {
            "compare the document with OpenID Connect Discovery 1.0 section 3"
        }
    }
}

/// The texts of a list in the document; `None` where it says nothing.
fn texts(document: &Map<String, Value>, member: &str) -> Option<Vec<String>> {
    let list = document.get(member)?.as_array()?;
    let texts = list.iter().filter_map(Value::as_str);
    Some(texts.map(str::to_owned).collect())
}

fn signing(document: Option<&Map<String, Value>>, settings: &Oidc) -> Finding {
    let Some(document) = document else {
        return unknown(SIGNING);
    };
    let announced = texts(document, "id_token_signing_alg_values_supported").unwrap_or_default();
    if announced.is_empty() {
        let told = "the provider does not say how it signs ID tokens";
        return Finding::ok(SIGNING, told);
    }
    let accepted = super::id_token::accepted_algorithms(settings.allow_hs256);
    let accepted: Vec<&str> = accepted.into_iter().map(Algorithm::name).collect();
    let all = announced.join(", ");
    if announced
        .iter()
        .any(|name| accepted.contains(&name.as_str()))
    {
        return Finding::ok(SIGNING, format!("ID tokens are signed with {all}"));
    }
    let fix = if announced.iter().any(|name| name == "HS256") {
        "give the provider a signing key (in authentik: Signing Key, a certificate with RSA or P-256)"
    } else {
        "give the provider a signing key with RSA or P-256"
    };
    let told = format!(
        "ID tokens are signed with {all}, but only {} are accepted",
        accepted.join(", ")
    );
    Finding::failure(SIGNING, told, fix)
}

fn encryption(document: Option<&Map<String, Value>>) -> Finding {
    let Some(document) = document else {
        return unknown(ENCRYPTION);
    };
    match texts(document, "id_token_encryption_alg_values_supported") {
        Some(announced) if !announced.is_empty() => Finding::failure(
            ENCRYPTION,
            "the provider encrypts ID tokens, or can; neither headwarden nor headscale reads those",
            "leave the provider's encryption key empty (in authentik: Encryption Key)",
        ),
        Some(_) | None => Finding::ok(ENCRYPTION, "ID tokens are not encrypted"),
    }
}

async fn keys(http: &Http, metadata: Option<&Metadata>, settings: &Oidc) -> Finding {
    let Some(metadata) = metadata else {
        return unknown(KEYS);
    };
    let answer = http
        .get(Endpoint::Keys, &metadata.jwks_uri, None)
        .await
        .and_then(Answer::ok);
    let found = answer
        .and_then(|answer| answer.object())
        .and_then(|document| jwks::parse_keys(&document));
    let fix = "give the provider a signing key (in authentik: Signing Key)";
    match found {
        Err(why) => {
            let told = format!("no keys at {}: {why}", metadata.jwks_uri);
            Finding::failure(KEYS, told, fetch_fix(&why))
        }
        Ok(keys) if keys.is_empty() && !settings.allow_hs256 => {
            let told = format!("no usable key at {}", metadata.jwks_uri);
            Finding::failure(KEYS, told, fix)
        }
        Ok(keys) if keys.skipped() > 0 => {
            let told = format!(
                "{} usable keys, {} that are not",
                keys.len(),
                keys.skipped()
            );
            let fix = "look for keys under 2048 bits, or of unknown kinds, at the provider";
            Finding::warning(KEYS, told, fix)
        }
        Ok(keys) => Finding::ok(KEYS, format!("{} usable keys", keys.len())),
    }
}

fn clock(date: Option<&str>, checkup: &Checkup<'_>) -> Finding {
    let Some(there) = date.and_then(parse_http_date) else {
        return Finding::skipped(CLOCK, "the provider does not say what time it is");
    };
    let here = checkup.clock.now();
    let apart = here.since(there).max(there.since(here)).as_secs();
    if apart <= SKEW {
        return Finding::ok(
            CLOCK,
            format!("the provider's clock is {apart} s away from ours"),
        );
    }
    let told = format!("the provider's clock is {apart} s away from ours: its tokens are refused");
    Finding::failure(CLOCK, told, "have both machines set their clocks by NTP")
}

fn unknown(check: &'static str) -> Finding {
    Finding::skipped(check, "the provider is not known: see provider.discovery")
}
