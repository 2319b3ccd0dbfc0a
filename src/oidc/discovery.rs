//! The provider's metadata (OpenID Connect Discovery 1.0 section 3): which document is believed,
//! and what of it is used. Where its endpoints may be is `reach`; fetching it again belongs to
//! `provider`.

mod reach;

use serde::Deserialize;
use serde_json::{Map, Value};
use thiserror::Error;
use url::Url;

use self::reach::{Reach, secure_url};
use super::algorithm::Algorithm;
use super::http::HttpError;
use super::id_token;
use crate::domain::identity::Issuer;
use crate::domain::text::shortened;

/// Why the provider is not known. None of these is about a person: sign-ins wait.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum DiscoveryError {
    /// The configured issuer is not an absolute `https` URL (`http` on loopback).
    #[error("oidc.issuer {0:?} is not an https URL")]
    IssuerUrl(String),
    /// No usable answer at the discovery URL.
    #[error("no discovery document at {url}: {source}")]
    Fetch {
        /// The discovery URL.
        url: String,
        /// What went wrong.
        source: HttpError,
    },
    /// The document lacks a required member, or one has the wrong type.
    #[error("the discovery document is malformed: {0}")]
    Malformed(String),
    /// The document names another issuer than the configured one, byte for byte.
    #[error(
        "the provider calls itself {found:?}, but oidc.issuer is {expected:?}: {}",
        slash_hint(expected, found)
    )]
    IssuerMismatch {
        /// `oidc.issuer`.
        expected: String,
        /// `issuer` of the document.
        found: String,
    },
    /// An endpoint is not `https`, or is where no provider is: see `reach`.
    #[error("the {member} of the discovery document is not an https URL of a provider: {url:?}")]
    Endpoint {
        /// The document's member.
        member: &'static str,
        /// Its value.
        url: String,
    },
    /// None of the announced ID token algorithms is accepted.
    #[error(
        "the provider signs ID tokens with {}, but only {} are accepted{}",
        announced.join(", "),
        accepted.join(", "),
        hs256_hint(announced)
    )]
    Algorithms {
        /// `id_token_signing_alg_values_supported`.
        announced: Vec<String>,
        /// What this configuration accepts.
        accepted: Vec<String>,
    },
    /// The provider announces what it can do, and something that is needed is not among it.
    #[error("the provider's {member} are {}, without {wanted}", announced.join(", "))]
    Unsupported {
        /// The document's member.
        member: &'static str,
        /// Its value.
        announced: Vec<String>,
        /// What is needed.
        wanted: &'static str,
    },
    /// The metadata is fine but its key set cannot be fetched.
    #[error("no keys at {url}: {source}")]
    Keys {
        /// `jwks_uri`.
        url: String,
        /// What went wrong.
        source: HttpError,
    },
}

fn slash_hint(expected: &str, found: &str) -> &'static str {
    if expected.strip_suffix('/') == Some(found) {
        "remove the trailing slash from oidc.issuer"
    } else if found.strip_suffix('/') == Some(expected) {
        "add a trailing slash to oidc.issuer"
    } else {
        "they must be equal byte for byte; reach the provider by its public name"
    }
}

fn hs256_hint(announced: &[String]) -> &'static str {
    if announced.iter().any(|name| name == "HS256") {
        "; give the provider a signing key (in authentik: the provider's Signing Key)"
    } else {
        ""
    }
}

/// How we show who we are at the token endpoint (OpenID Connect Core section 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// `client_secret_basic`.
    Basic,
    /// `client_secret_post`.
    Post,
}

/// What is used of a believed discovery document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Where browsers are sent to sign in.
    pub authorization_endpoint: Url,
    /// Where codes are redeemed.
    pub token_endpoint: Url,
    /// Where claims are read; not every provider has one.
    pub userinfo_endpoint: Option<Url>,
    /// Where the keys are.
    pub jwks_uri: Url,
    /// Where browsers are sent to sign out (RP-Initiated Logout 1.0 section 2.1).
    pub end_session_endpoint: Option<Url>,
    /// The announced ID token algorithms that are accepted; never empty.
    pub algorithms: Vec<Algorithm>,
    /// The client authentication methods it takes; never empty, in the order of preference.
    pub client_auth: Vec<ClientAuth>,
    /// The PKCE methods it takes (RFC 8414 section 2); empty where it does not say.
    pub pkce_methods: Vec<String>,
    /// Whether callbacks always carry `iss` (RFC 9207 section 3).
    pub advertises_iss: bool,
}

#[derive(Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    userinfo_endpoint: Option<String>,
    jwks_uri: String,
    end_session_endpoint: Option<String>,
    id_token_signing_alg_values_supported: Option<Vec<String>>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    response_types_supported: Option<Vec<String>>,
    response_modes_supported: Option<Vec<String>>,
    code_challenge_methods_supported: Option<Vec<String>>,
    id_token_encryption_alg_values_supported: Option<Vec<String>>,
    authorization_response_iss_parameter_supported: Option<bool>,
}

/// Where the document of `issuer` is (OpenID Connect Discovery 1.0 section 4.1): a slash at the end
/// of the issuer is not doubled.
///
/// # Errors
/// [`DiscoveryError::IssuerUrl`].
pub fn document_url(issuer: &Issuer) -> Result<Url, DiscoveryError> {
    let text = issuer.as_str();
    let base = text.strip_suffix('/').unwrap_or(text);
    secure_url(text)
        .filter(|url| url.query().is_none())
        .and_then(|_| Url::parse(&format!("{base}/.well-known/openid-configuration")).ok())
        .ok_or_else(|| DiscoveryError::IssuerUrl(text.to_owned()))
}

