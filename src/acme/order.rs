//! One order, from its beginning to a certificate that is kept (RFC 8555 section 7.4).

use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Error, ExternalAccountKey, Identifier, NewAccount,
    NewOrder, Order, OrderStatus, Problem, RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::challenges::Raised;
use super::storage::{Lock, StorageError};
use super::{Acme, ChallengeKind};
use crate::domain::certificate::Leaf;
use crate::domain::text::draws;

/// Longest wait for a whole order.
const WHOLE: Duration = Duration::from_mins(5);
/// How often, and how long, the directory is asked what became of something.
const POLL: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(250))
    .backoff(1.5)
    .timeout(Duration::from_mins(2));

/// Why there is no certificate. What the directory says is quoted; no secret is in it.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// What is kept cannot be used.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The directory cannot be reached, or refuses.
    #[error("{0}")]
    Directory(String),
    /// A validator did not find what it was to find.
    #[error("{name} could not be validated: {reason}")]
    Validation {
        /// Which name.
        name: String,
        /// What the directory says.
        reason: String,
    },
    /// The directory offers no challenge of the configured kind.
    #[error("the directory offers no {kind} challenge for {name}")]
    NoChallenge {
        /// The kind.
        kind: &'static str,
        /// For which name.
        name: String,
    },
    /// A certificate came that is not the one that was ordered.
    #[error("the directory's certificate cannot be used: {0}")]
    Certificate(&'static str),
    /// A key or a request could not be made.
    #[error("cannot make the certificate request: {0}")]
    Request(String),
    /// It took too long.
    #[error("not done within {} min", .0.as_secs() / 60)]
    Slow(Duration),
}

impl From<Error> for OrderError {
    fn from(why: Error) -> Self {
        Self::Directory(match why {
            Error::Api(problem) => described(&problem),
            other => other.to_string(),
        })
    }
}

/// A problem document in one line: RFC 8555 section 6.7.
fn described(problem: &Problem) -> String {
    let kind = problem.r#type.as_deref().unwrap_or("an error");
    let kind = kind.rsplit(':').next().unwrap_or(kind);
    let detail = problem.detail.as_deref().unwrap_or("without a word");
    let shown = detail.chars().take(300);
    let shown: String = shown.map(|c| if draws(c) { c } else { ' ' }).collect();
    format!("the directory says {kind}: {shown}")
}

impl Acme {
    /// Orders a certificate and keeps it.
    ///
    /// # Errors
    /// See [`OrderError`]; what was kept before is as it was.
    pub async fn order(&self) -> Result<Leaf, OrderError> {
        let lock = self.storage.lock()?;
        match tokio::time::timeout(WHOLE, self.order_alone(&lock)).await {
            Ok(ended) => ended,
            Err(_) => Err(OrderError::Slow(WHOLE)),
        }
    }

    async fn order_alone(&self, _lock: &Lock) -> Result<Leaf, OrderError> {
        let account = self.account().await?;
        let names: Vec<Identifier> = self
            .settings
            .names
            .iter()
            .cloned()
            .map(Identifier::Dns)
            .collect();
        let mut order = account.new_order(&NewOrder::new(&names)).await?;
        let raised = self.raise(&mut order).await?;
        let status = order.poll_ready(&POLL).await;
        drop(raised);
        match status {
            Ok(OrderStatus::Ready) => {}
            Ok(_) => return Err(why_invalid(&mut order).await),
            // What the order says of itself is less than what its challenges say.
            Err(Error::Api(problem)) => {
                let told = why_invalid(&mut order).await;
                return Err(match told {
                    OrderError::Validation { .. } => told,
                    _ => Error::Api(problem).into(),
                });
            }
            Err(why) => return Err(why.into()),
        }
        let (request, key) = self.request()?;
        order.finalize_csr(&request).await?;
        let chain = order.poll_certificate(&POLL).await?;
        let leaf = self.check(&chain, &key)?;
        self.storage
            .keep_certificate(&chain, &key.serialize_pem())?;
        Ok(leaf)
    }

