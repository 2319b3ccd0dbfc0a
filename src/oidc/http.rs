//! The one HTTP client towards the provider.
//!
//! Every answer is bounded in size and time, redirects are never followed, and a body that comes
//! compressed is refused: none was asked for, so it is a mistake or a bomb. What an answer *means*
//! belongs to the modules that asked for it.

mod tls;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE, DATE, LOCATION};
use reqwest::{Client, RequestBuilder, StatusCode, redirect};
use serde_json::{Map, Value};
use thiserror::Error;
use url::Url;

use super::json::{self, JsonFault};
use crate::domain::causes::causes;
use crate::domain::secret::Secret;
use crate::ops::metrics::{self, Endpoint, Metrics};
use crate::ops::trace;

/// The largest body that is read, in bytes. Discovery documents, key sets and token answers are a
/// few kilobytes.
pub const MAX_BODY: usize = 1024 * 1024;

/// The longest wait for a TCP and TLS connection, whatever the overall timeout is.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why the client could not be built. Each is the operator's to mend.
#[derive(Debug, Error)]
pub enum BuildError {
    /// The PEM bundle of `oidc.ca_path` cannot be read.
    #[error("cannot read certificates from {path:?}: {reason}")]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What the PEM reader said.
        reason: String,
    },
    /// The PEM bundle of `oidc.ca_path` holds no certificate.
    #[error("no certificate in {0:?}")]
    CaEmpty(PathBuf),
    /// Neither the system nor `oidc.ca_path` has a certificate to trust.
    #[error("no trusted certificates: install the system's CA bundle or set oidc.ca_path")]
    NoRoots,
    /// TLS or the client could not be set up.
    #[error("cannot set up the HTTP client: {0}")]
    Client(String),
}

/// Why there is no usable answer. All of these mean "the provider is not available": nothing was
/// decided about the person.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum HttpError {
    /// No connection, a broken one, or a certificate that does not verify.
    #[error("the request failed: {0}")]
    Failed(String),
    /// The answer was not complete in time.
    #[error("no complete answer in time")]
    Timeout,
    /// A redirect, which is never followed (the code and the secret would go with it).
    #[error("it answered with a redirect (status {0}), which is not followed")]
    Redirect(u16),
    /// More than [`MAX_BODY`].
    #[error("the answer is larger than {MAX_BODY} bytes")]
    TooLarge,
    /// A `Content-Encoding` although none was accepted.
    #[error("the answer is compressed, which was not asked for")]
    Encoded,
    /// 5xx, or another status that this endpoint has no meaning for.
    #[error("it answered with status {0}")]
    Status(u16),
    /// A body that is not a JSON object; `0` is its content type.
    #[error("the answer is not a JSON object (content type {0:?})")]
    NotJson(String),
    /// A JSON object in which a name stands twice: nobody knows which of the two counts.
    #[error("the answer is a JSON object with a repeated name")]
    RepeatedName,
}

/// An answer whose body is complete and bounded. `Debug` does not show it: it may be a token.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// `Date`: what time it is over there.
    pub(super) date: Option<String>,
    content_type: String,
    body: Vec<u8>,
}

/// Where a browser would be sent, or not.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) status: StatusCode,
    pub(super) location: Option<Url>,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

impl Answer {
    /// The body as a JSON object. The parser's message is dropped: it may quote a token.
    pub(super) fn object(&self) -> Result<Map<String, Value>, HttpError> {
        let not_json = || HttpError::NotJson(self.content_type.chars().take(80).collect());
        if !self.says_json() {
            return Err(not_json());
        }
        json::parse_object(&self.body).map_err(|fault| match fault {
            JsonFault::NotAnObject => not_json(),
            JsonFault::Repeated => HttpError::RepeatedName,
        })
    }

    /// A missing content type is tolerated, a different one is not: an HTML error page or a signed
    /// userinfo answer must not be guessed at.
    fn says_json(&self) -> bool {
        let essence = self
            .content_type
            .split(';')
            .next()
            .unwrap_or_default()
            .trim();
        essence.is_empty() || essence.to_ascii_lowercase().ends_with("json")
    }

    /// The answer if its status is 200.
    pub(super) fn ok(self) -> Result<Self, HttpError> {
        if self.status == StatusCode::OK {
            Ok(self)
        } else {
            Err(HttpError::Status(self.status.as_u16()))
        }
    }
}

/// The client; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Http {
    client: Client,
    metrics: Arc<Metrics>,
}

