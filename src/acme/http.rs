//! The one HTTP client towards the directory: bounded in size and time, no redirects, https only but on
//! loopback.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{RETRY_AFTER, USER_AGENT};
use http::{HeaderValue, Request};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use reqwest::{Client, redirect};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use crate::config::read_file;
use crate::domain::causes::causes;

/// Largest answer that is read; a chain is a few kilobytes.
const MAX_BODY: usize = 1024 * 1024;
/// Longest wait for one whole answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The client cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// `acme.ca_path` cannot be used.
    #[error("the CA bundle of acme.ca_path cannot be used: {0}")]
    Bundle(String),
    /// There is nobody to trust.
    #[error("no trusted certificates: install the system's CA bundle or set acme.ca_path")]
    NoRoots,
    /// TLS or the client refused the settings.
    #[error("the client for the ACME directory cannot be made: {0}")]
    Setup(String),
}

/// An answer that is not read.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("the directory names an address that is not https")]
    Scheme,
    #[error("the directory answers with a redirect, which is not followed")]
    Redirect,
    #[error("an answer of the directory is larger than {MAX_BODY} bytes")]
    TooLarge,
    #[error("the directory cannot be reached: {0}")]
    Unreachable(String),
}

/// The client; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Http {
    client: Client,
    /// How long the directory last asked us to wait.
    wait: Arc<Mutex<Option<Duration>>>,
}

impl Http {
    /// A client that trusts the bundle at `ca_path`, or the system's certificates where there is none.
    pub(super) fn new(ca_path: Option<&Path>) -> Result<Self, ClientError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|why| ClientError::Setup(why.to_string()))?
            .with_root_certificates(roots(ca_path)?)
            .with_no_client_auth();
        let client = Client::builder()
            .use_preconfigured_tls(tls)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .timeout(TIMEOUT)
            .build()
            .map_err(|why| ClientError::Setup(why.to_string()))?;
        Ok(Self {
            client,
            wait: Arc::default(),
        })
    }

    /// How long the directory last asked us to wait (RFC 8555 section 6.6), once.
    pub(super) fn take_wait(&self) -> Option<Duration> {
        let mut wait = self.wait.lock().unwrap_or_else(PoisonError::into_inner);
        wait.take()
    }

    async fn exchange(self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, Error> {
        let (mut parts, body) = request.into_parts();
        // The crate's own way from a body to its bytes.
        let mut body = BytesResponse::from(http::Response::new(body)).body;
        let body = body.into_bytes().await.map_err(Error::Other)?;
        let url = parts.uri.to_string();
        if !is_allowed(&url) {
            return Err(refused(Refused::Scheme));
        }
        let agent = HeaderValue::from_static(concat!("headwarden/", env!("CARGO_PKG_VERSION")));
        parts.headers.insert(USER_AGENT, agent);
        let request = self.client.request(parts.method, url);
        let request = request.headers(parts.headers).body(body);
        let mut answer = request.send().await.map_err(|why| unreachable(&why))?;
        if answer.status().is_redirection() {
            return Err(refused(Refused::Redirect));
        }
        let mut response = http::Response::new(());
        *response.status_mut() = answer.status();
        *response.headers_mut() = answer.headers().clone();
        if matches!(answer.status().as_u16(), 429 | 503) {
            let mut wait = self.wait.lock().unwrap_or_else(PoisonError::into_inner);
            *wait = asked_wait(response.headers().get(RETRY_AFTER));
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|why| unreachable(&why))? {
            if body.len().saturating_add(chunk.len()) > MAX_BODY {
                return Err(refused(Refused::TooLarge));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(BytesResponse {
            parts: response.into_parts().0,
            body: Box::new(Bytes::from(body)),
        })
    }
}

impl HttpClient for Http {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        Box::pin(self.clone().exchange(request))
    }
}

fn refused(why: Refused) -> Error {
    Error::Other(Box::new(why))
}

/// The deepest cause alone: the outermost text says only that a request to a URL failed.
fn unreachable(why: &reqwest::Error) -> Error {
    let deepest = causes(why).last().map(ToString::to_string);
    let told = deepest.unwrap_or_else(|| "no answer in time".to_owned());
    refused(Refused::Unreachable(told))
}

/// https, or http to this machine.
fn is_allowed(url: &str) -> bool {
    let Ok(url) = url::Url::parse(url) else {
        return false;
    };
    let local = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    url.scheme() == "https" || (url.scheme() == "http" && local)
}

/// Seconds; a date is not understood, and our own wait counts.
fn asked_wait(value: Option<&HeaderValue>) -> Option<Duration> {
    let seconds = value?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

fn roots(ca_path: Option<&Path>) -> Result<RootCertStore, ClientError> {
    let mut roots = RootCertStore::empty();
    match ca_path {
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        Some(path) => {
            let told = |why: String| ClientError::Bundle(format!("{}: {why}", path.display()));
            let file = read_file(path).map_err(|why| told(why.to_string()))?;
            for certificate in CertificateDer::pem_slice_iter(file.text.as_bytes()) {
                let certificate = certificate.map_err(|_| told("it is not PEM".to_owned()))?;
                let added = roots.add(certificate);
                added.map_err(|_| told("one of its certificates cannot be parsed".to_owned()))?;
            }
        }
    }
    if roots.is_empty() {
        return Err(ClientError::NoRoots);
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_is_spoken_but_on_this_machine() {
        for (url, allowed) in [
            ("https://acme.example/directory", true),
            ("http://acme.example/directory", false),
            ("http://127.0.0.1:14000/dir", true),
            ("http://[::1]:14000/dir", true),
            ("http://localhost/dir", true),
            ("http://localhost.example/dir", false),
            ("ftp://localhost/dir", false),
            ("/dir", false),
        ] {
            assert_eq!(is_allowed(url), allowed, "{url}");
        }
    }

    #[test]
    fn a_wait_is_seconds() {
        for (text, expected) in [
            ("120", Some(120)),
            (" 5 ", Some(5)),
            ("soon", None),
            ("-1", None),
        ] {
            let value = HeaderValue::from_str(text).unwrap();
            let expected = expected.map(Duration::from_secs);
            assert_eq!(asked_wait(Some(&value)), expected, "{text}");
        }
        assert_eq!(asked_wait(None), None);
    }
}