/// Reads a discovery document and decides whether to believe it.
///
/// # Errors
/// See [`DiscoveryError`].
pub fn parse_document(
    document: Map<String, Value>,
    issuer: &Issuer,
    allow_hs256: bool,
) -> Result<Metadata, DiscoveryError> {
    let document: Document = serde_path_to_error::deserialize(Value::Object(document))
        .map_err(|error| DiscoveryError::Malformed(shortened(&error.to_string())))?;
    if document.issuer != issuer.as_str() {
        return Err(DiscoveryError::IssuerMismatch {
            expected: issuer.as_str().to_owned(),
            found: shortened(&document.issuer),
        });
    }
    document.check_flow()?;
    let reach = Reach::of(issuer);
    let endpoint = |member, url: &str| reach.endpoint(member, url);
    let optional = |member, url: Option<String>| {
        url.filter(|url| !url.is_empty())
            .map(|url| reach.endpoint(member, &url))
            .transpose()
    };
    Ok(Metadata {
        authorization_endpoint: endpoint(
            "authorization_endpoint",
            &document.authorization_endpoint,
        )?,
        token_endpoint: endpoint("token_endpoint", &document.token_endpoint)?,
        userinfo_endpoint: optional("userinfo_endpoint", document.userinfo_endpoint)?,
        jwks_uri: endpoint("jwks_uri", &document.jwks_uri)?,
        end_session_endpoint: optional("end_session_endpoint", document.end_session_endpoint)?,
        algorithms: algorithms(document.id_token_signing_alg_values_supported, allow_hs256)?,
        pkce_methods: document
            .code_challenge_methods_supported
            .unwrap_or_default(),
        client_auth: client_auth(document.token_endpoint_auth_methods_supported.as_deref()),
        advertises_iss: document.authorization_response_iss_parameter_supported == Some(true),
    })
}

impl Document {
    /// The provider must not rule out the flow that is used, nor hide what it answers.
    fn check_flow(&self) -> Result<(), DiscoveryError> {
        let encryption = self.id_token_encryption_alg_values_supported.as_ref();
        if encryption.is_some_and(|algorithms| !algorithms.is_empty()) {
            tracing::warn!(
                "the provider announces encrypted ID tokens, which cannot be read: if sign-ins \
                 fail, unset the Encryption Key of the provider's application"
            );
        }
        let types = self.response_types_supported.as_deref();
        let modes = self.response_modes_supported.as_deref();
        announces("response_types_supported", types, "code")?;
        announces("response_modes_supported", modes, "query")
    }
}

impl Metadata {
    /// Whether this PKCE method is one the provider takes, as far as it says.
    ///
    /// # Errors
    /// [`DiscoveryError::Unsupported`].
    pub fn check_pkce(&self, method: &'static str) -> Result<(), DiscoveryError> {
        let methods = Some(self.pkce_methods.as_slice());
        announces("code_challenge_methods_supported", methods, method)
    }
}

/// What is announced must not rule out what is sent. What is not announced is tried: the members are
/// optional, and providers forget them.
fn announces(
    member: &'static str,
    announced: Option<&[String]>,
    wanted: &'static str,
) -> Result<(), DiscoveryError> {
    let names = announced.unwrap_or_default();
    if names.is_empty() || names.iter().any(|name| name == wanted) {
        return Ok(());
    }
    Err(DiscoveryError::Unsupported {
        member,
        announced: few(names),
        wanted,
    })
}

fn few(names: &[String]) -> Vec<String> {
    names.iter().take(10).map(|name| shortened(name)).collect()
}

/// What is both announced and accepted. A provider that announces nothing may use any accepted one.
fn algorithms(
    announced: Option<Vec<String>>,
    allow_hs256: bool,
) -> Result<Vec<Algorithm>, DiscoveryError> {
    let accepted = id_token::accepted_algorithms(allow_hs256);
    let Some(announced) = announced.filter(|names| !names.is_empty()) else {
        return Ok(accepted);
    };
    let names = accepted.iter().map(|one| one.name().to_owned()).collect();
    let usable: Vec<Algorithm> = accepted
        .into_iter()
        .filter(|algorithm| announced.iter().any(|name| name == algorithm.name()))
        .collect();
    if usable.is_empty() {
        return Err(DiscoveryError::Algorithms {
            announced: few(&announced),
            accepted: names,
        });
    }
    Ok(usable)
}

/// `client_secret_basic` is the default where nothing is announced (Discovery 1.0 section 3), and
/// what is tried where only methods are announced that we do not speak.
fn client_auth(announced: Option<&[String]>) -> Vec<ClientAuth> {
    let has = |name: &str| announced.is_some_and(|methods| methods.iter().any(|m| m == name));
    match (has("client_secret_basic"), has("client_secret_post")) {
        (true, true) => vec![ClientAuth::Basic, ClientAuth::Post],
        (false, true) => vec![ClientAuth::Post],
        (_, false) => vec![ClientAuth::Basic],
    }
}

#[cfg(test)]
mod tests;
