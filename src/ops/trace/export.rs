//! Sending spans to the collector: one task, behind a bounded queue, that gathers them for a moment and
//! posts them as protobuf (OTLP/HTTP). Nothing it meets reaches a request: what it cannot send is
//! dropped and counted, and the collector's answers are not believed to end.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use http::header::{CONTENT_TYPE, HeaderValue};
use prost::Message as _;
use reqwest::redirect;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::super::metrics::{Metrics, Spans};
use super::Finished;
use super::message::Request;
use crate::domain::causes::causes;
use crate::domain::secret::Secret;

/// Spans that may wait for the collector.
pub(super) const QUEUE: usize = 4096;
/// Most spans of one request to it.
const BATCH: usize = 512;
/// How long they are gathered.
const GATHER: Duration = Duration::from_secs(1);
/// Longest wait for a whole answer, and for a connection.
const TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// An answer that is longer ends with its connection: it has nothing to say.
const MAX_ANSWER: usize = 16 * 1024;

/// Why spans could never be sent.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The bundle cannot be read, or is empty.
    #[error("cannot read certificates from {path:?}: {reason}")]
    Bundle {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// TLS or the client could not be set up.
    #[error("cannot set up the HTTP client: {0}")]
    Client(String),
}

/// Where spans go.
#[derive(Clone, Debug)]
pub struct Collector {
    /// `/v1/traces` below the operator's endpoint.
    pub url: Url,
    /// Fields of each request, with whatever the collector wants to see.
    pub headers: Vec<(String, Secret<String>)>,
    /// A PEM bundle to verify its certificate with, beside the system's.
    pub ca_path: Option<PathBuf>,
    /// `service.name`.
    pub service: String,
}

#[derive(Debug)]
pub(super) enum Item {
    Span(Box<Finished>),
    /// Answered when everything before it was sent, or could not be.
    Flush(oneshot::Sender<()>),
}

#[derive(Debug)]
pub(super) struct Exporter {
    client: reqwest::Client,
    url: Url,
    headers: HeaderMap,
    service: String,
    metrics: Arc<Metrics>,
    failing: bool,
}

impl Exporter {
    pub(super) fn new(collector: Collector, metrics: Arc<Metrics>) -> Result<Self, ExportError> {
        let client = reqwest::Client::builder()
            .use_preconfigured_tls(tls(collector.ca_path.as_deref())?)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .timeout(TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            .user_agent(concat!("headwarden/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| ExportError::Client(error.to_string()))?;
        let mut headers = HeaderMap::new();
        for (name, value) in &collector.headers {
            // The configuration's check has seen to it that both can be sent.
            let pair = (
                http::HeaderName::from_bytes(name.as_bytes()),
                HeaderValue::from_str(value.expose()),
            );
            if let (Ok(name), Ok(mut value)) = pair {
                value.set_sensitive(true);
                headers.append(name, value);
            }
        }
        let protobuf = HeaderValue::from_static("application/x-protobuf");
        headers.insert(CONTENT_TYPE, protobuf);
        Ok(Self {
            client,
            url: collector.url,
            headers,
            service: collector.service,
            metrics,
            failing: false,
        })
    }

    /// Sends what is queued, until nobody can queue anything any more.
    pub(super) async fn run(mut self, mut queue: mpsc::Receiver<Item>) {
        while let Some(first) = queue.recv().await {
            let until = Instant::now() + GATHER;
            let (mut spans, mut waiting, mut next) = (Vec::new(), None, Some(first));
            while let Some(item) = next {
                match item {
                    Item::Span(span) => spans.push(*span),
                    Item::Flush(done) => {
                        waiting = Some(done);
                        break;
                    }
                }
                if spans.len() == BATCH {
                    break;
                }
                next = timeout_at(until, queue.recv()).await.ok().flatten();
            }
            self.send(spans).await;
            if let Some(done) = waiting {
                let _ = done.send(());
            }
        }
    }

    async fn send(&mut self, spans: Vec<Finished>) {
        let count = spans.len();
        if count == 0 {
            return;
        }
        let body = Request::new(&self.service, spans).encode_to_vec();
        match self.post(body).await {
            Ok(()) => {
                self.metrics.spans(Spans::Sent, count);
                if std::mem::take(&mut self.failing) {
                    tracing::info!("traces reach the collector again");
                }
            }
            Err(reason) => {
                self.metrics.spans(Spans::NotTaken, count);
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::warn!(reason, "traces do not reach the collector, and are dropped");
                }
            }
        }
    }

    async fn post(&self, body: Vec<u8>) -> Result<(), String> {
        let request = self.client.post(self.url.clone());
        let request = request.headers(self.headers.clone()).body(body);
        let mut response = request.send().await.map_err(|error| why(&error))?;
        let status = response.status();
        // What it says is read to its end only so that the connection may be used again.
        let mut read = 0;
        while let Ok(Some(piece)) = response.chunk().await {
            read += piece.len();
            if read > MAX_ANSWER {
                break;
            }
        }
        if status.is_success() {
            Ok(())
        } else {
            Err(format!("it answered with status {}", status.as_u16()))
        }
    }
}

/// The causes, without the outermost, which names the URL.
fn why(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let told: Vec<String> = causes(error).map(ToString::to_string).collect();
    told.join(": ")
}

fn tls(ca_path: Option<&Path>) -> Result<ClientConfig, ExportError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = ca_path {
        let unreadable = |reason: String| ExportError::Bundle {
            path: path.to_owned(),
            reason,
        };
        let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path)
            .map_err(|error| unreadable(error.to_string()))?
            .collect();
        let found = found.map_err(|error| unreadable(error.to_string()))?;
        if found.is_empty() {
            return Err(unreadable("there is none".to_owned()));
        }
        roots.add_parsable_certificates(found);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ExportError::Client(error.to_string()))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
