//! A small HTTP client for the questions we ask Headscale ourselves: no redirects, no environment
//! proxies, no cookies, a limit on time and size.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use http::header::CONTENT_TYPE;
use reqwest::{RequestBuilder, redirect};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value;

use crate::config::Upstream;
use crate::domain::causes::causes;
use crate::domain::secret::Secret;

/// Largest answer that is read; the ones we ask for have under 1 KiB.
const MAX_BODY: usize = 64 * 1024;
/// Largest list of the API that is read: tens of thousands of users.
const MAX_LIST: usize = 16 * 1024 * 1024;

/// A policy is compiled and tested for every device before Headscale answers: longer than its other answers
/// may take.
const POLICY: &str = "/api/v1/policy";
const POLICY_PATIENCE: Duration = Duration::from_secs(30);

/// The client cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// `headscale.ca_path` holds no certificates that can be read.
    #[error("the certificates in {path} cannot be used: {reason}")]
    Certificates {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// TLS or the client refused the settings.
    #[error("the client for headscale cannot be made: {0}")]
    Setup(String),
}

/// Headscale gave no answer that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// No connection, or no TLS on it.
    #[error("headscale is not reachable: {0}")]
    Unreachable(String),
    /// Connected, but the whole answer did not come in time.
    #[error("headscale did not answer in time")]
    Timeout,
    /// It broke off, or did not speak HTTP.
    #[error("headscale's answer cannot be read: {0}")]
    Broken(String),
    /// More than we read.
    #[error("headscale's answer is longer than is read")]
    TooLong,
}

/// A status and a body, whatever the status is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fetched {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// The client for one upstream.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    client: reqwest::Client,
    origin: String,
}

impl Client {
    /// A client that connects within `connect` and has the whole answer within `total`.
    pub(crate) fn new(
        upstream: &Upstream,
        connect: Duration,
        total: Duration,
    ) -> Result<Self, ClientError> {
        let tls = tls(upstream)?;
        let client = reqwest::Client::builder()
            .use_preconfigured_tls(tls)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .referer(false)
            // Headscale speaks HTTP/1.1 on every version.
            .http1_only()
            .connect_timeout(connect)
            .timeout(total)
            // One question a minute: a kept connection would be stale when it is needed.
            .pool_max_idle_per_host(0)
            .user_agent(concat!("headwarden/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| ClientError::Setup(chain(&error)))?;
        let scheme = if upstream.tls { "https" } else { "http" };
        Ok(Self {
            client,
            origin: format!("{scheme}://{}", upstream.authority()),
        })
    }

    /// `GET path`, which begins with `/`.
    pub(crate) async fn get(&self, path: &str) -> Result<Fetched, FetchError> {
        let request = self.client.get(format!("{}{path}", self.origin));
        send(request, MAX_BODY).await
    }

    /// A request to the API, with the key and a JSON body, for an answer that may be long.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        key: &Secret<String>,
        body: Option<&Value>,
    ) -> Result<Fetched, FetchError> {
        let url = format!("{}{path}", self.origin);
        let mut request = self.client.request(method, url).bearer_auth(key.expose());
        if path.starts_with(POLICY) {
            request = request.timeout(POLICY_PATIENCE);
        }
        if let Some(body) = body {
            request = request
                .header(CONTENT_TYPE, "application/json")
                .body(body.to_string());
        }
        send(request, MAX_LIST).await
    }
}

async fn send(request: RequestBuilder, most: usize) -> Result<Fetched, FetchError> {
    let mut response = request.send().await.map_err(|error| failed(&error))?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| failed(&error))? {
        if body.len().saturating_add(chunk.len()) > most {
            return Err(FetchError::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Fetched {
        status: response.status().as_u16(),
        body,
    })
}

fn failed(error: &reqwest::Error) -> FetchError {
    // A timeout of the connection itself says "not reachable"; that is what the operator can act on.
    if error.is_connect() {
        FetchError::Unreachable(chain(error))
    } else if error.is_timeout() {
        FetchError::Timeout
    } else {
        FetchError::Broken(chain(error))
    }
}

/// An error with its causes: reqwest's own text alone never says what happened.
fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    for cause in causes(error) {
        text.push_str(": ");
        text.push_str(&cause.to_string());
    }
    text
}

fn tls(upstream: &Upstream) -> Result<rustls::ClientConfig, ClientError> {
    let roots = match &upstream.ca_path {
        Some(path) => bundle(path)?,
        None => system_roots(upstream.tls),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ClientError::Setup(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// The certificates of the operator's bundle; all of them must be readable.
fn bundle(path: &Path) -> Result<RootCertStore, ClientError> {
    let refused = |reason: String| ClientError::Certificates {
        path: path.to_owned(),
        reason,
    };
    let mut roots = RootCertStore::empty();
    let found = CertificateDer::pem_file_iter(path).map_err(|error| refused(error.to_string()))?;
    for certificate in found {
        let certificate = certificate.map_err(|error| refused(error.to_string()))?;
        roots
            .add(certificate)
            .map_err(|error| refused(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(refused("it holds none".to_owned()));
    }
    Ok(roots)
}

/// The system's certificates; not looked for where they are not needed.
fn system_roots(needed: bool) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    if needed {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "some of the system's certificates cannot be read");
        }
        roots.add_parsable_certificates(found.certs);
    }
    roots
}