impl Http {
    /// A client that trusts the system's certificates and those of `ca_path`, and waits no longer
    /// than `timeout` for one whole answer. Proxy variables of the environment are ignored. Each
    /// question is counted.
    pub(super) fn new(
        ca_path: Option<&Path>,
        timeout: Duration,
        metrics: Arc<Metrics>,
    ) -> Result<Self, BuildError> {
        let client = Client::builder()
            .use_preconfigured_tls(tls::client_config(ca_path)?)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .timeout(timeout)
            .connect_timeout(CONNECT_TIMEOUT.min(timeout))
            .user_agent(concat!("headwarden/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| BuildError::Client(chain(&error)))?;
        Ok(Self { client, metrics })
    }

    /// Where questions are counted.
    pub(super) const fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// `GET url`, with a bearer token if given (RFC 6750 section 2.1).
    pub(super) async fn get(
        &self,
        endpoint: Endpoint,
        url: &Url,
        bearer: Option<&Secret<String>>,
    ) -> Result<Answer, HttpError> {
        let request = self.client.get(url.clone());
        let request = match bearer {
            Some(token) => request.bearer_auth(token.expose()),
            None => request,
        };
        self.asked(endpoint, url, request).await
    }

    /// `GET url` as a browser would, and no further: of the answer only the status and `Location` count.
    pub(super) async fn look(&self, url: &Url) -> Result<Look, HttpError> {
        let request = self.client.get(url.clone()).header(ACCEPT, "text/html");
        let response = request.send().await.map_err(|e| failure(&e))?;
        let location = response.headers().get(LOCATION);
        let location = location.and_then(|location| location.to_str().ok());
        Ok(Look {
            status: response.status(),
            location: location.and_then(|location| url.join(location).ok()),
        })
    }

    /// `POST url` with a form, and HTTP Basic credentials if given. Both halves are form-encoded
    /// first (RFC 6749 section 2.3.1).
    pub(super) async fn post(
        &self,
        endpoint: Endpoint,
        url: &Url,
        form: &[(&str, &str)],
        basic: Option<(&str, &str)>,
    ) -> Result<Answer, HttpError> {
        let request = self.client.post(url.clone()).form(form);
        let request = match basic {
            Some((user, password)) => {
                request.basic_auth(form_encoded(user), Some(form_encoded(password)))
            }
            None => request,
        };
        self.asked(endpoint, url, request).await
    }

    async fn asked(
        &self,
        endpoint: Endpoint,
        url: &Url,
        request: RequestBuilder,
    ) -> Result<Answer, HttpError> {
        let begun = Instant::now();
        let span = trace::child(|| format!("provider {}", endpoint.label()).into());
        let answer = send(request).await;
        let how = match &answer {
            Ok(answer) if answer.status.is_success() => metrics::Answer::Answered,
            Ok(answer) if answer.status.is_client_error() => metrics::Answer::Refused,
            Ok(_) | Err(_) => metrics::Answer::Failed,
        };
        self.metrics.provider_asked(endpoint, how, begun.elapsed());
        if let Some(span) = span {
            let status = answer.as_ref().ok().map(|answer| answer.status.as_u16());
            let failed = how != metrics::Answer::Answered;
            let mut attributes = vec![(
                "server.address",
                trace::Value::Text(url.host_str().unwrap_or_default().to_owned().into()),
            )];
            attributes.extend(status.map(|status| {
                (
                    "http.response.status_code",
                    trace::Value::Number(i64::from(status)),
                )
            }));
            span.over(failed, attributes);
        }
        answer
    }
}

fn form_encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

async fn send(request: RequestBuilder) -> Result<Answer, HttpError> {
    let mut response = request
        .header(ACCEPT, "application/json")
        .send()
        .await
        .map_err(|e| failure(&e))?;
    let status = response.status();
    if status.is_redirection() {
        return Err(HttpError::Redirect(status.as_u16()));
    }
    if status.is_server_error() {
        return Err(HttpError::Status(status.as_u16()));
    }
    let header = |name| {
        response
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    if header(CONTENT_ENCODING).is_some_and(|coding| !coding.eq_ignore_ascii_case("identity")) {
        return Err(HttpError::Encoded);
    }
    let content_type = header(CONTENT_TYPE).unwrap_or_default().to_owned();
    let date = header(DATE).map(str::to_owned);
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| failure(&e))? {
        if body.len().saturating_add(chunk.len()) > MAX_BODY {
            return Err(HttpError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer {
        status,
        date,
        content_type,
        body,
    })
}

fn failure(error: &reqwest::Error) -> HttpError {
    if error.is_timeout() {
        HttpError::Timeout
    } else {
        HttpError::Failed(chain(error))
    }
}

/// The causes of an error, outermost left out: that one only says that a request to a URL failed.
fn chain(error: &reqwest::Error) -> String {
    let told: Vec<String> = causes(error).map(ToString::to_string).collect();
    if told.is_empty() {
        "unknown cause".to_owned()
    } else {
        told.join(": ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(content_type: &str, body: &str) -> Answer {
        Answer {
            status: StatusCode::OK,
            date: None,
            content_type: content_type.to_owned(),
            body: body.as_bytes().to_vec(),
        }
    }

    #[test]
    fn only_json_objects_are_taken_for_json() {
        for (content_type, body, taken) in [
            ("application/json", "{}", true),
            ("application/json; charset=utf-8", r#"{"a":1}"#, true),
            ("application/jwk-set+json", "{}", true),
            ("Application/JSON", "{}", true),
            ("", "{}", true),
            ("text/html", "{}", false),
            ("application/jwt", "{}", false),
            ("application/json", "[]", false),
            ("application/json", "\"text\"", false),
            ("application/json", "<html>", false),
            ("application/json", "{} {}", false),
            ("application/json", r#"{"a":1,"a":1}"#, false),
        ] {
            assert_eq!(
                answer(content_type, body).object().is_ok(),
                taken,
                "{content_type} {body}"
            );
        }
    }

    #[test]
    fn an_answer_that_is_not_json_is_not_quoted() {
        let error = answer("application/json", r#"{"access_token": "s3cret" "#).object();
        assert!(!format!("{error:?}").contains("s3cret"));
        let answer = answer("application/json", r#"{"access_token": "s3cret"}"#);
        assert!(!format!("{answer:?}").contains("s3cret"));
    }

    #[test]
    fn credentials_are_form_encoded_before_basic() {
        assert_eq!(form_encoded("a b:c%+é"), "a+b%3Ac%25%2B%C3%A9");
    }
}