    /// The account that is kept, or a new one.
    async fn account(&self) -> Result<Account, OrderError> {
        let builder = Account::builder_with_http(Box::new(self.http.clone()));
        if let Some(kept) = self.storage.account()? {
            return Ok(builder.from_credentials(kept).await?);
        }
        let contact: Vec<&str> = self.settings.contact.iter().map(String::as_str).collect();
        let new = NewAccount {
            contact: &contact,
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let external = self.settings.external.as_ref();
        let external = external
            .map(|binding| ExternalAccountKey::new(binding.id.clone(), binding.key.expose()));
        let directory = self.settings.directory_url.clone();
        let (account, credentials) = builder.create(&new, directory, external.as_ref()).await?;
        self.storage.keep_account(&credentials)?;
        tracing::info!(directory = self.settings.directory_url, "ACME account made");
        Ok(account)
    }

    /// Answers every challenge of the order that is still to be met, and says so to the directory.
    async fn raise(&self, order: &mut Order) -> Result<Vec<Raised>, OrderError> {
        let kind = self.settings.challenge;
        let mut raised = Vec::new();
        let mut all = order.authorizations();
        while let Some(authorization) = all.next().await {
            let mut authorization = authorization?;
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let name = authorization.identifier().to_string();
            let wanted = match kind {
                ChallengeKind::Http01 => ChallengeType::Http01,
                ChallengeKind::TlsAlpn01 => ChallengeType::TlsAlpn01,
            };
            let Some(mut challenge) = authorization.challenge(wanted) else {
                let kind = kind.word();
                return Err(OrderError::NoChallenge { kind, name });
            };
            let authorized = challenge.key_authorization();
            raised.push(match kind {
                ChallengeKind::Http01 => self
                    .challenges
                    .raise_http(&challenge.token, authorized.as_str()),
                ChallengeKind::TlsAlpn01 => self
                    .challenges
                    .raise_tls(&name, authorized.digest().as_ref())
                    .map_err(OrderError::Request)?,
            });
            challenge.set_ready().await?;
        }
        Ok(raised)
    }

    /// A request for our names with a new key.
    fn request(&self) -> Result<(Vec<u8>, KeyPair), OrderError> {
        let told = |why: rcgen::Error| OrderError::Request(why.to_string());
        let mut params = CertificateParams::new(self.settings.names.clone()).map_err(told)?;
        params.distinguished_name = DistinguishedName::new();
        let key = KeyPair::generate().map_err(told)?;
        let request = params.serialize_request(&key).map_err(told)?;
        Ok((request.der().to_vec(), key))
    }

    /// Whether what came is what was ordered.
    fn check(&self, chain: &str, key: &KeyPair) -> Result<Leaf, OrderError> {
        use rcgen::PublicKeyData as _;
        let leaf = CertificateDer::from_pem_slice(chain.as_bytes())
            .map_err(|_| OrderError::Certificate("it is not PEM"))?;
        let read = Leaf::parse(&leaf).ok_or(OrderError::Certificate("it cannot be parsed"))?;
        if !read.covers(&self.settings.names) {
            return Err(OrderError::Certificate(
                "it is not for the names that were ordered",
            ));
        }
        if read.key != key.subject_public_key_info() {
            return Err(OrderError::Certificate("it is for another key"));
        }
        if read.fault(self.clock.now()) == Some("has expired") {
            return Err(OrderError::Certificate("it has expired"));
        }
        Ok(read)
    }
}

/// What the directory says about the first name that was not validated.
async fn why_invalid(order: &mut Order) -> OrderError {
    let mut all = order.authorizations();
    while let Some(authorization) = all.next().await {
        let Ok(mut authorization) = authorization else {
            continue;
        };
        if authorization.refresh().await.is_err() {
            continue;
        }
        let problem = authorization
            .challenges
            .iter()
            .find_map(|challenge| challenge.error.as_ref());
        if let Some(problem) = problem {
            return OrderError::Validation {
                name: authorization.identifier().to_string(),
                reason: described(problem),
            };
        }
    }
    OrderError::Directory("the directory says that the order is invalid".to_owned())
}
